"""Widgets. Each is a `Panel`: it moves in a live notebook, and a still picture stands for it everywhere else."""

from __future__ import annotations

import base64
import io
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from minidiff import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

WIDE = 320  # pixels of the page that a picture takes, at least
AHEAD = 48  # pictures that are drawn ahead, at most,
SECONDS = 1 if os.environ.get("MINIDIFF_SCALE") == "test" else 10  # for as long as this,
BYTES = 400_000  # and as text of about this length
SAVED = "application/vnd.minidiff.play+json"  # what a notebook keeps of a `Dials`, and the site shows


class Panel:
    """What a cell shows: one output that holds a widget, and a picture for a page or where anywidget is missing.

    A subclass has `still()`, that picture, `__repr__`, its text, and sets `widget` where it can.
    """

    widget = None

    def still(self) -> Image:
        raise NotImplementedError

    def output(self) -> dict:
        """MIME type -> data."""
        output = {"text/plain": repr(self), "image/png": png(self.still())}
        if self.widget is not None:
            data = self.widget._repr_mimebundle_()
            data = data[0] if isinstance(data, tuple) else data  # anywidget's come with metadata
            output |= {kind: each for kind, each in data.items() if kind not in output}
        return output

    def _ipython_display_(self) -> None:
        # not `_repr_mimebundle_`: where drawing widgets live in Colab is added to what is displayed, not to results
        from IPython.display import display

        display(self.output(), raw=True)


def play(
    draw: Callable[..., Image | Figure],
    *,
    start: dict | None = None,
    beside: dict[str, Image] | None = None,
    **dials: Sequence,
) -> Dials:
    """A picture, draw(**values), that is drawn anew whenever a dial is moved: make it the last line of a cell.

    draw    values by name -> a PIL image or a matplotlib figure, which is closed
    start   name -> the value at which a dial begins; in the middle where it is not said
    beside  a name -> a picture to compare with, which stands to the left with its name
    dials   each its name and two or more values it can take, in their order; `a_b` is shown as "a b". A slider, or,
            where all values are text, a row of buttons

    ValueError for a dial with fewer than two values, and a start that is none of them.
    """
    if not dials or any(len(values) < 2 for values in dials.values()):
        got = {name: len(values) for name, values in dials.items()}
        raise ValueError(f"got dials with {got or 'no'} values, expected at least one dial with two values or more")
    for name, value in (start or {}).items():
        if value not in (values := list(dials.get(name, []))):
            raise ValueError(f"got start {name} = {value!r}, expected {f'one of {values}' if values else 'a dial'}")
    return Dials(draw, dials, start or {}, beside or {})


class Dials(Panel):
    """What `play` returns. A grid of its pictures is drawn ahead: they answer at once, and on a page without Python.

    values  name -> the values of a dial
    at      for each dial the place of its start among them
    frames  places, one for each dial -> a picture as a data URL, or a line that says why there is none
    saved   what dials.js needs of all that, as JSON

    Its still picture is what it is compared with, then a row of at most five along the first dial, the others at their
    start.
    """

    def __init__(self, draw: Callable[..., Image | Figure], dials: dict[str, Sequence], start: dict, beside: dict):
        self.draw, self.beside = draw, beside
        self.values = {name: list(values) for name, values in dials.items()}
        self.at = [v.index(start[name]) if name in start else len(v) // 2 for name, v in self.values.items()]
        self._began = time.perf_counter()
        (first, values), *_ = self.values.items()
        places = spread(len(values), 5)
        self.captions = [f"{first.replace('_', ' ')} {values[i]}" for i in places]
        self.row = [self._drawn((i, *self.at[1:])) for i in places]
        self.frames = {(i, *self.at[1:]): frame(drawn) for i, drawn in zip(places, self.row, strict=True)}
        named = zip(self.values.items(), self._ahead(places), strict=True)
        self.saved = {
            "dials": [
                {
                    "name": name.replace("_", " "),
                    "values": [str(value) or "(empty)" for value in values],
                    "words": all(isinstance(value, str) for value in values),
                    "ahead": ahead,
                }
                for (name, values), ahead in named
            ],
            "at": self.at,
            "frames": {",".join(map(str, at)): url for at, url in self.frames.items()},
            "beside": {name: frame(picture) for name, picture in beside.items()},
        }
        try:
            self.widget = _page()(**self.saved, live=True)
        except ModuleNotFoundError:  # no anywidget: the still picture says it as well
            return
        self.widget.on_msg(self._asked)

    def __repr__(self) -> str:
        return f"pictures: {', '.join(self.captions)}"

    def still(self) -> Image:
        row = [*self.beside.values(), *self.row]
        columns = max(1, min(len(row), 900 // max(picture.width for picture in row)))
        return show.grid(row, columns=columns, captions=[*self.beside, *self.captions])

    def output(self) -> dict:
        kept = self._bytes() <= 1.2 * BYTES  # else the still picture alone: a notebook is to remain small
        return super().output() | ({SAVED: self.saved} if kept else {})

    def _ahead(self, row: list[int]) -> list[list[int]]:
        """For each dial the places that are drawn ahead: all or some, dial by dial, while there are time and room."""
        grid, start = [sorted({*row, self.at[0]}), *([i] for i in self.at[1:])], tuple(self.at)
        if start not in self.frames:
            self.frames[start] = self._frame(start)
        each = (time.perf_counter() - self._began) / len(self.frames)
        most = min(AHEAD, SECONDS / each, BYTES / self._bytes() * len(self.frames))
        for k, values in enumerate(self.values.values()):
            for n in (len(values), 5, 3, 2):
                places = sorted({*spread(len(values), n), self.at[k]})
                wider = [*grid[:k], places, *grid[k + 1 :]]
                more = len(places) > len(grid[k]) and math.prod(map(len, wider)) <= most
                if more and all(map(self._is_there, product(*wider))):
                    grid = wider
                    break
        return grid

    def _is_there(self, at: tuple[int, ...]) -> bool:
        """Whether a picture is drawn, now if there still is time and room: some take longer than the first ones did."""
        if at not in self.frames and time.perf_counter() - self._began < SECONDS and self._bytes() < BYTES:
            self.frames[at] = self._frame(at)
        return at in self.frames

    def _bytes(self) -> int:
        return sum(map(len, self.frames.values()))

    def _drawn(self, at: Sequence[int]) -> Image:
        return image(self.draw(**{name: values[i] for i, (name, values) in zip(at, self.values.items(), strict=True)}))

    def _frame(self, at: Sequence[int]) -> str:
        try:
            return frame(self._drawn(at))
        except Exception as error:  # a callback's traceback would be lost in the log
            return f"Not drawn: {error}"

    def _asked(self, _, content: dict, buffers: list) -> None:
        """The page has no picture for these places."""
        self.widget.send({"at": content["at"], "frame": self._frame(content["at"])})


@cache
def _page() -> type:
    import anywidget
    from traitlets import Bool, Dict, List

    from minidiff.play.sketchpad import source

    class Page(anywidget.AnyWidget):
        _esm, _css = source("dials.js"), source("dials.css")
        dials, at = List().tag(sync=True), List().tag(sync=True)
        frames, beside = Dict().tag(sync=True), Dict().tag(sync=True)
        live = Bool().tag(sync=True)  # whether there is a Python to ask

    return Page


def spread(count: int, n: int) -> list[int]:
    """At most n of count places, evenly from the first to the last."""
    n = min(n, count)
    return [round(i * (count - 1) / (n - 1)) for i in range(n)]


def frame(drawn: Image) -> str:
    """A picture as a data URL in few bytes: WebP without a loss, or with one that few see, if that is much smaller."""
    exact, close = io.BytesIO(), io.BytesIO()
    drawn.convert("RGB").save(exact, "WEBP", lossless=True, method=2)
    drawn.convert("RGB").save(close, "WEBP", quality=80)
    smaller = exact if exact.tell() < close.tell() + 3000 else close
    return f"data:image/webp;base64,{base64.b64encode(smaller.getvalue()).decode()}"


def image(drawn: Image | Figure) -> Image:
    """A picture of a matplotlib figure, at least WIDE, which is closed; a picture as it is."""
    if hasattr(drawn, "savefig"):
        import PIL.Image
        from matplotlib import pyplot

        file = io.BytesIO()
        drawn.savefig(file, format="png", dpi=max(drawn.dpi, math.ceil(WIDE / drawn.get_figwidth())))
        pyplot.close(drawn)
        drawn = PIL.Image.open(file).convert("RGB")
    return drawn


def png(drawn: Image, **options) -> bytes:
    file = io.BytesIO()
    drawn.save(file, "PNG", **options)
    return file.getvalue()
