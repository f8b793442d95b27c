"""17.6 open-ended: a cloud that does not collapse."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution

GOAL, SCATTER = 0.004, 0.001  # by dice alone, of a mean of eight clouds
KIND = "Grains like x are asked for: one tensor of its shape and dtype."
FINITE = "A grain is at no finite place."
CALLS = "step is to be called 20 times, with k from 0 to 19 in turn."
WORSE = "That is no better than fresh noise in each step. Which noise does a step put on, and has it to do with what was found?"
FAR = "Better than fresh noise, and not enough. How much of what was found do you keep?"
SEEDS = range(101, 109)


@cache
def _made():
    made = Solution.of("17.6").made("step, fresh, begin_and_dice, distance")
    return made, _mean(made, [made["fresh"](made["step"], *made["begin_and_dice"](seed)) for seed in SEEDS])


def _mean(made, clouds):
    return sum(made["distance"](x, seed) for x, seed in zip(clouds, SEEDS, strict=True)) / len(SEEDS)


class Step:
    """step(x, k, eps), which remembers the k. Every attempt gets a copy, and none is said to have changed it."""

    def __deepcopy__(self, memo):
        self.latest = Step()
        self.latest.asked = []
        return self.latest

    def __call__(self, x, k, eps):
        self.asked.append(int(k))
        return _made()[0]["step"](x, k, eps)

    def __eq__(self, other):
        return isinstance(other, Step)

    __hash__ = None

    def __repr__(self):
        return "step"


def cases(g):
    made, _ = _made()

    def case(seed):
        step = Step()
        return Case("my_cloud", (step, *made["begin_and_dice"](seed)), read=lambda x: (x, step.latest.asked))

    return [case(seed) for seed in SEEDS]


def _value(results):
    return _mean(_made()[0], [x for _, (x, _) in results])


def _reached(results):
    return f"The energy distance is {_value(results):.3f}; at most {GOAL} is wanted."


def _kind(results):
    return all(torch.is_tensor(x) and x.shape == (500, 2) and x.dtype == torch.float64 for _, (x, _) in results)


PROPERTIES = [
    (KIND, _kind),
    (FINITE, lambda results: all(bool(x.isfinite().all()) for _, (x, _) in results)),
    (CALLS, lambda results: all(asked == list(range(20)) for _, (_, asked) in results)),
    (WORSE, lambda results: _value(results) < 0.9 * _made()[1], _reached),
    (FAR, lambda results: _value(results) <= GOAL + SCATTER, _reached),
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
eps = dice[0] -> eps = dice[10]
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
