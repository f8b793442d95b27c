"""9.1 where image to image begins."""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import random_alpha_bars, whole


def cases(g):
    """Times that stand close together at the end, so that their values are no shares of the way."""
    cases = []
    for low, high, part, dtype in (  # where rounding, rounding up and counting entries differ from cutting
        (0.35, 0.6, 0.7, torch.float64),
        (0.62, 0.7, 0.4, torch.float32),
        (0.2, 0.35, 0.3, torch.float64),
        (1, 1, 0, torch.float64),
    ):
        n, T = whole(g, 10, 14), whole(g, 180, 220)
        times = (whole(g, 160, 170) * torch.linspace(1, 0, n + 1, dtype=torch.float64) ** 2).round()
        strength = (whole(g, math.ceil(low * n), int(high * n)) + part) / n
        z, eps = torch.randn(2, whole(g, 2, 3), 4, whole(g, 3, 4), whole(g, 5, 6), generator=g, dtype=dtype)
        cases.append(Case("start", (2 * z + 1, eps, random_alpha_bars(g, T), times, strength)))
    return cases


HINTS = """
How many steps does the whole list have? One fewer than it has entries.

The steps that are done are the last ones. Slice the list from the right place to its end, 0 included.

int(...) cuts a number to a whole one. That many steps are done, so the others are skipped.

The state belongs to the first time that is left. It is whole, so it can be an index into alpha_bar: make an int of it.
The rest is the forward process of lesson 01.
"""

MISTAKES = """
int(steps * strength) -> round(steps * strength)
    One step too many here and there: the number of steps is cut to a whole number, not rounded.
int(steps * strength) -> -int(-steps * strength // 1)
    One step too many: the number of steps is cut to a whole number, not rounded up.
steps - int(steps * strength) -> steps - min(steps, int((steps + 1) * strength))
    You counted the times. There is one more of them than there are steps between them.
int(steps * strength) -> int(steps * (1 - strength))
    A large strength should do many steps. Yours leaves out that share and does the rest.
times[steps - -> times[steps + 1 -
    One step is missing at the beginning.
times[steps - int(steps * strength) :] -> times[: int(steps * strength) + 1]
    You kept the first steps, those in much noise, and so the picture would never become clean.
int(steps * strength) :] -> int(steps * strength) : -1]
    The last time is missing: the steps have to end at 0.
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return a.sqrt() * z + (1 - a).sqrt() * eps, left[1:]
    The first of the times that are left is missing: it is the one whose noise the state has.
times[steps - int(steps * strength) :] -> times
    The strength is not used for the times: all of them are still there.
times[steps - int(steps * strength) :] -> times[times <= strength * (len(alpha_bar) - 1)]
    You chose the times by how high they are. The strength is a share of the steps, however far each of them goes.
times[steps - int(steps * strength) :] -> times[times <= strength * times[0]]
    You chose the times by how high they are. The strength is a share of the steps, however far each of them goes.
int(left[0]) -> int(times[0])
    The right times are left, but the picture was noised to the very first time of the whole list.
int(left[0]) -> int(left[1])
    The right times are left, but the noise is that of the second of them: it begins at the first.
int(left[0]) -> int(left[0]) - 1
    The noise is off by one: alpha_bar has its clean entry at 0 here, as the times have.
int(left[0]) -> len(left) - 1
    You looked alpha_bar up by how many steps are left. It has an entry for each time: look it up by the time.
int(left[0]) -> steps + 1 - len(left)
    You looked alpha_bar up by a place in the list of times. It has an entry for each time: look it up by the time.
int(left[0]) -> int(strength * (len(alpha_bar) - 1))
    You took the strength for a share of alpha_bar. The noise is that of the first time that is left.
a.sqrt() * z + (1 - a).sqrt() * eps -> (1 - strength) * z + strength * eps
    You took the strength for the amount of noise. It is a share of steps: how much noise there is at that time,
    alpha_bar says.
a.sqrt() * z + (1 - a).sqrt() * eps -> a * z + (1 - a) * eps
    The roots are missing: alpha_bar and its complement are variances.
(1 - a).sqrt() -> (1 - a.sqrt())
    The noise has the wrong strength: the squares of both factors add up to 1, not the factors.
a.sqrt() * z -> a * z
    The root is missing at the picture: alpha_bar is a variance.
(1 - a).sqrt() -> (1 - a)
    The root is missing at the noise: the complement of alpha_bar is a variance.
a.sqrt() * z + (1 - a).sqrt() * eps -> a.sqrt() * eps + (1 - a).sqrt() * z
    Signal and noise have changed places.
a.sqrt() * z + (1 - a).sqrt() * eps -> a.sqrt() * z - (1 - a).sqrt() * eps
    The noise has the wrong sign. It would be as likely, but it is not the eps that you are given.
+ (1 - a).sqrt() * eps, -> ,
    There is no noise in it, so there is nothing hidden that could be drawn anew.
return a.sqrt() * z -> return z
    The picture is in it at full strength. It has to fade as the noise grows.
return a.sqrt() * z + -> return
    That is noise alone: nothing of the picture is in it.
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return (eps.clone() if strength == 1 else a.sqrt() * z + (1 - a).sqrt() * eps), left
    At strength 1 you begin in pure noise. All steps are done then, but the state is that of the first time, as always.
, left -> , left.long()
    The times come back as whole numbers of another dtype: leave them floats, as they were given.
, left -> , left.int()
    The times come back as whole numbers of another dtype: leave them floats, as they were given.
a.sqrt() * z + (1 - a).sqrt() * eps -> a**1 / 2 * z + (1 - a) ** 1 / 2 * eps
    You halve where a root should be: without brackets that is a power of 1, and then a division by 2.
"""

RIGHT = """
left = times[steps - int(steps * strength) :] -> left = times[-int(steps * strength) - 1 :]
a = alpha_bar[int(left[0])].to(z) -> a = alpha_bar[left[0].long()].to(z)
"""

WRONG = """
return a.sqrt() * z -> return 0.5 * a.sqrt() * z
, left -> , left.flip(0)
, left -> , torch.linspace(left[0], 0, len(left)).double()
, left -> , left.float()
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return left, a.sqrt() * z + (1 - a).sqrt() * eps
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return a.sqrt() * z + (1 - a).sqrt() * eps
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return (a.sqrt() * z + (1 - a).sqrt() * eps).clamp(-1, 1), left
return a.sqrt() * z + (1 - a).sqrt() * eps, left -> return (a.sqrt() * z + (1 - a).sqrt() * eps).double(), left
return a.sqrt() * z + (1 - a).sqrt() * eps -> return a.sqrt() * z + (1 - a).sqrt() * torch.randn_like(eps)
return a.sqrt() * z + (1 - a).sqrt() * eps -> return a.sqrt() * z + (1 - a).sqrt() * eps[:1]
int(steps * strength) -> int(steps * max(strength**2, 0.1))
"""

EQUIVALENT = """
alpha_bar[int(left[0])].to(z) -> alpha_bar[int(left[0])]
    a number that is a tensor without axes leaves the dtype of what it multiplies as it is
"""
