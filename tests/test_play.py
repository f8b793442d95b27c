"""Widgets, driven from Python as a reader's mouse would: their controls are set, and the pictures must change."""

import base64
import io
import json
import subprocess
import sys
from itertools import product
from threading import Event

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image
from safetensors.torch import save_file

import minidiff.play
from minidiff import data, infotext
from minidiff.adapt import LoRA
from minidiff.clip import CLIP, CLIPConfig, CLIPImage, VisionConfig
from minidiff.controlnet import ControlNet
from minidiff.ip_adapter import IPAdapter
from minidiff.pipeline import StableDiffusion
from minidiff.play import AHEAD, SAVED, explore, play, png, words
from minidiff.play.live import Newest
from minidiff.play.pipelines import Remembering
from minidiff.play.recipe import python
from minidiff.play.sketchpad import Sketchpad, ink, url
from minidiff.play.studio import Studio
from minidiff.sample import SAMPLERS

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


def asked(panel, **values):
    """What its page gets when it has no picture for these values, the other dials at their start."""
    answers = []
    panel.widget.send = lambda message, buffers=None: answers.append(message)
    start = zip(panel.values.items(), panel.at, strict=True)
    at = [places.index(values[name]) if name in values else place for (name, places), place in start]
    panel._asked(panel.widget, {"at": at}, [])
    (answer,) = answers
    assert answer["at"] == at
    return answer["frame"]


@pytest.fixture(scope="module")
def trace(pipe):
    return pipe([PROMPT, "cat on pink"], steps=3, trace=True, progress=False)


def test_one_output_holds_the_widget_and_a_row_of_five_along_the_first_dial():
    calls = []

    def draw(grey_level, size):
        calls.append((grey_level, size))
        return square(grey_level, size)

    output = shown(play(draw, grey_level=range(0, 201, 10), size=[20, 30, 40]))
    assert set(output) == {"text/plain", "image/png", WIDGET, SAVED}
    assert calls[:5] == [(0, 30), (50, 30), (100, 30), (150, 30), (200, 30)]
    assert "grey level 150" in output["text/plain"]
    row = picture(output["image/png"])
    assert [row.getpixel((8 + 38 * i + 15, 20))[0] for i in range(5)] == [0, 50, 100, 150, 200]


def test_a_grid_is_drawn_ahead_as_far_as_pictures_seconds_and_bytes_allow(monkeypatch):
    def ahead(draw=lambda **values: square(10 * sum(values.values())), **dials):
        panel = play(draw, **dials)
        saved = json.loads(json.dumps(panel.saved))
        places = [dial["ahead"] for dial in saved["dials"]]
        assert all(",".join(map(str, at)) in saved["frames"] for at in product(*places)), "no place without a picture"
        assert all(i in these for i, these in zip(saved["at"], places, strict=True))
        assert len(saved["frames"]) <= AHEAD and sum(map(len, saved["frames"].values())) < 480_000
        return [len(these) for these in places], len(saved["frames"])

    monkeypatch.setattr("minidiff.play.SECONDS", 1000)
    assert ahead(a=range(6), b=range(4)) == ([6, 4], 24)
    assert ahead(a=range(30), b=range(4)) == ([30, 1], 30), "all of the first, and no room for another one"
    assert ahead(a=range(9), b=range(7), c=[0, 1]) == ([9, 5, 1], 45)
    assert ahead(a=range(100), b=range(9)) == ([5, 9], 45), "some that are spread over all"
    noise = torch.Generator().manual_seed(0)

    def noisy(a, side=250):
        return Image.fromarray(torch.randint(256, (side, side, 3), generator=noise, dtype=torch.uint8).numpy())

    assert ahead(noisy, a=range(48)) == ([5], 5), "large pictures"
    assert SAVED not in shown(play(lambda a: noisy(a, 800), a=range(5))), "too large for a notebook"
    monkeypatch.setattr("minidiff.play.SECONDS", 10)
    clock = iter(range(10**6))
    monkeypatch.setattr("minidiff.play.time.perf_counter", lambda: next(clock))
    (some,), count = ahead(a=range(30))
    assert some == 6 <= count < 15, "slow ones"


def share_of_ten(n):
    """10 // n, and an error in our own words: Python's are others in each version."""
    if n == 0:
        raise ZeroDivisionError("ten for nobody")
    return 10 // n


def test_what_was_not_drawn_ahead_is_drawn_when_it_is_asked_for():
    calls = []

    def draw(shade, size):
        calls.append(shade)
        return square(10 // (shade - 99), {"small": 4, "big": 8}[size])

    panel = play(draw, shade=[*range(100, 200)], size=["small", "big"], start={"size": "small"})
    assert picture_of(asked(panel, shade=101, size="big")).size == (8, 8) and calls[-1] == 101
    panel.draw = lambda shade, size: square(share_of_ten(shade - 150), 4)
    assert asked(panel, shade=150) == "Not drawn: ten for nobody"
    assert picture_of(asked(panel, shade=151)).size == (4, 4)


def test_what_cannot_be_drawn_ahead_is_said_in_its_place():
    panel = play(lambda a, b: square(10 // (4 * a + b - 1)), a=[1, 2], b=[0, 1, 2], start={"a": 2})
    assert not [line for line in panel.frames.values() if not line.startswith("data:")]
    panel = play(lambda a, b: square(share_of_ten(a + b)), a=[1, 2], b=[-1, 0, 1])
    assert panel.frames[0, 0] == "Not drawn: ten for nobody"
    with pytest.raises(ZeroDivisionError):
        play(lambda a: square(10 // a), a=[0, 1])


def test_a_figure_is_drawn_and_closed():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()

    def draw(x):
        figure = plt.figure(figsize=(1, 1), dpi=50)
        figure.gca().plot([0, x])
        return figure

    output = shown(play(draw, x=[1, 2]))
    assert plt.get_fignums() == before
    assert picture(output["image/png"]).width >= 2 * 320, "each is drawn as wide as it is shown"


def test_a_dial_begins_where_it_is_told_and_keeps_its_order_beside_what_it_is_compared_with():
    calls = []

    def draw(**values):
        calls.append(values)
        return square(values["shade"], 100)

    panel = play(
        draw, start={"kind": "c"}, beside={"the source": square(7, 128)}, shade=[0, 100, 200], kind=["a", "b", "c"]
    )
    assert calls[0] == {"shade": 0, "kind": "c"} and panel.at == panel.widget.at == [1, 2]
    assert [dial["values"] for dial in panel.saved["dials"]] == [["0", "100", "200"], ["a", "b", "c"]]
    assert [dial["words"] for dial in panel.saved["dials"]] == [False, True]
    row = picture(shown(panel)["image/png"])
    assert row.getpixel((8 + 64, 8 + 64))[0] == 7, "the still picture begins with it"
    ((name, url),) = panel.saved["beside"].items()
    assert name == "the source" and picture_of(url).size == (128, 128)


@pytest.mark.parametrize("start", [{"shade": 3}, {"size": 1}])
def test_a_start_that_is_none_of_the_values_is_refused(start):
    with pytest.raises(ValueError, match=r"got start .*, expected (one of \[1, 2\]|a dial)"):
        play(square, start=start, shade=[1, 2])


@pytest.mark.parametrize("dials", [{}, {"shade": [1]}])
def test_too_few_values_are_refused(dials):
    with pytest.raises(ValueError, match="expected at least one dial with two values or more"):
        play(square, **dials)


def test_without_anywidget_a_picture_remains(pipe, trace, monkeypatch):
    from minidiff.play import sketchpad, studio

    for made in (sketchpad._sheet, studio._panel, minidiff.play._page):
        made.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    pad = Sketchpad(trace.images[0])
    pad.mask = np.ones((128, 128))
    assert pad.mask.all()
    for panel in (play(square, shade=[0, 255]), explore.attention(pipe, trace), pad, Studio(pipe, steps=1)):
        assert set(shown(panel)) - {SAVED} == {"text/plain", "image/png"}


def test_the_schedule_explorer_noises_the_picture():
    panel = explore.schedules(square(255, 32))
    start = panel.frames[tuple(panel.at)]
    for name, value in {"time": 1.0, "shape": "zero terminal SNR", "T": 100}.items():
        assert asked(panel, **{name: value}) != start
    inside = picture_of(asked(panel, time=0.0)).crop((60, 60, 160, 160))
    assert min(low for low, _ in inside.convert("RGB").getextrema()) > 250, "at t = 0 the picture is clean"


def test_the_scrubber_shows_what_the_trace_holds(pipe, trace):
    panel = explore.denoising(pipe, trace, picture=1)
    views = panel.row[2]
    clean = pipe.decode(trace.calls[2].x0[1:])[0].resize((160, 160))
    cell = views.crop((8 + 168, 8, 8 + 168 + 160, 8 + 160))
    assert np.abs(np.asarray(cell, int) - np.asarray(clean, int)).mean() < 4
    unguided = explore.denoising(pipe, pipe(PROMPT, guidance=1, steps=2, trace=True, progress=False))
    assert unguided.row[1].width < views.width, "without guidance there is no negative prediction"


def test_the_attention_explorer_has_every_word_and_layer(pipe, trace):
    panel = explore.attention(pipe, trace)
    assert panel.values["word"] == ["start", "red", "apple", "left", "of", "green", "apple (6)", "on", "blue", "end"]
    assert len(panel.values["layer"]) == len(trace.calls[0].attention)
    start = panel.frames[tuple(panel.at)]
    for name, value in {"word": "apple (6)", "layer": panel.values["layer"][0], "step": 1}.items():
        assert asked(panel, **{name: value}) not in (start, "")
    share = torch.zeros(4, 4)
    share[0, 3] = 1
    bright = np.asarray(explore.overlay(square(0, 64), share).convert("L"), int)
    assert np.unravel_index(bright.argmax(), bright.shape)[0] < 16 and bright[:16, 48:].mean() > 4 * bright[32:].mean()


def test_a_trace_of_a_wide_picture_is_explored(pipe):
    image = square(90, 128)
    wide = pipe(PROMPT, image=image, margins=(0, 0, 64, 0), steps=2, trace=True, progress=False)
    assert any("8×12" in layer for layer in explore.attention(pipe, wide).values["layer"])
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
    assert not pad.mask.any() and not pad.widget.ink


def picture_of(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.fixture
def studio(pipe):
    """A studio; `sent` is what it told its page."""
    studio = Studio(pipe, PROMPT, steps=2)
    studio.sent = []
    studio.widget.send = lambda message, buffers=None: studio.sent.append(message)
    return studio


def ask(studio, what, **more):
    """What the page says when a button is pressed."""
    studio._asked(studio.widget, {"do": what, "settings": studio.widget.settings, **more}, [])
    studio.wait(300)


def draw(studio, **settings):
    """The pictures that the button draws."""
    before = len(studio.drawn)
    studio.draw(**settings)
    studio.wait(300)
    return [each.picture for each in studio.drawn[before:]]


def test_the_studio_draws_what_the_pipeline_draws(pipe, studio):
    values = {"prompt": "cat on pink", "negative_prompt": "dog on pink", "guidance": 2.0, "steps": 4, "seed": 7}
    progress, frames = [], []
    studio.widget.observe(lambda change: progress.append(change.new), "progress")
    studio.widget.observe(lambda change: frames.append(change.new), "frames")
    (drawn,) = draw(studio, **values, sampler="heun")
    (expected,) = pipe(**values, sampler=SAMPLERS["heun"], progress=False)
    assert drawn == expected and progress[-4:] == [0.25, 0.5, 0.75, 1.0] and not studio.widget.busy
    estimate = pipe(**values, sampler=SAMPLERS["heun"], progress=False, trace=True).calls[1].x0
    assert picture_of(frames[-1][0]).convert("RGB").size == pipe.decode(estimate)[0].size
    assert "cat on pink, not dog on pink, guidance 2, 4 steps of heun, seed 7" in repr(studio)
    assert picture(shown(studio)["image/png"]).width == 256 + 16


def test_what_is_overtaken_is_never_worked_on():
    begun, ended, busy, go = [], [], Event(), Event()

    def work(asked):
        begun.append(asked)
        busy.set()
        assert go.wait(60)
        yield
        ended.append(asked)

    newest = Newest(work)
    newest.ask(0)
    assert busy.wait(60)
    for i in range(1, 50):
        newest.ask(i)
    go.set()
    newest.wait(60)
    assert (begun, ended) == ([0, 49], [49]), "what was begun is left between two steps"
    newest.ask(50)
    newest.wait(60)
    assert ended[-1] == 50
    go.clear(), busy.clear()
    newest.ask(51)
    assert busy.wait(60)
    newest.ask(52)
    go.set()
    newest.stop()
    newest.wait(60)
    assert 52 not in ended, "what waited when it was stopped is forgotten"


@pytest.fixture
def fast(pipe, studio):
    """The other pipeline of a studio; `read` are the prompts that it read."""
    fast = StableDiffusion(pipe.vae, pipe.unet, pipe.text, pipe.tokenizer, words=pipe.words, fast=True)
    fast.prompts, read = [], fast.read
    fast.read = Remembering(lambda prompts, *told: fast.prompts.append(prompts) or read(prompts, *told))
    studio.pipes.both, studio.pipes._student = True, fast
    return fast


def follow(studio):
    """What the page has been sent since: pictures that follow."""
    studio.live.wait(60)
    seen, studio.sent[:] = [picture_of(message["live"]) for message in studio.sent if "live" in message], []
    return seen


def test_the_switch_brings_a_picture_that_follows_and_draw_keeps_it(pipe, studio, fast):
    ask(studio, "fast", settings=studio.widget.settings | {"fast": True})
    begin = {"steps": 2, "guidance": 1, "sampler": "consistency", "negative_prompt": "", "fast": True}
    assert studio.widget.settings.items() >= begin.items()
    first, last = follow(studio)
    (two,) = fast(PROMPT, progress=False)
    (one,) = fast(PROMPT, steps=1, progress=False)
    assert last.convert("RGB") == two and first.format == "JPEG", "after one call, and exactly after two"
    assert np.abs(np.asarray(first, int) - np.asarray(one, int)).mean() < 20 and len(studio.drawn) == 1
    for seed in range(3):
        studio.widget.settings = studio.widget.settings | {"seed": seed}
    assert 2 <= len(follow(studio)) <= 6
    studio.widget.settings = studio.widget.settings | {"prompt": "cat on pink"}
    assert follow(studio)[-1].convert("RGB") == fast("cat on pink", seed=2, progress=False)[0]
    reads = fast.prompts.count(["cat on pink"])
    studio.widget.settings = studio.widget.settings | {"seed": 8}
    assert len(follow(studio)) == 2 and fast.prompts.count(["cat on pink"]) == reads, "what did not change is not read"
    studio.widget.settings = studio.widget.settings | {"prompt": " "}
    assert follow(studio) == [] and studio.message == "", "nothing to draw, and nothing wrong yet"

    (drawn,) = draw(studio, prompt="cat on pink", seed=8)
    assert drawn == fast("cat on pink", seed=8, progress=False)[0]
    item = studio._item(studio.drawn[-1])
    assert "guidance 1, 2 steps of consistency, fast, seed 8" in item["caption"] and "Fast: True" in item_text(item)
    ask(studio, "fast", settings=studio.widget.settings | {"fast": False, "prompt": PROMPT, "seed": 0})
    assert draw(studio) == [studio.drawn[0].picture] and follow(studio) == [], "all is as it was"
    ask(studio, "recall", id=1)
    assert follow(studio)[-1].convert("RGB") == drawn and draw(studio) == [drawn]

    content = item["url"].partition(",")[2]
    ask(studio, "fast", settings=studio.widget.settings | {"fast": False})
    ask(studio, "open", name="cat.png", content=content)
    assert studio.message == "Its settings are back." and studio.widget.settings["fast"] and draw(studio) == [drawn]
    other = Studio(pipe, PROMPT, steps=1)
    ask(other, "open", name="cat.png", content=content)
    assert not other.widget.settings["fast"], "one that has no fast pipeline takes it as any picture"


def test_a_scribble_is_followed(pipe, studio, fast):
    torch.manual_seed(0)
    studio.controlnet = ControlNet.from_unet(pipe.unet).eval()
    torch.nn.init.normal_(studio.controlnet.controlnet_mid_block.weight, std=0.5)
    studio.widget.settings = studio.widget.settings | begin_of("scribble")
    assert follow(studio) == [], "nothing is painted yet"
    lines = np.zeros((128, 128), bool)
    for y in (20, 60):
        lines[y : y + 4, 20:100] = True
        studio.widget.lines = ink(lines)
        *_, last = follow(studio)
        hint = Image.fromarray(np.where(lines, 0, 255).astype("uint8")).convert("RGB")
        assert last.convert("RGB") == fast(PROMPT, control=(studio.controlnet, hint, 1), progress=False)[0]


def begin_of(mode):
    return minidiff.play.studio.FAST | {"fast": True, "mode": mode}


def test_a_lora_is_read_anew_by_the_fast_pipeline(pipe, studio, fast, tmp_path):
    torch.manual_seed(5)
    koala = LoRA.new(pipe.unet, rank=2)
    for matrix in koala.parameters():
        torch.nn.init.normal_(matrix.detach(), std=0.3)
    ask(studio, "open", **file_of(koala, tmp_path))
    studio.widget.settings = studio.widget.settings | begin_of("text to image")
    with_it = follow(studio)[-1]
    studio.widget.settings = studio.widget.settings | {"loras": {"koala": 0}}
    without = follow(studio)[-1]
    assert with_it.convert("RGB") != without.convert("RGB") == fast(PROMPT, progress=False)[0]
    assert len(fast.prompts) == 2, "once with each weight of it"


def test_a_studio_of_a_fast_pipeline_is_fast(pipe, fast):
    studio = Studio(fast, PROMPT)
    assert studio.widget.settings["fast"] and not studio.widget.switch
    assert studio.drawn[0].picture == fast(PROMPT, progress=False)[0]


def test_as_python_both_pipelines_are_made(studio, fast):
    studio.widget.settings = studio.widget.settings | begin_of("text to image")
    draw(studio)
    ask(studio, "edit", id=1)
    slow = {"fast": False, "guidance": 4, "sampler": "ddim", "steps": 2}
    draw(studio, **slow)
    code = python(studio.drawn[-1], studio.drawn, True)
    assert 'fast = StableDiffusion.from_pretrained("openmoji", fast=True)' in code and "picture_1 = fast(" in code
    assert 'pipe = StableDiffusion.from_pretrained("openmoji")' in code and "picture_2 = pipe(" in code


def test_four_at_once_are_of_four_seeds_and_each_comes_back_alone(pipe, studio):
    four = draw(studio, prompt="cat on pink", four_at_once=True, seed=5, new_each_time=True)
    assert four == pipe(["cat on pink"] * 4, steps=2, seed=5, progress=False)
    ask(studio, "recall", id=3)
    settings = studio.widget.settings
    assert (settings["seed"], settings["four_at_once"], settings["new_each_time"]) == (7, False, False)
    (alone,) = draw(studio)
    assert np.abs(np.asarray(alone, int) - np.asarray(four[2], int)).max() <= 1, "rounded otherwise in a batch"


def test_stop_stops_within_a_step(studio):
    studio.widget.observe(lambda change: change.new and ask_soon(), "progress")

    def ask_soon():
        studio._asked(studio.widget, {"do": "stop", "settings": {}}, [])

    assert draw(studio, steps=50) == []
    assert studio.message == "Stopped after step 2 of 50." and not studio.widget.busy
    studio.widget.unobserve_all("progress")
    assert len(draw(studio)) == 1, "it draws again"


def test_while_it_draws_it_begins_nothing_else_and_hears(studio):
    busy = []
    studio.widget.observe(lambda change: busy.append(change.new), "busy")
    studio.draw(steps=8)
    studio.draw(steps=8)
    ask(studio, "word", word="in space")
    assert "in space" in studio.widget.settings["prompt"]
    assert busy == [True, False] and len(studio.drawn) == 2


def test_errors_and_warnings_become_a_line_and_lose_nothing(studio):
    draw(studio, prompt=" ".join(["fox"] * 60))
    assert "the prompt is longer than 22 tokens" in studio.message and len(studio.drawn) == 2
    for settings, said in [
        ({"prompt": "  "}, "Say what to draw: type a sentence, click on words, or press the die."),
        ({"mode": "inpaint"}, "Nothing is painted yet: paint on the sheet, by mouse, or by arrow keys and Space."),
        ({"mode": "outpaint", "margins": [0, 0, 0, 0]}, "margins are (0, 0, 0, 0), expected"),
        ({"steps": 0}, "steps is 0, expected a whole number from 1"),
    ]:
        ask(studio, "draw", **{"settings": studio.widget.settings | settings})
        assert studio.message.startswith(said) and studio.sent[-1]["kind"] == "wrong"

    def breaks(x, t):
        raise RuntimeError("no memory\nleft")

    handle = studio.pipe.unet.register_forward_pre_hook(lambda unet, args: breaks(*args[:2]))
    draw(studio)
    handle.remove()
    assert studio.message == "no memory left" and not studio.widget.busy and len(studio.drawn) == 2


def test_the_studio_does_all_that_the_pipeline_can_and_says_how_in_python(pipe, studio):
    image, common = studio.drawn[0].picture, {"prompt": PROMPT, "steps": 4, "progress": False}
    half = np.arange(128) < np.full((128, 1), 64)
    studio.controlnet = ControlNet.from_unet(pipe.unet).eval()
    torch.nn.init.normal_(studio.controlnet.controlnet_mid_block.weight, std=0.1)
    hint = Image.fromarray(np.where(half, 0, 255).astype("uint8")).convert("RGB")
    red = Image.new("RGBA", (128, 128))
    red.paste((255, 0, 0, 255), (20, 20, 60, 60))
    painted = Image.alpha_composite(image.convert("RGBA"), red).convert("RGB")
    studio.widget.mask = studio.widget.lines = ink(half)
    expected = {
        "image to image": {"image": image, "strength": 0.5},
        "inpaint": {"image": image, "strength": 1.0, "mask": half},
        "outpaint": {"image": image, "margins": (0, 0, 32, 0)},
        "scribble": {"control": (studio.controlnet, hint, 1)},
    }
    for mode, options in expected.items():
        (drawn,) = draw(studio, mode=mode, steps=4, strength=options.get("strength", 1))
        assert drawn == pipe(**common, **options)[0], mode
    studio.widget.paint = url(red)
    (drawn,) = draw(studio, mode="image to image", steps=4, strength=0.5)
    assert drawn == pipe(**common, image=painted, strength=0.5)[0], "what is painted on it is redrawn, too"

    loaded = {"load": lambda *args: studio.controlnet}
    for each in studio.drawn:
        names = {"pipe": pipe}
        code = python(each, studio.drawn, shipped=False).replace("from minidiff.convert import load\n", "")
        exec(code, names | loaded, names)
        assert names[code.split()[-1]] == each.picture

    studio.widget.mask = ""
    ask(studio, "recall", id=2)
    assert studio.widget.settings["mode"] == "inpaint" and draw(studio) == [studio.drawn[2].picture], (
        "all that made it is back"
    )
    ask(studio, "edit", id=3)
    assert studio.image.size == (160, 128) and not studio.widget.mask and studio.widget.settings["mode"] == "inpaint"


def file_of(lora, folder, name="koala.safetensors"):
    """What the page sends of such a file."""
    lora.save(folder / name)
    return {"name": name, "content": base64.b64encode((folder / name).read_bytes()).decode()}


def test_the_studio_takes_loras_and_gives_them_back(pipe, studio, tmp_path):
    torch.manual_seed(5)
    koala, night = (LoRA.new(pipe.unet, rank=2) for _ in range(2))
    for matrix in koala.parameters() + night.parameters():
        torch.nn.init.normal_(matrix.detach(), std=0.3)
    ask(studio, "open", **file_of(koala, tmp_path))
    assert studio.widget.settings["loras"] == {"koala": 1} and "koala is open" in studio.message
    ask(studio, "open", **file_of(night, tmp_path, "night <x>.safetensors"))
    both = {"koala": 0.5, "night _x_": 1.5}
    (drawn,) = draw(studio, loras=both)
    item, common = studio._item(studio.drawn[-1]), {"prompt": PROMPT, "steps": 2, "progress": False}
    assert "koala 0.5, night _x_ 1.5" in item["caption"] and "<lora:koala:0.5> <lora:night _x_:1.5>" in item_text(item)
    assert draw(studio, loras={"koala": 0, "night _x_": 0}) == [studio.drawn[0].picture], "0 is without it"
    assert pipe.loras == {}

    ask(studio, "recall", id=1)
    assert studio.widget.settings["loras"] == both and draw(studio) == [drawn], "the strip gives it back"
    ask(studio, "recall", id=0)
    assert studio.widget.settings["loras"] == {"koala": 0, "night _x_": 0}, "the dials stay"
    (tmp_path / "night <x>.safetensors").rename(tmp_path / "night _x_.safetensors")
    names = {"pipe": pipe}
    exec(item["code"].replace('lora("', f'lora("{tmp_path}/'), names)
    pipe.unload_loras()
    assert names[item["code"].split()[-1]] == drawn

    content = item["url"].partition(",")[2]
    ask(studio, "open", name="koala.png", content=content)
    assert studio.message == "Its settings are back." and studio.widget.settings["loras"] == both
    assert draw(studio) == [drawn]
    pipe.unload_loras()
    other = Studio(pipe, PROMPT, steps=1)
    ask(other, "open", name="koala.png", content=content)
    assert "What it was made of is not in its file." in other.message and other.widget.settings["prompt"] == PROMPT

    pipe.load_lora(koala, 0.7, "mine")
    assert Studio(pipe, PROMPT, steps=1).widget.settings["loras"] == {"mine": 0.7}, "what the pipeline has gets a dial"
    pipe.unload_loras()
    assert pipe(**common) == [studio.drawn[0].picture]


def test_no_lora_for_this_model_is_refused_in_a_line(pipe, studio, tmp_path):
    lora = LoRA.new(pipe.unet, rank=2)
    ask(studio, "open", **file_of(lora, tmp_path))
    lora.parameters()[1].data.fill_(1)
    ask(studio, "open", **file_of(lora, tmp_path))
    assert studio.message == "Another koala is open: give this file another name."
    save_file({"a.hada_w1_a": torch.zeros(2, 2)}, tmp_path / "loha.safetensors")
    for name, content, said in (
        ("loha.safetensors", (tmp_path / "loha.safetensors").read_bytes(), "loha.safetensors is a LoHa: give a LoRA"),
        ("x.safetensors", b"nothing", "x.safetensors "),
    ):
        ask(studio, "open", name=name, content=base64.b64encode(content).decode())
        assert studio.message.startswith(said) and studio.sent[-1]["kind"] == "wrong"
    assert studio.widget.settings["loras"] == {"koala": 1}


def test_a_picture_of_the_strip_counts_beside_the_words(pipe, studio):
    studio.shipped = False
    ask(studio, "draw", **{"settings": studio.widget.settings | {"ip_image": 0}})
    assert studio.message.startswith("got an ip_image without an IP-Adapter") and len(studio.drawn) == 1
    torch.manual_seed(5)
    clip = CLIP(CLIPConfig(vision_config=VisionConfig(num_hidden_layers=1))).eval()
    pipe.ip_adapter = IPAdapter.from_unet(pipe.unet, 128), CLIPImage.of(clip)
    ask(studio, "open", name="a.png", content=base64.b64encode(png(square(77, 200))).decode())
    (drawn,) = draw(studio, mode="text to image", ip_image=1, ip_scale=0.6)
    options = {"ip_image": studio.drawn[1].picture, "ip_scale": 0.6}
    assert drawn == pipe(PROMPT, steps=2, progress=False, **options)[0] != studio.drawn[0].picture
    item = studio._item(studio.drawn[-1])
    assert "after a picture, 0.6" in item["caption"] and "IP-Adapter weight: 0.6" in item_text(item)
    names = {"pipe": pipe}
    exec(item["code"], names)
    assert names[item["code"].split()[-1]] == drawn
    ask(studio, "recall", id=0)
    assert studio.widget.settings["ip_image"] is None and draw(studio) == [studio.drawn[0].picture]
    ask(studio, "recall", id=2)
    assert draw(studio) == [drawn]
    ask(studio, "open", name="b.png", content=item["url"].partition(",")[2])
    assert "What it was made of is not in its file." in studio.message and studio.widget.settings["ip_image"] is None
    pipe.ip_adapter = None


def item_text(item):
    return Image.open(io.BytesIO(base64.b64decode(item["url"].partition(",")[2]))).info["parameters"]


def test_a_picture_is_opened_with_its_settings_if_it_is_ours(pipe, studio):
    (drawn,) = draw(studio, prompt="fox on green", seed=3, guidance=2.5, sampler="plms", steps=3)
    ask(studio, "hello")
    file = studio.sent[-1]["pictures"][-1]
    assert file["file"] == "fox on green, seed 3.png"
    content = base64.b64decode(file["url"].partition(",")[2])
    assert infotext.parse(Image.open(io.BytesIO(content)).info["parameters"])["Seed"] == "3"

    other = Studio(pipe, PROMPT, steps=1)
    ask(other, "open", name="fox.png", content=base64.b64encode(content).decode())
    assert other.message == "Its settings are back." and draw(other) == [drawn]

    strange = infotext.chunks(["fox\nSteps: 30, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model hash: 0"])
    ask(studio, "open", name="b.png", content=base64.b64encode(png(square(9, 512), pnginfo=strange)).decode())
    assert "the middle of it" in studio.message and studio.widget.settings["steps"] == 2, "another model's tell nothing"

    studio.widget.settings = studio.widget.settings | {"mode": "text to image"}
    ask(studio, "open", name="a.png", content=base64.b64encode(png(square(77, 300).crop((0, 0, 300, 200)))).decode())
    assert studio.message == "300 × 200 pixels: the middle of it, scaled to 128 × 128."
    assert studio.image.size == (128, 128) and studio.image.getpixel((5, 5)) == (77, 77, 77)
    assert studio.widget.settings["mode"] == "image to image"
    ask(studio, "open", name="a.txt", content=base64.b64encode(b"no picture").decode())
    assert studio.message == "a.txt cannot be read as a picture: open a PNG, a JPEG or the like."


def test_the_studio_says_that_the_controlnet_is_missing(studio, tmp_path, monkeypatch):
    monkeypatch.setattr("minidiff.play.studio.WEIGHTS", tmp_path)
    studio.widget.settings = studio.widget.settings | {"mode": "scribble"}
    ask(studio, "draw", lines=ink(np.ones((128, 128), bool)))
    assert "no weight file" in studio.message and "lines.safetensors" in studio.message


@pytest.mark.parametrize(
    "text, sentence",
    {
        "a cute blue cat with a hat in Paris at night": "cat left of hat on blue",
        "dragons above a PIZZA": "cat above pizza in meadow",  # by Unicode, the dragon's face is beside the cat's
        "umbrela on pink": "umbrella on pink",
        "apple": "red apple in meadow",
        "small sketch of bulb at top, snow": "sketch of small light bulb at top in snow",
        "what?": "fox in meadow",
    }.items(),
)
def test_any_text_is_near_a_sentence_that_it_can_read(text, sentence):
    assert str(words.nearest(text)) == sentence and str(data.parse(sentence)) == sentence
    assert words.unknown(text, data.WORDS)["instead"] == sentence


def test_every_word_has_its_place_in_every_sentence():
    rng = np.random.RandomState(0)
    for i, word in enumerate(word for group in words.GROUPS.values() for word in group):
        for j in range(4):
            text = words.with_word(data.scene(4 * i + j, data.FULL).caption, word, rng)
            data.parse(text)
            taken = word in (*data.STYLES, *data.SIZES, *data.POSITIONS)  # these are taken out if they are there
            assert taken or word in text
    assert all(str(data.parse(text)) == text for text in words.EXAMPLES)


def test_a_word_is_unknown_only_once_it_is_typed():
    assert words.unknown("umbr", data.WORDS)["words"] == {} and words.unknown("", data.WORDS)["instead"] == ""
    assert words.unknown("umbr on pink", data.WORDS)["words"]["umbr"] == {"Like it": [], "Spelled like it": []}
    assert words.unknown("violin on pink", data.WORDS)["words"]["violin"]["Like it"] == [
        "trumpet",
        "guitar",
        "basketball",
    ]
    assert words.unknown("big fox in meadow", data.WORDS) == {"words": {}, "instead": ""}


def test_minidiff_itself_stays_light():
    heavy = "import sys, minidiff; print([m for m in ('torch', 'ipywidgets', 'PIL') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=300).stdout
    assert out.strip() == "[]"
