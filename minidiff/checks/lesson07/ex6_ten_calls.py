"""7.6 open-ended: ten calls, a tenth of DDIM's error."""

from functools import cache

import numpy as np
import torch

from minidiff import sample
from minidiff.checks import Case
from minidiff.checks.solution import Solution
from minidiff.schedule import leading, trailing  # noqa: F401  the edits use them

CALLS, GOAL = 10, 0.1
TIMES = f"More than {CALLS} calls of denoise for a point: a call with a batch counts once for each point in it."
NONE = "denoise is never called: without asking it, nobody knows where the data are."
FINITE = "Some of the points are no finite numbers."
START = "The points have hardly moved from where they began."
NOISY = "The points have stopped on the way, in the noise: the last time is 0."
ELSEWHERE = (
    "Your points end further from the exact ends than DDIM's. Those are the ends of the curve: is there fresh noise in "
    "your way, a mistake in a formula, or a step that is far too long?"
)
FAR = "Which is larger, the error of the first steps, where there is hardly anything but noise, or of the last ones?"


@cache
def _notebook():
    """The races of the notebook, their score, what that needs, and all states on the exact ways."""
    names = Solution.of("7.6").made("RACES, score, stable, ending, RATIO")
    times = names["ending"](np.geomspace(names["RATIO"][-1], names["RATIO"][1], 60))
    return names | {"WAYS": [[*sample.heun(f, x, names["stable"], times)] for f, x in names["RACES"]]}


def cases(g):
    """The calls first, then the ends of each race."""
    names = _notebook()
    (denoise, x), *_ = names["RACES"]
    counting = _Counting(denoise)

    def calls(_):
        return sum(counting.rows) / len(x)

    def schedule(t):  # a function has no copy that differs from it
        return names["stable"](t)

    ends = [Case("my_sampler", (*race, schedule)) for race in names["RACES"]]
    return [Case("my_sampler", (counting, x, schedule), read=calls), *ends]


class _Counting:
    """A denoiser that counts the points it is asked about. Each call of an answer gets a copy: then it begins anew."""

    def __init__(self, denoise):
        self.denoise, self.rows = denoise, []

    def __call__(self, x, t):
        self.rows.append(len(x))
        return self.denoise(x, t)

    def __repr__(self):
        return "denoise"

    def __deepcopy__(self, memo):
        self.rows.clear()
        return self


def _score(results):
    return _notebook()["score"]([got for _, got in results[1:]])


def _reached(results):
    return f"The error is {_score(results):.3f} times DDIM's; at most {GOAL} is wanted."


def _on_the_way(results):
    """Whether the points are far nearer to an earlier state of the exact ways than to their ends."""

    def stopped(got, way):
        *earlier, end = ((got - state).square().sum(1).sqrt().median().item() for state in way)
        return min(earlier) < end / 3

    return all(stopped(got, way) for (_, got), way in zip(results[1:], _notebook()["WAYS"], strict=True))


PROPERTIES = [
    (TIMES, lambda results: results[0][1] <= CALLS),
    (NONE, lambda results: results[0][1] > 0),
    (FINITE, lambda results: all(got.isfinite().all() for _, got in results[1:])),
    (START, lambda results: all((got - case.args[1]).abs().median() > 0.05 for case, got in results[1:])),
    (NOISY, lambda results: not _on_the_way(results)),
    (ELSEWHERE, lambda results: _score(results) < 1.05, _reached),
    (FAR, lambda results: _score(results) <= GOAL, _reached),
]

HINTS = """
Two dials: how you walk, and where you stop. Change one at a time, and look at the number that the cell after the check
prints.

Where you stop: at the noisy end the guess hardly changes, so one long step does no harm there; and the less noise is
left, the less there is to gain. Spend the calls in between, evenly in the logarithm of r. times_at turns levels of
noise into times.

How you walk: a sampler that looks back has a higher order for one call a step. minidiff.sample has two, PLMS (which
needs one call more than it has steps) and DPM-Solver++ 2M. A line through the last two guesses is not the best that can
be drawn: you remember three of them. Or look again at the end of a step, with the guess that you need there anyway.
"""

MISTAKES = f"""
my_sampler := lambda denoise, x, schedule: last(sample.heun(denoise, x, schedule, spread(10, 4.0, 0.06)))
    {TIMES}
my_sampler := lambda denoise, x, schedule: last(sample.plms(denoise, x, schedule, spread(10, 4.0, 0.06)))
    {TIMES}
my_sampler := lambda denoise, x, schedule: last(sample.dpmpp_2m(lambda y, t: denoise(torch.cat([y, y]), t)[: len(y)], x, schedule, spread(10, 4.0, 0.06)))
    {TIMES}
my_sampler := lambda denoise, x, schedule: 0.1 * x
    {NONE}
my_sampler := lambda denoise, x, schedule: denoise(x, 1000) / 0
    {FINITE}
my_sampler := lambda denoise, x, schedule: x + 0 * denoise(x, 1000)
    {START}
my_sampler := lambda denoise, x, schedule: last(sample.heun(denoise, x, schedule, [1000, 850, 700, 550, 400]))
    {NOISY}
my_sampler := lambda denoise, x, schedule: last(sample.dpmpp_2m(denoise, x, schedule, [1000, 800, 600, 400, 200]))
    {NOISY}
"""

RIGHT = """
my_sampler := lambda denoise, x, schedule: last(sample.plms(denoise, x, schedule, spread(9, 5.0, 0.08)))
my_sampler := lambda denoise, x, schedule: corrected(denoise, x, schedule, spread(10, 5.0, 0.06))
"""

# the samplers and the lists of lesson 07 and of this notebook, and what else is not enough
WRONG = """
my_sampler := lambda denoise, x, stable: last(sample.ddim(denoise, x, stable, trailing(1000, 10)))
my_sampler := lambda denoise, x, stable: last(sample.ddim(denoise, x, stable, karras(10)))
my_sampler := lambda denoise, x, stable: last(sample.ddim(denoise, x, stable, even(10)))
my_sampler := lambda denoise, x, stable: last(sample.dpmpp_2m(denoise, x, stable, trailing(1000, 10)))
my_sampler := lambda denoise, x, stable: last(sample.dpmpp_2m(denoise, x, stable, leading(1000, 10)))
my_sampler := lambda denoise, x, stable: last(sample.dpmpp_2m(denoise, x, stable, karras(10)))
my_sampler := lambda denoise, x, stable: last(sample.dpmpp_2m(denoise, x, stable, even(10)))
my_sampler := lambda denoise, x, stable: last(sample.plms(denoise, x, stable, trailing(1000, 9)))
my_sampler := lambda denoise, x, stable: last(sample.plms(denoise, x, stable, karras(9)))
my_sampler := lambda denoise, x, stable: last(sample.plms(denoise, x, stable, even(9)))
my_sampler := lambda denoise, x, stable: last(sample.heun(denoise, x, stable, karras(5)))
my_sampler := lambda denoise, x, stable: last(sample.heun(denoise, x, stable, even(5)))
my_sampler := lambda denoise, x, stable: last(sample.ddpm(denoise, x, stable, karras(10), torch.Generator().manual_seed(0)))
my_sampler := lambda denoise, x, schedule: denoise(x, 1000)
my_sampler := lambda *args: my_sampler(*args) / 0.068
my_sampler := lambda denoise, x, schedule: my_sampler(denoise, x[:1], schedule)
my_sampler := lambda *args: my_sampler(*args).float()
"""


def spread(n, first, lo):
    """One long step from the noisy end, then n - 1 times even in log r, and a 0."""
    return _notebook()["ending"]([_notebook()["RATIO"][-1], *np.geomspace(first, lo, n - 1)])


def even(n):
    r = _notebook()["RATIO"]
    return _notebook()["ending"](np.geomspace(r[-1], r[1], n))


def karras(n):
    r = _notebook()["RATIO"]
    return _notebook()["ending"]((np.linspace(r[-1] ** (1 / 7), r[1] ** (1 / 7), n) ** 7).clip(max=r[-1]))


def corrected(denoise, x, schedule, ts):
    """Through the last three guesses, and again through them and the one at the end of the step (as UniPC does)."""

    def whole(k, start, h):
        """The weights with which the last k guesses enter the exact solution, a polynomial in lambda."""
        nodes, (q, w) = places[-k:], np.polynomial.legendre.leggauss(8)
        at = start + h * (q + 1) / 2
        basis = [np.prod([(at - b) / (a - b) for b in nodes if b != a], axis=0) for a in nodes]
        return sum((w * h / 2 * np.exp(at) * b).sum() * guess for b, guess in zip(basis, guesses[-k:], strict=True))

    levels = [[float(level) for level in schedule(t)] for t in ts]
    guesses, places = [denoise(x, ts[0])], [np.log(levels[0][0] / levels[0][1])]
    for t, (_, sigma), (a_s, sigma_s) in zip(ts[1:-1], levels, levels[1:-1], strict=False):
        start, k = places[-1], min(3, len(guesses))
        h = np.log(a_s / sigma_s) - start
        guess = denoise(sigma_s * (x / sigma + whole(k, start, h)), t)
        guesses, places = [*guesses, guess], [*places, start + h]
        x = sigma_s * (x / sigma + whole(k + 1, start, h))
    return guesses[-1]
