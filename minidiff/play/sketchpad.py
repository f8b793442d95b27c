"""A sheet to draw on with the mouse or the keyboard: a mask for inpainting, a scribble for a ControlNet."""

import base64
import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from minidiff.pictures import painted
from minidiff.play import Panel, png

CSS = """
.minidiff-sketchpad canvas { max-width: 100%; image-rendering: pixelated; cursor: crosshair; touch-action: none;
  border: 1px solid var(--jp-border-color1, gray); }
.minidiff-sketchpad canvas:focus { outline: 2px solid var(--jp-brand-color1, #0072B2); }
.minidiff-tools { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; color: var(--jp-ui-font-color1); }
.minidiff-tools label { display: flex; gap: 4px; align-items: center; }
"""


class Sketchpad(Panel):
    """Paint on a picture, or on white paper; read `mask` and `scribble`. `mask` can also be set, by code.

    picture  what lies under the paint; or None for white paper
    size     (width, height) of the paper, in pixels
    brush    its width when it begins, in pixels
    label    what it is for: its name for screen readers
    """

    def __init__(
        self,
        picture: Image.Image | None = None,
        size: tuple[int, int] = (128, 128),
        brush: int = 20,
        label: str = "mask",
    ):
        self.label = label
        self._picture, self._mask = picture, np.zeros((picture.size if picture else size)[::-1], bool)
        try:
            self.widget = _sheet()(brush=brush, label=label)
        except ModuleNotFoundError:  # no anywidget: the mask is set by code
            return
        self.widget.add_class(f"minidiff-{label.replace(' ', '-')}")
        self._send()
        self.widget.observe(self._receive, "ink")

    @property
    def mask(self) -> np.ndarray:
        """(height, width) bool, True where it is painted."""
        return self._mask.copy()

    @mask.setter
    def mask(self, mask: np.ndarray | Image.Image) -> None:
        mask = painted(mask)
        if mask.shape != self._mask.shape:
            raise ValueError(f"the mask has shape {mask.shape}, expected (height, width) = {self._mask.shape}")
        self._mask = mask
        self._send()

    @property
    def scribble(self) -> Image.Image:
        """What is painted, black on white, RGB: a ControlNet's hint."""
        return Image.fromarray(np.where(self._mask, 0, 255).astype("uint8")).convert("RGB")

    @property
    def picture(self) -> Image.Image | None:
        """What lies under the paint. Another one of the same size keeps the paint."""
        return self._picture

    @picture.setter
    def picture(self, picture: Image.Image) -> None:
        self._picture = picture
        if picture.size[::-1] != self._mask.shape:
            self._mask = np.zeros(picture.size[::-1], bool)
        self._send()

    def still(self) -> Image.Image:
        if self._picture is None:
            return self.scribble
        under = self._picture.convert("RGB")
        y, x = np.indices(self._mask.shape)
        stripes = Image.fromarray(np.where((x + y) % 8 < 4, 0, 255).astype("uint8")).convert("RGB")
        return Image.composite(Image.blend(under, stripes, 0.6), under, Image.fromarray(self._mask))

    def __repr__(self) -> str:
        return f"{self.label}, {self._mask.shape[1]} x {self._mask.shape[0]} pixels, {self._mask.mean():.0%} painted"

    def _send(self) -> None:
        if self.widget is None:
            return
        ink = Image.new("RGBA", self._mask.shape[::-1])
        ink.putalpha(Image.fromarray(self._mask).convert("L"))
        with self.widget.hold_sync():
            self.widget.background = _url(self._picture) if self._picture else ""
            self.widget.ink = _url(ink)

    def _receive(self, change) -> None:
        ink = Image.open(io.BytesIO(base64.b64decode(change.new.partition(",")[2])))
        self._mask = np.asarray(ink.convert("RGBA"))[..., 3] > 127


@cache
def _sheet() -> type:
    import anywidget
    from traitlets import Int, Unicode

    class Sheet(anywidget.AnyWidget):
        _esm, _css = Path(__file__).with_suffix(".js"), CSS
        ink = Unicode().tag(sync=True)  # Unicode: Bytes from a browser are dropped without a word
        background = Unicode().tag(sync=True)
        label = Unicode().tag(sync=True)
        brush = Int().tag(sync=True)

    return Sheet


def _url(picture: Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
