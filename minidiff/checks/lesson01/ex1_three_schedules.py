"""1.1 three schedules: betas, and the alpha-bars they lead to."""

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
torch.linspace gives numbers in a straight line; it takes a dtype.

For the scaled-linear one, make the straight line of square roots, and square it.

cosine: compute f at t = 0, 1, ..., T, so T + 1 numbers. Dividing all but the first by all but the last gives T
fractions at once.

torch.cumprod multiplies up. Put the clean 1 in front with torch.cat.
"""

MISTAKES = """
torch.linspace(start, end, T, -> torch.linspace(start, end, 1000,
    linear_betas always gives a thousand values: how many there are is the first argument, T.
torch.linspace(start, end, T, -> torch.linspace(end, start, T,
    linear_betas runs backwards: the noise should come slowly at first, so the first beta is the small one.
linear_betas := lambda T, start, end: start + (end - start) * torch.arange(T, dtype=torch.float64) / T
    The last of the linear_betas is one step short of `end`: T values have T - 1 gaps between them.
return torch.linspace(start, end, T, -> return 0 * torch.linspace(start, end, T,
    linear_betas gives only zeros: with those, nothing would ever become noisy.
return torch.linspace(start, end, T, -> return 1 - torch.linspace(start, end, T,
    linear_betas gives what is kept at each step, the alphas; beta is the other part, the noise that comes in.
return torch.linspace(start, end, T, dtype=torch.float64) -> return torch.linspace(start, end, T).double()
    linear_betas is rounded to float32 before it becomes float64: give dtype= to what makes the line.
torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2 -> linear_betas(T, start, end)
    scaled_linear_betas gives the plain linear schedule: here it is not beta that goes in a straight line.
end**0.5, T, dtype=torch.float64) ** 2 -> end**0.5, T, dtype=torch.float64)
    scaled_linear_betas has the straight line of square roots, but they have not been turned back into betas.
torch.linspace(start**0.5, end**0.5, T, -> torch.linspace(start, end, T, dtype=torch.float64) ** 2 #
    scaled_linear_betas ends at wrong values: the line has to start and end at the square roots of the two betas.
"""

RIGHT = """
alpha_bars := lambda b: torch.cat([torch.zeros(1).double(), torch.log1p(-b).cumsum(0)]).exp()
"""

WRONG = """
linear_betas := lambda T, a, b: torch.linspace(a, b, T)
scaled_linear_betas := lambda T, a, b: linear_betas(T, a ** (1 / 3), b ** (1 / 3)) ** 3
"""
