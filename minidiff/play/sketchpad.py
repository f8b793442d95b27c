"""A sheet to draw on with the mouse or the keyboard: a mask for inpainting, a scribble for a ControlNet."""

import base64
import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from minidiff.pictures import painted
from minidiff.play import Panel, png


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
        with self.widget.hold_sync():
            self.widget.side = list(self._mask.shape[::-1])
            self.widget.background = url(self._picture) if self._picture else ""
            self.widget.ink = ink(self._mask)

    def _receive(self, change) -> None:
        self._mask = inked(change.new, self._mask.shape)


@cache
def _sheet() -> type:
    import anywidget
    from traitlets import Int, List, Unicode

    class Sheet(anywidget.AnyWidget):
        _esm, _css = source("sketchpad.js"), source("sketchpad.css")
        ink = Unicode().tag(sync=True)  # Unicode: Bytes from a browser are dropped without a word
        background = Unicode().tag(sync=True)
        side = List().tag(sync=True)
        label = Unicode().tag(sync=True)
        brush = Int().tag(sync=True)

    return Sheet


def source(name: str) -> str:
    """A file of this folder, after what it shares with others: a page loads one script for a widget."""
    names = ["sheet.js", name] if name.endswith(".js") else dict.fromkeys(["sketchpad.css", name])
    return "\n".join((Path(__file__).parent / each).read_text(encoding="utf-8") for each in names)


def url(picture: Image.Image, **options) -> str:
    """A PNG as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png(picture, **options)).decode()}"


def ink(mask: np.ndarray) -> str:
    """A mask (height, width) as a sheet has it: black where it is True, else nothing."""
    picture = Image.new("RGBA", mask.shape[::-1])
    picture.putalpha(Image.fromarray(mask).convert("L"))
    return url(picture) if mask.any() else ""


def opened(ink: str) -> Image.Image:
    """What a page sent, RGBA."""
    return Image.open(io.BytesIO(base64.b64decode(ink.partition(",")[2]))).convert("RGBA")


def inked(ink: str, shape: tuple[int, int] = (1, 1)) -> np.ndarray:
    """The inverse of `ink`: (height, width) bool; all False, of that shape, if there is none."""
    return np.asarray(opened(ink))[..., 3] > 127 if ink else np.zeros(shape, bool)
