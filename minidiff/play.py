"""Widgets: a picture with sliders above it. Where nothing can move, a row of pictures along the first slider."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minidiff import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


def play(draw: Callable[..., Image | Figure], **dials: Sequence) -> None:
    """Show draw(**values) and redraw it whenever a slider is moved; in a notebook only.

    draw   values by name -> a PIL image or a matplotlib figure, which is closed; called often, so it should be quick
    dials  a slider each: its name and two or more values it can take, the middle one first; `a_b` is shown as "a b"

    One output holds both: the widget for a live notebook, and for a page, or where ipywidgets is not installed, a row
    of at most five pictures along the first dial, the others in the middle.
    """
    from IPython.display import display

    if not dials or any(len(values) < 2 for values in dials.values()):
        got = {name: len(values) for name, values in dials.items()}
        raise ValueError(f"got dials with {got or 'no'} values, expected at least one dial with two values or more")
    middle = {name: values[len(values) // 2] for name, values in dials.items()}
    (first, values), *_ = dials.items()
    n = min(5, len(values))
    chosen = [values[round(i * (len(values) - 1) / (n - 1))] for i in range(n)]
    pictures = [_image(draw(**middle | {first: value})) for value in chosen]
    captions = [f"{first.replace('_', ' ')} {value}" for value in chosen]
    columns = max(1, min(n, 900 // max(picture.width for picture in pictures)))
    still = show.grid(pictures, columns=columns, captions=captions)
    output = {"text/plain": f"{still.width} x {still.height} picture: {', '.join(captions)}", "image/png": _png(still)}
    try:
        widget = _widget(draw, dials, middle)
    except ModuleNotFoundError:  # no ipywidgets: the still picture says it as well
        pass
    else:
        output |= {key: value for key, value in widget._repr_mimebundle_().items() if key not in output}
    display(output, raw=True)


def _widget(draw, dials, middle):
    from ipywidgets import Image, SelectionSlider, VBox

    picture = Image(format="png", value=_png(_image(draw(**middle))))
    picture.layout.width, picture.layout.max_width = "max-content", "100%"
    sliders = {
        name: SelectionSlider(
            options=[(str(value), value) for value in values], value=middle[name], description=name.replace("_", " ")
        )
        for name, values in dials.items()
    }

    def redraw(_):
        picture.value = _png(_image(draw(**{name: slider.value for name, slider in sliders.items()})))

    for slider in sliders.values():
        slider.style.description_width = "initial"
        slider.observe(redraw, "value")
    return VBox([*sliders.values(), picture])


def _image(drawn: Image | Figure) -> Image:
    if hasattr(drawn, "savefig"):
        import PIL.Image
        from matplotlib import pyplot

        file = io.BytesIO()
        drawn.savefig(file, format="png")
        pyplot.close(drawn)
        drawn = PIL.Image.open(file).convert("RGB")
    return drawn


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
