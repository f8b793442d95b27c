"""9.6 open-ended: a way down, and up again."""

from functools import cache

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution, needed
from minidiff.schedule import trailing


@cache
def notebook():
    """What the cell before the answer defines: what is judged is what the notebook shows."""
    solution = Solution.of("9.6")
    return solution.around(tuple(needed("result, again, CALLS, SHARE, KEPT, LONGEST", solution.earlier)))


@cache
def walked(times):
    """(calls, share with the right shade, their width over the true one)"""
    return notebook()["result"](times)[:3]


def _times(given):
    """What an answer gives, as numbers; none if they are no numbers."""
    try:
        return {"times": tuple(float(t) for t in given)}
    except (TypeError, ValueError):
        return {"times": ()}


def cases(g):
    """The one that is walked, and another, which only has to keep to its calls."""
    return [Case("my_times", (calls,), read=_times) for calls in (notebook()["CALLS"], whole(g, 20, 60))]


HINTS = """
Look at the table above your answer: more steps hardly help, and rounds do. But rounds cost width. Where on the way do
they help, and where do they only cost?

Try rounds below some t only, or above it, and look at both numbers together.

Steps need not be equally long: there may be more of them where it matters. Nor has a way to go up by a single step.
"""


def _each(test):
    return lambda results: all(test(result["times"], case.args[0]) for case, result in results)


def _down(times):
    return sum(s < t for t, s in zip(times, times[1:], strict=False))


def _used(results):
    case, used = next((c, n) for c, result in results if (n := _down(result["times"])) > c.args[0])
    return f"With {case.args[0]} calls your way uses {used}."


def _reached(results):
    _, share, width = walked(results[0][1]["times"])
    wanted = f"Wanted are {notebook()['SHARE']:.0%} and {notebook()['KEPT']}."
    return f"{share:.2%} of the right pixels have the left one's shade, {width:.3f} of the true width is left. {wanted}"


NUMBERS = "my_times should give a list of numbers, or a tensor of them."
ENDS = "The way has to begin at 1000, in pure noise, and to end at 0, where the picture is clean."
WHOLE = "Some of your times are no whole numbers."
RANGE = "Between its ends a way stays above 0, and goes up to 1000 at most."
TWICE = "One of your times follows itself: that step goes nowhere, neither down nor up."
MANY = "Your way uses too many calls: each step down is one, steps up are free."
SHADE = "When, on the way down, is the shade decided, and when is the left pixel readable?"
NARROW = "The right shades, but too narrow: which of the rounds are not needed?"
LONG = "Your way has too many times: a single step up goes as far as several."
PROPERTIES = [
    (NUMBERS, _each(lambda times, calls: len(times) > 1)),
    (ENDS, _each(lambda times, calls: (times[0], times[-1]) == (1000, 0))),
    (WHOLE, _each(lambda times, calls: all(t % 1 == 0 for t in times))),
    (RANGE, _each(lambda times, calls: all(0 < t <= 1000 for t in times[:-1]))),
    (TWICE, _each(lambda times, calls: all(t != s for t, s in zip(times, times[1:], strict=False)))),
    (LONG, _each(lambda times, calls: len(times) <= notebook()["LONGEST"])),
    (MANY, _each(lambda times, calls: _down(times) <= calls), _used),
    (SHADE, lambda results: walked(results[0][1]["times"])[1] >= notebook()["SHARE"], _reached),
    (NARROW, lambda results: walked(results[0][1]["times"])[2] >= notebook()["KEPT"], _reached),
]

MISTAKES = f"""
my_times := lambda calls: "down"
    {NUMBERS}
my_times := lambda calls: 25
    {NUMBERS}
return times -> return times[:-1]
    {ENDS}
return times -> return times[::-1]
    {ENDS}
round(1000 * (i / n) ** 2) for i -> 1000 * i / n for i
    {WHOLE}
return times -> return [*times[:-1], -10.0, 0.0]
    {RANGE}
return times -> return [1000.0, 1010.0, *times[1:]]
    {RANGE}
return times -> return [1000.0, *times]
    {TWICE}
my_times := lambda calls: [1000.0, *range(1, 1000), 0.0]
    {LONG}
"""

RIGHT = """
my_times := jumps
my_times := fine_below
return times -> return torch.tensor(times)
"""

WRONG = """
my_times := lambda calls: trailing(1000, calls).tolist()
my_times := rounds(2)
my_times := rounds(3)
my_times := rounds(4)
my_times := rounds(5)
my_times := lambda calls: notebook()["again"](20, 3) if calls > 58 else rounds(3)(calls)
my_times := lambda calls: notebook()["again"](20, 2) if calls > 39 else rounds(2)(calls)
my_times := lambda calls: notebook()["again"](20, 5)
calls // 2 -> calls
calls // 2 -> calls // 3
return times -> return []
return times -> return [1000.0, float("nan"), 0.0]
"""


def rounds(n):
    """As in the lesson: each step is taken n times."""
    return lambda calls: notebook()["again"]((calls - 1) // n + 1, n)


def jumps(calls):
    """As in RePaint: up by two steps at once, three times, once the noise is low."""
    for n in range(calls, 1, -1):
        grid, times = trailing(1000, n).tolist(), [1000.0]
        for i in range(0, n, 2):
            down = grid[i : i + 3]
            times += down[1:] + 3 * down * (down[0] <= 600 and down[-1] > 0)
        if _down(times) <= calls:
            return times
    return [1000.0, 0.0]


def fine_below(calls):
    """A tenth of the calls leads down to 600; from there small steps, each taken twice."""
    high = calls // 10
    low = (calls - high) // 2
    times = [1000.0 - round(400 * i / high) for i in range(high + 1)]
    grid = [round(600 * (1 - i / low)) for i in range(low + 1)]
    for t, s in zip(grid, grid[1:], strict=False):
        times += [s, t, s] if s > 0 else [s]
    return times
