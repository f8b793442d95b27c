"""10.5 control for a part of the way."""

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    """Parts that begin and end with a step, that cut a little from a step or leave it a little, or lie in a step."""
    fixed = (10, 0.75, 0.0, 0.3), (20, 1.5, 0.75, 1.0), (1, 0.5, 0.0, 1.0), (20, 0.6, 0.0, 0.17), (8, 0.7, 0.3, 0.45)
    cases = [Case("scales", args) for args in fixed]
    for first, last in ((0.1, 0.9), (0.9, 0.1), (0.1, 0.1)):
        n = whole(g, 14, 30)
        start, end = (whole(g, 2, 4) + first) / n, (whole(g, int(0.35 * n), int(0.5 * n)) + last) / n
        cases.append(Case("scales", (n, uniform(g, 0.4, 0.9), start, end)))
    return cases


HINTS = """
Step i of n covers the way from i / n to (i + 1) / n.

It counts if that whole stretch lies between start and end. Two comparisons.

A list of n floats: the scale where both hold, 0.0 elsewhere.
"""

MISTAKES = """
scale if yes else 0.0 -> scale
    Every step has the scale: start and end have no effect.
scale if yes else 0.0 -> 0.0 if yes else scale
    The control is off where it should be on, and on where it should be off.
and (i + 1) / steps <= end ->
    The control never stops: end is not used.
start <= i / steps and ->
    The control is on from the first step: start is not used.
scale if yes -> 1.0 if yes
    The right steps, but always at 1: the scale is not used.
(i + 1) / steps <= end -> i / steps < end
    A step that only begins before the end is in your part. It has to be over by then.
(i + 1) / steps <= end -> i / steps <= end
    A step that only begins before the end, or right at it, is in your part. It has to be over by then.
start <= i / steps and -> start < (i + 1) / steps and
    A step that began before the start is in your part. It has to lie inside from its beginning.
start <= i / steps and (i + 1) / steps <= end -> start < (i + 1) / steps and i / steps < end
    A step that is only partly inside is in your part. All of it has to be.
start <= i / steps and (i + 1) / steps <= end -> start <= (i + 0.5) / steps <= end
    A step of which the larger part lies inside is in your part. All of it has to lie there.
start <= i / steps and (i + 1) / steps <= end -> start < i / steps and (i + 1) / steps < end
    A step that begins exactly at the start, or ends exactly at the end, is left out of yours. It lies inside.
start <= i / steps -> start < i / steps
    A step that begins exactly at the start is left out of yours. It lies inside.
(i + 1) / steps <= end -> (i + 1) / steps < end
    A step that ends exactly at the end is left out of yours. It lies inside.
start <= i / steps and (i + 1) / steps <= end -> start <= i / max(1, steps - 1) <= end
    You divided by one step too few. With n steps, the last one begins one step before the end of the way.
start <= i / steps and (i + 1) / steps <= end -> start <= (i + 1) / steps <= end
    You looked at where a step ends only. It has to begin inside, too.
start <= i / steps and (i + 1) / steps <= end -> start <= i <= end
    You compared the number of the step with start and end. They are shares of the way, from 0 to 1.
for yes in inside -> for yes in inside[::-1]
    Your way runs backwards: the first step of the list is the first that is done, in much noise.
scale if yes else 0.0 for yes in inside -> scale * (1 - i / steps) if yes else 0.0 for i, yes in enumerate(inside)
    The control fades in your part. It is at full scale, or off.
scale if yes else 0.0 -> 0.0
    The control is off at every step.
scale if yes else 0.0 for yes in inside -> scale * max(0.0, steps * (min(end, (i + 1) / steps) - max(start, i / steps))) for i in range(steps)
    A step that is partly inside gets a part of the scale. It is at full scale if all of it lies inside, and off else.
start <= i / steps and (i + 1) / steps <= end -> start <= 1 - (i + 1) / steps and 1 - i / steps <= end
    Your way runs backwards: the first step of the list is the first that is done, in much noise.
start <= i / steps and (i + 1) / steps <= end -> start - 0.01 <= i / steps and (i + 1) / steps <= end + 0.01
    A step of which a little lies outside is in your part. All of it has to lie inside.
start <= i / steps and (i + 1) / steps <= end -> int(start * steps) <= i <= int(end * steps)
    One step too many has the scale: the one in which the end lies is not over by then.
start <= i / steps and (i + 1) / steps <= end -> int(start * steps) <= i < -int(-end * steps // 1)
    A step that is only partly inside is in your part. All of it has to be.
start <= i / steps and (i + 1) / steps <= end -> start <= (i - 1) / steps and i / steps <= end
    Your part comes one step late: steps are counted from 0, and the first begins at 0.
start <= i / steps and (i + 1) / steps <= end -> start <= (i + 1) / steps and (i + 2) / steps <= end
    Your part comes one step early: steps are counted from 0, and the first begins at 0.
(i + 1) / steps <= end -> i / max(1, steps - 1) <= end
    You divided by one step too few. With n steps, the last one begins one step before the end of the way.
(i + 1) / steps <= end -> (i + 1) / steps <= start + end
    You take the end for a length. It is a place on the way, as the start is.
scale if yes else 0.0 for yes in inside -> scale for yes in inside if yes
    Only the steps with control are in your list. The others stand there, too, with 0.
range(steps)] -> range(steps + 1)]
    Your list has one entry too many: n steps, n scales.
"""

RIGHT = """
scale if yes else 0.0 -> scale if yes else 0
scales := lambda n, scale, start, end: [scale * (1.0 - float(i / n < start or (i + 1) / n > end)) for i in range(n)]
"""

WRONG = """
scales := lambda n, *args: [0.0, *scales(n, *args)[:-1]]
scales := lambda n, *args: [*scales(n, *args), 0.0]
scales := lambda n, *args: scales(10, *args)
scales := lambda n, *args: [int(scale) for scale in scales(n, *args)]
scales := lambda n, scale, start, end: [scale * (round(start * n) <= i < round(end * n)) for i in range(n)]
scales := lambda n, scale, start, end: [scale * (int(start * n) <= i < int(end * n)) for i in range(n)]
scales := lambda *args: tuple(scales(*args))[:-1]
"""
