"""9.4 the canvas of outpainting."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    cases = []
    for b, multiple, wide, high in ((2, 8, 5, 3), (1, 7, 2, 4), (2, 8, 0, 0), (1, 16, 5, 10)):
        height, width = whole(g, 26, 28), whole(g, 29, 32)
        left, top, right, bottom = (3 * i + whole(g, 0, 2) for i in (torch.randperm(4, generator=g)).tolist())
        right += -(left + width + right + wide) % multiple  # so that this much is missing
        bottom += -(top + height + bottom + high) % multiple
        pictures = torch.randint(256, (b, 3, height, width), generator=g).float() / 127.5 - 1
        cases.append(Case("canvas", (pictures, (left, top, right, bottom), multiple)))
    for margins in ((5, 3, 0, 0), (0, 0, 4, 6)):  # fits as it is, and has sides without a margin
        height, width = 32 - margins[1] - margins[3], 40 - margins[0] - margins[2]
        pictures = torch.randint(256, (1, 3, height, width), generator=g).float() / 127.5 - 1
        cases.append(Case("canvas", (pictures, margins, 8)))
    return cases


HINTS = """
torch.nn.functional.pad does both, pictures and mask. Look up in which order it wants the four numbers, and which of its
modes repeats the border.

The mask of the picture alone is False everywhere. Pad it with True by the same margins: no mode needed, a value.

How much is missing to a multiple of 8? In Python the remainder of a negative number is positive: try minus 13 modulo 8.
"""

MISTAKES = r"""
(left, right, top, bottom) -> (left, top, right, bottom)
    The margins are in another order than you pass them on: agreed is left, top, right, bottom, and torch's pad wants
    both sides of one axis first.
(left, right, top, bottom) -> (right, left, top, bottom)
    Left and right have changed places.
(left, right, top, bottom) -> (left, right, bottom, top)
    Top and bottom have changed places.
(left, right, top, bottom) -> (top, bottom, left, right)
    The margins of height and width have changed places.
mode="replicate" -> value=0.0
    The margins are grey, 0, so there is a hard edge around the picture. Repeat its border outwards.
mode="replicate" -> value=1.0
    The margins are white, so there is a hard edge around the picture. Repeat its border outwards.
mode="replicate" -> value=-1.0
    The margins are black, so there is a hard edge around the picture. Repeat its border outwards.
mode="replicate" -> mode="reflect"
    The margins mirror the picture. Repeat only its border outwards.
mode="replicate" -> mode="circular"
    The margins show the opposite side of the picture. Repeat the nearest border outwards.
F.pad(inside, pads, value=True) -> ~F.pad(inside, pads, value=True)
    The mask is the wrong way round: True is what is to be drawn.
value=True -> value=False
    The mask is False everywhere: nothing would be drawn.
torch.zeros(1, 1 -> torch.ones(1, 1
    The mask is True everywhere: the picture itself would be drawn anew.
right += -(left -> 0 * -(left && bottom += -(top -> 0 * -(top
    The sides are no multiples of the number given: add what is missing at the right and at the bottom.
right += -(left -> left += -(left && bottom += -(top -> top += -(top
    What is missing to a multiple was added at the left and at the top: agreed is right and bottom.
canvas := padded(lambda l, t, r, b, wide, high: (l + wide // 2, t + high // 2, r + wide - wide // 2, b + high - high // 2))
    What is missing to a multiple was shared out between both sides: agreed is right and bottom alone.
right += -(left -> right += multiple - (left && bottom += -(top -> bottom += multiple - (top
    Where a side fits already you add a whole multiple more.
right += -(left -> right -= (left && bottom += -(top -> bottom -= (top
    You cut off what is too much for a multiple. Add what is missing instead: the margins are at least what was asked
    for.
right += -(left -> right += (left && bottom += -(top -> bottom += (top
    You add the rest that is left over. What is missing to the next multiple is the multiple without that rest.
canvas := padded(lambda l, t, r, b, wide, high: (l, t, r + high, b + wide))
    What is missing in the width was added to the height, and the other way round.
bottom += -(top -> 0 * -(top
    The height is no multiple of the number given: add what is missing at the bottom.
right += -(left -> 0 * -(left
    The width is no multiple of the number given: add what is missing at the right.
right += -(left + width + right) % multiple -> left, top, right, bottom = (m + -m % multiple for m in margins) && bottom += -(top -> 0 * -(top
    You rounded each margin up to a multiple. The sides of the canvas have to be multiples; the margins need not.
right += -(left + width + right) % multiple -> right += -right % multiple && bottom += -(top + height + bottom) % multiple -> bottom += -bottom % multiple
    You rounded the last margins up to a multiple. The sides of the canvas have to be multiples; the margins need not.
-(left + width + right) % multiple -> -width % multiple && -(top + height + bottom) % multiple -> -height % multiple
    What is missing was counted for the picture. It is the canvas, margins included, whose sides have to be multiples.
-(left + width + right) % multiple -> -(left + width + right) % 8 && -(top + height + bottom) % multiple -> -(top + height + bottom) % 8
    The sides are made multiples of 8, whatever number is given.
F.pad(inside, pads, value=True) -> F.pad(F.pad(inside, (margins[0], margins[2], margins[1], margins[3]), value=True), (0, right - margins[2], 0, bottom - margins[3]))
    The mask leaves out what was added to make the canvas fit: nothing of the picture is there either, so draw it.
F.pad(inside, pads, value=True) -> F.pad(inside, (margins[0], margins[2], margins[1], margins[3]), value=True)
    The mask is smaller than the canvas: it lacks what was added to make the canvas fit.
F.pad(inside, pads, value=True) -> inside
    The mask is as small as the picture: it has to cover the canvas.
value=True) -> value=True).expand(-1, 3, -1, -1)
    The mask has a channel for each colour: one is enough for all.
value=True) -> value=True).expand(len(pictures), -1, -1, -1)
    The mask is there once for each picture: one is enough for all.
value=True) -> value=True)[0, 0]
    The mask lacks two axes of size 1 in front, for the batch and the colours.
F.pad(pictures, pads, mode="replicate"), F.pad(inside, pads, value=True) -> F.pad(inside, pads, value=True), F.pad(pictures, pads, mode="replicate")
    The mask comes second, after the pictures.
return F.pad(pictures, pads, mode="replicate"), -> return F.interpolate(pictures, (top + height + bottom, left + width + right)),
    You stretched the pictures over the whole canvas. They should stay as they are, with something around them.
left, top, right, bottom = margins -> left, right, top, bottom = margins
    You take the margins apart in another order than agreed: it is left, top, right, bottom.
F.pad(inside, pads, value=True) -> F.pad(inside, pads, value=True) | (right == 0 or bottom == 0)
    Where no margin is left at the right or at the bottom the whole mask is True: a slice from -0 on is everything, and
    one up to -0 is nothing.
canvas := strips
    The mask leaves out what was added to make the canvas fit: nothing of the picture is there either, so draw it.
F.pad(pictures, pads, mode="replicate") -> F.pad(F.pad(pictures, (margins[0], margins[2], margins[1], margins[3]), mode="replicate"), (0, right - margins[2], 0, bottom - margins[3]))
    What was added to make the canvas fit has one colour: there the border is repeated as in the margins.
F.pad(pictures, pads, mode="replicate") -> F.pad(F.pad(pictures, (margins[0], margins[2], margins[1], margins[3]), mode="replicate"), (0, right - margins[2], 0, bottom - margins[3]), value=-1.0)
    What was added to make the canvas fit has one colour: there the border is repeated as in the margins.
F.pad(pictures, pads, mode="replicate") -> F.pad(F.pad(pictures, (margins[0], margins[2], margins[1], margins[3]), mode="replicate"), (0, right - margins[2], 0, bottom - margins[3]), value=1.0)
    What was added to make the canvas fit has one colour: there the border is repeated as in the margins.
canvas := with_corners(0.0)
    The corners of the canvas have one colour: the nearest pixel of the picture, its own corner, is repeated there, too.
canvas := with_corners(-1.0)
    The corners of the canvas have one colour: the nearest pixel of the picture, its own corner, is repeated there, too.
canvas := with_corners(1.0)
    The corners of the canvas have one colour: the nearest pixel of the picture, its own corner, is repeated there, too.
bottom += -(top + height + bottom) % multiple -> bottom += -(left + width + margins[2]) % multiple
    What is missing in the width is added to the height as well. Each of the sides has its own.
right += -(left + width + right) % multiple -> right += -(top + height + bottom) % multiple
    What is missing in the height is added to the width as well. Each of the sides has its own.
pads = (left, right, top, bottom) -> side = max(left + width + right, top + height + bottom)\n    right, bottom = side - left - width, side - top - height\n    pads = (left, right, top, bottom)
    You made the canvas a square. It may be wider than high: each side only has to be a multiple.
"""

RIGHT = """
right += -(left + width + right) % multiple -> right = -(-(left + width + right) // multiple) * multiple - left - width
canvas := by_slices
"""

WRONG = """
canvas := lambda pictures, *others: (pictures.clone(), torch.zeros(1, 1, *pictures.shape[2:]) > 0)
F.pad(pictures, pads, mode="replicate"), F.pad -> F.pad(pictures, pads, mode="replicate"), 1.0 * F.pad
pictures, pads, mode="replicate") -> pictures - pictures.mean((2, 3), keepdim=True), pads) + pictures.mean((2, 3), keepdim=True)
F.pad(inside, pads, value=True) -> F.max_pool2d(F.pad(inside, pads, value=True).float(), 3, 1, 1) > 0
mode="replicate"), F.pad(inside, pads, value=True) -> mode="replicate")
"""


def padded(margins):
    """A canvas, from all margins in the agreed order, given those asked for and how much is missing in both sides."""

    def answer(pictures, given, multiple):
        left, top, right, bottom = given
        height, width = pictures.shape[2:]
        missing = -(left + width + right) % multiple, -(top + height + bottom) % multiple
        left, top, right, bottom = margins(*given, *missing)
        pads, inside = (left, right, top, bottom), torch.zeros(1, 1, height, width, dtype=torch.bool)
        return F.pad(pictures, pads, mode="replicate"), F.pad(inside, pads, value=True)

    return answer


def by_slices(pictures, margins, multiple):
    """What stands at each place of the canvas is the nearest pixel of the picture."""
    left, top, right, bottom = margins
    height, width = pictures.shape[2:]
    rows, columns = (-(-n // multiple) * multiple for n in (top + height + bottom, left + width + right))
    y = (torch.arange(rows) - top).clamp(0, height - 1)
    x = (torch.arange(columns) - left).clamp(0, width - 1)
    mask = torch.ones(1, 1, rows, columns, dtype=torch.bool)
    mask[..., top : top + height, left : left + width] = False
    return pictures[:, :, y][..., x], mask


def with_corners(value):
    """The border repeated at the four sides alone."""

    def answer(pictures, margins, multiple):
        left, top, _, _ = margins
        height, width = pictures.shape[2:]
        larger, mask = by_slices(pictures, margins, multiple)
        sides = torch.zeros_like(mask)
        sides[..., top : top + height, :] = sides[..., left : left + width] = True
        return torch.where(sides, larger, value), mask

    return answer


def strips(pictures, margins, multiple):
    """The mask as strips, as wide as the margins that were asked for."""
    left, top, right, bottom = margins
    height, width = pictures.shape[2:]
    larger, mask = by_slices(pictures, margins, multiple)
    mask = torch.zeros_like(mask)
    for rows, columns in (
        (slice(top), slice(None)),
        (slice(top + height, top + height + bottom), slice(None)),
        (slice(None), slice(left)),
        (slice(None), slice(left + width, left + width + right)),
    ):
        mask[..., rows, columns] = True
    return larger, mask
