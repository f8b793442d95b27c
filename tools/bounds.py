"""Install the lowest and the newest versions that pyproject.toml allows, and run the fast tests with each.

python tools/bounds.py            both, one after the other, each in a new virtual environment in the temporary folder
python tools/bounds.py newest     one of them; the other is called lowest

Prints a table of the versions; the exit code is 1 if a set cannot be installed or fails. Only torch is the same in
both: what the variable TORCH says, written as for `make venv`, else that of constraints.txt. It needs the network, and
nothing installed. New releases come without a change here: run it on a schedule.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(requirement for extra in EXTRAS.values() for requirement in extra)]
PINNED_TORCH = re.search(r"^torch==.+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
TESTED = "check clip convert data full_pipelines models play setup show tokenizer train"
# Together these use every direct dependency but those of the site and of the browser, which are only installed.
FAST = [
    ["ruff", "check", "--no-cache", "."],
    ["jupyterlab", "--version"],
    ["pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *(f"tests/test_{part}.py" for part in TESTED.split())],
    ["pytest", "-q", "-p", "no:cacheprovider", "tests/test_colab.py", "notebooks/00_start_here.ipynb"],
]


def name(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def constraints(which, torch):
    """A line for pip for each direct dependency that it may not choose itself. A lower bound has to be a release."""
    bounds = {name(line): re.sub(r">=([\w.]+).*", r"==\1", line) for line in DIRECT} if which == "lowest" else {}
    return "\n".join((bounds | {"torch": f"torch=={torch}"}).values())


def tried(which, folder):
    """The versions that were installed, by name; and what came of it."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"MINIDIFF_SCALE": "test", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

    def failed(*arguments):
        print("\n$ python -m", shlex.join(arguments), flush=True)
        try:
            return subprocess.run([python, "-m", *arguments], cwd=ROOT, env=environment, timeout=3600).returncode
        except subprocess.TimeoutExpired:
            return True

    def versions():
        listed = subprocess.check_output([python, "-m", "pip", "list", "--format", "json"], text=True, timeout=300)
        return {name(package["name"]): package["version"] for package in json.loads(listed)}

    if failed("pip", "install", "--quiet", *shlex.split(os.environ.get("TORCH", PINNED_TORCH))):
        return versions(), "torch could not be installed"
    file = folder / "constraints.txt"
    file.write_text(constraints(which, versions()["torch"]))
    if failed("pip", "install", "--quiet", "-c", str(file), "-e", f".[{','.join(EXTRAS)}]"):
        return versions(), "could not be installed"
    wrong = [arguments[0] for arguments in FAST if failed(*arguments)]
    return versions(), "failed: " + ", ".join(wrong) if wrong else "passed"


def main(chosen):
    results = {}
    for which in chosen or ["lowest", "newest"]:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"minidiff-{which}-") as folder:
            versions, outcome = tried(which, Path(folder))
        results[which] = versions | {"": f"{outcome}, {time.perf_counter() - start:.0f} s"}
    rows = [["allowed", *results], ["---"] * (len(results) + 1)]
    rows += [[line, *(found.get(name(line), "") for found in results.values())] for line in DIRECT]
    rows += [[f"Python {sys.version.split()[0]}", *(found[""] for found in results.values())]]
    print("\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return not all(found[""].startswith("passed") for found in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
