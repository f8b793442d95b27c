"""What is redrawn: a picture, a mask, margins around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minidiff.arguments import check_size, warn
from minidiff.pictures import one_or_each, painted
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
        """n pictures of `image`, or one of each; see the pipeline. ValueError for a size that `check_size` refuses."""
        images = one_or_each("image", image, n)
        left, top, right, bottom = margins or (0, 0, 0, 0)
        (width, height), what = images[0].size, "the image" if margins is None else "the image with its margins"
        check_size(what, left + width + right, top + height + bottom, multiple, "crop or resize it")

        pictures, redrawn = to_tensor(images).expand(n, -1, -1, -1), None
        if mask is not None:
            redrawn = torch.from_numpy(painted(mask))[None, None]
            if redrawn.shape[2:] != pictures.shape[2:]:
                raise ValueError(f"the mask is {size(redrawn)} pixels, expected the image's {size(pictures)}")
            if margins is None and not redrawn.any():
                raise ValueError("nothing in the mask is white, expected white (255, True or 1.0) where to redraw")
        if margins is not None:
            inside = torch.zeros(1, 1, *pictures.shape[2:], dtype=torch.bool) if redrawn is None else redrawn
            redrawn = F.pad(inside, (left, right, top, bottom), value=True)
            # what is there does not matter, as it is redrawn; a seam would reach into the latents beside it
            pictures = F.pad(pictures, (left, right, top, bottom), mode="replicate")
        return cls(pictures, redrawn)

    def redrawn_latents(self, factor: int) -> Tensor:
        """The mask at the latents' size, 1.0 or 0.0: of each latent's pixels the upper left one is asked, as in
        diffusers. A warning if none is white."""
        redrawn = self.mask[..., ::factor, ::factor].float()
        if not redrawn.any():
            warn(f"the mask is so thin that no latent is redrawn: make it {factor} pixels wide or more")
        return redrawn

    def paste(self, drawn: list[Image.Image]) -> list[Image.Image]:
        """What was drawn, with every pixel that was to be kept as it came."""
        return drawn if self.mask is None else to_pil(torch.where(self.mask, to_tensor(drawn), self.pictures))


def size(x: Tensor) -> str:
    """Width and height, for messages."""
    return f"{x.shape[-1]}x{x.shape[-2]}"
