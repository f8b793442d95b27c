"""Every lesson, and the studio, in a real browser: JupyterLab in Chromium, used as a reader uses it."""

import shutil
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


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_lesson_runs_and_its_widgets_answer(lab, path, tmp_path):
    shutil.copy(path, lab[0])
    with opened(lab, path.name, tmp_path) as notebook:
        for i, cell in enumerate(notebook.cells()):
            kinds = [set(output.get("data", {})) for output in cell.get("outputs", [])]
            if not any({WIDGET, "image/png"} <= kind for kind in kinds):
                continue  # no widget, or a progress bar
            output = notebook.output(i)
            assert output.evaluate(NAMELESS) == []
            image = output.locator(".jupyter-widgets img").last
            first, undo = pixels(image), []
            for name, moves in dials(output):  # one after the other, as one may matter only once another has moved
                before = pixels(image)
                for (control, key), back in moves:  # until another picture is seen: not every value gives one
                    control.press(key)
                    undo.insert(0, back)
                    if notebook.soon(shows, image, before, False, seconds=5):
                        break
                assert notebook.soon(shows, image, before, False), f"cell {i}: the picture stays, whatever {name} is"
            for control, key in undo:
                control.press(key)
            assert notebook.soon(shows, image, first), f"cell {i}: another picture, with all dials where they were"


def test_studio_draws_what_is_typed_and_redraws_what_is_painted(lab, tmp_path):
    cell = nbformat.v4.new_code_cell('import minidiff\n\nminidiff.studio(prompt="big red apple on blue", steps=2)')
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": spec}), lab[0] / "studio.ipynb")
    with opened(lab, "studio.ipynb", tmp_path) as notebook:
        studio = notebook.output(0).locator(".minidiff-studio")
        draw, old, new = (studio.locator(f".minidiff-{name}") for name in ("draw", "last-picture", "new-picture"))
        assert studio.evaluate(NAMELESS) == []
        apple = pixels(new)

        studio.locator(".minidiff-prompt input").fill("big pear on yellow")
        draw.click()
        assert notebook.soon(shows, new, apple, False), "a new picture"
        assert shows(old, apple), "the last picture is kept beside the new one"
        pear = pixels(new)

        studio.get_by_role("button", name="inpaint").click()
        studio.get_by_role("button", name="Use as image").click()
        draw.click()  # too early
        studio.get_by_text("nothing is painted").wait_for()
        sheet = studio.locator(".minidiff-mask canvas")
        sheet.scroll_into_view_if_needed()
        box = sheet.bounding_box()
        unit, mouse = box["width"] / 128, notebook.page.mouse
        mouse.move(box["x"] + 30 * unit, box["y"] + 30 * unit)
        mouse.down()
        mouse.move(box["x"] + 60 * unit, box["y"] + 30 * unit, steps=5)
        mouse.up()
        studio.get_by_role("button", name="Redraw what is painted").click()
        assert notebook.soon(shows, new, pear, False), "what is painted is redrawn"
        ys, xs = np.nonzero((pixels(new) != pear).any(-1))
        assert ys.min() >= 18 and ys.max() <= 42 and xs.min() >= 18 and xs.max() <= 72  # the brush is 20 pixels wide
