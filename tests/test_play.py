"""Widgets, driven from Python as a reader's mouse would: their controls are set, and the pictures must change."""

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from minidiff import sample
from minidiff.controlnet import ControlNet
from minidiff.pipeline import StableDiffusion
from minidiff.play import explore, play, png
from minidiff.play.sketchpad import Sketchpad
from minidiff.play.studio import Playground, Studio

WIDGET = "application/vnd.jupyter.widget-view+json"
PROMPT = "red apple left of green apple on blue"


def square(shade, size=10):
    return Image.new("RGB", (size, size), (shade,) * 3)


def picture(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


def shown(panel):
    """What a notebook shows of it, as the last line of a cell: MIME type -> data."""
    shell = InteractiveShell.instance()
    with capture_output(stdout=False, stderr=False) as captured:
        shell.displayhook(panel)
    (output,) = captured.outputs
    return output.data


@pytest.fixture(scope="module")
def trace(pipe):
    return pipe([PROMPT, "cat on pink"], steps=3, trace=True, progress=False)


def test_one_output_holds_the_widget_and_a_row_of_five_along_the_first_dial():
    calls = []

    def draw(grey_level, size):
        calls.append((grey_level, size))
        return square(grey_level, size)

    output = shown(play(draw, grey_level=range(0, 201, 10), size=[20, 30, 40]))
    assert set(output) == {"text/plain", "image/png", WIDGET}
    assert calls[:5] == [(0, 30), (50, 30), (100, 30), (150, 30), (200, 30)]
    assert "grey level 150" in output["text/plain"]
    row = picture(output["image/png"])
    assert [row.getpixel((8 + 38 * i + 15, 20))[0] for i in range(5)] == [0, 50, 100, 150, 200]


def test_moving_a_dial_redraws():
    panel = play(
        lambda shade, size: square(shade, {"small": 4, "big": 8}[size]), shade=[0, 100, 200], size=["small", "big"]
    )
    assert picture(panel.picture.value).size == (8, 8) and picture(panel.picture.value).getpixel((0, 0))[0] == 100
    panel.dials["shade"].value = 200
    assert picture(panel.picture.value).getpixel((0, 0))[0] == 200
    panel.dials["size"].value = "small"
    assert picture(panel.picture.value).size == (4, 4) and picture(panel.picture.value).getpixel((0, 0))[0] == 200


def test_an_error_while_drawing_becomes_a_line_and_the_picture_stays():
    def draw(x):
        return square(10 // x)

    panel = play(draw, x=[1, 2, 3])
    before = panel.picture.value
    panel.draw = lambda x: square(10 // (x - 3))
    panel.dials["x"].value = 3
    assert "Not drawn: integer division" in panel.message.value and panel.picture.value == before
    panel.dials["x"].value = 1
    assert not panel.message.value and panel.picture.value != before


def test_a_figure_is_drawn_and_closed():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()

    def draw(x):
        figure = plt.figure(figsize=(1, 1), dpi=50)
        figure.gca().plot([0, x])
        return figure

    output = shown(play(draw, x=[1, 2]))
    assert plt.get_fignums() == before
    assert picture(output["image/png"]).width >= 100


@pytest.mark.parametrize("dials", [{}, {"shade": [1]}])
def test_too_few_values_are_refused(dials):
    with pytest.raises(ValueError, match="expected at least one dial with two values or more"):
        play(square, **dials)


def test_without_ipywidgets_or_anywidget_a_picture_remains(pipe, trace, monkeypatch):
    from minidiff.play import sketchpad

    sketchpad._sheet.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    studio = Studio(pipe, steps=1)
    assert studio.widget is not None, "without anywidget only the sheets are missing"
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    pad = Sketchpad(trace.images[0])
    pad.mask = np.ones((128, 128))
    assert pad.mask.all()
    for panel in (play(square, shade=[0, 255]), explore.attention(pipe, trace), pad, Studio(pipe, steps=1)):
        assert set(shown(panel)) == {"text/plain", "image/png"}


def test_the_schedule_explorer_noises_the_picture():
    panel = explore.schedules(square(255, 32))
    for name, value in {"time": 1.0, "shape": "zero terminal SNR", "T": 100}.items():
        before = panel.picture.value
        panel.dials[name].value = value
        assert panel.picture.value != before and not panel.message.value
    panel.dials["time"].value = 0.0
    inside = picture(panel.picture.value).crop((60, 60, 160, 160))
    assert inside.getextrema() == ((255, 255),) * 3, "at t = 0 the picture is clean"


def test_the_scrubber_shows_what_the_trace_holds(pipe, trace):
    panel = explore.denoising(pipe, trace, picture=1)
    panel.dials["step"].value = 3
    views = picture(panel.picture.value)
    clean = pipe.decode(trace.calls[2].x0[1:])[0].resize((160, 160))
    cell = views.crop((8 + 168, 8, 8 + 168 + 160, 8 + 160))
    assert np.abs(np.asarray(cell, int) - np.asarray(clean, int)).mean() < 4
    unguided = explore.denoising(pipe, pipe(PROMPT, guidance=1, steps=2, trace=True, progress=False))
    assert picture(unguided.picture.value).width < views.width, "without guidance there is no negative prediction"


def test_the_attention_explorer_has_every_word_and_layer(pipe, trace):
    panel = explore.attention(pipe, trace)
    words = [label for label, _ in panel.dials["word"].options]
    assert words == ["start", "red", "apple", "left", "of", "green", "apple (6)", "on", "blue", "end"]
    assert len(panel.dials["layer"].options) == len(trace.calls[0].attention)
    for name, value in {"word": "apple (6)", "layer": panel.dials["layer"].options[0][1], "step": 1}.items():
        before = panel.picture.value
        panel.dials[name].value = value
        assert panel.picture.value != before and not panel.message.value
    share = torch.zeros(4, 4)
    share[0, 3] = 1
    bright = np.asarray(explore.overlay(square(0, 64), share).convert("L"), int)
    assert np.unravel_index(bright.argmax(), bright.shape)[0] < 16 and bright[:16, 48:].mean() > 4 * bright[32:].mean()


def test_a_trace_of_a_wide_picture_is_explored(pipe):
    image = square(90, 128)
    wide = pipe(PROMPT, image=image, margins=(0, 0, 64, 0), steps=2, trace=True, progress=False)
    assert any("8×12" in layer for layer, _ in explore.attention(pipe, wide).dials["layer"].options)
    assert wide.images[0].size == (192, 128)


def test_the_sketchpad_is_read_and_set():
    pad = Sketchpad(square(200, 16), label="where to redraw")
    assert pad.mask.shape == (16, 16) and pad.mask.dtype == bool and not pad.mask.any()
    half = np.zeros((16, 16), bool)
    half[:, :8] = True
    pad.mask = Image.fromarray(half)
    assert (pad.mask == half).all() and pad.scribble.getpixel((0, 0)) == (0, 0, 0)
    ink = picture_of(pad.widget.ink)
    assert (np.asarray(ink)[..., 3] > 127).sum() == 128, "the page is sent what code painted"

    painted = Image.new("RGBA", (16, 16), (0, 0, 0, 0))  # what the page sends when a person has painted
    painted.paste((213, 94, 0, 255), (4, 4, 6, 6))
    pad.widget.ink = f"data:image/png;base64,{base64.b64encode(png(painted)).decode()}"
    assert pad.mask.sum() == 4 and pad.mask[5, 5]
    assert picture(shown(pad)["image/png"]).getpixel((4, 4)) != (200, 200, 200)
    pad.picture = square(0, 16)
    assert pad.mask.sum() == 4, "the paint stays on another picture of the same size"
    with pytest.raises(ValueError, match=r"shape \(4, 4\), expected \(height, width\) = \(16, 16\)"):
        pad.mask = np.ones((4, 4))
    pad.mask = np.zeros((16, 16))
    assert not pad.mask.any() and np.asarray(picture_of(pad.widget.ink))[..., 3].max() == 0


def picture_of(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_the_playground_draws_what_the_pipeline_draws_beside_the_last_one(pipe):
    panel = Playground(pipe, PROMPT, steps=2)
    (first,) = panel.pictures
    values = {"prompt": "cat on pink", "negative_prompt": "dog on pink", "guidance": 2.0, "steps": 3, "seed": 7}
    for name, value in values.items():
        panel.controls[name].value = value
    panel.controls["sampler"].label = "heun"
    progress = []
    panel.bar.observe(lambda change: progress.append(change.new), "value")
    panel.button.click()
    assert panel.pictures == [first, pipe(**values, sampler=sample.heun, progress=False)[0]]
    assert [picture(view.value) for view in panel.views] == panel.pictures
    assert "cat on pink, not dog on pink" in panel.under[1].value and PROMPT in panel.under[0].value
    assert len(progress) >= 3 and progress[-1] == 0 and progress[:-1] == sorted(progress[:-1])
    assert picture(shown(panel)["image/png"]).width > 2 * 256


def test_errors_and_warnings_become_a_line_and_lose_nothing(pipe):
    panel = Playground(pipe, PROMPT, steps=1)
    panel.controls["prompt"].value = "dragon on blue"
    panel.draw()
    assert "never taught the word &#x27;dragon&#x27;" in panel.message.value
    before = panel.pictures
    panel.pipe = StableDiffusion(pipe.vae, pipe.unet, None, pipe.tokenizer)
    panel.draw()
    assert "Not drawn" in panel.message.value and panel.pictures is before and not panel.button.disabled


def test_the_studio_does_all_that_the_pipeline_can(pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = Studio(pipe, PROMPT, steps=4)
    image, common = studio.image, {"prompt": PROMPT, "steps": 4, "progress": False}

    def drawn(mode):
        studio.mode.value = mode
        studio.button.click()
        assert "Not drawn" not in studio.message.value, studio.message.value
        return studio.pictures[-1]

    studio.strength.value = 0.5
    assert drawn("image to image") == pipe(**common, image=image, strength=0.5)[0]
    studio.mode.value = "inpaint"
    studio.button.click()
    assert "nothing is painted" in studio.message.value
    studio.mask.mask = half = np.arange(128) < np.full((128, 1), 64)
    assert drawn("inpaint") == pipe(**common, image=image, strength=0.5, mask=half)[0]
    assert drawn("outpaint") == pipe(**common, image=image, margins=(0, 0, 32, 0))[0]
    studio.save.click()
    assert Image.open(tmp_path / "minidiff-1.png").size == (160, 128)
    studio.use.click()
    assert studio.image.size == (160, 128) and studio.mask.mask.shape == (128, 160) and not studio.mask.mask.any()

    studio.controlnet = ControlNet.from_unet(pipe.unet).eval()
    torch.nn.init.normal_(studio.controlnet.controlnet_mid_block.weight, std=0.1)
    studio.scribble.mask = half
    hint = Image.fromarray(np.where(half, 0, 255).astype("uint8")).convert("RGB")
    assert drawn("scribble") == pipe(**common, control=(studio.controlnet, hint, 1.0))[0]


def test_the_studio_says_that_the_controlnet_is_missing_and_opens_pictures(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr("minidiff.play.studio.WEIGHTS", tmp_path)
    studio = Studio(pipe, PROMPT, steps=1)
    studio.mode.value = "scribble"
    studio.scribble.mask = np.ones((128, 128))
    studio.button.click()
    assert "Not drawn: no weight file" in studio.message.value and "lines.safetensors" in studio.message.value
    seen = {control: control.layout.display for control in studio.needs}
    assert seen[studio.scribble.widget] == "" and seen[studio.mask.widget] == "none"
    file = {"name": "a.png", "type": "image/png", "size": 0, "content": png(square(77, 300)), "last_modified": 0}
    studio._open(type("Change", (), {"new": [type("File", (), file)]}))
    assert studio.image.size == (128, 128) and studio.image.getpixel((5, 5)) == (77, 77, 77)
    file["content"] = b"no picture"
    studio._open(type("Change", (), {"new": [type("File", (), file)]}))
    assert "Not opened" in studio.message.value and studio.image.getpixel((5, 5)) == (77, 77, 77)


def test_minidiff_itself_stays_light():
    heavy = "import sys, minidiff; print([m for m in ('torch', 'ipywidgets', 'PIL') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=300).stdout
    assert out.strip() == "[]"
