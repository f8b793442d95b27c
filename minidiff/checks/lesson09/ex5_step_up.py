"""9.5 a step back up."""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    cases = []
    for kind, dtype in (
        ("variance preserving", torch.float64),
        ("variance preserving", torch.float32),
        ("flow", torch.float64),
        ("up to pure noise", torch.float64),
        ("from clean data", torch.float64),
        ("variance exploding", torch.float64),
        ("a small step", torch.float64),
    ):
        s, t = uniform(g, 0.2, 0.45), uniform(g, 0.55, 0.9)
        x, eps = torch.randn(2, 2, 4, whole(g, 2, 3), whole(g, 4, 5), generator=g, dtype=dtype)
        levels = {
            "variance preserving": (math.sqrt(1 - s * s), s, math.sqrt(1 - t * t), t),
            "flow": (1 - s, s, 1 - t, t),
            "up to pure noise": (math.sqrt(1 - s * s), s, 0.0, 1.0),
            "from clean data": (1.0, 0.0, math.sqrt(1 - t * t), t),
            "variance exploding": (1.0, s, 1.0, 2 * t),
            "a small step": (1 - s, s, 0.999 - s, 0.001 + s),
        }[kind]
        cases.append(Case("step_up", (x + 1, eps, *levels)))
    return cases


HINTS = """
x holds alpha_s times a clean picture. By what must you multiply it so that it holds alpha_t times the same picture?

That factor multiplies the noise in x, too. How large is its standard deviation then?

There should be noise of the standard deviation sigma_t in the end. Two independent noises have a variance that is the
sum of theirs: so you know the variance of what is missing.

eps has variance 1. Multiply it by the root of the variance that is missing.
"""

MISTAKES = """
ratio * x + math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> alpha_t * x + sigma_t
    You noised x as if it were clean. It has noise in it already, and has faded already.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> sigma_t
    The signal is right, but you added all the noise of t. A part of it is in x already.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> (sigma_t - sigma_s)
    You added the difference of the two sigmas. Independent noises add up by their variances, and that in x has faded.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> (sigma_t - ratio * sigma_s)
    You counted rightly how much noise is left in x, but added the difference of two standard deviations. Independent
    noises add up by their variances.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> math.sqrt(sigma_t - ratio * sigma_s)
    The sigmas are standard deviations. Square them before you take the difference.
(ratio * sigma_s) ** 2 -> sigma_s**2
    The noise in x fades with the signal when you scale x. You counted it as it was.
(ratio * sigma_s) ** 2 -> ratio * sigma_s**2
    The noise in x fades by the same factor as the signal. That factor has to be squared in a variance, as the sigma is.
(ratio * sigma_s) ** 2 -> ratio**2 * sigma_s
    The noise in x is counted by its standard deviation. It has to be squared in a variance, as the factor is.
(ratio * sigma_s) ** 2 -> (alpha_t * sigma_s) ** 2
    The noise in x fades by the same factor as the signal: from s to t, not from clean data.
sigma_t**2 - ( -> sigma_t**2 + (
    The two variances are added. What is in x and what you add should be that of t together.
sigma_t**2 - (ratio * sigma_s) ** 2 -> max(0.0, 1 - ratio**2)
    Right where the squares of alpha and sigma add up to 1. Other schedules exist, and you were given both sigmas.
sigma_t**2 - (ratio * sigma_s) ** 2 -> abs(alpha_s**2 - alpha_t**2)
    You took the missing noise from the alphas alone. Not every schedule ties them to the sigmas, which you were given.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> (sigma_t**2 - (ratio * sigma_s) ** 2)
    The new noise is multiplied by a variance: take the root.
return ratio * x -> return x
    x is in it as it was: from s to t the signal has to fade.
ratio = alpha_t / alpha_s -> ratio = 1.0
    x is in it as it was, and so is its noise: from s to t the signal has to fade, and the noise in x fades with it.
ratio = alpha_t / alpha_s -> ratio = alpha_s / alpha_t
    The factor of x is upside down: what holds alpha_s should hold alpha_t, which is less.
return ratio * x -> return alpha_t * x
    x fades as if it were clean. It holds alpha_s already: what brings it from there to alpha_t?
return ratio * x -> return math.sqrt(ratio) * x
    The signal fades by the wrong factor: alpha is a factor already, and no variance.
return ratio * x -> return ratio**2 * x
    The signal fades by the wrong factor, the square of the right one.
return ratio * x -> return (1 - alpha_s + alpha_t) * x
    The signal fades by the wrong factor: what brings one alpha to the other is a quotient.
ratio = alpha_t / alpha_s -> ratio = 1 - alpha_s + alpha_t && (ratio * sigma_s) ** 2 -> sigma_s**2
    The signal fades by the wrong factor: what brings one alpha to the other is a quotient. The noise in x fades, too.
* x + math.sqrt( -> * x - math.sqrt(
    The noise has the wrong sign. The distribution is the same, but this is not the x that eps stands for.
return ratio * x + math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) * eps -> return ratio * x
    There is no new noise in it.
return ratio * x + -> return
    That is the new noise alone: nothing of x is in it.
return ratio * x + math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) * eps -> return x.clone()
    You gave x as it came.
ratio = alpha_t / alpha_s -> ratio = math.sqrt(alpha_t / alpha_s)
    Signal and old noise fade by the wrong factor: alpha is a factor already, and no variance.
ratio = alpha_t / alpha_s -> ratio = (alpha_t / alpha_s) ** 2
    Signal and old noise fade by the wrong factor, the square of the right one.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> sigma_t * (1 - (sigma_s / alpha_s) / (sigma_t / alpha_t))
    You find the new noise by the difference of two standard deviations, where variances add up; and you divide by
    alpha_t, which is 0 in pure noise.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> sigma_t * math.sqrt(1 - ((sigma_s / alpha_s) / (sigma_t / alpha_t)) ** 2)
    Right as long as something is left of the picture. In pure noise alpha_t is 0, and you divide by it.
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> (sigma_t**2 - (ratio * sigma_s) ** 2) ** 1 / 2
    The new noise is halved where a root should be: without brackets that is a power of 1, and then a division by 2.
"""

RIGHT = """
math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) -> (sigma_t**2 - alpha_t**2 / alpha_s**2 * sigma_s**2) ** 0.5
"""

WRONG = """
* x + math.sqrt( -> * x + 2 * math.sqrt(
ratio = alpha_t / alpha_s -> ratio = sigma_s / sigma_t
return ratio * x -> return (ratio + 1) / 2 * x
return ratio * x -> return ratio * x.float()
** 2) * eps -> ** 2) * torch.randn_like(eps)
"""
