"""A reader's answers in the pipeline: those of the solution notebooks, kept as from a notebook, draw its pictures."""

import ast
import contextlib
import copy
import json
import linecache
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minidiff
from minidiff import answers, data, parts, pipeline, sample
from minidiff.answers import NUMBERS, YourError, keep, kept, report
from minidiff.controlnet import ControlNet
from minidiff.convert import load
from minidiff.pipeline import WEIGHTS, StableDiffusion

ROOT = Path(__file__).resolve().parent.parent
STEPS = 2


CHECKS = re.compile(r'^check\("([\d.]+)", (.+)\)$', re.M)


def run(namespace, source, name="<a cell>"):
    """Run a cell as IPython does, whose source can be found again; but definitions and constants alone."""
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    for node in ast.parse(source).body:
        constant = isinstance(node, ast.Assign) and isinstance(
            node.value, ast.Constant | ast.Lambda | ast.Dict | ast.Tuple
        )
        if constant or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            with contextlib.suppress(NameError):  # a default that is no constant
                exec(compile(ast.Module([node], []), name, "exec"), namespace)
    return namespace


def notebook(path):
    """What its cells define, and their sources."""
    namespace = {"__name__": "__main__", "torch": torch, "device": torch.device("cpu"), "SCALE": "test"}
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"] if "outputs" in cell]
    for i, source in enumerate(cells[1:]):  # the first finds minidiff
        run(namespace, source, f"<cell {i} of {path.stem}>")
    return namespace, "\n".join(cells)


@cache
def solved():
    """Exercise -> the answers of its solution, by name, as a reader's notebook has them."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        namespace, source = notebook(path)
        for number, names in CHECKS.findall(source):
            found[number] = {name: namespace[name] for name in names.split(", ")}
    return found


@cache
def loaded(*file):
    return load(*file)


@pytest.fixture(autouse=True)
def files_are_read_once(monkeypatch):
    monkeypatch.setattr(parts, "load", lambda *file: copy.deepcopy(loaded(*file)))


@cache
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
    marked[32:96, 40:104] = True
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
        "4.2 5.3 11.1 1.1 1.4 7.4 3.1 3.4 1.3 9.2 9.3 2.1 2.2 5.2 6.3 7.3 5.1 11.4",
    ),
    "outpaint": (
        dict(image=image, margins=(16, 0, 0, 8), sampler=sample.ddpm),
        "4.2 5.3 11.1 1.1 1.4 7.4 9.4 3.1 3.4 1.3 9.2 9.3 2.1 2.2 5.2 6.1 2.4 5.1 11.4",
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
    return plain()(**asked(way))


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


@pytest.mark.parametrize("name", ["euler", "euler_ancestral"])
def test_the_other_samplers(full, name):
    options = asked("sampler", steps=3, sampler=sample.SAMPLERS[name], prompt=["bee on blue", "fox in sea"])
    drawn = minidiff.yours(device="cpu")(**options)
    assert apart(drawn, plain()(**options)) <= 1
    assert ("7.2" if name == "euler" else "7.1") in drawn.called


def test_a_trace(full):
    pipe, options = minidiff.yours(device="cpu"), asked("control", trace=True)
    mine, ours = pipe(**options), plain()(**options)
    assert apart(mine.images, ours.images) <= 1 and "11.3" in pipe.mine.calls
    for a, b in zip(mine.calls, ours.calls, strict=True):
        assert (a.x0 - b.x0).abs().max() < 1e-3 and (a.x0_cond - b.x0_cond).abs().max() < 1e-3
        assert a.attention.keys() == b.attention.keys() and len(a.control) == len(b.control) == 2


def test_a_mask_that_cuts_blocks_is_the_pipelines(home):
    keep("9.2", solved()["9.2"])
    cut = asked("inpaint", mask=np.roll(mask(), 3, axis=1))
    drawn = minidiff.yours(device="cpu")(**cut)
    assert drawn.called == [] and apart(drawn, plain()(**cut)) <= 1


def test_the_whole_function_draws_several(full):
    options = dict(prompt=["bee on blue", "fox in sea"], negative_prompt="cat", steps=2, guidance=2, seed=[4, 9])
    drawn = minidiff.yours(device="cpu")(**options, progress=False)
    assert "11.5" in drawn.called and apart(drawn, plain()(**options, progress=False)) <= 1
    assert repr(drawn).startswith("these 2 pictures were drawn by your code in ")
    with pytest.raises(ValueError, match="steps is 0, expected a whole number"):
        minidiff.yours(device="cpu")("fox", steps=0)


# Lesson 07's own samplers, in the pipeline as it is


@pytest.mark.parametrize("name", ["ddim", "euler", "euler_ancestral", "heun", "plms", "dpmpp_2m"])
def test_the_lessons_samplers_run_in_the_pipeline(pipe, name):
    own = lesson_7()[name]
    wrapped = lambda *a, generator: sample.SAMPLERS[name](*a, generator=generator)  # noqa: E731  of no known name
    ours = wrapped if name in ("euler_ancestral", "plms") else sample.SAMPLERS[name]  # which begin in another way
    mine, ours = (pipe("fox in sea", steps=5, sampler=f, progress=False, trace=True) for f in (own, ours))
    for a, b in zip(mine.states, ours.states, strict=True):
        assert (a - b).abs().max() < 1e-4
    assert pipe(["fox in sea", "bee on blue"], steps=1, sampler=own, progress=False)


@cache
def lesson_7():
    return notebook(ROOT / "notebooks" / "07_samplers.ipynb")[0]


# What fails is named


BROKEN = {
    "nan": ("2.1", "def timestep_embedding(t, dim):\n    return torch.full((len(t), dim), torch.nan)", r"not finite"),
    "shape": (
        "6.1",
        "def guided(denoise, x, *rest):\n    return x[:, :2]",
        r"gives .*\(1, 2, 16, 16\), expected .*\(1, 4, 16, 16\)",
    ),
    "dtype": (
        "1.4",
        "def zero_terminal_snr(betas):\n    return betas.float()",
        r"torch.float32, expected torch.float64",
    ),
    "not a state": ("10.3", "def encode(conv_in, *rest):\n    return [torch.zeros(1, 1, 1, 1)] * 7", "RuntimeError"),
    "too few": (
        "10.4",
        "def steer(skips, middle, controls):\n    return skips[1:], middle",
        "gives 5 parts, expected 6",
    ),
    "not empty": ("10.1", "def zeroed(conv):\n    return conv.weight", "AttributeError"),
    "raises": (
        "5.2",
        "def multi_head(q, k, v, heads):\n    return other(q)\n\n\ndef other(q):\n    return {}[len(q)]",
        r"KeyError: 2, in line 2 of other: return \{\}\[len\(q\)\]",
    ),
    "a sampler": (
        "7.2",
        "def euler(denoise, x, *rest, **more):\n    yield x\n    raise OSError('late')\n\n\nheun = euler",
        r"OSError: late, in line 3 of euler: raise OSError\('late'\)",
    ),
    "none": ("11.4", "def to_pixels(decode, latents, factor):\n    pass", "gives None, expected shape"),
    "arguments": ("11.1", "def encode_prompts(tokenize):\n    pass", r"TypeError: .*takes 1 positional argument"),
}


@pytest.mark.parametrize("number, source, message", BROKEN.values(), ids=BROKEN)
def test_what_fails_is_named_and_not_the_pipeline(home, number, source, message):
    space = run({"__name__": "__main__", "torch": torch}, source)
    names = [name for name, where in answers.WHERE.items() if where == number and name in space]
    keep(number, {name: space[name] for name in names})
    options = asked("control" if number.startswith("10") else "text", sampler=sample.euler, steps=3)
    with pytest.raises(YourError, match=f"^your {names[0]} of {number} fails in the pipeline: .*{message}"):
        minidiff.yours(device="cpu")(**options)


def test_an_answer_that_does_not_load_is_left_out(home):
    keep("2.1", solved()["2.1"])
    kept()["2.1"].write_text("import no_such_library")
    with pytest.warns(UserWarning, match="your answer to 2.1 is left out, as .*2_1.py does not load: No module named"):
        assert not minidiff.yours(device="cpu").mine.modules


# Nothing leaks


def package():
    return {name: dict(vars(module)) for name, module in sys.modules.items() if name.startswith("minidiff")}


def test_other_pipelines_are_as_they_were(full):
    pipe, before = minidiff.yours(device="cpu"), package()
    drawing = pipe.draw("fox in sea", steps=3, control=(lines(), hint(), 0.5), image=image())
    next(drawing)
    after, calls = package(), dict(pipe.mine.calls)
    for name, module in before.items():
        assert all(after[name][key] is value for key, value in module.items()), name
    assert apart(plain()(**asked("control")), theirs("control")) == 0
    assert dict(pipe.mine.calls) == calls
    for layer in [*plain().unet.modules(), *lines().modules()]:
        assert not {"forward", "encode"} & vars(layer).keys()
    assert pipeline.SCHEDULE is plain().schedule and "add_noise" not in vars(pipeline.SCHEDULE)


def test_ctrl_c_stops_it_and_the_next_picture_is_as_ever(home):
    space = run({"__name__": "__main__"}, "def guided(denoise, x, *rest):\n    raise KeyboardInterrupt")
    keep("6.1", {"guided": space["guided"]})
    pipe = minidiff.yours(device="cpu")
    with pytest.raises(KeyboardInterrupt):
        pipe(**asked("text"))
    assert apart(plain()(**asked("text")), theirs("text")) == 0


# What is kept


HELPERS = '''
import functools
import math as m

from minidiff.denoise import EPS, denoiser

LIMIT, NAMES = 30, {"a": (1, -2.5), "b": None}
half = lambda x: x / 2
unused = open


class Scale:
    """A helper with a base that is a helper."""

    by = LIMIT

    def __call__(self, x):
        return self.by * again(x, 2)


@functools.cache
def table(n):
    return [m.sqrt(i) for i in range(n)]


def again(x, n):
    return x if n == 0 else once(x, n)


def once(x, n):
    return again(x + 1, n - 1)


def answer(x, prediction=EPS):
    inner = lambda y: half(y) + LIMIT
    x = [Scale()(inner(y)) for y in table(4)]
    assert prediction is EPS and denoiser
    return x, NAMES
'''


def test_an_answer_is_kept_with_its_helpers(home):
    space = run({"__name__": "__main__"}, HELPERS)
    space["LIMIT"], space["NAMES"], space["x"] = 30, {"a": (1, -2.5), "b": None}, object()
    keep("1.2", {"asked_for": space["answer"]})
    module = answers.load(kept()["1.2"])
    assert module.asked_for([1]) == space["answer"]([1])
    assert not {"unused", "x"} & vars(module).keys(), "and with nothing else"


def test_the_last_passing_version_is_kept(home):
    for i in range(3):
        keep("1.2", {"f": run({"__name__": "__main__"}, f"def f():\n    return {i}", f"<cell {i}>")["f"]})
        assert answers.load(kept()["1.2"]).f() == i
    keep("1.2", {"f": eval("lambda: 4")})  # which has no source
    assert answers.load(kept()["1.2"]).f() == 2
    assert [path.name for path in (home / "answers").iterdir()] == ["1_2.py"]


def made(n):
    return lambda: n


NOT_KEPT = {
    "builtin": len,
    "a closure": made(3),
    "no source": eval("lambda: 1"),
    "None": None,
    "a number": 3,
    "a model": torch.nn.Linear(1, 1),
}


@pytest.mark.parametrize("f", NOT_KEPT.values(), ids=NOT_KEPT)
def test_what_cannot_be_kept_is_not(home, f):
    keep("1.2", {"f": f})
    space = run({"__name__": "__main__", "model": torch.nn.Linear(1, 1)}, "def f(x):\n    return model(x)")
    keep("1.3", space)
    assert kept() == {} and report() == f"your code can draw in 0 of {len(NUMBERS)} places: minidiff.yours()"


def test_where_it_is_kept(tmp_path, monkeypatch):
    f = solved()["2.1"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MINIDIFF_HOME", "")
    keep("2.1", f)
    assert kept() == {} and not any(tmp_path.iterdir())
    monkeypatch.delenv("MINIDIFF_HOME")
    keep("2.1", f)
    assert kept()["2.1"] == tmp_path / ".minidiff" / "answers" / "2_1.py"
    monkeypatch.setenv("MINIDIFF_HOME", str(tmp_path / ".minidiff" / "answers" / "2_1.py"))  # no folder
    keep("2.1", f)
    assert kept() == {}


def test_it_is_shown(full):
    pipe = minidiff.yours(device="cpu")
    assert repr(pipe) == report() == f"your code can draw in {len(NUMBERS)} of {len(NUMBERS)} places: minidiff.yours()"
    assert pipe._repr_html_().count("#CCEBE1") == len(NUMBERS)
    drawn, shown = pipe(**asked("text")), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", lambda *a, **k: shown.append(a))
        drawn._ipython_display_()
    page = shown[1][0]["text/html"]
    assert shown[0] == tuple(drawn) and page.count("✓") == page.count("#009E73") == len(drawn.called)
    assert repr(drawn) in page and "5.2 multi_head" in page


def test_a_lambda_inside_a_call_is_not_kept_for_that_call_would_run_again(home):
    ran = []
    namespace = {"__name__": "__main__", "keep": keep, "ran": ran}
    lines = [
        'ran.append(keep("1.2", {"snr_db": lambda a: a}))',
        "snr_db = lambda a: 2 * a",
        'keep("1.3", {"snr_db": snr_db})',
    ]
    source = "\n".join(lines)
    linecache.cache["<call>"] = len(source), None, source.splitlines(True), "<call>"
    exec(compile(source, "<call>", "exec"), namespace)
    assert ran == [None] and list(kept()) == ["1.3"]
