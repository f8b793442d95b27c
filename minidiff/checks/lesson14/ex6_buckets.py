"""14.6 open-ended: shapes for training, so that less is cut away."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution

GOAL = 0.92
FIVE = "A list of one to five shapes is asked for, each two whole numbers, height and width."
FIT = "A shape does not fit: its sides are multiples of 8, and it has at most 16,384 pixels and no fewer than 13,000."
WORSE = "No more is kept than by squares alone."
FAR = (
    "More than by squares, and not enough. Which shapes these pictures need, lying or standing, nobody knows before "
    "looking at them."
)


@cache
def _made():
    return Solution.of("14.6").made("some_files, kept")


def _read(shapes):
    """The shapes as a tensor (5, 2), filled up with zeros; what is none, as it is."""
    if not isinstance(shapes, list | tuple) or not 1 <= len(shapes) <= 5:
        return shapes
    if any(not isinstance(s, list | tuple) or len(s) != 2 or any(type(side) is not int for side in s) for s in shapes):
        return shapes
    return torch.tensor([*map(list, shapes), *[[0, 0]] * (5 - len(shapes))])


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


def _value(results):
    return min(_made()["kept"](case.args[0], _shapes(found)) for case, found in results)


def _reached(results):
    return f"Of one of the three collections {_value(results):.1%} is kept; at least {GOAL:.0%} of each is wanted."


PROPERTIES = [
    (FIVE, lambda results: all(torch.is_tensor(found) and found.shape == (5, 2) for _, found in results)),
    (FIT, _fits),
    (
        WORSE,
        lambda results: all(
            _made()["kept"](case.args[0], _shapes(found)) > _made()["kept"](case.args[0], [(128, 128)]) + 0.01
            for case, found in results
        ),
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

RIGHT = ""

WRONG = r"""
my_shapes := lambda sizes: [(104, 152), (152, 104)]
my_shapes := lambda sizes: [(128, 128), (112, 144), (144, 112)]
"""

EQUIVALENT = ""
