"""14.5 hand over to the refiner."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole
from minidiff.schedule import trailing


def cases(g):
    return [
        Case("handover", (trailing(1000, 20), 200.0)),
        Case("handover", (trailing(1000, whole(g, 7, 30)), uniform(g, 150, 700))),
        Case("handover", (trailing(1000, 10), 300.0)),
        Case("handover", (torch.rand(12, generator=g, dtype=torch.float64).sort(descending=True).values, 0.4)),
        Case("handover", (trailing(1000, 25), 1000.0)),
        Case("handover", (torch.tensor([9.0, 7.0, 4.0, 1.0, 0.0]), 5.0)),
        Case("handover", (torch.tensor([9.0, 7.0, 4.0, 1.0, 0.0]), 0.5)),
    ]


HINTS = """
A step goes from times[i] to times[i + 1]. So n + 1 times are n steps, and the last time begins none.

How many steps begin above `start`? times[:-1] > start says of each whether it does, and .sum() counts them.

That many steps need one time more. And where the first list ends, the second begins.
"""

MISTAKES = r"""
return times[: before + 1], times[before:] -> return times[:before], times[before:]
    The two lists do not meet: the step between them is done by nobody. The first list ends in the time where the second begins.
return times[: before + 1], times[before:] -> return times[: before + 1], times[before + 1 :]
    The two lists do not meet: the step between them is done by nobody. The first list ends in the time where the second begins.
return times[: before + 1], times[before:] -> return times[before:], times[: before + 1]
    You give the refiner's times first.
(times[:-1] > start) -> (times[:-1] >= start)
    A step that begins at `start` itself is the refiner's.
(times[:-1] > start) -> (times[1:] > start)
    A step belongs to the one at whose time it begins, not where it ends.
(times[:-1] > start) -> (times[:-1] < start)
    You count the steps below `start`: those above it are the first network's.
int((times[:-1] > start).sum()) -> len(times) // 2
    You hand over half-way: `start` has no effect.
return times[: before + 1], times[before:] -> return times[: before + 1], torch.cat([times[:1] * 0 + start, times[before + 1 :]])
    The refiner begins at `start`: it begins where the first network has stopped.
return times[: before + 1], times[before:] -> return times, times[before:]
    The first network draws to the end: it stops where the refiner begins.
return times[: before + 1], times[before:] -> return times[: before + 1], times
    The refiner begins at the beginning: it begins where the first network has stopped.
"""

RIGHT = r"""
int((times[:-1] > start).sum()) -> sum(t > start for t in times[:-1].tolist())
"""

WRONG = r"""
int((times[:-1] > start).sum()) -> int((times[:-1] > start).sum()) + 1
return times[: before + 1], times[before:] -> return times[: before + 2], times[before + 1 :]
return times[: before + 1], times[before:] -> return times[: before + 1], times[before:].flip(0)
"""

EQUIVALENT = r"""
times[:-1] -> times
    the last time is the lowest, and begins no step above `start`
int((times[:-1] > start).sum()) -> (times[:-1] > start).sum()
    a tensor with one whole number cuts as the number does
"""
