"""13.3 up the hill: annealed Langevin dynamics."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def slope(g, dtype):
    """Stands for a network's score: linear in neither x nor sigma."""
    a, b = uniform(g, 0.5, 1.0), uniform(g, 0.1, 0.3)

    def score(x, sigma):
        return -torch.tanh(a * x + b * x.roll(1, -1)) / torch.as_tensor(sigma, dtype=dtype) ** 1.5

    return score


def cases(g):
    def case(levels, steps, *shape, dtype=torch.float64, plain=False):
        x = 2 * torch.randn(shape, generator=g, dtype=dtype)
        sigmas = uniform(g, 0.5, 3.0, levels).sort(descending=True).values.to(dtype)
        z = torch.randn(levels, steps, *shape, generator=g, dtype=dtype)
        sigmas = sigmas.tolist() if plain else sigmas
        return Case("annealed_langevin", (slope(g, dtype), x, sigmas, uniform(g, 0.05, 0.2), z))

    return [
        case(3, 2, 2, 3, 4),
        case(4, 1, 5, 2),
        case(2, 4, 3, 2, dtype=torch.float32),
        case(1, 3, 4, 3),
        case(3, 3, 2, 2, dtype=torch.float32, plain=True),
    ]


HINTS = """
Two loops: over the levels, and inside over the steps of a level. zip of sigmas and noises pairs each level with its
noises.

The step size depends on the level alone: compute it in the outer loop. It is epsilon at the last level, where sigma_i
is sigma_L, and larger before.

In the step, half the step size stands before the score, and its root before z. Begin each step from the x of the last
one, also where a new level begins.
"""

MISTAKES = r"""
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon
    The step size is the same at all levels: it should grow with the square of sigma.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * (sigma / sigmas[-1])
    The step size grows with sigma: the square is asked for.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * (sigmas[-1] / sigma) ** 2
    The ratio of the levels is upside down: your steps are smallest where there is most noise.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * (sigma / sigmas[0]) ** 2
    You measure the levels by the first, largest one. epsilon is the step size of the last level.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * sigma**2
    The step size is not measured by the last level: there it should be epsilon itself.
x + a / 2 * score(x, sigma) -> x - a / 2 * score(x, sigma)
    You walk down the hill: the score points up, to where data are denser.
x + a / 2 * score(x, sigma) -> x + a * score(x, sigma)
    The score is not halved: with the noise of the root of a, half a belongs to the score.
+ a**0.5 * z -> + a * z
    The noise is multiplied by the step size: its root belongs there.
+ a**0.5 * z -> + (a / 2) ** 0.5 * z
    Your noise is too weak: the root of a, without the half.
+ a**0.5 * z -> + (2 * a) ** 0.5 * z
    Your noise is too strong. With the root of 2 a, the score would be taken a times; here it is half of that.
+ a**0.5 * z ->
    There is no noise: your points climb to the tops of the hills and stay there.
+ a**0.5 * z -> + sigma * z
    The noise of a step has the size of the level: the root of the step size is asked for.
score(x, sigma) + a -> score(x, sigmas[-1]) + a
    The score is always asked at the last level: each level has a hill of its own.
score(x, sigma) + a -> score(x, sigmas[0]) + a
    The score is always asked at the first level: each level has a hill of its own.
for z in of_level: -> for z in of_level[:1]:
    Only one step is done at each level.
for sigma, of_level in zip(sigmas, noises, strict=True): -> begin = x\n    for sigma, of_level in zip(sigmas, noises, strict=True):\n        x = begin
    Each level begins again from the first state: it goes on from where the last level ended.
for z in of_level: -> for z in noises[0]:
    All levels use the noise of the first one.
for z in of_level: -> of_level = of_level[:1].expand_as(of_level)\n        for z in of_level:
    All steps of a level use the same noise.
zip(sigmas, noises, strict=True) -> zip(reversed(list(sigmas)), noises, strict=True)
    You go from the smallest level to the largest: it begins with the largest.
zip(sigmas, noises, strict=True) -> zip(sigmas[:-1], noises[:-1], strict=True)
    The last level is left out.
annealed_langevin := tweedie
    At the end you take the best guess of the data at the last level. That is a good idea, and of later papers; algorithm
    1 ends with a step like all others.
for z in of_level: -> slope = score(x, sigma)\n        for z in of_level: && score(x, sigma) + a -> slope + a
    The score is asked once a level: it is that of each step's own x.
x = x + a / 2 * score(x, sigma) + a**0.5 * z -> x = x + a**0.5 * z\n            x = x + a / 2 * score(x, sigma)
    You add the noise first, and ask for the score of what came of it: the score is that of x before the step.
return x -> return x - a**0.5 * z
    The very last step has no noise. That is an idea of later papers; algorithm 1 ends with a step like all others.
+ a**0.5 * z -> + a**0.5 * sigma * z
    The noise is multiplied by sigma once more: in the step size it is there already.
+ a**0.5 * z -> + a**0.5 / 2 * z
    Your noise is too weak: the root of a, without the half.
a / 2 * score(x, sigma) -> a / 2 * sigma**2 * score(x, sigma)
    The score is multiplied by sigma squared once more: in the step size it is there already.
annealed_langevin := levels_inside
    You go through all levels at each step: all steps of a level come before the next level.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon / 2 * (sigma / sigmas[-1]) ** 2
    Your steps are half as large as they should be: the half stands before the score alone.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * sigma**2 / sigmas[-1]
    You divide by the last level once: by its square.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * sigma / sigmas[-1] ** 2
    Only the last level is squared in your step size: both are.
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon**2 * (sigma / sigmas[-1]) ** 2
    epsilon is squared, too: the levels alone are.
+ a**0.5 * z -> + z
    The noise of a step has size 1: the root of the step size belongs there.
+ a**0.5 * z -> + epsilon**0.5 * z
    The noise has the root of epsilon at all levels: the root of the level's own step size is asked for.
x + a / 2 * score(x, sigma) -> x + epsilon / 2 * score(x, sigma)
    The score is multiplied by half of epsilon at all levels: half of the level's own step size is asked for.
+ a**0.5 * z -> - a**0.5 * z
    The noise is taken away. That is as good a throw of dice, but not the one that was given: z is added.
x = x + a / 2 * score(x, sigma) -> x = a / 2 * score(x, sigma)
    Each step begins from 0: it is added to x.
x + a / 2 * score(x, sigma) -> x + a / 2 * score(x, sigma**2)
    The score is asked at sigma squared: it takes sigma.
x + a / 2 * score(x, sigma) -> x + a / 2 * score(x, a)
    The score is asked at the step size: it takes the level, sigma.
x + a / 2 * score(x, sigma) -> x + a**2 / 2 * score(x, sigma)
    The score is multiplied by the square of the step size: by half of the step size itself.
x + a / 2 * score(x, sigma) -> x + a**0.5 / 2 * score(x, sigma)
    The score is multiplied by the root of the step size: the root belongs to the noise.
for z in of_level: -> for z in of_level.flip(0):
    The noises of a level are used from the last to the first.
zip(sigmas, noises, strict=True) -> zip(sigmas, noises.flip(0), strict=True)
    The levels get their noises in reverse order.
zip(sigmas, noises, strict=True) -> zip(sigmas[1:], noises[1:], strict=True)
    The first level is left out.
return x -> return x + a / 2 * score(x, sigma)
    After the last step there is one more, without noise. Algorithm 1 ends with a step like all others.
"""

RIGHT = r"""
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = epsilon * sigma**2 / sigmas[-1] ** 2
annealed_langevin := by_index
annealed_langevin := lambda score, x, sigmas, epsilon, noises: by_index(score, x, torch.as_tensor(sigmas), epsilon, noises)
"""

WRONG = r"""
+ a**0.5 * z -> + a**0.5 * torch.randn_like(x)
return x -> return x / 2
a = epsilon * (sigma / sigmas[-1]) ** 2 -> a = (epsilon * (sigmas / sigmas[-1]) ** 2)[(sigmas == sigma).nonzero()[0, 0]]
sigmas[-1]) ** 2 -> sigmas[-1]) ** 3
a / 2 * score(x, sigma) -> a / 2 * score(x, sigma) / sigma
for z in of_level: -> for z in of_level[1:]:
"""

EQUIVALENT = """
zip(sigmas, noises, strict=True) -> zip(sigmas, noises)
    both are equally long
zip(sigmas, noises, strict=True) -> zip(sigmas, noises, strict=False)
    both are equally long
"""


def by_index(score, x, sigmas, epsilon, noises):
    for i in range(len(sigmas)):
        a = epsilon * float(sigmas[i] / sigmas[-1]) ** 2
        for k in range(noises.shape[1]):
            x = x + (a * score(x, sigmas[i]) / 2 + noises[i, k] * a**0.5)
    return x


def tweedie(score, x, sigmas, epsilon, noises):
    x = by_index(score, x, sigmas, epsilon, noises)
    return x + sigmas[-1] ** 2 * score(x, sigmas[-1])


def levels_inside(score, x, sigmas, epsilon, noises):
    for k in range(noises.shape[1]):
        for sigma, z in zip(sigmas, noises[:, k], strict=True):
            a = epsilon * float(sigma / sigmas[-1]) ** 2
            x = x + a / 2 * score(x, sigma) + a**0.5 * z
    return x
