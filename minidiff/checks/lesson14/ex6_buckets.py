"""14.6 open-ended: shapes for training, so that less is cut away."""

from functools import cache
from numbers import Integral

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution

GOAL = 0.92
FIVE = "A list of one to five shapes is asked for, each two whole numbers, height and width."
FIT = "A shape does not fit: its sides are multiples of 8, and it has at most 16,384 pixels and no fewer than 13,000."
WORSE = "Of one of the three collections hardly more is kept than by squares alone, or less."
EXCHANGED = "A shape is height and width: with the two exchanged in each of yours, more would be kept."
FAR = (
    "More than by squares, and not enough. Which shapes these pictures need, lying or standing, nobody knows before "
    "looking at them."
)


@cache
def _made():
    return Solution.of("14.6").made("some_files, kept")


def _read(shapes):
    """The shapes as a tensor (5, 2), filled up with zeros; nothing but zeros if they are not of the kind asked for."""
    shapes = shapes.tolist() if torch.is_tensor(shapes) else shapes
    right = isinstance(shapes, list | tuple) and 1 <= len(shapes) <= 5 and all(map(_pair, shapes))
    kept = [[int(side) for side in shape] for shape in shapes] if right else []
    return torch.tensor(kept + [[0, 0]] * (5 - len(kept)))


def _pair(shape):
    sides = list(shape) if isinstance(shape, list | tuple) else []
    return len(sides) == 2 and all(isinstance(s, Integral) and not isinstance(s, bool) for s in sides)


def cases(g):
    return [Case("my_shapes", (_made()["some_files"](whole(g, 1, 9999)),), read=_read) for _ in range(3)]


def _shapes(found):
    return [tuple(row) for row in found.tolist() if row != [0, 0]]


def _fits(results):
    return all(
        h > 0 and w > 0 and h % 8 == 0 and w % 8 == 0 and 13_000 <= h * w <= 16_384
        for _, found in results
        for h, w in _shapes(found)
    )


def _value(results, step=1):
    """The least that is kept of a collection; with step -1, if height and width changed places."""
    return min(_made()["kept"](case.args[0], [s[::step] for s in _shapes(found)]) for case, found in results)


def _reached(results):
    return f"Of one of the three collections {_value(results):.1%} is kept; at least {GOAL:.0%} of each is wanted."


PROPERTIES = [
    (FIVE, lambda results: all(bool(found.any()) for _, found in results)),
    (FIT, _fits),
    (
        WORSE,
        lambda results: all(
            _made()["kept"](case.args[0], _shapes(found)) > _made()["kept"](case.args[0], [(128, 128)]) + 0.01
            for case, found in results
        ),
    ),
    (
        EXCHANGED,
        lambda results: _value(results) >= GOAL or _value(results, -1) < max(0.9, _value(results) + 0.03),
        _reached,
    ),
    (FAR, lambda results: _value(results) >= GOAL, _reached),
]

HINTS = """
What is kept depends on two ratios alone, that of the file and that of the shape, width over height. If they are equal,
nothing is lost.

There are not many shapes that fit: all pairs of multiples of 8 with between 13,000 and 16,384 pixels. List them.

Take the one with which most is kept. Then the one that helps it most; and so on, until there are five.
"""

MISTAKES = f"""
my_shapes := lambda sizes: [(8 * i, 128) for i in range(9, 17)]
    {FIVE}
my_shapes := lambda sizes: [(128.0, 128.0)]
    {FIVE}
my_shapes := lambda sizes: [128, 128]
    {FIVE}
my_shapes := lambda sizes: []
    {FIVE}
my_shapes := lambda sizes: torch.tensor([[128.0, 128.0]])
    {FIVE}
my_shapes := lambda sizes: [w / h for h, w in sizes[:5]]
    {FIVE}
my_shapes := lambda sizes: [(120, 130)]
    {FIT}
my_shapes := lambda sizes: [(128, 128), (128, 192)]
    {FIT}
my_shapes := lambda sizes: [(64, 96), (96, 64), (64, 64), (64, 48), (48, 64)]
    {FIT}
my_shapes := lambda sizes: [(128, 128)]
    {WORSE}
my_shapes := lambda sizes: [(128, 128), (128, 128)]
    {WORSE}
my_shapes := lambda sizes: [(208, 64)]
    {WORSE}
"""

RIGHT = r"""
return shapes -> import torch\n    return torch.tensor(shapes)
return shapes -> import numpy\n    return [tuple(shape) for shape in numpy.array(shapes)]
"""

WRONG = r"""
my_shapes := lambda sizes: [(104, 152), (152, 104)]
my_shapes := lambda sizes: [(128, 128), (112, 144), (144, 112)]
return shapes -> return [shape[::-1] for shape in shapes]
"""

EQUIVALENT = ""
