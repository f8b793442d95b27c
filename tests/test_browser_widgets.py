"""Dials and the studio in a real browser: JupyterLab in Chromium, used as a reader uses it."""

import base64
import io
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser import NAMELESS, TIMEOUT, answers, drawn, draws, opened, paint, pixels, shows
from PIL import Image

from minidiff.adapt import LoRA
from minidiff.convert import load
from minidiff.pipeline import WEIGHTS
from minidiff.unet import UNet

pytestmark = pytest.mark.slow


def written(lab, name, *sources):
    """A notebook of these cells, in the folder."""
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), lab[0] / name)


DIALS = """
import minidiff.play
from PIL import Image

minidiff.play.SECONDS = 100

def draw(share, ink, size):
    if share == 13:
        raise ValueError("thirteen")
    return Image.new("RGB", (16 * size, 16), (2 * share if ink == "red" else 0, 0, 0))

minidiff.play.play(draw, start={"share": 12, "ink": "red"}, share=range(100), ink=["red", "none"], size=range(1, 9))
"""


def test_a_dial_asks_for_what_was_not_drawn_ahead(lab, tmp_path):
    written(lab, "dials.ipynb", DIALS, "from tqdm.auto import tqdm\n\nfor _ in tqdm(range(3), 'a bar'): pass")
    with opened(lab, "dials.ipynb", tmp_path) as notebook:
        output = notebook.output(0).locator(".minidiff-play")
        share, image = output.get_by_label("share"), output.get_by_alt_text("share")
        message = output.get_by_role("status")
        image.wait_for()
        assert output.evaluate(NAMELESS) == []
        answers(notebook.page, output, "dials")
        assert image.bounding_box()["width"] >= 320

        for press, red in {"ArrowLeft": 22, "ArrowRight": 24}.items():  # which was there before
            share.press(press)
            assert notebook.soon(lambda red=red: pixels(image)[0, 0, 0] == red)
        share.press("ArrowRight")
        assert notebook.soon(lambda: message.inner_text() == "Not drawn: thirteen")
        for _ in range(20):  # quicker than Python: it is asked for what is wanted last
            share.press("ArrowRight")
        assert notebook.soon(lambda: pixels(image)[0, 0, 0] == 66 and not message.inner_text())
        assert image.get_attribute("alt") == "share 33, ink red, size 5"
        for _ in range(21):
            share.press("ArrowLeft")
        for kernel in ("the same", "none"):
            notebook.page.evaluate("() => notebook.context.save()")
            if kernel == "none":
                notebook.page.evaluate("() => notebook.sessionContext.shutdown()")
            notebook.page.reload()
            notebook.page.wait_for_function("() => window.notebook = window.jupyterapp?.shell.currentWidget")
            again = notebook.output(0)
            again.get_by_alt_text("share 12, ink red, size 5").wait_for()
            again.get_by_label("none").check()  # which was drawn ahead
            again.get_by_alt_text("share 12, ink none, size 5").wait_for()
            again.get_by_label("red").check()
            bar = notebook.output(1)
            assert notebook.soon(lambda bar=bar: "a bar: 100%" in bar.inner_text().replace("\u2007", " "))
            assert notebook.page.get_by_text("model not found").count() == 0


@contextmanager
def a_studio(lab, tmp_path, **first):
    """A notebook with a studio, and the studio on its page."""
    written(lab, "studio.ipynb", f"import minidiff\n\nminidiff.studio(**{first})", "")
    with opened(lab, "studio.ipynb", tmp_path) as notebook:
        studio = notebook.output(0).locator(".minidiff-studio")
        studio.locator(".minidiff-thumb").wait_for()
        yield notebook, studio


def put(studio, way, file, name="fox.png"):
    """Drop or paste a file."""
    studio.locator(".minidiff-frame").evaluate(
        """(frame, [way, data, name]) => {
            const files = new DataTransfer()
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt())
            files.items.add(new File([bytes], name, {type: name.endsWith(".png") ? "image/png" : ""}))
            const more = {bubbles: true, cancelable: true}
            frame.dispatchEvent(way === "drop" ? new DragEvent("drop", {...more, dataTransfer: files})
                : new ClipboardEvent("paste", {...more, clipboardData: files}))
        }""",
        [way, base64.b64encode(file).decode(), name],
    )


def test_studio_draws_stops_and_remembers(lab, tmp_path):
    with a_studio(lab, tmp_path, prompt="big red apple on blue", steps=2) as (notebook, studio):
        page, prompt = notebook.page, studio.get_by_label("prompt", exact=True)
        draw, new = studio.locator(".minidiff-draw"), studio.locator(".minidiff-new-picture")
        message, thumbs = studio.locator(".minidiff-message"), studio.locator(".minidiff-thumb")
        apple = pixels(new)
        assert studio.evaluate(NAMELESS) == []
        draws(notebook, studio, "studio")

        steps = studio.get_by_label("steps", exact=True)
        steps.fill("0")
        prompt.press("Enter")
        assert notebook.soon(lambda: "steps: " in message.inner_text()), "what is wrong is said, and nothing is changed"
        assert steps.input_value() == "0"
        steps.fill("400")
        prompt.press("Enter")
        studio.get_by_role("button", name="Stop").wait_for()
        assert notebook.soon(lambda: studio.get_by_alt_text("what it expects the picture to be").count() == 1)
        studio.get_by_role("button", name="in snow", exact=True).click()  # the panel is alive
        assert notebook.soon(lambda: prompt.input_value() == "big pear in snow")
        draw.click()
        assert notebook.soon(lambda: "Stopped after step" in message.inner_text(), seconds=10)
        assert thumbs.count() == 2 and int(message.inner_text().split()[3]) < 400

        thumbs.nth(0).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")  # all that made it comes back
        assert notebook.soon(lambda: prompt.input_value() == "big red apple on blue") and shows(new, apple)
        assert steps.input_value() == "2"
        prompt.fill("dragon on blue ")
        assert notebook.soon(lambda: studio.locator("mark").all_inner_texts() == ["dragon"])
        studio.locator(".minidiff-link", has_text="crocodile").click()
        assert prompt.input_value() == "crocodile on blue "
        studio.get_by_label("four at once", exact=True).check()
        studio.get_by_role("button", name="sailboat in sea", exact=True).click()
        drawn(notebook, studio, 6)
        assert studio.locator(".minidiff-frame button img").count() == 4
        studio.locator(".minidiff-frame button").nth(2).click()
        assert notebook.soon(lambda: studio.get_by_label("seed", exact=True).input_value() == "2")

        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        studio.get_by_role("button", name="Copy as Python").click()
        assert notebook.soon(lambda: message.inner_text() == "Copied.")
        code = page.evaluate("() => navigator.clipboard.readText()")
        assert code == studio.get_by_label("as Python", exact=True).input_value()
        sailboat = pixels(new)
        page.evaluate("code => notebook.content.widgets[1].model.sharedModel.setSource(code)", code)
        notebook.run()
        drawing = notebook.cells()[1]["outputs"][-1]["data"]["image/png"]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing))).convert("RGB")), sailboat)


def test_studio_edits_what_is_painted_dropped_and_pasted(lab, tmp_path):
    with a_studio(lab, tmp_path, prompt="big red apple on blue", steps=2) as (notebook, studio):
        page, new = notebook.page, studio.locator(".minidiff-new-picture")
        prompt, message = studio.get_by_label("prompt", exact=True), studio.locator(".minidiff-message")
        apple = pixels(new)
        studio.get_by_role("button", name="inpaint", exact=True).click()
        assert notebook.soon(lambda: studio.get_by_label("strength", exact=True).input_value() == "1")
        studio.get_by_role("button", name="Redraw what is painted").click()  # too early
        studio.get_by_text("Nothing is painted").wait_for()

        sheet = studio.locator(".minidiff-mask canvas")
        prompt.fill("bee on blue")
        clean = pixels(sheet)
        paint(notebook, sheet, (30, 30), (60, 30))
        paint(notebook, sheet, (30, 90), (60, 90))
        painted = pixels(sheet)
        page.keyboard.press("Control+z")
        once = pixels(sheet)
        page.keyboard.press("Control+z")
        page.mouse.move(0, 0)
        sheet.blur()  # no brush is shown then
        assert (once != painted).any() and notebook.soon(lambda: np.array_equal(pixels(sheet), clean))
        assert prompt.input_value() == "bee on blue", "what was typed stays"
        sheet.focus()
        page.keyboard.press("Control+Shift+z")
        page.keyboard.press("]")
        assert studio.locator(".minidiff-mask output").inner_text() == "brush 26"
        prompt.press("Enter")
        drawn(notebook, studio, 2)
        ys, xs = np.nonzero((pixels(new) != apple).any(-1))
        assert ys.min() >= 18 and ys.max() <= 42 and xs.min() >= 18 and xs.max() <= 72  # the brush is 20 pixels wide

        with page.expect_download() as download:
            studio.get_by_text("Save", exact=True).click()
        saved = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == "bee on blue, seed 0.png"
        assert "Denoising strength: 1" in Image.open(io.BytesIO(saved)).info["parameters"]
        assert [path.name for path in lab[0].glob("*.png")] == [], "nothing is left in the notebook's folder"

        file = io.BytesIO()
        Image.new("RGB", (300, 200), "orange").save(file, "PNG")
        put(studio, "drop", file.getvalue())
        assert notebook.soon(lambda: "the middle of it" in message.inner_text())
        assert notebook.soon(lambda: (pixels(new) == (255, 165, 0)).all())
        prompt.fill("")
        put(studio, "paste", saved)
        assert (
            notebook.soon(lambda: prompt.input_value() == "bee on blue") and "settings are back" in message.inner_text()
        )

        LoRA.new(load(UNet, WEIGHTS / "unet.safetensors"), rank=1).save(tmp_path / "koala.safetensors")
        put(studio, "drop", (tmp_path / "koala.safetensors").read_bytes(), "koala.safetensors")
        dial, beside = studio.get_by_label("koala", exact=True), studio.locator(".minidiff-beside")
        dial.wait_for()
        assert dial.input_value() == "1" and not beside.is_visible()
        studio.get_by_role("button", name="text to image", exact=True).click()
        prompt.press("Enter")
        drawn(notebook, studio, 5)
        assert "koala 1" in studio.locator(".minidiff-caption").inner_text()
        studio.get_by_role("button", name="Draw alike").click()
        assert notebook.soon(beside.is_visible)
        studio.get_by_role("button", name="Without it").click()
        assert notebook.soon(lambda: not beside.is_visible()) and dial.input_value() == "1"
        studio.locator(".minidiff-thumb").nth(1).click()  # drawn before there was a LoRA
        assert notebook.soon(lambda: dial.input_value() == "0")


# One is drawn, one is on its way, one waits in the widget and one in the page, each of at most two pictures.
LEFT = 8


def test_studio_follows_what_moves_and_rests_when_it_rests(lab, tmp_path):
    """Frames are dropped, never queued: after the hand rests come those of what was being drawn, and of where it is."""
    with a_studio(lab, tmp_path, prompt="big red apple on blue", steps=2) as (notebook, studio):
        page, live, fast = notebook.page, studio.locator(".minidiff-live"), studio.get_by_label("fast", exact=True)
        prompt, seed = (studio.get_by_label(name, exact=True) for name in ("prompt", "seed"))
        slow = pixels(studio.locator(".minidiff-new-picture"))
        studio.evaluate(
            """root => {
                window.frames = []
                const kept = ({target}) => target.matches(".minidiff-live") && frames.push(target.src.slice(0, 15))
                root.addEventListener("load", kept, true)
            }"""
        )

        def frames():
            return page.evaluate("() => frames")

        def rests(since):
            """The picture on which it comes to rest, which is exact, after so many."""

            def settled():
                before = len(frames())
                page.wait_for_timeout(1000)
                return since < before == len(frames()) and frames()[-1] == "data:image/png;"

            assert notebook.soon(settled), frames()
            return pixels(live)

        def is_what_is_drawn(at_rest, number):
            studio.locator(".minidiff-draw").click()
            drawn(notebook, studio, number)
            return shows(studio.locator(".minidiff-new-picture"), at_rest)

        fast.check()
        first = rests(0)
        assert frames() == ["data:image/jpeg", "data:image/png;"] and (first != slow).any()
        assert studio.get_by_label("guidance", exact=True).is_disabled()
        for _ in range(40):
            seed.press("ArrowUp")
        after = len(frames())
        assert seed.input_value() == "40" and (rests(2) != first).any()
        assert 3 <= len(frames()) and len(frames()) - after <= LEFT, frames()
        before = len(frames())
        prompt.fill("big pear on blue")
        assert is_what_is_drawn(rests(before), 2)

        studio.get_by_role("button", name="scribble", exact=True).click()
        sheet = studio.locator(".minidiff-scribble canvas")
        sheet.scroll_into_view_if_needed()
        box, before = sheet.bounding_box(), len(frames())
        at = [(0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)) for angle in np.linspace(0, 6, 60)]
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in at]
        page.mouse.move(*at[0])
        page.mouse.down()
        for x, y in at[:30]:
            page.mouse.move(x, y)
        assert notebook.soon(lambda: len(frames()) > before), "while the pen is down"
        for x, y in at[30:]:
            page.mouse.move(x, y)
        after = len(frames())
        page.mouse.up()
        at_rest = rests(before)
        assert len(frames()) - after <= LEFT, frames()
        assert is_what_is_drawn(at_rest, 3) and (at_rest != first).any()

        fast.uncheck()
        assert notebook.soon(lambda: live.count() == 0 and seed.input_value() == "40")
        studio.get_by_role("button", name="text to image", exact=True).click()
        prompt.fill("big red apple on blue")
        seed.fill("0")
        prompt.press("Enter")
        drawn(notebook, studio, 4)
        assert shows(studio.locator(".minidiff-new-picture"), slow), "without the switch all is as it was"


@pytest.mark.parametrize("width", [1280, 800])
def test_studio_fits_its_page(lab, width, tmp_path):
    """Two columns, or one; nothing is cut, and after a reload it is there as it was, without an error."""
    with a_studio(lab, tmp_path, steps=2) as (notebook, studio):
        notebook.page.set_viewport_size({"width": width, "height": 800})
        draws(notebook, studio, "studio")
        for mode in ("text to image", "image to image", "inpaint", "outpaint", "scribble"):
            studio.get_by_role("button", name=mode, exact=True).click()
            notebook.page.wait_for_timeout(300)
            cut = studio.evaluate(
                """root => [...root.querySelectorAll("*")].filter(each => each.offsetParent
                    && !each.closest(".minidiff-strip, .minidiff-echo")
                    && each.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
                    .map(each => each.outerHTML.slice(0, 100))"""
            )
            assert cut == [], mode
        ask, picture = (studio.locator(f".minidiff-{name}").bounding_box() for name in ("ask", "picture"))
        beside = picture["x"] > ask["x"] + ask["width"] - 1
        assert beside == (studio.bounding_box()["width"] > 620)
        notebook.page.evaluate("() => notebook.context.save()")
        notebook.page.reload()
        again = notebook.page.locator(".minidiff-studio")
        again.locator(".minidiff-thumb").nth(1).wait_for()
        assert again.get_by_label("prompt", exact=True).input_value() == "big pear on yellow"
        assert notebook.page.get_by_text("model not found").count() == 0
        notebook.page.wait_for_function("() => window.notebook = window.jupyterapp?.shell.currentWidget")


def test_the_studio_of_the_front_page_can_be_photographed_again(lab, tmp_path):
    # in a process of its own, as a process can drive one browser only
    code = "import sys, gallery; gallery.studio(gallery.Path(sys.argv[1]), ('red apple on blue', 'owl on white'))"
    command = [sys.executable, "-c", code, tmp_path / "studio.png"]
    subprocess.run(command, cwd=Path(__file__).parent.parent / "tools", check=True, timeout=TIMEOUT)
    assert min(Image.open(tmp_path / "studio.png").size) > 600
