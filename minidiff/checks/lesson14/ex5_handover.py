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
        Case("handover", (torch.tensor([9.0, 7.0, 4.0, 2.0]), 1.0)),  # no step is the refiner's
    ]


HINTS = """
A step goes from times[i] to times[i + 1]. So n + 1 times are n steps, and the last time begins none.

How many steps begin above `start`? times[:-1] > start says of each whether it does, and .sum() counts them.

That many steps need one time more. And where the first list ends, the second begins, even if no step is left for it.
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
(times[:-1] > start) -> (times[1:] >= start)
    A step belongs to the one at whose time it begins, not where it ends.
(times[:-1] > start) -> (times > start)
    You count the last time, too, which begins no step: where it is above `start` the refiner's list is empty, and the two do not meet.
int((times[:-1] > start).sum()) -> int((times <= start).int().argmax())
    Where no time is at `start` or below, your first network draws nothing: then all steps are its own.
int((times[:-1] > start).sum()) -> int((times - start).abs().argmin())
    You hand over at the time nearest to `start`: no step that begins above it is the refiner's.
int((times[:-1] > start).sum()) -> int((times[:-1] > 200).sum())
    You hand over at 200: `start` has no effect.
return times[: before + 1], times[before:] -> return times[:before], times[max(before - 1, 0) :]
    You hand over one step too early.
return times[: before + 1], times[before:] -> before = int((times > start).sum())\n    return times[:before], times[before - 1 :]
    You hand over one step too early.
return times[: before + 1], times[before:] -> return times[: before + 2], times[before + 1 :]
    You hand over one step too late.
return times[: before + 1], times[before:] -> return times[times >= start], times[times <= start]
    Your lists meet only where `start` is one of the times: else the step across it is done by nobody.
return times[: before + 1], times[before:] -> return times[times > start], times[times <= start]
    The two lists do not meet: the step between them is done by nobody. The first list ends in the time where the second begins.
return times[: before + 1], times[before:] -> at = times[:1] * 0 + start\n    return torch.cat([times[times > start], at]), torch.cat([at, times[times < start]])
    You put `start` among the times: the first network's last step ends where it would have ended.
return times[: before + 1], times[before:] -> return torch.cat([times[times > start], times[:1] * 0 + start]), times[times <= start]
    You put `start` among the first network's times: its last step ends where it would have ended.
return times[: before + 1], times[before:] -> before = int((times >= start).sum())\n    return times[: before + 1], times[before:]
    A step that begins at `start` itself is the refiner's.
return times[: before + 1], times[before:] -> return before, len(times) - 1 - before
    You return how many steps each does: their times are asked for.
return times[: before + 1], times[before:] -> return times[: before + 1], times[before:-1]
    The last time is missing: the refiner's last step ends there.
return times[: before + 1], times[before:] -> return torch.cat([times[: before + 1], times[-1:]]), times[before:]
    The first network ends with a step to the last time: it stops where the refiner begins.
return times[: before + 1], times[before:] -> return times[: before + 1], torch.linspace(times[before], times[-1], len(times) - before, dtype=times.dtype)
    The refiner's times are new ones, evenly spaced: it takes those that are left.
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
return times[: before + 1], times[before:] -> return times[: before + 1], times[before:].flip(0)
"""

EQUIVALENT = r"""
int((times[:-1] > start).sum()) -> (times[:-1] > start).sum()
    a tensor with one whole number cuts as the number does
"""
