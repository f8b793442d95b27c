"""How lessons begin and what they fold away, in every notebook; and `strip`, which draws their rows of pictures."""

import base64
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from tool import tool

from minidiff import data
from minidiff.answers import PLACES
from minidiff.checks import exercises
from minidiff.lesson import PARTS, SCALES, lesson, overview
from minidiff.show import strip

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/??_*.ipynb")) + sorted(ROOT.glob("solutions/??_*.ipynb"))
RED, WHITE = (200, 0, 0), (255, 255, 255)


def square(colour=RED, width=32, height=32):
    return Image.new("RGB", (width, height), colour)


@pytest.fixture
def minutes(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back when the test is over
    return {"laptop": 4.5, "colab": 8, "gpu": 2}


def test_a_lesson_says_in_one_line_where_it_is_and_how_long_it_takes(minutes, monkeypatch, capsys):
    monkeypatch.setattr("minidiff.lesson.find_device", lambda: torch.device("cpu"))
    monkeypatch.delenv("MINIDIFF_SCALE", raising=False)
    assert lesson(**minutes, read=35) == (torch.device("cpu"), "laptop")
    said = "device: cpu · scale: laptop · about 4.5 min to run here, and 35 min to read\n"
    assert capsys.readouterr().out == said
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert lesson(**minutes)[1] == "colab"
    assert capsys.readouterr().out == "device: cpu · scale: colab · about 8 min to run here\n"
    monkeypatch.setattr("minidiff.lesson.find_device", lambda: torch.device("cuda"))
    assert lesson(**minutes)[1] == "gpu" and "about 2 min" in capsys.readouterr().out


@pytest.mark.parametrize("scale", SCALES)
def test_the_variable_chooses_the_scale_and_every_lesson_begins_alike(scale, minutes, monkeypatch, capsys):
    monkeypatch.setenv("MINIDIFF_SCALE", scale)
    assert lesson(**minutes)[1] == scale
    first = torch.rand(3)
    assert f"scale: {scale} · about {(minutes | {'test': 0.5})[scale]} min to run" in capsys.readouterr().out
    lesson(**minutes)
    assert torch.equal(torch.rand(3), first)
    assert (
        warnings.formatwarning(UserWarning("an unknown word"), UserWarning, "file.py", 3) == "Note: an unknown word\n"
    )


def test_a_scale_that_is_none_is_named(minutes, monkeypatch):
    monkeypatch.setenv("MINIDIFF_SCALE", "huge")
    with pytest.raises(ValueError, match="got MINIDIFF_SCALE=huge, expected one of laptop, colab, gpu, test"):
        lesson(**minutes)


@pytest.mark.parametrize("number", range(1, 12))
def test_the_overview_lights_what_a_lesson_builds(number, monkeypatch):
    """In the parts that `minidiff.yours()` has, and on a ground of its own: readable on a dark page."""
    shown = {}
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.update(data))
    overview(number)
    lit = shown["text/plain"].split("this lesson builds: ")[1].split(", ")
    assert list(PARTS) == list(PLACES) and set(lit) <= set(PLACES)
    assert shown["text/html"].count("background:#00734F") == len(lit) >= 1
    assert "background:white;color:black" in shown["text/html"].split(">")[0]


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_all_setup_cells_are_the_same_but_for_their_minutes():
    assert len({re.sub(r"lesson\(.*\)$", "", code_of(path)[0].source) for path in NOTEBOOKS}) == 1


def test_the_sections_that_instructors_are_sent_to_are_there():
    """INSTRUCTORS.md names them after the lesson's number: 01, "A picture drowns" to "A thousand steps"."""
    text, found = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8"), 0
    for number, names in re.findall(r'\b(\d\d), ("[A-Z].*?)(?:\||$)', text, re.MULTILINE):
        cells = nbformat.read(next((ROOT / "notebooks").glob(f"{number}_*.ipynb")), as_version=4).cells
        headings = re.findall(r"^#+ (.*)", "\n".join(cell.source for cell in cells), re.MULTILINE)
        for name in re.findall(r'"([A-Z].*?)"', names):
            assert any(heading.startswith(name) for heading in headings), f"{number}: {name}, of {headings}"
            found += 1
    assert found > 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_lesson_states_the_minutes_that_it_takes(path):
    """To run: what was recorded, at a laptop's pace, or more. To read: 200 words and 30 lines of code a minute."""
    notebook = nbformat.read(path, as_version=4)
    setup = code_of(path)[0].source
    said = re.search(r"lesson\(laptop=([\d.]+), colab=[\d.]+, gpu=[\d.]+(?:, read=(\d+))?\)", setup)
    assert tool("notebooks").seconds_on_laptop(notebook.metadata.minidiff) <= 60 * float(said[1])
    if path.parent.name == "notebooks":
        words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
        lines = sum(len(cell.source.splitlines()) for cell in code_of(path)[1:])
        assert abs(int(said[2]) - (words / 200 + lines / 30)) <= 4, f"{words / 200 + lines / 30:.0f} min to read"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_folded_cell_says_what_is_in_it(path):
    for cell in code_of(path):
        folded = "hide-input" in cell.metadata.get("tags", [])
        title = re.match(r"# @title [A-Z].{9,}[^.]\n", cell.source)
        assert folded == bool(title), cell.source[:80]
        assert (
            folded
            == (cell.metadata.get("jupyter") == {"source_hidden": True})
            == (cell.metadata.get("cellView") == "form")
        )
        assert not (folded and cell.metadata.get("nbgrader")), "an exercise is folded"


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.parent.name == "notebooks"], ids=lambda p: p.stem)
def test_what_answers_an_exercise_is_folded_until_the_reader_has_written_it(path):
    number, numbers = int(path.stem[:2]), []
    for cell in code_of(path):
        title = re.match(r"# @title Write it yourself first: exercise (\d+\.\d+)\n", cell.source)
        assert bool(title) == ("write-first" in cell.metadata.get("tags", []))
        numbers += [title[1]] if title else []
    assert set(numbers) <= set(exercises(number) if number else ())
    assert 2 <= len(numbers) <= 4 or number == 0


def test_a_run_is_recorded_with_the_pace_at_which_it_went(tmp_path, monkeypatch):
    """That between what was measured before it and after."""
    notebooks, path = tool("notebooks"), tmp_path / "01.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("import time\ntime.sleep(1)\nprint(7)")]), path)
    paces = iter((100.0, 200.0))
    monkeypatch.setattr(notebooks, "pace", lambda: next(paces))
    notebooks.run(path)
    ran = nbformat.read(path, as_version=4)
    assert ran.cells[0].outputs[0].text == "7\n" and not notebooks.is_stale(ran)
    about = ran.metadata.minidiff
    assert about.call_ms == 150 and about.seconds in (1, 2, 3) and about.peak_mib > 20 and about.weights == {}


FOLDED = {"tags": ["hide-input"]}


def test_one_tag_folds_a_cell_and_without_it_none_is(tmp_path, monkeypatch):
    notebooks = tool("notebooks")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    cells = [new_markdown_cell("# 01"), new_code_cell("# @title Plot\n1", metadata=FOLDED)]
    cells.append(new_code_cell("2", metadata={"jupyter": {"source_hidden": True}, "cellView": "form"}))
    settled = notebooks.settled(new_notebook(cells=cells), tmp_path / "01.ipynb")
    assert settled.cells[1].metadata == FOLDED | {"jupyter": {"source_hidden": True}, "cellView": "form"}
    assert settled.cells[2].metadata == {}
    assert notebooks.settled(settled, tmp_path / "01.ipynb") == settled


def test_slides_show_what_a_folded_cell_draws_and_keep_its_code_for_the_notes():
    shown = new_output("stream", text="48\n")
    cells = [new_markdown_cell("# T"), new_code_cell("setup"), new_code_cell("# @title A plot\n48", metadata=FOLDED)]
    cells[-1].outputs = [shown]
    cells.append(new_code_cell("# @title A function\ndef f(): pass", metadata=FOLDED))
    slides = tool("slides").slides(new_notebook(cells=cells)).cells
    assert [cell.metadata.get("tags") for cell in slides if cell.cell_type == "code"] == [["hide-input"]]
    assert "# @title A plot\n48" in slides[-1].source and slides[-1].metadata.slideshow.slide_type == "notes"


def test_slides_show_the_answer_that_a_lesson_folds():
    answer = new_code_cell("# @title Write it yourself first: exercise 1.2\ndef f(): pass")
    answer.metadata.tags = ["hide-input", "write-first"]
    slides = tool("slides").slides(new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("setup"), answer])).cells
    assert [cell.source for cell in slides if cell.cell_type == "code"] == ["def f(): pass"]


@pytest.mark.slow
def test_the_site_folds_them_under_their_titles(tmp_path):
    pytest.importorskip("furo", reason="the extra `site` is not installed")
    (tmp_path / "README.md").write_text("# Start\n")
    (tmp_path / "notebooks").mkdir()
    plot = new_code_cell("# @title Plot: both curves\nz = 3", metadata=FOLDED)
    cells = [new_markdown_cell("# 01"), new_code_cell("y = 2"), plot]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "a.ipynb")
    command = [sys.executable, "-m", "sphinx", "-q", "-c", ROOT / "docs", tmp_path, tmp_path / "site"]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert "invalid" not in result.stderr
    page = (tmp_path / "site" / "notebooks" / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'<p class="collapsed admonition-title">(.*?)</p>', page) == ["Plot: both curves"]


def packed(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    small = tool("notebooks").smaller(base64.b64encode(file.getvalue()).decode())
    return small, np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB")).astype(int)


def test_saved_pictures_keep_their_colours():
    """Of scenes, as lessons show them; of a plot; of noise; of every gray."""
    scenes = strip([[data.scene(seed).image for seed in range(6)]], ["a scene"] * 6)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    plot = Image.new("RGB", (300, 200), "white")
    plot.paste((0, 114, 178), (20, 30, 200, 60))
    grays = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 2, 3)))
    for picture, most in ((scenes, 2), (noise, 2), (plot, 0), (grays, 0)):
        small, pixels = packed(picture)
        assert abs(pixels - np.asarray(picture, dtype=int)).max() <= most
        assert tool("notebooks").smaller(small) == small, "again changes nothing"


def test_strip_puts_rows_of_pictures_at_one_height_with_true_colours():
    wide = square((0, 0, 200), 64, 32)
    sheet = np.asarray(strip([[square(), wide], [square((1, 2, 3)), square(WHITE)]], size=32))
    assert sheet.shape == (6 + 2 * 38, 6 + 38 + 70, 3)
    assert (sheet[6:38, 6:38] == RED).all() and (sheet[6:38, 44:108] == (0, 0, 200)).all()
    assert (sheet[44:76, 6:38] == (1, 2, 3)).all()
    assert (sheet[44:76, 60:92] == 255).all(), "a narrower one in the middle of its column"
    assert (sheet[43, 59:93] < 255).all(), "a white one has an edge"


def test_strip_takes_tensors_arrays_and_pictures_and_shows_the_pixels_of_small_ones():
    x = torch.rand(2, 3, 4, 4) * 2 - 1
    bytes_of = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    sheets = [strip([row], size=8) for row in (x, list(bytes_of), [Image.fromarray(p) for p in bytes_of])]
    assert sheets[0] == sheets[1] == sheets[2]
    first = np.asarray(sheets[0])[6:14, 6:14]
    assert (first == bytes_of[0].repeat(2, 0).repeat(2, 1)).all()
    gray = strip([[Image.new("L", (8, 8), 77)]], size=8)
    assert gray.getpixel((8, 8)) == (77, 77, 77)


def test_strip_writes_titles_above_and_labels_at_the_left():
    bare, titled = strip([[square()] * 2] * 2), strip([[square()] * 2] * 2, ["t = 0", "48 × 48 →\na second line"])
    labelled = strip([[square()] * 2] * 2, labels=["linear", "a label of more than one line"])
    assert titled.width == bare.width and labelled.height == bare.height
    assert np.array_equal(np.asarray(titled)[-bare.height + 5 :], np.asarray(bare)[5:]), "the rows are as before"
    assert np.array_equal(np.asarray(labelled)[:, -bare.width + 5 :], np.asarray(bare)[:, 5:])
    above = np.asarray(titled)[: titled.height - bare.height].min(-1) < 128
    assert above[:, : bare.width // 2].any() and above[:, bare.width // 2 :].any()
    beside = np.asarray(labelled)[:, : labelled.width - bare.width].min(-1) < 128
    assert beside[: bare.height // 2].any() and beside[bare.height // 2 :].any()
    assert not beside[:, 0].any() and not above[0].any(), "nothing is cut"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), r"got rows of \[\] pictures"),
        (([[]],), r"got rows of \[0\] pictures"),
        (([[square()], [square()] * 2],), r"got rows of \[1, 2\] pictures, expected at least one, and as many in each"),
        (([[square()]], ["a", "b"]), "got 2 titles, expected 1"),
        (([[square()]], None, []), "got 0 labels, expected 1"),
    ],
)
def test_strip_says_got_and_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        strip(*arguments)


def test_before_they_run_it_says_how_long_each_will_take(tmp_path, monkeypatch, capsys):
    """By its last run, at the pace of that and of now; one that was never run, by what it says of itself."""
    notebooks = tool("notebooks")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "pace", lambda: 2 * notebooks.LAPTOP_MS)
    new = new_notebook(cells=[new_code_cell("from minidiff.lesson import lesson\nlesson(laptop=2.5, colab=5, gpu=1)")])
    ran = new_notebook(metadata={"minidiff": {"seconds": 240, "call_ms": 4 * notebooks.LAPTOP_MS}})
    for name, notebook in {"1.ipynb": new, "2.ipynb": ran, "3.ipynb": new_notebook()}.items():
        nbformat.write(notebook, tmp_path / name)
    notebooks.announce(sorted(tmp_path.glob("*.ipynb")))
    first, *each = capsys.readouterr().out.splitlines()
    assert first == "to run, at 300 ms for the U-Net: about 7 minutes in all"
    assert [line.split() for line in each] == [[f"{m}", "min", f"{n}.ipynb"] for m, n in ((5.0, 1), (2.0, 2), (0.0, 3))]
