"""The files that set the project up agree with each other."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml
from tool import tool

from minidiff.data import parse

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(requirement for extra in EXTRAS.values() for requirement in extra)]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z]+):.*?## ", MAKEFILE, re.MULTILINE)


def name(requirement):
    """The project a requirement is for, spelt as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def extras_of(text):
    (found,) = re.findall(r"-e \"?\.\[([\w,]+)\]", text)
    return set(found.split(","))


def test_environment_is_python_and_pip_and_then_this_package():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    *conda, pip = environment["dependencies"]
    assert [re.split("[=<>]", package)[0] for package in conda] == ["python", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[lab,test]"]}


@pytest.mark.parametrize("path", ["environment.yml", "Makefile"])
def test_extras_exist(path):
    assert extras_of((ROOT / path).read_text()) <= set(EXTRAS)


@pytest.mark.parametrize("requirement", DIRECT)
def test_every_direct_dependency_is_pinned(requirement):
    assert [name(pin) for pin in PINS].count(name(requirement)) == 1


@pytest.mark.parametrize("requirement", DIRECT)
def test_every_direct_dependency_has_a_lower_bound(requirement):
    """Which tools/bounds.py installs."""
    assert re.fullmatch(r"[\w-]+>=\d[\d.]*\d(,<\d+)?", requirement)


def test_constraints_are_exact_pins_and_nothing_else():
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    torch = next(pin for pin in PINS if name(pin) == "torch")
    assert f"TORCH ?= {torch}\n" in MAKEFILE


def test_torch_is_installed_first_and_alone():
    assert MAKEFILE.index("pip install $(TORCH)\n") < MAKEFILE.index("pip install -c constraints.txt")


def test_demo_prompts_are_of_the_grammar_and_not_held_out():
    prompts = re.findall(r'^\t"(.+)"', MAKEFILE, re.MULTILINE)
    assert len(prompts) == 8
    assert [prompt for prompt in prompts if str(parse(prompt)) != prompt or parse(prompt).held_out] == []


def test_ci_calls_make_test_and_nothing_else():
    path = ROOT / ".ci" / "run"
    lines = path.read_text().splitlines()
    assert lines == ["#!/usr/bin/env bash", "set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert os.name == "nt" or os.access(path, os.X_OK)


def test_every_make_target_is_explained_and_no_other():
    """In the README what a newcomer needs, in CONTRIBUTING the rest."""
    readme, contributing = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    assert set(re.findall(r"`make ([a-z]+)", readme + contributing)) | {"help"} == set(TARGETS)
    assert {"venv", "lab", "demo", "clean", "help"} <= set(re.findall(r"`make ([a-z]+)", readme))


def test_readme_maps_every_module_that_exists():
    modules = {path.name for path in (ROOT / "minidiff").glob("*.py")} - {"__init__.py"}
    listed = set(re.findall(r"\b\w+\.py\b", (ROOT / "README.md").read_text().split("## The code")[1].split("## ")[0]))
    assert modules <= listed


def lines_of_code(source):
    """How many lines hold code: no comment, no docstring, not blank."""
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    documented = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds) and ast.get_docstring(node)]
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in documented:
        lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_lines_of_code_are_counted():
    assert (
        lines_of_code('"""Two\nlines."""\n\n# a comment\nx = """\ntext"""\n\n\ndef f():\n    "It."\n    return x\n')
        == 4
    )


def test_the_package_stays_small():
    paths = {path.relative_to(ROOT / "minidiff"): path for path in (ROOT / "minidiff").rglob("*.py")}
    lines = {path.as_posix(): lines_of_code(text.read_text(encoding="utf-8")) for path, text in paths.items()}
    own = {path: n for path, n in lines.items() if not path.startswith("check")}
    assert sum(own.values()) <= 7500 and max(own.values()) <= 400
    assert max(lines[name] for name in ("adapt.py", "t5.py", "dit.py")) <= 300
    scripts = (ROOT / "minidiff").rglob("*.js")
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in scripts) <= 1500


def test_the_reference_has_every_module_but_the_commands_and_the_checks():
    named = set(re.findall(r"automodule:: minidiff\.([\w.]+)", (ROOT / "docs" / "reference.md").read_text()))
    paths = [path.relative_to(ROOT / "minidiff").with_suffix("") for path in (ROOT / "minidiff").rglob("*.py")]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths if path.parts[0] != "checks"}
    assert named == {m for m in modules if "__" not in m} - {"cli"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_named_in_it_exist(name):
    links = re.findall(r"\]\(([^)#:]+)[)#]", (ROOT / name).read_text(encoding="utf-8"))
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_the_workflow_runs_what_ci_runs_here_and_installs_as_the_readme_says():
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert [command.split(" $")[0] for command in commands["linux"] + commands["bounds"]] == [
        "make test",
        "make bounds",
    ]
    windows = re.findall(r"^\.venv\\Scripts\\(python -m pip .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands["others"][:-1] == windows and commands["others"][-1].startswith("python -m pytest")


def test_the_repository_url_is_written_once():
    url = PROJECT["urls"]["Repository"]
    files = [ROOT / "README.md", ROOT / "DATA_CARD.md", ROOT / "Makefile", ROOT / "environment.yml"]
    assert [path.name for path in files if url in path.read_text()] == []


def test_no_notebook_is_stale_and_the_exercises_are_what_the_solutions_give():
    command = [sys.executable, ROOT / "tools" / "notebooks.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"run make notebooks: {result.stdout}"


def test_every_picture_in_a_notebook_has_an_alternative_text():
    """In the metadata of its cell, as `alt`; `make notebooks` copies it to where nbconvert looks for it."""
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")]:
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    said = output["metadata"].get("image/png", {}).get("alt", "")
                    assert 40 < len(said) < 400 and said == cell["metadata"]["alt"], f"{path.name}, {cell['id']}"


def test_every_notebook_was_run_within_the_budget():
    """What `make notebooks` recorded at laptop scale and pace: 5 minutes (08, which trains for five: 9) and 2 GB."""
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")]:
        cost = json.loads(path.read_text())["metadata"]["minidiff"]
        assert 0 < tool("notebooks").seconds_on_laptop(cost) <= (540 if path.name.startswith("08") else 300), path.name
        assert 0 < cost["peak_mib"] <= 2e9 / 2**20, path.name


def test_no_wait_of_the_tests_and_tools_is_without_a_limit():
    """For a process, a thread or a server: a suite that hangs tells nothing."""
    endless, waits = [], {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")}
    for path in [*(ROOT / "tests").glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = ast.unparse(node.func)
                called = name in {*waits, "urllib.request.urlopen"} or name.endswith(".communicate")
                called |= name.endswith((".wait", ".join")) and not node.args
                if called and "timeout" not in [keyword.arg for keyword in node.keywords]:
                    endless.append(f"{path.name}:{node.lineno}: {name}")
    assert endless == []
