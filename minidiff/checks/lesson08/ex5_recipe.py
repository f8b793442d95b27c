"""8.5 open-ended: a recipe."""

import math  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution

GOAL = 0.0035
PAIRS = "my_recipe should give a list of pairs: the rate and the decay of each step."
COUNT = "There should be one pair for each of the steps you were given, no fewer and no more."
RATES = "Rates are numbers from 0 to 10."
DECAYS = "Decays are numbers from 0 to 1: the share of itself that the average keeps."
SWAPPED = "The wrong way round: in each pair the rate comes first, and then the decay."
SHARES = "Your decays are those of the new weights. A decay is the share of itself that the average keeps."
APART = "The weights fly apart: the rate is too high for the steepest direction."
LOST = "The weights got near the bottom, but the average did not: how long does it remember the beginning?"
SLOW = (
    "Even without noise the average would not be there: the rate is too low for the flat directions, or the average "
    "remembers the beginning for too long."
)
NOISY = (
    "What is left is mostly noise. It has to be averaged out over more steps, the more the higher the rate at the end."
)


FAULTS = PAIRS, COUNT, RATES, DECAYS, SWAPPED, SHARES


def _judged(steps):
    """Reads a recipe: (which of the first sentences is true of it, -1 if none; the loss of the weights, of their average,
    and of the average if there were no noise)."""
    valley = Solution.of("8.5").made("valley")["valley"]

    def read(recipe):
        try:
            recipe = [(float(rate), float(decay)) for rate, decay in recipe]
        except (TypeError, ValueError):
            return torch.tensor([0.0, 1, 1, 1], dtype=torch.float64)
        faults = (
            len(recipe) != steps,
            not all(0 <= rate <= 10 for rate, _ in recipe),
            not all(0 <= decay <= 1 for _, decay in recipe),
        )
        fault = faults.index(True) + 1 if any(faults) else -1
        losses = (*valley(recipe)[-1], valley(recipe, noise=0)[-1][1]) if fault < 0 else (1, 1, 1)
        if fault < 0 and losses[1] >= GOAL:  # would another reading of the pairs do?
            swapped, shares = [(b, a) for a, b in recipe], [(a, 1 - b) for a, b in recipe]
            reached = [valley(other)[-1][1] < GOAL for other in (swapped, shares)]
            fault = reached.index(True) + 4 if any(reached) else -1
        return torch.tensor([fault, *losses], dtype=torch.float64).nan_to_num(1e9, 1e9)

    return read


def cases(g):
    return [Case("my_recipe", (steps,), read=_judged(steps)) for steps in (400, 500)]


def _each(test):
    return lambda results: all(test(*result.tolist()) for _, result in results)


def _reached(results):
    steps, loss = max(((case.args[0], found[2].item()) for case, found in results), key=lambda each: each[1])
    return f"After {steps} steps the average is at {loss:.4f}; below {GOAL} is wanted."


PROPERTIES = [
    *((text, _each(lambda fault, *_, i=i: fault != i)) for i, text in enumerate(FAULTS)),
    (APART, _each(lambda fault, plain, *_: plain < 2)),
    (LOST, _each(lambda fault, plain, mean, _: mean < GOAL or mean < 3 * plain), _reached),
    (SLOW, _each(lambda fault, plain, mean, silent: mean < GOAL or silent < mean / 2), _reached),
    (NOISY, _each(lambda fault, plain, mean, silent: mean < GOAL), _reached),
]

HINTS = """
First try one rate for all steps, without an average, and print what the two losses are for a high and for a low rate.

A falling rate takes the noise out, but then the flat directions stand still. The average can do it instead, and the
rate can stay high.

An average with decay d looks back about 1 divided by (1 - d) steps. How many steps at the end are good ones? It can be
more with each step: which decay makes the average of n + 1 weights from that of n?
"""

MISTAKES = f"""
my_recipe := lambda steps: 0.5
    {PAIRS}
my_recipe := lambda steps: [0.5] * steps
    {PAIRS}
my_recipe := lambda steps: my_recipe(steps)[:-1]
    {COUNT}
my_recipe := lambda steps: my_recipe(400)
    {COUNT}
my_recipe := lambda steps: [(-0.1, 0.9)] * steps
    {RATES}
my_recipe := lambda steps: [(0.5, 98)] * steps
    {DECAYS}
my_recipe := lambda steps: [(2.5, 0.9)] * steps
    {APART}
my_recipe := lambda steps: [(decay, rate) for rate, decay in [(0.9, s / (s + 1)) for s in range(steps)]]
    {SWAPPED}
my_recipe := lambda steps: [(rate, 1 - decay) for rate, decay in my_recipe(steps)]
    {SHARES}
"""

RIGHT = """
my_recipe := lambda steps: [(0.8 + 0.8 * (s < steps / 2), s / (s + 1)) for s in range(steps)]
my_recipe := lambda steps: [(1.8 * (1 - s / steps) ** 0.5, 0 if s < steps / 20 else 1 - 1 / (s - steps // 20 + 1)) for s in range(steps)]
my_recipe := lambda steps: [(1.4, (1 + s) / (2 + s)) for s in range(steps)]
my_recipe := lambda steps: torch.tensor([(1.7 / (1 + s / 50) ** 0.5, s / (s + 2)) for s in range(steps)])
my_recipe := lambda steps: [(1.2, 0 if s < 20 else 1 - 1 / (s - 19)) for s in range(steps)]
"""

# one pair, a falling rate with an average as in lesson 08, and what else is not enough
WRONG = """
my_recipe := lambda steps: [(0.5, 0.99)] * steps
my_recipe := lambda steps: [(0.6, 0.99)] * steps
my_recipe := lambda steps: [(0.8, 0.0)] * steps
my_recipe := lambda steps: [(0.6 * (1 + math.cos(math.pi * s / steps)) / 2, min(0.98, (1 + s) / (10 + s))) for s in range(steps)]
my_recipe := lambda steps: [(1.0 * (1 + math.cos(math.pi * s / steps)) / 2, min(0.999, (1 + s) / (10 + s))) for s in range(steps)]
my_recipe := lambda steps: [(0.8 * (1 - s / steps), 0.99) for s in range(steps)]
my_recipe := lambda steps: [(0.4, 0.999)] * steps
my_recipe := lambda steps: [(rate, 0.999) for rate, _ in my_recipe(steps)]
my_recipe := lambda steps: my_recipe(steps)[::-1]
my_recipe := lambda steps: [(9.0, 0.9), *my_recipe(steps)[1:-3], (9.0, 0.0), (9.0, 0.0), (9.0, 0.0)]
my_recipe := lambda steps: [(math.nan, 0.9)] * steps
my_recipe := lambda steps: []
my_recipe := lambda steps: [(0.0, 0.0)] * steps
"""
