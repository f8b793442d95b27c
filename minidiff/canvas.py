"""What is redrawn: a picture, a mask, margins around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff.show import to_pil, to_tensor


@dataclass
class Canvas:
    """Pictures (B, 3, H, W) in [-1, 1], and where they are redrawn: (1, 1, H, W) bool, or None for everywhere."""

    pictures: Tensor
    mask: Tensor | None

    @classmethod
    def of(
        cls,
        n: int,
        image: Image.Image | Sequence[Image.Image],
        mask: Image.Image | np.ndarray | None = None,
        margins: tuple[int, int, int, int] | None = None,
        multiple: int = 8,
    ) -> "Canvas":
        """n pictures of `image`, or one of each; see the pipeline. ValueError unless their sides are `multiple`s."""
        pictures, redrawn = to_tensor(one_or_each("image", image, n)).expand(n, -1, -1, -1), None
        if mask is not None:
            redrawn = torch.from_numpy(painted(mask))[None, None]
            if redrawn.shape[2:] != pictures.shape[2:]:
                raise ValueError(f"the mask is {size(redrawn)} pixels, expected the image's {size(pictures)}")
            if margins is None and not redrawn.any():
                raise ValueError("nothing in the mask is white, expected white (255, True or 1.0) where to redraw")
        if margins is not None:
            if len(margins) != 4 or not all(isinstance(m, int) and m >= 0 for m in margins) or not any(margins):
                raise ValueError(f"margins are {margins!r}, expected (left, top, right, bottom) pixels, not all 0")
            left, top, right, bottom = margins
            inside = torch.zeros(1, 1, *pictures.shape[2:], dtype=torch.bool) if redrawn is None else redrawn
            redrawn = F.pad(inside, (left, right, top, bottom), value=True)
            # what is there does not matter, as it is redrawn; a seam would reach into the latents beside it
            pictures = F.pad(pictures, (left, right, top, bottom), mode="replicate")
        if pictures.shape[2] % multiple or pictures.shape[3] % multiple:
            what = "the image" if margins is None else "the image with its margins"
            raise ValueError(f"{what} is {size(pictures)} pixels, expected multiples of {multiple}: crop or resize it")
        return cls(pictures, redrawn)

    def paste(self, drawn: list[Image.Image]) -> list[Image.Image]:
        """What was drawn, with every pixel that was to be kept as it came."""
        return drawn if self.mask is None else to_pil(torch.where(self.mask, to_tensor(drawn), self.pictures))


def painted(mask: Image.Image | np.ndarray) -> np.ndarray:
    """A mask as (height, width) bool: True where it is white, 255, True or 1. ValueError if it has another shape."""
    array = np.asarray(mask.convert("L") if isinstance(mask, Image.Image) else mask)
    if array.ndim != 2:
        raise ValueError(f"the mask has shape {array.shape}, expected (height, width): one number for each pixel")
    return array >= (127.5 if array.dtype == np.uint8 else 0.5)


def one_or_each(name: str, images: Image.Image | Sequence[Image.Image], n: int) -> list[Image.Image]:
    """One picture, or one for each of n prompts, all of one size. ValueError if it is neither."""
    several = list(images) if isinstance(images, list | tuple) else [images]
    if len(several) not in (1, n) or not all(isinstance(i, Image.Image) for i in several):
        raise ValueError(f"{name} is {images!r}, expected a PIL image, or a list of {n}, one for each prompt")
    if len({i.size for i in several}) > 1:
        raise ValueError(f"{name} is of several sizes, {[i.size for i in several]}: resize them to one")
    return several


def size(x: Tensor) -> str:
    """Width and height, for messages."""
    return f"{x.shape[-1]}x{x.shape[-2]}"
