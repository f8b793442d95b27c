"""14.1 a crop, and the six numbers that say how."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def case(H, W, size, dtype=torch.float64, u=None):
        picture = torch.randn(3, H, W, generator=g, dtype=dtype)
        return Case("cropped", (picture, size, u or (uniform(g, 0.3, 0.95), uniform(g, 0.3, 0.95))))

    return [
        case(12, 31, 12),
        case(27, 12, 12),
        case(10, 24, 5),
        case(9, 7, 14),
        case(16, 23, 9),
        case(8, 8, 8),
        case(8, 20, 8, u=(0.0, 0.0)),
        case(20, 8, 8, u=(0.999, 0.999)),
        case(11, 30, 11, dtype=torch.float32),
    ]


HINTS = """
One factor brings both sides to their new lengths: size over the shorter side. round(...) makes whole numbers of them.

F.interpolate wants a batch: picture[None], and [0] of what comes out. mode="bicubic", antialias=True.

There are side - size + 1 places where the square can begin, 0 among them. int(u * places) chooses one, for the rows by
the first u and for the columns by the second.

The six numbers, in this order: height and width of the picture as it came, top, left, size, size.
"""

MISTAKES = r"""
scale = size / min(h, w) -> scale = size / max(h, w)
    You bring the longer side to `size`: the shorter one is too short for a square then.
scale = size / min(h, w) -> scale = 1
    You cut without resizing: the shorter side is brought to `size` first.
(round(h * scale), round(w * scale)) -> (size, size)
    You squeeze the picture into a square: its shape should stay, and the rest be cut off.
mode="bicubic", antialias=True -> mode="bicubic"
    You shrink without antialias=True: fine lines would flicker.
for v, side in zip(u, resized.shape[1:], strict=True)) -> for v, side in zip(u[::-1], resized.shape[1:], strict=True))
    The first u is for the rows, the second for the columns.
top, left = (int(v * (side - size + 1)) for v, side in zip(u, resized.shape[1:], strict=True)) -> top, left = ((side - size) // 2 for side in resized.shape[1:])
    You always cut the middle: u says where.
top, left = (int(v * (side - size + 1)) for v, side in zip(u, resized.shape[1:], strict=True)) -> top, left = 0, 0
    You always cut at the top left: u says where.
int(v * (side - size + 1)) -> int(v * (side - size))
    The last place is never chosen: there are side - size + 1 of them.
(h, w, top, left, size, size) -> (*resized.shape[1:], top, left, size, size)
    The first two numbers are of the picture as it came, not as it was resized.
(h, w, top, left, size, size) -> (w, h, top, left, size, size)
    The height comes first, then the width.
(h, w, top, left, size, size) -> (h, w, left, top, size, size)
    The crop's top comes first, then its left.
(h, w, top, left, size, size) -> (h, w, round(top / scale), round(left / scale), size, size)
    The crop is told in pixels of the resized picture, in which it is cut.
(h, w, top, left, size, size) -> (h, w, top, left, top + size, left + size)
    The last two are the size of what comes out, not where the crop ends.
"""

RIGHT = r"""
(h, w, top, left, size, size) -> (h, w, top, left, *resized[:, top : top + size, left : left + size].shape[1:])
resized[:, top : top + size, left : left + size] -> resized[:, top:, left:][:, :size, :size]
"""

WRONG = r"""
(h, w, top, left, size, size) -> (h, w, top, left, h, w)
mode="bicubic", antialias=True -> mode="bilinear", antialias=True
resized[:, top : top + size, left : left + size] -> resized[:, left : left + size, top : top + size]
(round(h * scale), round(w * scale)) -> (int(h * scale), int(w * scale) - 1)
"""

EQUIVALENT = r"""
min(h, w) -> min(w, h)
    the smaller of two is the same in any order
F.interpolate(picture[None], (round(h * scale), round(w * scale)), mode='bicubic', antialias=True)[0] -> F.interpolate(picture[None], (round(h * scale), round(w * scale)), mode='bicubic', antialias=True)[-1]
    there is one picture, the first and the last
zip(u, resized.shape[1:], strict=True) -> zip(u, resized.shape[1:])
    both are two numbers
zip(u, resized.shape[1:], strict=True) -> zip(u, resized.shape[1:], strict=False)
    both are two numbers
"""
