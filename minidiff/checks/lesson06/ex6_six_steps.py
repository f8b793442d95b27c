"""6.6 open-ended: six guided steps."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution
from minidiff.schedule import trailing

STEPS, GOAL = 6, 0.065
RANGE = "Some of your scales are below 0 or above 20, or are no numbers."
MANY = f"More than {STEPS} steps are guided: their scale is not 1."
NONE = "No step is guided: each of your scales is 1. The times t run from 1000 down to 40."
FAR = (
    "Early guidance empties some of the blobs, late guidance no longer brings a point out of the wrong one, and too much "
    "of it pushes points off the data. Which is it?"
)


@cache
def _distance(scales):
    return Solution.of("6.6").made("distance")["distance"](torch.tensor(scales))


def cases(g):
    return [Case("my_guidance", (trailing(1000, 25)[:-1],))]


def _of(measure):
    return lambda results: measure(results[0][1].tolist())


def _guided(scales):
    return sum(scale != 1 for scale in scales)


PROPERTIES = [
    (RANGE, _of(lambda scales: all(0 <= scale <= 20 for scale in scales))),
    (
        MANY,
        _of(lambda scales: _guided(scales) <= STEPS),
        _of(lambda scales: f"{_guided(scales)} are, of 25."),
    ),
    (NONE, _of(_guided)),
    (
        FAR,
        _of(lambda scales: _distance(tuple(scales)) <= GOAL),
        _of(lambda scales: f"The distance is {_distance(tuple(scales)):.3f}; at most {GOAL} is wanted."),
    ),
]

HINTS = """
Begin with six steps in the middle, and move them. torch.where with a condition on t does it. Between two neighbouring
steps lie 40 times.

With fewer steps each has to do more: try other scales than 4. Is it the same part of the way where a blob is emptied and
where a point is saved from the wrong kind?

Every second step is guided, too, if the network is asked in between without a push: does it help to let it settle?
"""

MISTAKES = f"""
my_guidance := lambda t: my_guidance(t) - 3
    {RANGE}
my_guidance := lambda t: t * torch.nan
    {RANGE}
my_guidance := lambda t: 1 + 0 * t + torch.inf * (t == 520)
    {RANGE}
my_guidance := lambda t: torch.full_like(t, 3)
    More than 6 steps are guided: their scale is not 1. 25 are, of 25.
my_guidance := lambda t: torch.where((t > 333) & (t <= 667), 4.0, 1.0).to(t)
    More than 6 steps are guided: their scale is not 1. 8 are, of 25.
my_guidance := lambda t: torch.where((t > 0.3) & (t < 0.6), 5.0, 1.0).to(t)
    {NONE}
"""

RIGHT = """
my_guidance := lambda t: torch.where((t <= 600) & (t >= 200) & (t % 80 == 40), 5.0, 1.0).to(t)
my_guidance := lambda t: torch.where((t <= 480) & (t >= 360), 6.0, 1.0).to(t)
my_guidance := lambda t: torch.where((t <= 560) & (t >= 360), 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where((t <= 640) & (t >= 240) & (t % 80 == 0), 1 + (8 - t / 100).clamp(max=5), 1.0).to(t)
"""

# lesson 06's intervals and constants, and what else is not enough
WRONG = """
my_guidance := lambda t: torch.full_like(t, 1.5)
my_guidance := lambda t: torch.full_like(t, 2)
my_guidance := lambda t: torch.where(t > 667, 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where(t <= 333, 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where(t <= 667, 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where(t > 760, 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where((t > 400) & (t <= 640), 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where(t <= 240, 4.0, 1.0).to(t)
my_guidance := lambda t: torch.where((t <= 520) & (t >= 320), 20.0, 1.0).to(t)
my_guidance := lambda t: 1 + 4 * (1 - t / 1000)
my_guidance := lambda t: torch.linspace(1, 4, len(t), dtype=torch.float64)
my_guidance := lambda t: my_guidance(t).float()
my_guidance := lambda t: my_guidance(t)[1:]
my_guidance := lambda t: 4.0
"""
