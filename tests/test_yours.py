"""A reader's answers in the pipeline: those of the solution notebooks, kept as a notebook keeps them, draw its pictures."""

import ast
import contextlib
import json
import linecache
import os
import re
import threading
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minidiff
from minidiff import answers, data, pipeline, sample, unet
from minidiff.answers import NUMBERS, keep, kept, report
from minidiff.check import exercises
from minidiff.controlnet import ControlNet
from minidiff.convert import load
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.yours import Yours, YourError

ROOT = Path(__file__).resolve().parent.parent
STEPS = 3


CHECKS = re.compile(r'^check\("([\d.]+)", (.+)\)$', re.M)


def run(namespace, source, name):
    """Run a cell as IPython does, whose source can be found again; but definitions and constants alone."""
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    for node in ast.parse(source).body:
        constant = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if constant or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            with contextlib.suppress(NameError):  # a default that is no constant
                exec(compile(ast.Module([node], []), name, "exec"), namespace)


@cache
def solved():
    """Exercise -> the answers of its solution, by name, as a reader's notebook has them."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        namespace = {"__name__": "__main__", "torch": torch, "device": torch.device("cpu"), "SCALE": "test"}
        for i, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and i > 1:
                run(namespace, source, f"<cell {i} of {path.stem}>")
            for number, names in CHECKS.findall(source):
                found[number] = {name: namespace[name] for name in names.split(", ")}
    return found


@pytest.fixture(scope="module")
def plain():
    return StableDiffusion.from_pretrained("openmoji", "cpu")


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A folder with all solutions in it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFF_HOME", str(home))
        for number, answers in solved().items():
            keep(number, answers)
    return home


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder of a reader's."""
    monkeypatch.setenv("MINIDIFF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def full(everything, monkeypatch):
    monkeypatch.setenv("MINIDIFF_HOME", str(everything))


@cache
def image():
    return Image.fromarray(data.Scene(data.parse("big dog in meadow"), seed=4).image)


@cache
def mask():
    marked = np.zeros((128, 128), bool)
    marked[32:96, 40:100] = True
    return marked


@cache
def lines():
    return load(ControlNet, WEIGHTS / "lines.safetensors", torch.device("cpu"))


def hint():
    return Image.fromarray(data.Scene(data.parse("big fox in meadow"), seed=2).lines).convert("RGB")


WAYS = {  # what is asked for, and the exercises that draw it
    "text": (dict(), "4.2 5.3 11.1 1.1 1.4 7.4 11.2 2.1 2.2 5.2 11.3 7.1 5.1 11.4 11.5"),
    "sampler": (dict(sampler=sample.heun), "4.2 5.3 11.1 1.1 1.4 7.4 11.2 2.1 2.2 5.2 11.3 7.2 5.1 11.4"),
    "image": (dict(image=image, strength=0.7), "4.2 5.3 11.1 1.1 1.4 7.4 3.1 3.4 9.1 2.1 2.2 5.2 6.1 7.1 5.1 11.4"),
    "inpaint": (
        dict(image=image, mask=mask, strength=0.7, negative_prompt="cat", sampler=sample.dpmpp_2m),
        "4.2 5.3 11.1 1.1 1.4 7.4 3.1 3.4 1.3 9.3 2.1 2.2 5.2 6.3 7.3 5.1 11.4",
    ),
    "outpaint": (
        dict(image=image, margins=(16, 0, 0, 8), sampler=sample.ddpm),
        "4.2 5.3 11.1 1.1 1.4 7.4 9.4 3.1 3.4 1.3 9.3 2.1 2.2 5.2 6.1 2.4 5.1 11.4",
    ),
    "control": (
        dict(control=lambda: [(lines(), hint(), 0.5), (lines(), hint(), 0.4)]),
        "4.2 5.3 11.1 1.1 1.4 7.4 11.2 2.1 2.2 5.2 10.1 10.3 10.4 11.3 7.1 5.1 11.4",
    ),
}
DRAWN_BY = {number: way for way, (_, numbers) in reversed(WAYS.items()) for number in numbers.split()}
DRAWN_BY |= {"6.1": "image"}


def asked(way, **options):
    options = WAYS[way][0] | options
    options = {name: value() if callable(value) and name != "sampler" else value for name, value in options.items()}
    return dict(prompt="fox above rocket on green", steps=STEPS, seed=3, progress=False) | options


def apart(a, b):
    """The largest difference of two lists of pictures, in steps of 255."""
    return max(np.abs(np.asarray(x).astype(int) - np.asarray(y)).max() for x, y in zip(a, b, strict=True))


@cache
def theirs(way):
    return StableDiffusion.from_pretrained("openmoji", "cpu")(**asked(way))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_picture_and_who_drew_it(full, way):
    drawn = minidiff.yours(device="cpu")(**asked(way))
    assert apart(drawn, theirs(way)) <= 1
    assert set(drawn.called) == set(WAYS[way][1].split())
    assert repr(drawn) == f"this picture was drawn by your code in {len(drawn.called)} of {len(NUMBERS)} places"


def test_every_place_is_drawn_in_one_of_the_ways():
    assert set(DRAWN_BY) == set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_part_alone(home, number):
    keep(number, solved()[number])
    assert report() == f"your code can draw in 1 of {len(NUMBERS)} places: minidiff.yours()"
    drawn = minidiff.yours(device="cpu")(**asked(DRAWN_BY[number]))
    assert drawn.called == [number] and apart(drawn, theirs(DRAWN_BY[number])) <= 1
