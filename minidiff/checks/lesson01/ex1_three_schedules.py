"""1.1 three schedules: betas, and the alpha-bars they lead to."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import betas, uniform, whole

ATOL = 1e-13  # float64 all the way; 6e-9 is what float32 on the way leaves


def cases(g):
    ranges = [(whole(g, 12, 40), uniform(g, 0.001, 0.01), uniform(g, 0.05, 0.2)) for _ in range(3)]
    return [
        *(Case("linear_betas", args) for args in ranges),
        *(Case("scaled_linear_betas", args) for args in ranges),
        *(Case("cosine_betas", (whole(g, 12, 40), uniform(g, 0.005, 0.05))) for _ in range(3)),
        *(Case("alpha_bars", (betas(g, whole(g, 12, 40)),)) for _ in range(3)),
    ]


HINTS = """
torch.linspace(a, b, T) gives T evenly spaced numbers, both ends included. Two of the three schedules need it.

Scaled-linear: take the square root of both ends, go in a straight line, and undo the root.

Cosine: compute f at all T + 1 times 0, 1, ..., T at once. f[1:] and f[:-1] are then each f and the one before it.

torch.cumprod multiplies up, torch.cat puts a 1 in front. All in float64: say dtype=torch.float64 where numbers begin.
"""

MISTAKES = r"""
torch.linspace(start, end, T, -> torch.linspace(start, end, 1000,
    linear_betas always gives a thousand values: how many there are is the first argument, T.
torch.linspace(start, end, T, -> torch.linspace(end, start, T,
    linear_betas runs backwards: the noise should come slowly at first, so the first beta is the small one.
linear_betas := lambda T, start, end: start + (end - start) * torch.arange(T, dtype=torch.float64) / T
    The last of the linear_betas is one step short of `end`: T values have T - 1 gaps between them.
linear_betas := lambda T, start, end: start + (end - start) * torch.arange(1, T + 1, dtype=torch.float64) / T
    The first of the linear_betas is already one step past `start`: both ends belong to the line.
linear_betas := lambda T, start, end: start * (end / start) ** torch.linspace(0, 1, T, dtype=torch.float64)
    linear_betas grows by a factor from one to the next; in a straight line the differences are alike.
return torch.linspace(start, end, T, -> return 0 * torch.linspace(start, end, T,
    linear_betas gives only zeros: with those, nothing would ever become noisy.
return torch.linspace(start, end, T, -> return 1 - torch.linspace(start, end, T,
    linear_betas gives what is kept at each step, the alphas; beta is the other part, the noise that comes in.
return torch.linspace(start, end, T, dtype=torch.float64) -> return torch.linspace(start, end, T).double()
    linear_betas is rounded to float32 before it becomes float64: give dtype= to what makes the line.
def linear_betas(T, start, end): -> def linear_betas(start, end, T):
    linear_betas gets its arguments in another order: T comes first, then start and end.
torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2 -> linear_betas(T, start, end)
    scaled_linear_betas gives the plain linear schedule: here it is not beta that goes in a straight line.
end**0.5, T, dtype=torch.float64) ** 2 -> end**0.5, T, dtype=torch.float64)
    scaled_linear_betas has the straight line of square roots, but they have not been turned back into betas.
torch.linspace(start**0.5, end**0.5, T, -> torch.linspace(start, end, T,
    scaled_linear_betas ends at wrong values: the line has to start and end at the square roots of the two betas.
scaled_linear_betas := lambda T, start, end: linear_betas(T, start, end).sqrt()
    scaled_linear_betas takes the roots of a straight line; the line itself is one of roots, and squared at the end.
scaled_linear_betas := lambda T, start, end: start + (end - start) * linear_betas(T, 0, 1) ** 2
    scaled_linear_betas has the right ends, but it squares the way between them: it is the root that goes straight.
torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) -> torch.linspace(start**0.5, end**0.5, T).double()
    scaled_linear_betas is rounded to float32 before it becomes float64: give dtype= to what makes the line.
scaled_linear_betas := lambda T, start, end: torch.linspace(*torch.tensor([start, end]).sqrt(), T, dtype=torch.float64) ** 2
    The ends of scaled_linear_betas are rounded to float32: take the roots of plain numbers, or give dtype= there, too.
(t / T + s) / (1 + s) -> t / T
    cosine_betas does not use s: without that offset the first betas are too small to matter.
(t / T + s) / (1 + s) -> (t / T + s)
    In cosine_betas t is shifted by s but not divided by one plus s, so the curve passes its end.
(t / T + s) / (1 + s) * torch.pi / 2 -> (t / T + s / (1 + s)) * torch.pi / 2
    In cosine_betas only s is divided by one plus s: it divides the whole sum.
(t / T + s) / (1 + s) * torch.pi / 2 -> t / T + s / (1 + s) * torch.pi / 2
    In cosine_betas only s is divided by one plus s and turned into an angle: both belong to the whole sum.
(t / T + s) / (1 + s) -> (t + s) / (T + s)
    In cosine_betas s is counted in steps: it is a share of all the time, so it is added once t is divided by T.
* torch.pi / 2 -> * torch.pi
    In cosine_betas the angle runs over half a turn: a quarter is enough to come from 1 down to 0.
torch.pi / 2) ** 2 -> torch.pi / 2)
    In cosine_betas f is the square of the cosine, and yours is the cosine itself.
torch.cos( -> torch.sin(
    In cosine_betas f is made of a sine: it should begin near 1 and fall.
.clamp(max=0.999) ->
    The last of the cosine_betas is not limited: the paper cuts betas off just below 1, so that something is left.
.clamp(max=0.999) -> .clamp(max=0.9999)
    The limit of cosine_betas is not the one that the formula states.
.clamp(max=0.999) -> .clamp(max=0.99)
    The limit of cosine_betas is not the one that the formula states.
return (1 - f[1:] / f[:-1]).clamp(max=0.999) -> return f[1:] / f[0]
    cosine_betas gives alpha-bars. The cosine is their curve; a beta is what is lost from one to the next.
return (1 - f[1:] / f[:-1]).clamp(max=0.999) -> return (f[1:] / f[:-1]).clamp(max=0.999)
    cosine_betas gives what each step keeps; beta is what it takes away.
return (1 - f[1:] / f[:-1]).clamp(max=0.999) -> return 1 - f[:-1] / f[1:]
    In cosine_betas the fraction is upside down: you divide each f by the one after it.
torch.arange(T + 1, dtype=torch.float64) -> torch.cat([torch.zeros(1, dtype=torch.float64), torch.linspace(0, T, T, dtype=torch.float64)])
    The times of cosine_betas are not 0, 1, 2, ...: from 0 to T there are T + 1 whole numbers, not T.
cosine_betas := _too_few_times
    The times of cosine_betas are not 0, 1, 2, ...: from 0 to T there are T + 1 whole numbers, not T.
torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0)]) -> (1 - betas).cumprod(0)
    alpha_bars begins one step late: t = 0 is clean data, so the first entry is 1, and there are T + 1 of them.
torch.ones(1, dtype=betas.dtype) -> torch.zeros(1, dtype=betas.dtype)
    alpha_bars begins with 0; at t = 0 nothing is lost yet, so all of the data's variance is there.
alpha_bars := lambda betas: (1 - betas).prod().expand(len(betas) + 1)
    alpha_bars gives its last entry everywhere. A tensor that a loop changes in place is the same one each time it is kept.
(1 - betas).cumprod(0)]) -> (1 - betas).cumprod(0)[:-1]])
    alpha_bars leaves the last step out: T betas lead to T + 1 alpha-bars, the clean one and one after each step.
(1 - betas).cumprod(0) -> 1 - betas.cumsum(0)
    alpha_bars subtracts the betas one after another. Each step takes its part of what is still there: multiply.
(1 - betas).cumprod(0) -> betas.cumprod(0)
    alpha_bars multiplies the betas; a beta is what each step takes away, and you want what is left.
(1 - betas).cumprod(0) -> 1 - betas
    alpha_bars gives the alpha of each single step; the bar means all the steps up to t together.
(1 - betas).cumprod(0) -> (1 - betas).cumprod(0).sqrt()
    alpha_bars gives square roots, which is what x_0 is multiplied by later. Here alpha-bar itself is asked for.
alpha_bars := lambda betas: torch.cat([betas[:1] * 0, 1 - (1 - betas).cumprod(0)])
    alpha_bars gives how much noise there is; alpha-bar says how much of the picture is left.
(1 - betas).cumprod(0) -> (-betas.cumsum(0)).exp()
    alpha_bars takes e to the minus sum of the betas. That is close where betas are small; the product itself is asked
    for.
(1 - betas).cumprod(0) -> (1 - betas.float()).cumprod(0).double()
    alpha_bars is rounded to float32 on the way: all of it should be float64.
scaled_linear_betas := lambda T, start, end: start * (end / start) ** torch.linspace(0, 1, T, dtype=torch.float64)
    scaled_linear_betas grows by a factor from one to the next; it is the differences of the roots that are alike.
scaled_linear_betas := lambda T, start, end: linear_betas(T, start**2, end**2).sqrt()
    scaled_linear_betas has squares and roots the wrong way round: roots of the two ends first, squares at last.
torch.linspace(start, end, T, dtype=torch.float64) -> torch.linspace(1000 / T * start, 1000 / T * end, T, dtype=torch.float64)
    linear_betas makes its ends larger where T is small, as some programs do. Here they are as given.
torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2 -> 1000 / T * torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2
    scaled_linear_betas makes its ends larger where T is small, as some programs do. Here they are as given.
t = torch.arange(T + 1, dtype=torch.float64) -> t = torch.arange(T + 1, dtype=torch.float64) + 0.5
    cosine_betas reads its curve half a step late: t begins at 0.
t = torch.arange(T + 1, dtype=torch.float64) -> t = torch.arange(T + 1, dtype=torch.float64) + 1
    cosine_betas reads its curve a step late: t begins at 0.
t = torch.arange(T + 1, dtype=torch.float64) -> t = torch.arange(T + 1) && .clamp(max=0.999) -> .clamp(max=0.999).double()
    cosine_betas is rounded to float32 before it becomes float64: give dtype= to the times.
return (1 - f[1:] / f[:-1]).clamp(max=0.999) -> return 1 - f[1:] / f[0]
    cosine_betas gives all the noise so far, one minus alpha-bar; a beta is what is lost from one step to the next.
* torch.pi / 2 -> * 3.14 / 2
    In cosine_betas pi is rounded: torch and math have it with all its digits.
* torch.pi / 2 -> * 3.1416 / 2
    In cosine_betas pi is rounded: torch and math have it with all its digits.
* torch.pi / 2 -> * 3.14159 / 2
    In cosine_betas pi is rounded: torch and math have it with all its digits.
"""

RIGHT = """
alpha_bars := lambda b: torch.cat([torch.zeros(1).double(), torch.log1p(-b).cumsum(0)]).exp()
"""

WRONG = """
linear_betas := lambda T, a, b: torch.linspace(a, b, T)
scaled_linear_betas := lambda T, a, b: linear_betas(T, a ** (1 / 3), b ** (1 / 3)) ** 3
clamp(max=0.999) -> clamp(max=0.9)
(1 - betas).cumprod(0)]) -> (1 - betas).cumprod(0)]).flip(0)
(1 - betas).cumprod(0)]) -> (1 - betas).cumprod(0)]).tolist()
"""

EQUIVALENT = """
torch.ones(1, dtype=betas.dtype) -> torch.ones(1)
    torch.cat makes both parts float64
(1 - betas).cumprod(0) -> (1 - betas).cumprod(-1)
    betas have one axis
"""


def _too_few_times(T, s):
    """T times from 0 to T, so one ratio less; the limit stands for it."""
    f = torch.cos((torch.linspace(0, 1, T, dtype=torch.float64) + s) / (1 + s) * torch.pi / 2) ** 2
    return torch.cat([(1 - f[1:] / f[:-1]).clamp(max=0.999), torch.tensor([0.999], dtype=torch.float64)])
