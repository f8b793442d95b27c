"""1.5 ScheduleComparator: linear against cosine."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import table, uniform, whole
from minidiff.checks.solution import Solution

ATOL = 1e-6


def _comparison(T=1000):
    """What `compare` has to print, from the solution's own numbers: two decimals of alpha-bar, whole decibels at least."""
    theirs = Solution.of("1.5").answers["ScheduleComparator"]()
    curves = theirs.linear_schedule(T), theirs.cosine_schedule(T)
    rows = []
    for t in (0, 100, 250, 500, 750, 900, 999):
        numbers = [n.item() for a in curves for n in (a[t], theirs.signal_to_noise_ratio(a[t]))]
        rows.append((str(t), [t, *numbers], 0.051))
    return table(*rows)


def cases(g):
    def case(method, *args, **kwargs):
        return Case(f"ScheduleComparator.{method}", args, **kwargs)

    T = whole(g, 300, 900)
    high = uniform(g, 0.6, 0.99, 9)
    return [
        case("linear_schedule", T, 2e-4, uniform(g, 0.01, 0.03)),
        case("linear_schedule", 1000),
        case("find_zero_crossing", uniform(g, 0.01, 1, 50).sort(descending=True).values),
        case("find_zero_crossing", torch.tensor([0.9, 0.7, 0.5, 0.2], dtype=torch.float64)),
        case("find_zero_crossing", high.sort(descending=True).values),
        case("compare", printed=_comparison()),
    ]


HINTS = """
a

b

c
"""

MISTAKES = """
return int(below[0]) if -> return int(below[0]) + 1 if
    find_zero_crossing is one too high: indices begin at 0.
"""
