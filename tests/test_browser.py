"""Every lesson, and the studio, in a real browser: JupyterLab in Chromium, used as a reader uses it."""

import shutil
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser import NAMELESS, Notebook, jupyterlab, pixels

pytestmark = pytest.mark.slow
LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """folder, context, url, token: a folder that JupyterLab serves, and a browser."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("jupyter")
    with jupyterlab(folder, home) as (url, token):
        size = {"width": 1280, "height": 1000}
        yield folder, browser.new_context(viewport=size, service_workers="block"), url, token


@contextmanager
def opened(lab, name, tmp_path):
    """A notebook of the folder, open and run; whatever fails then comes with a screenshot and what the page said."""
    folder, context, url, token = lab
    notebook = Notebook(context)
    try:
        notebook.open(url, token, name)
        notebook.run()
        for i, cell in enumerate(notebook.cells()):
            for output in cell.get("outputs", []):
                assert output["output_type"] != "error", f"cell {i}: {''.join(output['traceback'])}"
        yield notebook
        assert not notebook.said(), "the kernel wrote to stderr"
        assert not notebook.wrong, "the page logged errors or asked the network"
    except BaseException as error:
        notebook.page.screenshot(path=tmp_path / "screenshot.png")
        said = "\n".join(notebook.said())
        error.add_note(f"screenshot: {tmp_path / 'screenshot.png'}\npage: {notebook.wrong}\nkernel: {said}")
        raise
    finally:
        notebook.close()


def dials(output):
    """For each dial of a widget its name, and its moves: pairs of (control, key), there and back again."""
    for slider in output.locator(".widget-slider").all():
        handle = slider.get_by_role("slider")
        moves = [((handle, "ArrowLeft"), (handle, "ArrowRight"))] * int(float(handle.get_attribute("aria-valuenow")))
        yield slider.locator(".widget-label").inner_text(), moves
    for group in output.locator(".widget-toggle-buttons").all():
        buttons = group.locator("button").all()
        (chosen,) = (button for button in buttons if "mod-active" in button.get_attribute("class"))
        moves = [((button, "Enter"), (chosen, "Enter")) for button in buttons if button is not chosen]
        yield group.locator(".widget-label").inner_text(), moves


def shows(image, picture, whether=True):
    return np.array_equal(pixels(image), picture) == whether


def answers(notebook, output, cell):
    """Every dial changes the picture; with all of them where they were, it is the first one again."""
    image = output.locator(".jupyter-widgets img").last
    first, undo = pixels(image), []
    for name, moves in dials(output):  # one after the other, as one may matter only once another has moved
        before = pixels(image)
        for (control, key), back in moves:  # until another picture is seen: not every value gives one
            control.press(key)
            undo.insert(0, back)
            if notebook.soon(shows, image, before, False, seconds=5):
                break
        assert notebook.soon(shows, image, before, False), f"{cell}: the picture stays, whatever {name} is"
    for control, key in undo:
        control.press(key)
    assert notebook.soon(shows, image, first), f"{cell}: another picture, with all dials where they were"


def draws(notebook, output, cell):
    """Another prompt gives another picture, and the one before is kept beside it."""
    old, new = (output.locator(f".minidiff-{name}-picture") for name in ("last", "new"))
    first = pixels(new)
    output.locator(".minidiff-prompt input").fill("big pear on yellow")
    output.locator(".minidiff-draw").click()
    assert notebook.soon(shows, new, first, False), f"{cell}: the picture stays, whatever the prompt is"
    assert shows(old, first), f"{cell}: the last picture is not beside the new one"


def paint(notebook, sheet, start, end):
    """A stroke with the mouse on a sketchpad, from (x, y) to (x, y), in pixels of what is drawn on."""
    sheet.scroll_into_view_if_needed()
    box, mouse = sheet.bounding_box(), notebook.page.mouse
    unit = box["width"] / 128
    mouse.move(box["x"] + unit * start[0], box["y"] + unit * start[1])
    mouse.down()
    mouse.move(box["x"] + unit * end[0], box["y"] + unit * end[1], steps=5)
    mouse.up()


def texts(cell):
    """What nbval compares of a cell's outputs: everything but pictures and widgets."""
    found = defaultdict(str)
    for output in cell["outputs"]:
        for kind, text in (output.get("data") or {output["name"]: output["text"]}).items():
            if not kind.startswith("image/") and kind != WIDGET:
                found[kind] += "".join(text)
    return found


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_lesson_prints_what_is_saved_and_its_widgets_answer(lab, path, tmp_path):
    """All that nbval does with a lesson, too: conftest.py leaves it to this test."""
    shutil.copy(path, lab[0])
    saved = nbformat.read(path, as_version=4).cells
    with opened(lab, path.name, tmp_path) as notebook:
        for i, (cell, before) in enumerate(zip(notebook.cells(), saved, strict=True)):
            if "# NBVAL_CHECK_OUTPUT" in before.source or "nbval-check-output" in before.metadata.get("tags", []):
                assert texts(cell) == texts(before), f"cell {i}"
            kinds = [set(output.get("data", {})) for output in cell.get("outputs", [])]
            if not any({WIDGET, "image/png"} <= kind for kind in kinds):
                continue  # no widget, or a progress bar
            output = notebook.output(i)
            assert output.evaluate(NAMELESS) == []
            if output.locator(".minidiff-playground").count():
                draws(notebook, output, f"cell {i}")
            elif output.locator(".minidiff-play").count():
                answers(notebook, output, f"cell {i}")
            else:
                sheet = output.locator("canvas")
                before = pixels(sheet)
                paint(notebook, sheet, (4, 6), (64, 6))
                painted = (pixels(sheet) != before).any(-1).any(0)
                assert painted.sum() >= 60, f"cell {i}: a stroke of 60 pixels changes {painted.sum()} columns"


def test_studio_draws_what_is_typed_and_redraws_what_is_painted(lab, tmp_path):
    cell = nbformat.v4.new_code_cell('import minidiff\n\nminidiff.studio(prompt="big red apple on blue", steps=2)')
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": spec}), lab[0] / "studio.ipynb")
    with opened(lab, "studio.ipynb", tmp_path) as notebook:
        studio = notebook.output(0).locator(".minidiff-studio")
        draw, new = (studio.locator(f".minidiff-{name}") for name in ("draw", "new-picture"))
        assert studio.evaluate(NAMELESS) == []
        draws(notebook, studio, "studio")
        pear = pixels(new)

        studio.get_by_role("button", name="inpaint").click()
        studio.get_by_role("button", name="Use as image").click()
        draw.click()  # too early
        studio.get_by_text("nothing is painted").wait_for()
        paint(notebook, studio.locator(".minidiff-mask canvas"), (30, 30), (60, 30))
        studio.get_by_role("button", name="Redraw what is painted").click()
        assert notebook.soon(shows, new, pear, False), "what is painted is redrawn"
        ys, xs = np.nonzero((pixels(new) != pear).any(-1))
        assert ys.min() >= 18 and ys.max() <= 42 and xs.min() >= 18 and xs.max() <= 72  # the brush is 20 pixels wide
