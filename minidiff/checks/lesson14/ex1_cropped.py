"""14.1 a crop, and the six numbers that say how."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def _listed(returned):
    """Six numbers in a tensor are six numbers, too."""
    if isinstance(returned, tuple | list) and len(returned) == 2 and torch.is_tensor(returned[1]):
        return returned[0], tuple(returned[1].tolist())
    return returned


def cases(g):
    def case(H, W, size, dtype=torch.float64, u=None):
        picture = torch.randn(3, H, W, generator=g, dtype=dtype)
        return Case("cropped", (picture, size, u or (uniform(g, 0.3, 0.95), uniform(g, 0.3, 0.95))), read=_listed)

    return [
        case(12, 31, 12, u=(uniform(g, 0.3, 0.95), uniform(g, 0.19, 0.195))),  # 20 places times that is 3.8 or more
        case(27, 12, 12),
        case(10, 24, 5),
        case(9, 7, 14),
        case(16, 23, 9),  # 12.9 columns
        case(22, 16, 9),  # 12.4 rows
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
scale = size / min(h, w) -> scale = size / h
    The height is not always the shorter side: of a standing picture it is the width.
scale = size / min(h, w) -> scale = size / w
    The width is not always the shorter side: of a lying picture it is the height.
(round(h * scale), round(w * scale)) -> (int(h * scale), int(w * scale))
    You cut the digits of the other side off: it is rounded.
(round(h * scale), round(w * scale)), mode -> scale_factor=scale, mode
    With scale_factor the digits of the other side are cut off: round it yourself, and give both lengths.
(round(h * scale), round(w * scale)) -> tuple(int(side * scale + 0.999999) for side in (h, w))
    You round the other side up: it is rounded to the nearest.
(round(h * scale), round(w * scale)) -> (size, size)
    You squeeze the picture into a square: its shape should stay, and the rest be cut off.
mode="bicubic", antialias=True -> mode="bicubic"
    You shrink without antialias=True: fine lines would flicker.
mode="bicubic", antialias=True -> mode="bilinear", antialias=True
    You resize with mode="bilinear": "bicubic" is asked for.
mode="bicubic", antialias=True -> mode="area"
    You resize with mode="area": "bicubic" is asked for.
mode="bicubic", antialias=True -> mode="bilinear"
    You resize with mode="bilinear": "bicubic" is asked for, with antialias=True.
mode="bicubic", antialias=True -> mode="nearest"
    You resize with mode="nearest": "bicubic" is asked for.
mode="bicubic", antialias=True -> mode="bicubic", antialias=True, align_corners=True
    With align_corners=True the corners' pixels stay where they are: leave it out.
resized[:, top : top + size, left : left + size] -> resized[:, top : top + size, left : left + size].clamp(-1, 1)
    You clamp what was resized: bicubic reaches a little beyond the values of the picture, and that stays.
h, w = picture.shape[1:] -> h, w = picture.shape[1:]\n    side = min(h, w)\n    top, left = int(u[0] * (h - side + 1)), int(u[1] * (w - side + 1))\n    square = picture[None, :, top : top + side, left : left + side]\n    square = F.interpolate(square, (size, size), mode="bicubic", antialias=True)[0]\n    return square, (h, w, top, left, size, size)
    You cut first and resize then: the place is one of the resized picture.
for v, side in zip(u, resized.shape[1:], strict=True)) -> for v, side in zip(u[::-1], resized.shape[1:], strict=True))
    The first u is for the rows, the second for the columns.
top, left = (int(v * (side - size + 1)) for v, side in zip(u, resized.shape[1:], strict=True)) -> top, left = ((side - size) // 2 for side in resized.shape[1:])
    You always cut the middle: u says where.
for v, side in zip(u, resized.shape[1:], strict=True)) -> for v, side in zip((u[0], u[0]), resized.shape[1:], strict=True))
    The second u has no effect: it is for the columns.
for v, side in zip(u, resized.shape[1:], strict=True)) -> for v, side in zip((u[1], u[1]), resized.shape[1:], strict=True))
    The first u has no effect: it is for the rows.
int(v * (side - size + 1)) -> side - size - int(v * (side - size + 1))
    You count from the lower and the right end: u counts from the top and from the left.
int(v * (side - size + 1)) -> min(int(v * side), side - size)
    You multiply u with the whole side: there are only side - size + 1 places, and each is as likely as the others.
zip(u, resized.shape[1:], strict=True)) -> zip(u, (h, w), strict=True))
    The place is one of the file: the crop is cut from the resized picture.
top, left = (int(v * (side - size + 1)) for v, side in zip(u, resized.shape[1:], strict=True)) -> top, left = 0, 0
    You always cut at the top left: u says where.
int(v * (side - size + 1)) -> int(v * (side - size))
    The last place is never chosen: there are side - size + 1 of them.
int(v * (side - size + 1)) -> round(v * (side - size))
    You round to a place: its digits are cut off, and there are side - size + 1 places.
int(v * (side - size + 1)) -> round(v * (side - size + 1))
    You round to a place: its digits are cut off.
int(v * (side - size + 1)) -> min(round(v * (side - size + 1)), side - size)
    You round to a place: its digits are cut off.
(h, w, top, left, size, size) -> (*resized.shape[1:], top, left, size, size)
    The first two numbers are of the picture as it came, not as it was resized.
(h, w, top, left, size, size) -> (w, h, top, left, size, size)
    The height comes first, then the width.
(h, w, top, left, size, size) -> (h, w, left, top, size, size)
    The crop's top comes first, then its left.
(h, w, top, left, size, size) -> (h, w, round(top / scale), round(left / scale), size, size)
    The crop is told in pixels of the resized picture, in which it is cut.
(h, w, top, left, size, size) -> (size, size, h, w, top, left)
    The size of what comes out comes last, not first.
(h, w, top, left, size, size) -> (top, left, h, w, size, size)
    Height and width of the picture come first, then top and left.
(h, w, top, left, size, size) -> (h, w, size, size, top, left)
    The size of what comes out comes last, after top and left.
(h, w, top, left, size, size) -> (h, w, top, left, top + size, left + size)
    The last two are the size of what comes out, not where the crop ends.
(h, w, top, left, size, size) -> (h, w, top, left, *resized.shape[1:])
    The last two are the size of what comes out, not of the whole resized picture.
(h, w, top, left, size, size) -> (h, w, top, left, h, w)
    The last two are the size of what comes out, not of the picture as it came.
"""

RIGHT = r"""
(h, w, top, left, size, size) -> (h, w, top, left, *resized[:, top : top + size, left : left + size].shape[1:])
resized[:, top : top + size, left : left + size] -> resized[:, top:, left:][:, :size, :size]
"""

WRONG = r"""
resized[:, top : top + size, left : left + size] -> resized[:, left : left + size, top : top + size]
(round(h * scale), round(w * scale)) -> (int(h * scale), int(w * scale) - 1)
picture.shape[1:] -> picture.shape[:2]
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
