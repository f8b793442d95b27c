"""7.4 which times: trailing, leading, Karras."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    def odd():
        return 2 * whole(g, 2, 15) + 1  # so that no time lies halfway between two whole ones

    return [
        *(Case("trailing", (T, n)) for T, n in ((1000, 25), (1000, 30), (1000, 15), (whole(g, 300, 900), odd()))),
        *(Case("leading", (T, n)) for T, n in ((1000, 25), (1000, 7), (whole(g, 300, 900), odd()))),
        *(Case("karras", (uniform(g, 0.002, 0.05), uniform(g, 10, 80), n)) for n in (2, 5, whole(g, 8, 30))),
    ]


HINTS = """
All give n + 1 numbers, the last of them 0. torch.tensor with dtype=torch.float64 makes a tensor of a list.

trailing: start at T, go down by T over n, round each. leading: start at 1, go up by the whole part of T over n, then
turn the list round.

Python's round gives the nearest whole number, // divides without the rest, reversed turns a range round.

karras: from the seventh root of hi to the seventh root of lo with torch.linspace, then the seventh power, then a 0
behind it. torch.cat joins tensors.
"""

MISTAKES = r"""
round(T - i * T / n) for -> round(T - i * T / n) - 1 for
    trailing is one too low: that is how diffusers counts. Here the noisy end is T itself, and 0 is clean data.
round(T - i * T / n) for -> round((T - 1) * (1 - i / n)) for
    trailing begins at T minus 1 and goes down by a little less each time: the noisy end is T itself.
round(T - i * T / n) for -> round(T - (i + 1) * T / n) + 1 for
    trailing should begin at T, the noisy end. Yours begins a step lower.
for i in range(n)), 0], dtype -> for i in range(n))], dtype
    trailing lacks the last time, 0: without it the sampler stops in a noisy picture.
return torch.tensor([*(round(T - i * T / n) for i in range(n)), 0], dtype=torch.float64) -> return torch.tensor([0, *(round(T - i * T / n) for i in reversed(range(n)))], dtype=torch.float64)
    trailing rises: samplers go from noise to data.
round(T - i * T / n) for -> T - i * T / n for
    trailing gives fractions: these times should be whole numbers.
round(T - i * T / n) for -> int(T - i * T / n) for
    trailing cuts the fractions off: take the nearest whole number.
round(T - i * T / n) for -> math.ceil(T - i * T / n) for
    trailing rounds up: take the nearest whole number.
round(T - i * T / n) for -> T - i * (T // n) for
    trailing goes down by a whole number, and so drifts off: the step is T over n, and each time is rounded by itself.
round(T - i * T / n) for -> T - i * round(T / n) for
    trailing rounds the step and so drifts off: the step is T over n, and each time is rounded by itself.
round(T - i * T / n) for -> round(T - i * (T - 1) / (n - 1)) for
    trailing is spread from T to 1 in yours. It goes down by the same step until one step is left.
round(T - i * T / n) for i in range(n)), 0] -> round(T - i * T / (n + 1)) for i in range(n + 1)), 0]
    trailing has a step too many: n steps have n + 1 times, with T and 0.
leading := trailing
    leading begins at T in yours: it counts from the clean end and never gets there.
1 + i * (T // n) for -> i * (T // n) for
    leading is one too low: diffusers' index 0 is time 1 here.
1 + i * (T // n) for -> (i + 1) * (T // n) for
    leading begins at time 1 from the clean end. Yours begins a whole step further up.
1 + i * (T // n) for -> round(1 + i * T / n) for
    leading rounds each time by itself in yours. It goes up by a whole number, T over n without its rest.
1 + i * (T // n) for -> 1 + i * T / n for
    leading gives fractions: it goes up by a whole number, T over n without its rest.
1 + i * (T // n) for -> 1 + i * round(T / n) for
    leading rounds T over n: its whole part is asked for, without the rest.
for i in reversed(range(n))), 0] -> for i in reversed(range(n)))]
    leading lacks the last time, 0.
return torch.tensor([*(1 + i * (T // n) for i in reversed(range(n))), 0], dtype=torch.float64) -> return torch.tensor([0, *(1 + i * (T // n) for i in range(n))], dtype=torch.float64)
    leading rises: samplers go from noise to data.
1 + i * (T // n) for -> 2 + i * (T // n) for
    leading is one time too late everywhere: that is the offset of Stable Diffusion's configuration. Here there is none.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi, lo, n, dtype=torch.float64)
    karras is even in r itself: the power is missing, so hardly any times are left for little noise.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(math.log(hi), math.log(lo), n, dtype=torch.float64).exp()
    karras is even in the logarithm of r. It should be even in a root of it, which lies between that and r itself.
n, dtype=torch.float64) ** 7 -> n, dtype=torch.float64)
    karras gives the roots: raise them to the seventh power, to have r again.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi**7, lo**7, n, dtype=torch.float64) ** (1 / 7)
    karras takes the seventh power first and the root afterwards: it is the other way round.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi ** (1 / 3), lo ** (1 / 3), n, dtype=torch.float64) ** 3
    karras uses a cube root. The authors' rho is 7.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi**0.5, lo**0.5, n, dtype=torch.float64) ** 2
    karras uses a square root. The authors' rho is 7.
lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> 0, n + 1, dtype=torch.float64)[:-1] ** 7
    karras is spread down to 0 in yours. It is spread down to lo, and 0 comes after that.
lo ** (1 / 7), n, dtype -> lo ** (1 / 7), n + 1, dtype
    karras has a time too many: n steps have n + 1 times, and one of them is 0.
return torch.cat([r, torch.zeros(1, dtype=torch.float64)]) -> return r
    karras lacks the last time, 0.
return torch.cat([r, torch.zeros(1, dtype=torch.float64)]) -> return torch.cat([r.flip(0), torch.zeros(1, dtype=torch.float64)])
    karras rises: samplers go from noise to data.
return torch.cat([r, torch.zeros(1, dtype=torch.float64)]) -> return torch.cat([torch.zeros(1, dtype=torch.float64), r.flip(0)])
    karras rises, with the 0 in front: samplers go from noise to data.
karras := lambda lo, hi, n: torch.cat([karras(lo, hi, n + 1)[:-2], torch.zeros(1, dtype=torch.float64)])
    karras loses lo, the last level: the 0 comes behind it, not in its place.
*(round(T - i * T / n) for i in range(n)), 0] -> *range(T, 0, -T // n), 0]
    trailing goes down by a whole number, which is rounded up, and so drifts off: the step is T over n, and each time is
    rounded by itself.
round(T - i * T / n) for -> T - i * -(-T // n) for
    trailing goes down by a whole number, which is rounded up, and so drifts off: the step is T over n, and each time is
    rounded by itself.
*(1 + i * (T // n) for i in reversed(range(n))), 0] -> *reversed(range(1, T, T // n)), 0]
    leading goes up as far as it can, which is more than n times where n does not go into T: count to n.
*(1 + i * (T // n) for i in reversed(range(n))), 0] -> *reversed(range(1, T + 1, T // n)), 0]
    leading goes up as far as it can, which is more than n times where n does not go into T: count to n.
1 + i * (T // n) for -> 1 + i * T // n for
    leading cuts each time by itself in yours. It is the step that is cut, T over n, once for all.
1 + i * (T // n) for -> round(1 + i * (T - 1) / (n - 1)) for
    leading is spread evenly from 1 to T in yours. It goes up by T over n without its rest, and never gets to T.
1 + i * (T // n) for -> int(1 + i * (T - 1) / (n - 1)) for
    leading is spread evenly from 1 to T in yours. It goes up by T over n without its rest, and never gets to T.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n) ** 7
    karras is computed in float32, which has seven digits, and made float64 too late: begin with float64.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n).double() ** 7
    karras is computed in float32, which has seven digits, and made float64 too late: begin with float64.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi ** 1 / 7, lo ** 1 / 7, n, dtype=torch.float64) ** 7
    karras divides by 7 where a root should be: without brackets that is a power of 1, and then a division.
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi ** (1 // 7), lo ** (1 // 7), n, dtype=torch.float64) ** 7
    karras takes the power 1 // 7, which is 0, so that all becomes 1: one slash divides with fractions.
"""

RIGHT = r"""
return torch.tensor([*(round(T - i * T / n) for i in range(n)), 0], dtype=torch.float64) -> return (T - torch.arange(n + 1, dtype=torch.float64) * T / n).round()
return torch.tensor([*(1 + i * (T // n) for i in reversed(range(n))), 0], dtype=torch.float64) -> return torch.cat([1 + torch.arange(n - 1, -1, -1).double() * (T // n), torch.zeros(1).double()])
karras := by_hand
"""

WRONG = r"""
for i in range(n)), 0], dtype=torch.float64) -> for i in range(n)), 0])
for i in range(n)), 0], dtype=torch.float64) -> for i in range(n)), 0], dtype=torch.float64).tolist()
trailing := lambda T, n: trailing(1000, n)
1 + i * (T // n) for -> 3 + i * (T // n) for
r = torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7 -> r = torch.linspace(hi**0.2, lo**0.2, n, dtype=torch.float64) ** 5
karras := lambda lo, hi, n: karras(0.002, 80, n)
"""

EQUIVALENT = """
torch.zeros(1, dtype=torch.float64) -> torch.zeros(1)
    next to a float64 tensor it becomes one
"""


def by_hand(lo, hi, n):
    a, b = hi ** (1 / 7), lo ** (1 / 7)
    return torch.tensor([*((a + i / (n - 1) * (b - a)) ** 7 for i in range(n)), 0.0], dtype=torch.float64)
