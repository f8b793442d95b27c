"""Run notebooks in place and leave nothing in them that changes from one run to the next.

python tools/notebooks.py            runs every notebook in notebooks/
python tools/notebooks.py 00 03      runs those whose name starts so
python tools/notebooks.py --stale    lists those whose code changed since they were last run; exit code 1 if any
"""

import hashlib
import os
import sys
import time
from pathlib import Path

import nbformat

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


def code_hash(notebook):
    """What the outputs were made from: a hash of all code cells, in order."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def is_stale(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook.metadata.get("minidiff", {}).get("executed") != code_hash(notebook)


def is_bare_widget(output):
    """A widget with no picture to stand in for it, such as a progress bar."""
    data = output.get("data", {})
    return WIDGET in data and not any(kind.startswith("image/") for kind in data)


def normalise(notebook):
    """Number the cell ids; drop times, widget state, and widgets without a picture to stand in for them."""
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in cell.outputs if not is_bare_widget(output)]
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
                if "image/png" in output.get("data", {}):
                    output.data.pop("image/jpeg", None)  # Pillow gives both
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    normalise(notebook)
    notebook.metadata.minidiff = {"executed": code_hash(notebook)}
    partial = path.with_suffix(".partial")
    nbformat.write(notebook, partial)
    os.replace(partial, path)


def main(arguments):
    paths = sorted(FOLDER.glob("*.ipynb"))
    if arguments == ["--stale"]:
        stale = [path.name for path in paths if is_stale(path)]
        print("\n".join(stale) or "none is stale")
        return bool(stale)
    for path in paths:
        if not arguments or path.name.startswith(tuple(arguments)):
            print(path.name, end=" ", flush=True)
            start = time.perf_counter()
            run(path)
            print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
