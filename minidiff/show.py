"""Pictures for people: tensors to images, images to one grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def to_pil(x: Tensor) -> list[Image]:
    """Pictures of a batch: (B, 3, H, W) floats in [-1, 1] to B RGB images. Values outside the range are clamped.

    Raises ValueError for any other shape.
    """
    from PIL import Image

    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"got pictures of shape {tuple(x.shape)}, expected (B, 3, H, W)")
    pixels = ((x.detach().float() + 1) * 127.5).round().clamp(0, 255).byte()  # (B, 3, H, W), 0 to 255
    return [Image.fromarray(p) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]  # (H, W, 3) each


def to_tensor(images: Sequence[Image]) -> Tensor:
    """The inverse of `to_pil`: B images of one size to (B, 3, H, W) float32 in [-1, 1]."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))  # (B, H, W, 3)
    return pixels.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def grid(
    images: Sequence[Image],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    size: int | None = None,
) -> Image:
    """One RGB picture of many, row by row on white, each with its caption wrapped underneath.

    images    N images; a smaller one is centred in its cell
    columns   pictures in a row; default: as nearly square as N allows
    captions  N lines of text, or None
    size      pixels of each picture's longer side; default: its own size

    Raises ValueError for no images, fewer than one column or pixel, or captions that are not as many as the images.
    """
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    if not images:
        raise ValueError("got no images, expected at least one")
    if columns is not None and columns < 1:
        raise ValueError(f"got columns={columns}, expected 1 or more")
    if size is not None and size < 1:
        raise ValueError(f"got size={size}, expected 1 pixel or more")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"got {len(captions)} captions, expected {len(images)}, one for each image")

    if size is not None:
        images = [ImageOps.contain(image.convert("RGB"), (size, size)) for image in images]
    width, height = (max(side) for side in zip(*(image.size for image in images), strict=True))
    columns = min(columns or ceil(sqrt(len(images))), len(images))
    rows, gap = ceil(len(images) / columns), 8

    font = ImageFont.load_default(min(24, max(10, width // 12)))
    texts = [_wrap(caption, font, width) for caption in captions or []]
    line = sum(font.getmetrics()) + 2
    text_height = max((text.count("\n") + 1 for text in texts), default=0) * line

    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + text_height + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        x = gap + i % columns * (width + gap)
        y = gap + i // columns * (height + text_height + gap)
        sheet.paste(image.convert("RGB"), (x + (width - image.width) // 2, y + (height - image.height) // 2))
        for k, words in enumerate(texts[i].split("\n") if texts else []):
            draw.text((x + width // 2, y + height + k * line + 2), words, "black", font, anchor="ma")
    return sheet


def _wrap(text: str, font, width: int) -> str:
    """Lines no wider than `width` pixels; a word wider than that is cut where it no longer fits."""
    lines = [""]
    for word in text.split():
        if lines[-1] and font.getlength(f"{lines[-1]} {word}") > width:
            lines.append("")
        elif lines[-1]:
            word = f" {word}"
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)
