"""Run notebooks in place, leave nothing in them that changes from one run to the next, and make the exercises.

python tools/notebooks.py            runs the notebooks of notebooks/ and solutions/ whose code, or a weight file that
                                     they read, changed since they were last run, records what that cost in
                                     notebooks/README.md and INSTRUCTORS.md, and writes exercises/ from solutions/, but
                                     leaves those that somebody has begun to solve. Before it begins it says how long
                                     each will take
python tools/notebooks.py 00 03      runs those whose name starts so, changed or not, and writes exercises/
python tools/notebooks.py --no-run   runs none, and does the rest
python tools/notebooks.py --check    changes nothing; names what would change; exit code 1 if any

All but the last also write into every notebook what follows from its text, its tags and the repository's address,
which pyproject.toml has: see settled.

They run one after the other, although some would fit beside each other: what a lesson costs is recorded of a run that
has the cores to itself, and two trainings on two cores took each other more time than they saved (docs/tried.md).
"""

import ast
import base64
import hashlib
import io
import json
import os
import re
import sys
import time
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import torch
from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "minidiff" / "weights"
os.environ["MINIDIFF_HOME"] = ""  # the solutions that pass here are nobody's own answers
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
TITLE = re.compile(r"\A(# .*\n)(?:\n\[Open in Colab\]\(.*\)\n)?")
CODE_OR_FORMULA = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|(?<!\\)\$(?:[^$\n]|\n(?!\n))+\$", re.DOTALL)
FOLDED = re.compile(r"\A# @title .*\n")
SOURCE = re.compile(r'(?<="MINIDIFF_SOURCE", ")[^"]*')
COSTS = re.compile(r"(<!-- costs -->\n).*(<!-- end -->)", re.DOTALL)
LAPTOP_MS = 150  # for 16 pictures once through the U-Net, on one core of what the budgets are meant for
WATCH = """
def watch(files):
    files.opened, safe_open = set(), files.safe_open
    files.safe_open = lambda path, *rest: files.opened.add(str(path)) or safe_open(path, *rest)

import minidiff.convert.files
watch(minidiff.convert.files)
del watch, minidiff
"""
TELL = """
import json, sys
from minidiff.convert.files import opened
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
except ModuleNotFoundError:  # Windows
    peak = 0
print(json.dumps([peak, sorted(opened)]))
"""
WIDGET = "application/vnd.jupyter.widget-view+json"
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"\n### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", re.DOTALL)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"  # what nbgrader's generate_assignment writes too


def read(path):
    return nbformat.read(path, as_version=4)


def code_hash(notebook):
    """What the outputs were made from: a hash of all code cells, in order, without the titles of folded ones."""
    code = "\0".join(FOLDED.sub("", cell.source) for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def is_stale(notebook):
    """Whether its code, or a weight file that it read, is another than when it was last run."""
    about = notebook.metadata.get("minidiff", {})
    same = all(weights_hash(name) == was for name, was in about.get("weights", {}).items())
    return about.get("executed") != code_hash(notebook) or not same


@cache
def weights_hash(name):
    """Of a weight file, by its path below minidiff/weights; None if there is none."""
    path = WEIGHTS / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None


def settled(notebook, path):
    """The notebook that belongs at path, with what follows from its text, its tags and the repository's address:
    formulas that everybody can read, folded cells, the link below the title that opens it in Colab, where only GitHub
    is known, and what its setup cell installs there.

    The link is a word: the usual badge is a picture on a server, and would be missing wherever there is no network.
    The address has no part in any output here, so a notebook that was not stale before is not stale after.
    """
    address = urlsplit(REPOSITORY)
    place = f"{address.path}/blob/main/{path.relative_to(ROOT).as_posix()}"
    link = f"\n[Open in Colab](https://colab.research.google.com/github{place})\n" * (address.hostname == "github.com")
    notebook, stale = nbformat.from_dict(notebook), is_stale(notebook)
    for cell in notebook.cells:
        cell.source = SOURCE.sub(f"git+{REPOSITORY}", cell.source)
        if cell.cell_type == "markdown":
            cell.source = CODE_OR_FORMULA.sub(whole, cell.source)
        fold(cell)
    notebook.cells[0].source = TITLE.sub(lambda title: f"{title[1]}{link}", notebook.cells[0].source)
    if not stale:
        notebook.metadata.minidiff.executed = code_hash(notebook)
    return notebook


def whole(found):
    """A formula of which no line begins as an item of a list: but for JupyterLab all take it for one."""
    formula = not found[0].startswith(("`", "$$"))
    return re.sub(r"\n([-+*]) ", r" \1\n", found[0]) if formula else found[0]


def fold(cell):
    """A code cell with the tag hide-input, by which the site and the slides know it, is folded everywhere else, too.

    Its first line says what is in it, "# @title Plot both curves": JupyterLab shows it in the code's place, Colab above
    its form. No other cell is folded.
    """
    hidden = "hide-input" in cell.metadata.get("tags", [])
    for key, value in {"jupyter": {"source_hidden": True}, "cellView": "form"}.items():
        if hidden:
            cell.metadata[key] = value
        else:
            cell.metadata.pop(key, None)


def is_bare_widget(output):
    """A widget with no picture to stand in for it, such as a progress bar."""
    data = output.get("data", {})
    return WIDGET in data and not any(kind.startswith("image/") for kind in data)


def smaller(png):
    """A picture in base64 in fewer bytes. Its colours are true: none moves by more than 6 of 255, which nobody sees.

    A plot has few colours: 256 of them hold it. A picture has more, and the best 256 would move some by 20 to 60. Its
    colours are rounded to multiples of 4 instead, 2 away at most: they repeat more, which takes a third of the bytes.
    """
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    small = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    if max(most for _, most in ImageChops.difference(picture, small.convert("RGB")).getextrema()) > 6:
        small = picture.point([min((value + 2) // 4 * 4, 255) for value in range(256)] * 3)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    new = base64.b64encode(file.getvalue()).decode()
    return new if len(new) < len(png) else png


def normalise(notebook):
    """Number the cell ids; drop times, widget state, and widgets without a picture; make pictures smaller.

    What a cell's metadata has as `alt` becomes the alternative text of its pictures, where nbconvert looks for it.
    """
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in cell.outputs if not is_bare_widget(output)]
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
                if "image/png" in output.get("data", {}):
                    output.data.pop("image/jpeg", None)  # Pillow gives both
                    output.data["image/png"] = smaller(output.data["image/png"])
                    if "alt" in cell.metadata:
                        output.metadata["image/png"] = {"alt": cell.metadata.alt}
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}


def exercise(solution, path):
    """The reader's notebook: a stub for each solution, no hidden tests, no output that a solution had a part in."""
    notebook = settled(solution, path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    answers = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("solution")]
    names = {node.name for cell in answers for node in ast.parse(cell.source).body if hasattr(node, "name")}
    # called, so that the cell that imports check and schedule.linear_betas keep their outputs
    depends = re.compile(rf"(?<![\w.])({'|'.join(names | {'check', 'passed', 'summary'})})\(")
    for cell in code:
        if cell in answers or depends.search(cell.source):
            cell.outputs, cell.execution_count = [], None
        cell.source = HIDDEN.sub("", SOLUTION.sub(STUB, cell.source))
    notebook.metadata.minidiff = {"made": code_hash(notebook)}
    return notebook


def holds_answers(path):
    """Whether somebody changed the code of an exercise notebook, as its readers do."""
    notebook = read(path)
    return notebook.metadata.get("minidiff", {}).get("made", code_hash(notebook)) != code_hash(notebook)


def write(notebook, path):
    partial = path.with_suffix(".partial")
    nbformat.write(notebook, partial)
    os.replace(partial, path)


def ask(client, source):
    """What code prints that the kernel runs beside the notebook's cells; it is not counted among them."""
    cell = nbformat.v4.new_code_cell(source)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1, store_history=False)
    client.nb.cells.pop()
    return "".join(output.text for output in cell.outputs)


def pace():
    """Milliseconds for 16 pictures once through the U-Net, on one core, as things are now: the best of five."""
    from minidiff.unet import UNet

    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    with torch.no_grad():
        unet, inputs = UNet().eval(), (torch.zeros(16, 4, 16, 16), 500, torch.zeros(16, 24, 128))
        for _ in range(5):
            start = time.perf_counter()
            unet(*inputs)
            times.append(1000 * (time.perf_counter() - start))
    torch.set_num_threads(threads)
    return min(times)


def run(path):
    """Run it, and record what it cost: beside the seconds the machine's pace, again after each minute of cells."""
    from nbclient import NotebookClient

    notebook, spent = read(path), [0.0]  # a number for each measurement of the pace: seconds of cells since the last
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    with client.setup_kernel():
        ask(client, WATCH)
        paces = [pace()]
        for i, cell in enumerate(notebook.cells):
            start = time.perf_counter()
            client.execute_cell(cell, i)
            spent[-1] += time.perf_counter() - start
            if spent[-1] > 60:
                paces.append(pace())
                spent.append(0.0)
        paces.append(pace())
        peak, read_files = json.loads(ask(client, TELL))
    normalise(notebook)
    names = [Path(each).relative_to(WEIGHTS).as_posix() for each in read_files if WEIGHTS in Path(each).parents]
    # each stretch of cells went at the mean of the paces before and after it
    laptop = sum(s * 2 * LAPTOP_MS / sum(pair) for s, pair in zip(spent, pairwise(paces), strict=True))
    seconds = sum(spent)
    cost = {"seconds": round(seconds), "peak_mib": peak, "cores": torch.get_num_threads()}
    cost["call_ms"] = round(LAPTOP_MS * seconds / laptop)
    made_from = {"executed": code_hash(notebook), "weights": {name: weights_hash(name) for name in sorted(names)}}
    notebook.metadata.minidiff = made_from | cost
    write(notebook, path)
    print(f"{seconds:.0f} s, {cost['peak_mib']:,} MiB")


def expected(notebook, call_ms):
    """Seconds that it will take where the U-Net takes call_ms: by its last run, or by what its first cell says."""
    about = notebook.metadata.get("minidiff", {})
    said = re.search(r"\blesson\(laptop=([\d.]+)", "\n".join(cell.source for cell in notebook.cells))
    laptop = seconds_on_laptop(about) if "seconds" in about else 60 * float(said[1]) if said else 0
    return laptop * call_ms / LAPTOP_MS


def announce(paths):
    """Say how long each will take at the pace that this machine has now, at the scale of laptops; and all of them."""
    call_ms = pace()
    seconds = {path.relative_to(ROOT).as_posix(): expected(read(path), call_ms) for path in paths}
    print(f"to run, at {call_ms:.0f} ms for the U-Net: about {sum(seconds.values()) / 60:.0f} minutes in all")
    for name, each in seconds.items():
        print(f"{each / 60:7.1f} min  {name}", flush=True)


def seconds_on_laptop(about):
    """How long the run would have taken at LAPTOP_MS; as it was, if its machine's pace was not kept."""
    return about["seconds"] * LAPTOP_MS / about.get("call_ms", LAPTOP_MS)


def costs(paths):
    """A row for each notebook: the seconds and the peak memory of its last run."""
    lines = ["| notebook | seconds | peak memory, MiB | cores | U-Net, ms |", "|---|---|---|---|---|"]
    names = ("seconds", "peak_mib", "cores", "call_ms")
    for path in paths:
        about = read(path).metadata.get("minidiff", {})
        numbers = " | ".join(f"{about[name]:,}" if name in about else "" for name in names)
        lines.append(f"| {path.relative_to(ROOT).as_posix()} | {numbers} |")
    return lines


def lengths(paths):
    """A row for each lesson: how long it is, how long it runs at a laptop's pace, and how long that takes a reader."""
    lines = ["| lesson | words | lines of code | cells run, minutes | alone, minutes | peak memory, GB |"]
    lines.append("|---|---|---|---|---|---|")
    for path in paths:
        notebook = read(path)
        if path.parent.name != "notebooks" or "minidiff" not in notebook.metadata:
            continue
        title, about = (
            notebook.cells[0].source.splitlines()[0].lstrip("# ").replace(" · ", " "),
            notebook.metadata.minidiff,
        )
        words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
        code = sum(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code")
        minutes = seconds_on_laptop(about) / 60
        alone = 5 * round((words / 200 + code / 30 + minutes) / 5)
        sizes = f"{round(words, -2):,} | {round(code, -1)} | {minutes:.1f} | {alone} | {about['peak_mib'] / 954:.1f}"
        lines.append(f"| {title} | {sizes} |")
    return lines


def tables(paths):
    """Pairs of a page's path and its text with the table that follows from the notebooks."""
    for name, table in {"notebooks/README.md": costs, "INSTRUCTORS.md": lengths}.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        yield ROOT / name, COSTS.sub(lambda place: place[1] + "\n".join([*table(paths), ""]) + place[2], text)  # noqa: B023


def unsettled(paths):
    """Pairs of a notebook's path and the notebook as settled gives it, where that is another one."""
    for path in paths:
        notebook = read(path)
        want = settled(notebook, path)
        if notebook != want:
            yield path, want


def drifted():
    """Pairs of an exercise's path and what should be there, where that is not what is there; no solution: None."""
    here = ROOT / "exercises"
    wanted = {path.name: exercise(read(path), here / path.name) for path in (ROOT / "solutions").glob("*.ipynb")}
    for name in sorted(wanted.keys() | {path.name for path in here.glob("*.ipynb")}):
        path, want = here / name, wanted.get(name)
        if want is None or not path.exists() or read(path) != want:
            yield path, want


def main(arguments):
    paths = [path for folder in ("notebooks", "solutions") for path in sorted((ROOT / folder).glob("*.ipynb"))]
    if arguments == ["--check"]:
        changed = [path for path in paths if is_stale(read(path))]
        wrong = [f"{path.relative_to(ROOT)}: code or weights changed since it was run" for path in changed]
        wrong += [
            f"{path.relative_to(ROOT)}: not what its text, its tags and the address in pyproject.toml give"
            for path, _ in unsettled(paths)
        ]
        wrong += [f"{path.relative_to(ROOT)}: is not what solutions/ gives" for path, _ in drifted()]
        for path, text in tables(paths):
            if text != path.read_text(encoding="utf-8"):
                wrong.append(f"{path.relative_to(ROOT)}: is not what the notebooks record")
        print("\n".join(wrong) or "nothing is stale")
        return bool(wrong)
    for path, notebook in unsettled(paths):
        write(notebook, path)
        print(path.relative_to(ROOT), "settled")
    asked = [path for path in paths if (path.name.startswith(tuple(arguments)) if arguments else is_stale(read(path)))]
    if asked := asked if arguments != ["--no-run"] else []:
        announce(asked)
    for path in asked:
        print(path.relative_to(ROOT), end=" ", flush=True)
        run(path)
    for path, text in tables(paths):
        path.write_text(text, encoding="utf-8")
    left = 0
    for path, notebook in drifted():
        if path.exists() and holds_answers(path):
            print(
                path.relative_to(ROOT),
                "left as it is, because its code was changed: move it elsewhere to get a new one",
            )
            left += 1
        else:
            path.unlink() if notebook is None else write(notebook, path)
            print(path.relative_to(ROOT), "removed" if notebook is None else "written")
    return bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
