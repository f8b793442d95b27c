"""17.6 open-ended: a cloud that does not collapse."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution

GOAL = 0.004
KIND = "Grains like x are asked for: one tensor of its shape and dtype."
FINITE = "A grain is at no finite place."
WORSE = "That is no better than fresh noise in each step. What a step has found is forgotten by the next one."
FAR = "Better than fresh noise, and not enough. How much of what was found do you keep?"
SEEDS = (101, 102, 103)


@cache
def _made():
    made = Solution.of("17.6").made("step, fresh, begin_and_dice, distance")
    return made, sum(made["distance"](made["fresh"](made["step"], *made["begin_and_dice"](s)), s) for s in SEEDS) / 3


def cases(g):
    made, _ = _made()
    return [Case("my_cloud", (made["step"], *made["begin_and_dice"](s))) for s in SEEDS]


def _value(results):
    made, _ = _made()
    return sum(made["distance"](x, s) for (_, x), s in zip(results, SEEDS, strict=True)) / 3


def _reached(results):
    return f"The energy distance is {_value(results):.3f}; at most {GOAL} is wanted."


def _kind(results):
    return all(torch.is_tensor(x) and x.shape == (500, 2) and x.dtype == torch.float64 for _, x in results)


PROPERTIES = [
    (KIND, _kind),
    (FINITE, lambda results: all(bool(x.isfinite().all()) for _, x in results)),
    (WORSE, lambda results: _value(results) < 0.9 * _made()[1], _reached),
    (FAR, lambda results: _value(results) <= GOAL, _reached),
]

HINTS = """
Begin with the loop of `fresh` above: it uses other dice in each step, and so each grain is thrown about anew.

step also returns the noise that it found in the grain. What if the next step puts on noise that has to do with it?

The first step needs dice[0]. Each later one can take what the one before it has found, all of it or mixed with a
little of its own dice.
"""

MISTAKES = f"""
my_cloud := lambda step, x, dice: dice[0, 0]
    {KIND}
my_cloud := lambda step, x, dice: dice
    {KIND}
my_cloud := lambda step, x, dice: dice[0].float()
    {KIND}
my_cloud := lambda step, x, dice: step(x, 0, dice[0])
    {KIND}
my_cloud := lambda step, x, dice: x / 0
    {FINITE}
"""

RIGHT = r"""
x, eps = step(x, k, eps) -> x, eps = step(x, k, 0.95 * eps + 0.0975**0.5 * dice[k])
eps = dice[0] -> eps = -dice[0]
eps = dice[0] -> eps = dice[19]
"""

WRONG = r"""
my_cloud := lambda step, x, dice: x
my_cloud := lambda step, x, dice: dice[0]
range(20) -> range(19, -1, -1)
range(20) -> range(10)
x, eps = step(x, k, eps) -> x, _ = step(x, k, dice[k])
x, eps = step(x, k, eps) -> x, _ = step(x, k, eps)
x, eps = step(x, k, eps) -> x, eps = step(x, k, 0.5 * eps)
"""

EQUIVALENT = ""
