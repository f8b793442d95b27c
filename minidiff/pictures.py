"""Pictures as people have them: of 16 bits, with a palette, transparent, turned by a phone; as image, hint and mask."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from minidiff.arguments import named


def read(name: str, source: Path | Image.Image) -> Image.Image:
    """The picture in a file, or a picture of any mode: upright, RGB, or RGBA where parts of it are transparent, 8 bits.

    Grey values of more bits are scaled: 16 bits from 0 to 65535, floats from 0 to 1 or to 255. ValueError, which calls
    it `name`, for what cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow says of damaged EXIF, the picture being read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return _eight_bits(ImageOps.exif_transpose(source))
            with Image.open(source) as picture:
                return _eight_bits(ImageOps.exif_transpose(picture))
    except FileNotFoundError as error:
        raise ValueError(f"{name} is {source}, and there is no such file") from error
    except Exception as error:  # Pillow's readers raise errors of all kinds for damaged files
        what = source if isinstance(source, Path) else named(source)
        raise ValueError(f"{name} is {what}, which cannot be read as a picture: {error}") from error


def on_white(name: str, source: Path | Image.Image) -> Image.Image:
    """An image or a hint: RGB, what is transparent white. So black lines on nothing are black lines on white paper."""
    picture = read(name, source)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def painted(mask: Image.Image | np.ndarray, name: str = "the mask") -> np.ndarray:
    """A mask as (height, width) bool: True where it is white: 255, True, or 1 in an array of other numbers than
    bytes; the brighter half of what is between.

    Of one that is transparent in places, what is there decides. If it is black and white, the transparent counts as
    black, or as white if nothing else is white; if it is a picture, what was cut out of it is True. ValueError for what
    is no mask: for another shape, or paint of one colour, neither black nor white, on nothing.
    """
    if isinstance(mask, Image.Image):
        picture = read(name, mask)
        grey = np.asarray(picture.convert("L"))
        if picture.mode == "RGB":
            return grey > 127
        seen = np.asarray(picture)[..., 3] > 127
        if not seen.any():
            raise ValueError(f"{name} is empty, all of it transparent: paint white what is to be redrawn")
        colours, white = np.asarray(picture)[seen, :3].astype(int), (grey > 127) & seen  # (N, 3)
        between = (np.abs(grey[seen] - 127.5) < 64) | (np.ptp(colours, axis=1) > 32)  # neither black nor white
        if between.sum() <= len(between) / 4:  # some are at the edges of strokes
            return white if white.any() else ~seen
        if np.ptp(colours, axis=0).max() <= 32:
            raise ValueError(f"{name} is paint of one colour on nothing: paint white what is to be redrawn")
        return ~seen
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not array.size:
        raise ValueError(f"{name} is {named(mask)}, expected (height, width): one number for each pixel")
    return array >= _full(array) / 2


def one_or_each(name: str, images: Image.Image | Sequence[Image.Image], n: int) -> list[Image.Image]:
    """One picture, or one for each of n prompts, all of one size, RGB. ValueError if it is neither."""
    several = list(images) if isinstance(images, list | tuple) else [images]
    if len(several) not in (1, n) or not all(isinstance(i, Image.Image) for i in several):
        raise ValueError(f"{name} is {named(images)}, expected a PIL image, or a list of {n}, one for each prompt")
    several = [on_white(name, i) for i in several]
    if len({i.size for i in several}) > 1:
        raise ValueError(f"{name} is of several sizes, {named([i.size for i in several])}: resize them to one")
    return several


def _eight_bits(picture: Image.Image) -> Image.Image:
    if 0 in picture.size:
        raise ValueError(f"it has {picture.width} x {picture.height} pixels")
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    values = np.asarray(picture, dtype=np.float64)
    full = 65535 if picture.mode.startswith("I;16") else _full(values, least=1 if picture.mode == "F" else 255)
    if not (values.min() >= 0 and values.max() <= full):
        raise ValueError(f"its values are from {values.min():g} to {values.max():g}, expected 0 to 255 or 65535")
    grey = Image.fromarray((values * (255 / full)).round().astype(np.uint8)).convert("RGB")
    if "transparency" in picture.info:  # of a PNG: one value stands for nothing
        grey.putalpha(Image.fromarray(values != picture.info["transparency"]).convert("L"))
    return grey


def _full(values: np.ndarray, least: int = 1) -> int:
    """What white is among them: 1, 255 or 65535."""
    if values.dtype == np.uint8:
        return 255
    return next((full for full in (1, 255) if full >= least and values.max() <= full), 65535)
