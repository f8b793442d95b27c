"""Widgets. Each is a `Panel`: it moves in a live notebook, and a still picture stands for it everywhere else."""

from __future__ import annotations

import html
import io
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minidiff import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

WIDE = 320  # pixels of the page that a picture takes, at least
SLOW = 0.3  # seconds; what takes longer is drawn when the slider is let go, and says that it is being drawn


class Panel:
    """What a cell shows: one output that holds a widget, and a picture for a page or where ipywidgets is missing.

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
    """What `play` returns. `dials`: the controls by name; `picture`: what they show; `message`: a line below.

    Its still picture is what it is compared with, then a row of at most five along the first dial, the others at their
    start.
    """

    def __init__(self, draw: Callable[..., Image | Figure], dials: dict[str, Sequence], start: dict, beside: dict):
        self.draw, self.beside = draw, beside
        self.start = {name: start.get(name, values[len(values) // 2]) for name, values in dials.items()}
        (self.first, values), *_ = dials.items()
        n = min(5, len(values))
        chosen = [values[round(i * (len(values) - 1) / (n - 1))] for i in range(n)]
        began = time.perf_counter()
        self.row = [image(draw(**self.start | {self.first: value})) for value in chosen]
        self.slow = time.perf_counter() - began > n * SLOW
        self.captions = [f"{self.first.replace('_', ' ')} {value}" for value in chosen]
        try:
            self._build(dials)
        except ModuleNotFoundError:  # no ipywidgets: the still picture says it as well
            pass

    def __repr__(self) -> str:
        return f"pictures: {', '.join(self.captions)}"

    def still(self) -> Image:
        row = [*self.beside.values(), *self.row]
        columns = max(1, min(len(row), 900 // max(picture.width for picture in row)))
        return show.grid(row, columns=columns, captions=[*self.beside, *self.captions])

    def _build(self, dials: dict[str, Sequence]) -> None:
        from ipywidgets import HTML, HBox, SelectionSlider, ToggleButtons, VBox

        self.dials = {}
        for name, values in dials.items():
            text = all(isinstance(value, str) for value in values)
            control = (ToggleButtons if text else SelectionSlider)(
                options=[(str(value) or "(empty)", value) for value in values], value=self.start[name]
            )
            if not text:
                control.continuous_update = not self.slow
            self.dials[name] = labelled(control, name.replace("_", " "))
            control.observe(self._redraw, "value")
        self.picture, self.message = picture(image(self.draw(**self.start)), "picture"), HTML()
        compared = [VBox([HTML(html.escape(name)), picture(each, name)]) for name, each in self.beside.items()]
        row = HBox([*compared, VBox([HTML("&nbsp;"), self.picture]) if compared else self.picture])
        row.layout.flex_flow = "row wrap"
        self.widget = VBox([*self.dials.values(), row, self.message]).add_class("minidiff-play")

    def _redraw(self, _) -> None:
        values = {name: control.value for name, control in self.dials.items()}
        if self.slow:
            say(self.message, "drawing …")
        try:
            self.picture.value = png(image(self.draw(**values)))
        except Exception as error:  # a callback's traceback would be lost in the log
            say(self.message, f"Not drawn: {error}")
        else:
            say(self.message, "")


def labelled(control, name: str):
    """An ipywidgets control with its name, seen and read aloud, and the class minidiff-NAME for scripts."""
    control.description = control.tooltip = name
    control.style.description_width = "initial"
    if control.style.has_trait("button_width"):
        control.style.button_width = "max-content"
    return control.add_class(f"minidiff-{name.replace(' ', '-')}")


def picture(drawn: Image, name: str):
    """An ipywidgets picture of the class minidiff-NAME, enlarged so many times that it is at least WIDE."""
    from ipywidgets import Image

    widget = Image(format="png", value=png(drawn))  # without a tooltip: ipywidgets 8.1 then shows no picture at all
    times = math.ceil(WIDE / drawn.width)
    widget.layout.width, widget.layout.max_width = f"{times * drawn.width}px", "100%"
    return widget.add_class(f"minidiff-{name.replace(' ', '-')}")


def say(message, text: str) -> None:
    """Put one line of text into an ipywidgets HTML, for eyes and for screen readers."""
    message.value = f'<span role="status">{html.escape(" ".join(text.split()))}</span>' if text else ""


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
