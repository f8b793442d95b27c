"""2.7 open-ended: a U-Net within a budget."""

from numbers import Integral

from minidiff.checks import Case
from minidiff.checks.attempt import shown
from minidiff.checks.parts import uniform, whole
from minidiff.checks.solution import Solution


def _cost(in_ch, input_res, widths):
    """Parameters, and the bytes of the largest level."""
    levels = Solution.of("2.6").answers["UNetAnalyzer"](in_ch, widths).analyze(input_res)
    return sum(level["params"] for level in levels), max(level["activation_bytes"] for level in levels)


def cases(g):
    """Budgets that can be met: a share of what widths that double would need.

    All of that, in the third case, cannot be spent on the lowest level alone. In the last one both levels give as much
    as they may, and parameters are left; half a group of channels more would fit. With three levels at most there is
    time to try all widths, which is right, too.
    """
    found = []
    for levels, most, share, in_ch in (
        (3, whole(g, 3, 6), 0.6, whole(g, 1, 4)),
        (2, whole(g, 5, 8), 0.8, whole(g, 200, 250)),  # no picture: what another network gives
        (3, whole(g, 6, 8), 1, whole(g, 1, 4)),
    ):
        res = 16 * whole(g, 2, 5)
        params, size = _cost(in_ch, res, [8 * most * 2**i for i in range(levels)])
        found.append(Case("my_channels", (in_ch, res, levels, int(params * share), int(size * uniform(g, 1, 1.1)))))
    in_ch, res, most = whole(g, 1, 4), 16 * whole(g, 2, 5), whole(g, 6, 8)
    params, size = _cost(in_ch, res, [8 * most, 4 * (8 * most + 4)])
    return [*found, Case("my_channels", (in_ch, res, 2, int(1.1 * params), size))]


def _property(sentence, holds):
    """A property of every single result: `holds` gets the case's arguments and the widths. If it fails for some only,
    the first of those is told.
    """

    def said(results):
        failed = [(case, widths) for case, widths in results if not holds(case.args, widths)]
        if len(failed) == len(results):
            return ""
        case, widths = failed[0]
        text = f"{shown(case)} gives {list(widths)}"
        if _whole_widths(case.args, widths):
            text += ", which is {:,} parameters and at most {:,} bytes".format(*_cost(*case.args[:2], list(widths)))
        return text + "."

    return sentence, lambda results: all(holds(case.args, widths) for case, widths in results), said


def _whole_widths(args, widths):
    return all(isinstance(width, Integral) and width > 0 and width % 8 == 0 for width in widths)


EIGHT = "Every width must be a whole number that 8 divides, so that a GroupNorm of 8 groups fits."
RISE = "A level of yours is narrower than the one above it: where pixels get fewer, let channels get more."
DOUBLE = "Your last level should be at least twice as wide as the first."
PARAMS = "Your U-Net has more parameters than allowed."
BYTES = "A level of yours needs more memory than allowed: look for the one with the largest activation."
USE = "Less than 70 % of the parameters that are allowed are used: a level could be wider."

PROPERTIES = [
    _property(EIGHT, _whole_widths),
    _property(RISE, lambda _, widths: sorted(widths) == list(widths)),
    _property(DOUBLE, lambda _, widths: widths[-1] >= 2 * widths[0]),
    _property(BYTES, lambda args, widths: _cost(*args[:2], widths)[1] <= args[4]),
    _property(PARAMS, lambda args, widths: _cost(*args[:2], widths)[0] <= args[3]),
    _property(USE, lambda args, widths: _cost(*args[:2], widths)[0] >= 0.7 * args[3]),
]

HINTS = """
Let UNetAnalyzer, or a few lines like it, tell you for some widths how many parameters there are, and how large the
largest level is.

The first level has most pixels: the memory allowed tells how wide it may be.

Then search. One way: widths that grow by one factor from level to level, rounded to multiples of 8; try many first widths
and many factors, and keep the one with most parameters among those that fit.

Another way: begin with 8, 8, ..., 16 and widen one level by 8 wherever all budgets still hold.
"""

MISTAKES = f"""
return best -> return [4, *best[1:]]
    {EIGHT}
return best -> return best[::-1]
    {RISE}
return best -> return [8] * levels
    {DOUBLE}
return best -> first = 8 * (1 + max_bytes // (32 * input_res**2))\\n    return [first] + [2 * first] * (levels - 1)
    {BYTES}
return best -> return [8] * (levels - 1) + [16]
    {USE}
"""

RIGHT = """
my_channels := spends
"""

WRONG = """
return best -> return [8 * (max_bytes // (32 * input_res**2)) * 4**i for i in range(levels)]
return best -> return [float(width) for width in best]
return best -> return best[1:]
return best -> return [*best, 800]
return best -> return [32 * 2**i for i in range(levels)]
return best -> return [0] * levels
return best -> import torch\\n    return torch.tensor(best)
return best -> return [str(width) for width in best]
return best -> return [width - 1 for width in best]
"""


def spends(in_ch, res, levels, max_params, max_bytes):
    """Another search: widen whatever still fits, the lowest level first."""
    widths, grew = [8] * (levels - 1) + [16], True
    while grew:
        grew = False
        for i in reversed(range(levels)):
            new = [width + 8 * (k == i) for k, width in enumerate(widths)]
            params, peak = _cost(in_ch, res, new)
            if params <= max_params and peak <= max_bytes and new == sorted(new) and new[-1] >= 2 * new[0]:
                widths, grew = new, True
    return widths
