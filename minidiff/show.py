"""Pictures for people: tensors to images, images to one picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
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


def strip(
    rows: Sequence[Tensor | Sequence[Image | np.ndarray]],
    titles: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    size: int = 128,
) -> Image:
    """One RGB picture of rows of pictures, all of one height, on white: titles above the columns, labels at the left.

    rows    each a (N, 3, H, W) tensor in [-1, 1], or N PIL images or (H, W, 3) arrays of bytes
    titles  N texts, wrapped to the width of their columns, or None
    labels  a text for each row, or None
    size    pixels of a picture's height; where that is more than it has, its own pixels are seen as squares

    Raises ValueError for no pictures, rows of different lengths, and titles or labels that are not as many.
    """
    import torch
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    rows = [to_pil(row) if isinstance(row, torch.Tensor) else list(row) for row in rows]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1 or lengths == [0]:
        raise ValueError(f"got rows of {lengths} pictures, expected at least one, and as many in each row")
    for name, texts, n in (("titles", titles, lengths[0]), ("labels", labels, len(rows))):
        if texts is not None and len(texts) != n:
            raise ValueError(f"got {len(texts)} {name}, expected {n}")

    def scaled(picture):
        picture = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
        way = Image.Resampling.NEAREST if size > picture.height else Image.Resampling.LANCZOS
        return picture.resize((max(1, round(size * picture.width / picture.height)), size), way)

    rows, gap = [[scaled(picture) for picture in row] for row in rows], 6
    widths = [max(picture.width for picture in column) for column in zip(*rows, strict=True)]
    # the plots' font: Pillow's own has no Greek letters, no arrows, and no sign like that of multiplication
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 13)
    above = [_wrap(title, font, width) for title, width in zip(titles or [], widths, strict=bool(titles))]
    beside = [_wrap(label, font, 104) for label in labels or []]
    line = sum(font.getmetrics()) + 4  # Pillow's distance of lines
    top = gap + max((text.count("\n") + 1 for text in above if text), default=0) * line
    left = gap + max((ceil(font.getlength(part)) + gap for text in beside for part in text.split("\n")), default=0)

    sheet = Image.new("RGB", (left + sum(widths) + gap * len(widths), top + (size + gap) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        x, y = left, top + i * (size + gap)
        if labels:
            draw.multiline_text((left - gap, y + size // 2), beside[i], "black", font, anchor="rm", align="right")
        for j, picture in enumerate(row):
            corner = x + (widths[j] - picture.width) // 2
            sheet.paste(picture, (corner, y))
            # around the picture, not on it: a white one would have no edge
            draw.rectangle((corner - 1, y - 1, corner + picture.width, y + size), outline="#BBBBBB")
            if titles and i == 0:
                draw.multiline_text((x + widths[j] // 2, y - 3), above[j], "black", font, anchor="md", align="center")
            x += widths[j] + gap
    return sheet


def _wrap(text: str, font, width: int) -> str:
    """Lines no wider than `width` pixels; a word wider than that is cut where it no longer fits."""
    lines = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in paragraph.split():
            if lines[-1] and font.getlength(f"{lines[-1]} {word}") > width:
                lines.append("")
            elif lines[-1]:
                word = f" {word}"
            for letter in word:
                if lines[-1] and font.getlength(lines[-1] + letter) > width:
                    lines.append("")
                lines[-1] += letter
    return "\n".join(lines)
