"""A reader's answers that have passed, kept with all they need, in a folder of the reader's own, and called.

The folder is `answers` in ~/.minidiff, or in what MINIDIFF_HOME names; where that names none, nothing is kept.
`minidiff.yours()` draws with them, see `equip`.
"""

import ast
import contextlib
import dis
import inspect
import linecache
import os
import re
import sys
import textwrap
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from minidiff import arguments
from minidiff.schedule import Schedule

# Where in the pipeline which exercise stands, and with which functions. A loss, a measure, a design of one's own stand
# nowhere, nor does 4.1: the tokenizer merges in Rust.
PLACES = {
    "words": {"4.2": "causal_attention", "5.3": "causal_mask, masked_attention", "11.1": "encode_prompts"},
    "times": {"1.1": "cosine_betas, alpha_bars", "1.4": "zero_terminal_snr", "7.4": "trailing"},
    "noise": {"11.2": "first_latents"},
    "a picture": {"9.4": "canvas", "3.1": "reparameterise", "3.4": "to_latents, from_latents", "1.3": "add_noise"}
    | {"9.1": "start", "9.2": "latent_mask", "9.3": "correct"},
    "U-Net": {"2.1": "timestep_embedding", "2.2": "resnet_block, up_path", "5.2": "multi_head"},
    "control": {"10.1": "zeroed", "10.3": "encode", "10.4": "steer"},
    "guidance": {"6.1": "guided", "6.3": "negative_prompt", "11.3": "draw_latents"},
    "sampler": {"7.1": "ddim_step", "2.4": "ancestral_step", "7.2": "euler, heun", "7.3": "dpmpp_2m"},
    "pixels": {"5.1": "attention", "11.4": "to_pixels", "11.5": "text_to_image"},
}  # fmt: skip
WHERE = {f: number for part in PLACES.values() for number, names in part.items() for f in names.split(", ")}
NUMBERS = list(dict.fromkeys(WHERE.values()))


def keep(number: str, answers: dict[str, object]) -> None:
    """Write answers, by name, and all they need of their notebook, as one file to import, in place of the last one.

    Never raises. What has no source is not kept, nor what needs something that has none (a model, a picture), nor
    anything where the disk cannot be written to.
    """
    if (folder := _folder()) is None:
        return
    with contextlib.suppress(Exception):
        parts = {}
        for name, answer in answers.items():
            _define(name, answer, _functions(answer)[0].__globals__, parts)
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{number.replace('.', '_')}.{os.getpid()}"
        try:
            new.write_text("\n\n".join(parts.values()) + "\n", "utf-8")
            if all(callable(vars(load(new))[name]) for name in answers):
                new.replace(new.with_suffix(".py"))
        finally:
            new.unlink(missing_ok=True)


def kept() -> dict[str, Path]:
    """The files that are there, by exercise."""
    folder = _folder()
    files = [path for path in (folder.glob("*.py") if folder else ()) if re.fullmatch(r"\d+_\d+", path.stem)]
    files.sort(key=lambda path: [*map(int, path.stem.split("_"))])
    return {path.stem.replace("_", "."): path for path in files}


def report() -> str:
    """In how many places of the pipeline the reader's code can draw, in one line."""
    return f"your code can draw in {len(kept().keys() & set(NUMBERS))} of {len(NUMBERS)} places: minidiff.yours()"


def load(path: Path) -> types.ModuleType:
    """A file of answers as a module, without leaving bytecode beside it."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    linecache.checkcache(module.__file__)  # for the lines that an error names
    exec(compile(path.read_text("utf-8"), module.__file__, "exec"), vars(module))
    return module


def _folder() -> Path | None:
    home = os.path.expanduser(os.environ.get("MINIDIFF_HOME", "~/.minidiff"))
    return Path(home) / "answers" if home and not home.startswith("~") else None  # "~" stays where there is no home


def _functions(value: object) -> list[types.FunctionType]:
    """A function without its decorators; of a class, its methods."""
    several = vars(value).values() if inspect.isclass(value) else [value]
    return [f for f in map(inspect.unwrap, several) if inspect.isfunction(f)]


def _define(name: str, value: object, notebook: dict, parts: dict[str, str]) -> None:
    """Add to `parts` the lines that define this name, behind those of the names that they need. Raises if it cannot."""
    if name in parts:
        return
    parts[name] = ""  # a function that calls itself needs no other
    if inspect.ismodule(value):
        text = f"import {value.__name__}" + f" as {name}" * (name != value.__name__)
    elif callable(value) and value.__module__ == notebook["__name__"]:
        text = _source(value)
        for needed in _names(compile(text, name, "exec")):
            if needed in notebook.keys() - {"__name__", value.__name__}:
                _define(needed, notebook[needed], notebook, parts)
        if value.__name__ not in (name, "<lambda>"):
            text += f"\n\n{name} = {value.__name__}"
    elif isinstance(value, str | int | float | list | tuple | dict | set | None):
        text = f"{name} = {value!r}"
        ast.literal_eval(repr(value))  # raises for others than numbers and texts
    else:
        text = f"from {_module(name, value)} import {name}"
    del parts[name]  # and in again at the end
    parts[name] = text


def _module(name: str, value: object) -> str:
    """The module from which a notebook has imported this name."""
    for module in [getattr(value, "__module__", None), *sys.modules]:
        if (
            module not in ("__main__", "__mp_main__")
            and getattr(sys.modules.get(module), "__dict__", {}).get(name) is value
        ):
            return module
    raise LookupError(name)


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that code reads, in its functions too."""
    loads = "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"
    yield from (step.argval for step in dis.get_instructions(code) if step.opname in loads)
    for const in filter(inspect.iscode, code.co_consts):
        yield from _names(const)


def _source(value: object) -> str:
    f = _functions(value)[0]
    if not inspect.isclass(value):
        text = textwrap.dedent(inspect.getsource(f))
        node = ast.parse(text).body[0]  # of a lambda: the whole line, which may call something, such as check
        if isinstance(node, ast.FunctionDef) or isinstance(getattr(node, "value", None), ast.Lambda):
            return text
        raise ValueError(f"{value.__name__} is not defined by itself")
    lines = linecache.getlines(f.__code__.co_filename)  # inspect finds no class of a notebook
    first = max(i for i, line in enumerate(lines) if re.match(rf"class {value.__name__}\b", line))
    while first and lines[first - 1].startswith("@"):
        first -= 1
    return "".join(inspect.getblock(lines[first:]))


class YourError(RuntimeError):
    """A reader's function failed while it drew: exercise, function, what happened, and the line."""


class Answer:
    """A reader's function, called as f(shape, *args). YourError if it raises, or gives another shape, dtype, or NaN."""

    def __init__(self, mine: "Answers", name: str):
        self.mine, self.name, self.number = mine, name, WHERE[name]
        self.module = mine.modules[self.number]

    def __call__(self, shape: object, *args):
        with self.named() as f:
            return _fitting(f(*args), shape, *args)

    def states(self, denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator=None) -> Iterator[Tensor]:
        """Called as a sampler."""
        with self.named() as f:
            for state in f(denoise, x, schedule, ts):
                yield _fitting(state, x.shape, x)

    @contextlib.contextmanager
    def named(self) -> Iterator[Callable]:
        """Gives the function, for one call; what goes wrong in there bears its name."""
        self.mine.calls[self.number] += 1
        try:
            yield getattr(self.module, self.name)
        except YourError:
            raise
        except Exception as error:
            own = [s for s in traceback.extract_tb(error.__traceback__) if s.filename == self.module.__file__]
            where = f", in line {own[-1].lineno} of {own[-1].name}: {own[-1].line}" if own else ""
            unfit = isinstance(error, ValueError) and not own
            what = " ".join((f"{type(error).__name__}: " * (not unfit) + str(error)).split())
            raise YourError(f"your {self.name} of {self.number} fails in the pipeline: {what}{where}") from error


class Answers:
    """The answers that are kept, by exercise, and how often each was called.

    An adapter, by the name of a reader's function, calls it as an `Answer` by the arguments of what it stands for.
    """

    def __init__(self, adapters: dict[str, Callable]):
        self.modules, self.calls, self.adapters = {}, Counter(), adapters
        for number, path in kept().items():
            try:
                self.modules[number] = load(path)
            except Exception as error:  # what it imports may be gone
                arguments.warn(f"your answer to {number} is left out, as {path} does not load: {error}")

    def __call__(self, name: str, theirs: Callable | None = None) -> Callable | None:
        """A reader's function, called as `theirs`, in whose place it stands; if it is not kept, `theirs`."""
        return partial(self.adapters[name], Answer(self, name)) if WHERE[name] in self.modules else theirs


def _fitting(out, shape, *args):
    """`out`, if it is finite and of this shape; of a list, its parts. ValueError. A function raises itself if `out` is
    nothing for it; None is anything."""
    if callable(shape):
        shape(out)
    elif isinstance(shape, list):
        if len(out) != len(shape):
            raise ValueError(f"gives {len(out)} parts, expected {len(shape)}")
        for each in zip(out, shape, strict=True):
            _fitting(*each, *args)
    elif shape is not None:
        if getattr(out, "shape", None) != torch.Size(shape):
            raise ValueError(f"gives {arguments.named(out)}, expected shape {tuple(shape)}")
        dtypes = [arg.dtype for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()]
        if out.is_floating_point() and out.dtype not in (dtypes or [out.dtype])[:1]:
            raise ValueError(f"gives {out.dtype}, expected {dtypes[0]}")
        if not out.isfinite().all():
            raise ValueError("gives numbers that are not finite (nan or inf)")
    return out
