"""The setup cell where minidiff is missing: in Colab it installs a wheel, elsewhere it says what to do.

The cell runs in a real kernel of a new virtual environment, which has everything but minidiff. Colab is a module
named google.colab. pip is kept off the network.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import nbformat
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="makes symbolic links, for which Windows wants rights"),
]
ROOT = Path(__file__).resolve().parent.parent
FORMS = {  # the cell without its minutes: one for all
    re.sub(r"lesson\(.*\)$", "", cell, flags=re.MULTILINE): (path.stem, cell)
    for path in sorted(ROOT.glob("notebooks/??_*.ipynb"), reverse=True)
    for cell in [nbformat.read(path, as_version=4).cells[1].source]
}
COLAB = "import google.colab"  # loaded before the first cell there
WHERE = "import minidiff.pipeline; print(minidiff.pipeline.__file__)"
DRAW = """
pipe = minidiff.pipeline.StableDiffusion.from_pretrained("openmoji")
print(pipe("apple on blue", steps=1, progress=False)[0].size)
"""
CHECK = """
import torch
from minidiff.check import check
print(check("1.2", lambda alpha_bar: 10 * torch.log10(alpha_bar / (1 - alpha_bar))))
"""
RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=300).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = folder.glob("minidiff-*.whl")
    return wheel


@pytest.fixture(params=[cell for _, cell in FORMS.values()], ids=[name for name, _ in FORMS.values()])
def setup(request):
    return request.param


@pytest.fixture
def room(tmp_path):
    """A folder with a virtual environment that lacks only minidiff, and beside it a stub of google.colab."""
    venv.create(tmp_path / ".venv")
    place = {"base": str(tmp_path / ".venv"), "platbase": str(tmp_path / ".venv")}
    for scheme in ("purelib", "platlib"):
        packages = Path(sysconfig.get_path(scheme, vars=place))
        for entry in Path(sysconfig.get_path(scheme)).iterdir():
            if "minidiff" not in entry.name and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    (tmp_path / "stub" / "google").mkdir(parents=True)
    (tmp_path / "stub" / "google" / "colab.py").touch()
    return tmp_path


def run(room, *cells, **variables):
    """What each cell printed, or the message of its error."""
    path = room / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MINIDIFF_", "PYTHON"))}
    inner = {"PYTHONPATH": str(room / "stub"), "PIP_NO_INDEX": "1", "MINIDIFF_HOME": str(room / "home"), **variables}
    command = [room / ".venv" / "bin" / "python", "-c", RUN, path]
    subprocess.run(command, cwd=room, env=outer | inner, check=True, timeout=600)
    for cell in nbformat.read(path, as_version=4).cells:
        said = (output.get("text") or output.get("evalue", "") for output in cell.outputs)  # a check shows itself, too
        yield "".join(said)


def test_the_wheel_holds_the_package_its_weights_and_its_licences(wheel):
    names = set(ZipFile(wheel).namelist())
    package = [path.relative_to(ROOT).as_posix() for path in (ROOT / "minidiff").rglob("*.*") if path.suffix != ".pyc"]
    assert set(package) <= names
    assert {f"minidiff/solutions/{path.name}" for path in ROOT.glob("solutions/*.ipynb")} <= names
    assert {"LICENSE", "DATA_CARD.md"} <= {name.split("/")[-1] for name in names}


def test_in_colab_the_cell_installs_what_the_variable_names(room, wheel, setup):
    _, said, where, size, right, wrong = run(
        room, COLAB, setup, WHERE, DRAW, CHECK, CHECK.replace("log10", "log"), MINIDIFF_SOURCE=str(wheel)
    )
    assert " · scale: colab · " in said.splitlines()[-1]
    assert Path(where.strip()).is_relative_to(room / ".venv")
    assert size == "(128, 128)\n"
    assert right == "1.2 passed\n" and "the logarithm to base 10" in wrong  # the solutions are in the wheel, too


def test_in_colab_with_an_uploaded_wheel_the_cell_installs_nothing_more(room, wheel, setup):
    shutil.copy(wheel, room)
    (upload,) = re.findall(r"%pip install .*", (ROOT / "README.md").read_text(encoding="utf-8"))
    pip, _, said, where = run(room, upload, COLAB, setup, WHERE, MINIDIFF_SOURCE="nowhere")
    assert "ERROR" not in pip
    assert said.startswith("device: ") and said.count("\n") == 1
    assert Path(where.strip()).is_relative_to(room / ".venv")


def test_elsewhere_the_cell_installs_nothing_and_says_what_to_do(room, wheel, setup):
    said, where = run(room, setup, WHERE, MINIDIFF_SOURCE=str(wheel))
    assert said.startswith("'minidiff' is not installed for this kernel: run `make lab` in the course folder")
    assert where == "No module named 'minidiff'"
