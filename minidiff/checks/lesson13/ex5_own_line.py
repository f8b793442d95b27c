"""13.5 open-ended: a line of your own, better than the straight one."""

import math  # noqa: F401  the edits use it
from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution

GOAL, STEPS, H = 0.3, 8, 1e-6
KIND = "Two tensors of t's own shape and dtype are asked for, alpha and sigma, for every time of t."
FINITE = "alpha or sigma is no finite number somewhere between 0 and 1."
CLEAN = "At t = 0 there must be clean data: alpha 1 and sigma 0."
NOISE = "At t = 1 there must be next to nothing but noise: alpha at most a fiftieth of sigma."
FALLS = "The noise, sigma over alpha, must grow with t all the way, and neither number may be below 0."
STEEP = (
    "Your line is no better than the straight one. Somewhere it is all but upright, at an end perhaps: there one step "
    "of Euler's goes anywhere."
)
WORSE = "Your line is no better than the straight one. Is there a line on which most data hardly move?"
FAR = (
    "Better than the straight line, and not enough. Ask what the field is for one normal distribution of variance 1: on "
    "which line is it 0?"
)


def cases(g):
    """The times of the steps, those a little earlier, which give the derivatives, and others."""
    ts = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)[:-1]
    return [Case("my_line", (t,)) for t in (ts, ts - H, torch.linspace(0, 1, 101, dtype=torch.float64))]


@cache
def _score():
    return Solution.of("13.5").made("score_of")["score_of"]


def _reached(results):
    (_, now), (_, before), _ = results
    answers = iter((now, before))
    return f"The error is {_score()(_replayed(answers)):.3f} times the straight line's; at most {GOAL} is wanted."


def _replayed(answers):
    return lambda t: next(answers)


def _value(results):
    (_, now), (_, before), _ = results
    return _score()(_replayed(iter((now, before))))


def _steepest(results):
    (_, now), (_, before), _ = results
    return max(((a - b) / H).abs().max().item() for a, b in zip(now, before, strict=True))


def _all(results):
    _, (alpha, sigma) = results[2]
    return alpha, sigma


def _falls(results):
    alpha, sigma = _all(results)
    return bool(
        (alpha >= -1e-9).all() and (sigma >= -1e-9).all() and ((sigma / alpha.clamp(min=1e-12)).diff() > 0).all()
    )


def _kind(results):
    given = [(case.args[0], each) for case, pair in results for each in pair]
    return all(torch.is_tensor(each) and each.shape == t.shape and each.dtype == t.dtype for t, each in given)


PROPERTIES = [
    (KIND, _kind),
    (FINITE, lambda results: all(a.isfinite().all() for _, pair in results for a in pair)),
    (CLEAN, lambda results: abs(_all(results)[0][0] - 1) < 1e-6 and abs(_all(results)[1][0]) < 1e-6),
    (NOISE, lambda results: _all(results)[0][-1] <= 0.02 * _all(results)[1][-1]),
    (FALLS, _falls),
    (STEEP, lambda results: _value(results) < 1 or _steepest(results) < 500, _reached),
    (WORSE, lambda results: _value(results) < 1, _reached),
    (FAR, lambda results: _value(results) <= GOAL, _reached),
]

HINTS = """
Two dials: the shape of the line, alpha against sigma, and the clock, how fast it is walked. Change one at a time, and
look at the number that the cell below the check prints.

The straight line passes through a place where the data are half as large and the noise, too: together they are smaller
there than at both ends, and everything has to shrink and to grow again. Data and noise both have size 1 here: is there a
line on which x keeps its size?

On that line alpha squared and sigma squared add up to 1. Two functions do that for every angle; let the angle grow
evenly with t.
"""

MISTAKES = f"""
my_line := lambda t: (0.5, 0.5)
    {KIND}
my_line := lambda t: (torch.cos(t[:1] * math.pi / 2), torch.sin(t[:1] * math.pi / 2))
    {KIND}
my_line := lambda t: (1 - t, t / 0)
    {FINITE}
my_line := lambda t: (0.9 - 0.9 * t, t)
    {CLEAN}
my_line := lambda t: (t, 1 - t)
    {CLEAN}
my_line := lambda t: (1 - t / 2, t)
    {NOISE}
my_line := lambda t: (torch.ones_like(t), t)
    {NOISE}
my_line := lambda t: (torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2) * (1 + 0.9 * torch.sin(12 * t)))
    {FALLS}
"""

RIGHT = """
my_line := lambda t: (torch.cos(t * math.pi / 2) ** 2, torch.sin(t * math.pi / 2) ** 2)
my_line := lambda t: ((1 - torch.sin(t * math.pi / 2) ** 2).clamp(min=0).sqrt(), torch.sin(t * math.pi / 2))
my_line := lambda t: (torch.cos(t**1.15 * math.pi / 2), torch.sin(t**1.15 * math.pi / 2))
"""

# the lines of the notebook, and others that are not enough
WRONG = """
my_line := lambda t: (1 - t, t)
my_line := lambda t: (1 - t**2, t**2)
my_line := lambda t: (1 - t**1.5, t**1.5)
my_line := lambda t: ((-(0.05 * t + 4.975 * t**2)).exp(), (1 - (-(0.1 * t + 9.95 * t**2)).exp()).sqrt())
my_line := lambda t: (torch.ones_like(t), 80 * t**3)
my_line := lambda t: (torch.cos(t**2 * math.pi / 2), torch.sin(t**2 * math.pi / 2))
my_line := lambda t: ((1 - t**2).sqrt(), t)
my_line := lambda t: torch.cos(t * math.pi / 2)
my_line := lambda t: (torch.cos(t * math.pi / 2).float(), torch.sin(t * math.pi / 2).float())
"""
