"""A picture says how it was drawn, so that web interfaces read it, and is drawn again from what it says."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_fuzz import SIDE, files, weights  # noqa: F401  fixtures
from test_pipeline import command

from minidiff import infotext
from minidiff.controlnet import ControlNet
from minidiff.pipeline import StableDiffusion
from minidiff.play.studio import Studio
from minidiff.sample import SAMPLERS, heun

SETTINGS = {"Steps": 25, "Sampler": "DPM++ 2M", "CFG scale": "7.5", "Seed": 3, "Size": "128x64", "Model hash": "0a"}


def read_as_theirs(text):
    """What AUTOMATIC1111's parse_generation_parameters finds, by its patterns and rules."""
    setting = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    assert len(setting.findall(last)) >= 3
    prompt, negative = [], None
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            negative = [] if negative is None else negative
            line = line[16:].strip()
        (prompt if negative is None else negative).append(line)
    out = {"Prompt": "\n".join(prompt), "Negative prompt": "\n".join(negative or [])}
    for key, value in setting.findall(last):
        if value[0] == '"' and value[-1] == '"':
            value = json.loads(value)
        size = re.match(r"^(\d+)x(\d+)$", value)
        out |= {f"{key}-1": size[1], f"{key}-2": size[2]} if size else {key: value}
    return out


@pytest.mark.parametrize("prompt", [
    "big red apple on blue", "", "a, b: c, \"d\"", "a: 1, b: 2, c: 3", "two\nlines", " blank ends ", "a\n\n b\n", "\\",
    '"', '"quoted"', "Negative prompt: x", "a\nNegative prompt: x\nSteps: 1, Seed: 2, Size: 3x3", "狐 ☃ é", "a\r\tb",
])  # fmt: skip
@pytest.mark.parametrize("negative", ["", "cat", "a: b, c\nd", " x", "Negative prompt: y"])
def test_what_is_written_is_read_here_and_there(prompt, negative):
    text = infotext.write(prompt, negative, SETTINGS | {"Margins": "8 0 0 8", "Note": 'a, "b": c\n'})
    ours, theirs = infotext.parse(text), read_as_theirs(text)
    assert ours["Prompt"] == theirs["Prompt"] == prompt
    assert ours["Negative prompt"] == theirs["Negative prompt"] == negative
    for key, value in SETTINGS.items():
        assert ours[key] == str(value) and (key == "Size" or theirs[key] == str(value))
    assert (theirs["Size-1"], theirs["Size-2"]) == ("128", "64") and ours["Note"] == theirs["Note"] == 'a, "b": c\n'


def test_the_usual_text_is_as_theirs():
    text = infotext.write("fox on green", "cat", SETTINGS)
    last = "Steps: 25, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 3, Size: 128x64, Model hash: 0a"
    assert text == f"fox on green\nNegative prompt: cat\n{last}"


def parameters(path):
    with Image.open(path) as picture:
        return {key: infotext.parse(text) for key, text in picture.text.items()}


CASES = {
    "plain": (["fox on green"], {}),
    "every setting": (
        ["fox on green"],
        {"--seed": 7, "--steps": 3, "--guidance": 2.5, "--sampler": "euler_ancestral", "--negative": "cat, on: x\ny"},
    ),
    "size": ([" fox\non green"], {"--height": 40, "--width": 72}),
    "redrawn": (["fox"], {"--image": "phone.jpg", "--strength": 0.5, "--steps": 4}),
    "inpainted": (["fox"], {"--image": "palette.gif", "--mask": "layer.png", "--strength": 0.9}),
    "outpainted": (["fox"], {"--image": "rgb.png", "--margins": [8, 0, 16, 0]}),
    "controlled": (["fox"], {"--control": ["lines", "sixteen.png"], "--control-scale": 0.7}),
    "fast": (["fox"], {"--fast": [], "--steps": 4}),
    "fast, redrawn": (["fox"], {"--fast": [], "--image": "rgb.png", "--strength": 0.3}),
    "grid": (["fox", "Negative prompt: x", "cat on blue"], {"--seed": 2, "--image": "rgb.png"}),
}  # fmt: skip
FILES = ("--image", "--mask", "--control")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_picture_is_drawn_again_bit_for_bit(name, weights, files, tmp_path, capsys):  # noqa: F811
    prompts, options = CASES[name]
    argv, given = ["--weights", weights], []
    for option, value in ({"--steps": 2} | options).items():
        values = [files.get(v, v) for v in (value if isinstance(value, list) else [value])]
        (given if option in FILES else argv).extend([option, *values])
    command(*prompts, *argv, *given, "--out", tmp_path / "first.png")
    command("--again", tmp_path / "first.png", "--weights", weights, *given, "--out", tmp_path / "again.png")
    with Image.open(tmp_path / "first.png") as first, Image.open(tmp_path / "again.png") as again:
        assert np.array_equal(np.asarray(first), np.asarray(again)) and first.text == again.text
        assert list(first.text) == ["parameters", "parameters 2", "parameters 3"][: len(prompts)]
    said = parameters(tmp_path / "first.png")["parameters"]
    assert said["Prompt"] == prompts[0] and said["Steps"] == str(({"--steps": 2} | options)["--steps"])
    if given:
        with pytest.raises(SystemExit):
            command("--again", tmp_path / "first.png", "--weights", weights, "--out", tmp_path / "no.png")
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and f"give it by {given[0]}" in err and not (tmp_path / "no.png").exists()


def test_what_was_not_drawn_fast_is_not_drawn_fast_again(weights, tmp_path, capsys):  # noqa: F811
    for name, fast in (("slow.png", []), ("fast.png", ["--fast"])):
        command("fox", *fast, "--weights", weights, "--out", tmp_path / name)
    slow, fast = (parameters(tmp_path / name)["parameters"] for name in ("slow.png", "fast.png"))
    assert [slow.get(key) for key in ("Steps", "CFG scale", "Sampler", "Fast")] == ["25", "4", "DDIM", None]
    assert [fast.get(key) for key in ("Steps", "CFG scale", "Sampler", "Fast")] == ["2", "1", "LCM", "True"]
    assert slow["Model hash"] != fast["Model hash"]
    with pytest.raises(SystemExit):
        command("--again", tmp_path / "slow.png", "--fast", "--weights", weights, "--out", tmp_path / "out.png")
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "slow.png was drawn without it: give its prompt" in err
    command("--again", tmp_path / "fast.png", "--steps", 3, "--weights", weights, "--out", tmp_path / "out.png")
    assert parameters(tmp_path / "out.png")["parameters"] == fast | {"Steps": "3"}


def test_another_file_is_not_taken_and_an_option_changes_what_is_drawn(weights, files, tmp_path, capsys):  # noqa: F811
    first, out = tmp_path / "first.png", tmp_path / "out.png"
    command("fox", "--image", files["rgb.png"], "--steps", 2, "--weights", weights, "--out", first)
    again = ["--again", first, "--out", out, "--image"]
    for wrong in ([files["half.png"], "--weights", weights], [files["rgb.png"]]):
        with pytest.raises(SystemExit):
            command(*again, *wrong)
    assert re.findall("of (.*) hash .*: give it by (.*)", capsys.readouterr().err) == [
        ("image", "--image"), ("model", "--weights"),
    ]  # fmt: skip
    command(*again, files["rgb.png"], "--weights", weights, "--seed", 5)
    assert parameters(out)["parameters"] == parameters(first)["parameters"] | {"Seed": "5"}
    for name, text in (("a.png", None), ("b.png", "fox\nSteps: x, Seed: 1, Size: 64x64"), ("c.png", "no settings")):
        info = infotext.chunks([text] if text else [])
        Image.new("RGB", (8, 8)).save(tmp_path / name, pnginfo=info)
        with pytest.raises(SystemExit):
            command("--again", tmp_path / name, "--out", out)
    err = capsys.readouterr().err.splitlines()
    assert "does not say how it was drawn" in err[0] and "whose Steps is 'x'" in err[1] and len(err) == 3


@pytest.mark.parametrize("change", [
    "Seed: -1", "Seed: 1e3", "Size: 128", "CFG scale: x", 'ControlNet weight: ""', "Margins: 1 2", "Model hash: ",
])  # fmt: skip
def test_a_setting_that_is_none_is_named_with_its_file(change, tmp_path, capsys):
    key, _, value = change.partition(": ")
    text = infotext.write("fox", "", SETTINGS | {key: value.strip('"')})
    Image.new("RGB", (8, 8)).save(tmp_path / "edited.png", pnginfo=infotext.chunks([text]))
    with pytest.raises(SystemExit):
        command("--again", tmp_path / "edited.png", "--out", tmp_path / "no.png")
    said = capsys.readouterr().err
    assert f"edited.png, whose {key} is" in said and "give one that minidiff wrote" in said and said.count("\n") == 1


def test_a_number_that_is_written_as_a_power_is_read_back(weights, tmp_path):  # noqa: F811
    first, out = tmp_path / "first.png", tmp_path / "out.png"
    command("fox on green", "--weights", weights, "--steps", 1, "--guidance", "1e-5", "--out", first)
    command("--again", first, "--weights", weights, "--out", out)
    assert parameters(out) == parameters(first) and parameters(out)["parameters"]["CFG scale"] == "1e-05"


def test_around_a_picture_its_own_size_counts_no_more(weights, files, tmp_path):  # noqa: F811
    first, out = tmp_path / "first.png", tmp_path / "out.png"
    command("fox on green", "--weights", weights, "--steps", 1, "--out", first)
    command("--again", first, "--weights", weights, "--image", first, "--margins", 8, 0, 0, 0, "--out", out)
    assert Image.open(out).width == Image.open(first).width + 8


def test_the_hash_is_of_what_is_seen_and_of_the_weights(weights, files):  # noqa: F811
    pipe = StableDiffusion.from_pretrained(weights, device="cpu")
    picture = Image.open(files["rgb.png"])
    first = infotext.hashes(pipe, image=picture, mask=np.eye(SIDE, dtype=bool))
    assert first == infotext.hashes(pipe, image=picture.convert("RGBA"), mask=np.eye(SIDE))
    other = infotext.hashes(pipe, image=picture.rotate(90), mask=~np.eye(SIDE, dtype=bool))
    assert all(first[key] != other[key] for key in ("Image hash", "Mask hash"))
    pipe.unet.conv_in.bias.data[0] += 1e-3
    assert infotext.hashes(pipe)["Model hash"] != first["Model hash"]


def test_every_sampler_has_a_name_there_or_keeps_its_own():
    assert set(infotext.SAMPLERS) <= set(SAMPLERS)


def test_the_studio_saves_it(weights, files, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    pipe = StableDiffusion.from_pretrained(weights, device="cpu")
    studio = Studio(pipe, "fox on green", steps=2)
    image = studio.image
    studio.draw(sampler="heun", seed=4, mode="image to image", strength=0.75)
    studio.wait(300)
    studio.widget.settings = studio.widget.settings | {"seed": 9}  # what is set but not yet drawn is not what was drawn
    for i, drawn in enumerate(studio.drawn, 1):
        data = studio._item(drawn)["url"].partition(",")[2]
        Path(f"minidiff-{i}.png").write_bytes(base64.b64decode(data))
    assert parameters("minidiff-1.png")["parameters"]["Seed"] == "0"
    second = parameters("minidiff-2.png")["parameters"]
    assert (second["Seed"], second["Sampler"], second["Denoising strength"]) == ("4", "Heun", "0.75")
    image.save("image.png")
    command("--again", "minidiff-2.png", "--image", "image.png", "--weights", weights, "--out", "again.png")
    assert np.array_equal(np.asarray(Image.open("minidiff-2.png")), np.asarray(Image.open("again.png")))
    hint = Image.new("RGB", (SIDE, SIDE), "white")
    controlnet = ControlNet.from_unet(pipe.unet, conditioning_embedding_out_channels=(4, 4, 8, 8)).eval()
    options = dict(steps=2, guidance=4, seed=1, sampler=heun, control=(controlnet, hint, 1.0))
    (text,) = infotext.texts(pipe, pipe("fox", **options, progress=False), "fox", **options)
    assert infotext.parse(text)["ControlNet weight"] == "1"
