"""13.2 time backwards: a step of the reverse SDE, or of the ODE."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def case(share, *shape, dtype=torch.float64):
        x, x0, z = (m * torch.randn(shape, generator=g, dtype=dtype) for m in (1.5, 1.5, 1.0))
        t = uniform(g, 0.5, 0.9)
        rates = [
            torch.tensor(uniform(g, *span)).double() for span in ((0.3, 0.8), (0.9, 1.6), (-1.4, -0.5), (0.4, 1.5))
        ]
        return Case("reverse_step", (x, x0, t, t - uniform(g, 0.05, 0.3), rates, share, z))

    return [
        case(uniform(g, 0.3, 0.7), 2, 3, 4),
        case(uniform(g, 1.3, 1.7), 5, 2),
        case(1.0, 3, 2, 4, 5, dtype=torch.float32),
        case(0.0, 4, 3),
        case(1, 3, 2),
    ]


HINTS = """
Four things first: f and g squared from the rates, by the two formulas of the text; then the score; then the bracket.

The step in time is s minus t, a negative number. It multiplies the bracket.

The noise: g has to be multiplied by the root of the step's length, t minus s, for variances add up over time. The share
multiplies it, too; in the bracket the square of the share stands.
"""

MISTAKES = r"""
return x + (s - t) * drift -> return x + (t - s) * drift
    The drift pushes forwards in time: s is earlier, so the step is negative.
* (g2 * (t - s)).sqrt() * z -> * g2.sqrt() * (t - s) * z
    The noise grows with the length of the step. Its variance does: take the root of the length.
* (g2 * (t - s)).sqrt() * z -> * g2 * (t - s) * z
    The noise is multiplied by its variance: a standard deviation belongs there.
* (g2 * (t - s)).sqrt() * z -> * g2 * (t - s) ** 0.5 * z
    The noise is multiplied by g squared: g belongs there.
* (g2 * (t - s)).sqrt() * z -> * g2.sqrt() * z
    The noise does not depend on the length of the step: a step half as long gets noise of half the variance.
+ share * (g2 * (t - s)).sqrt() * z -> + (g2 * (t - s)).sqrt() * z
    The share does not reach the noise: at a share of 0 there must be none.
+ share * (g2 * (t - s)).sqrt() * z -> + share**2 * (g2 * (t - s)).sqrt() * z
    The noise is multiplied by the square of the share: the square stands in the bracket, the share itself at the noise.
+ share * (g2 * (t - s)).sqrt() * z ->
    There is no fresh noise: your step is right for the ODE's place, but has the drift of the share.
(1 + share**2) / 2 * g2 -> g2
    The score gets the factor of the reverse SDE, whatever the share is.
(1 + share**2) / 2 * g2 -> g2 / 2
    The score gets the factor of the ODE, whatever the share is: fresh noise has to be paid for by more score.
(1 + share**2) / 2 * g2 -> (1 + share) / 2 * g2
    In the bracket the share is to be squared.
(1 + share**2) / 2 * g2 -> (1 + share**2) * g2
    The score's factor is twice as large as it should be: at a share of 0 half of g squared is asked for.
(1 + share**2) / 2 * g2 -> share**2 * g2 / 2
    Without dice your score has no weight at all: the 1 in the factor is what is left at a share of 0.
(1 + share**2) / 2 * g2 -> (1 + share**2) / 2 * g2.sqrt()
    The score is multiplied by g: its square belongs there.
drift = f * x - (1 + share**2) / 2 * g2 * score -> drift = f * x + (1 + share**2) / 2 * g2 * score
    Your walk goes away from the data. The score points to them, and with the minus of the bracket and the negative step
    it pulls there.
drift = f * x - (1 + share**2) / 2 * g2 * score -> drift = f - (1 + share**2) / 2 * g2 * score
    The drift forgets x: f is a factor.
drift = f * x - (1 + share**2) / 2 * g2 * score -> drift = -(1 + share**2) / 2 * g2 * score
    The part with f is missing: it undoes how noising has shrunk the data.
score = (alpha * x0 - x) / sigma**2 -> score = (alpha * x0 - x) / sigma
    Your score is minus eps: one more division by sigma makes it a score.
score = (alpha * x0 - x) / sigma**2 -> score = (x0 - x) / sigma**2
    The score measures from x_0: on the line the data are scaled by alpha.
f = d_alpha / alpha -> f = d_alpha
    f is the derivative of alpha, without the division by alpha: it is how fast the data shrink, relative to what is
    left of them.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * sigma * d_sigma
    g squared has lost its second part: while noise comes in, f shrinks what is already there.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = (2 * sigma * (d_sigma + f * sigma)).abs()
    In g squared a sign is wrong: f is negative, so minus f adds to it.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = sigma * (d_sigma - f * sigma)
    g squared is half of what it should be: the derivative of sigma squared has a 2.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * (d_sigma - f * sigma)
    In g squared the outer sigma is missing: the derivative of sigma squared is 2 sigma times that of sigma.
alpha, sigma, d_alpha, d_sigma = rates -> alpha, d_alpha, sigma, d_sigma = rates && (g2 * (t - s)).sqrt() -> (g2 * (t - s)).abs().sqrt()
    You unpack the rates in another order: first both levels, then both derivatives.
* (g2 * (t - s)).sqrt() * z -> * (g2 * (s - t)).sqrt() * z
    Every number is nan, as the root of a negative one is. Is the length of the step positive, and g squared, too?
+ share * (g2 * (t - s)).sqrt() * z -> - share * (g2 * (t - s)).sqrt() * z
    The noise is taken away. That is as good a throw of dice, but not the one that was given: z is added.
+ share * (g2 * (t - s)).sqrt() * z -> + share**0.5 * (g2 * (t - s)).sqrt() * z
    The noise is multiplied by the root of the share: the share itself stands before g.
alpha, sigma, d_alpha, d_sigma = rates -> alpha, sigma, d_alpha, d_sigma = rates\n    share = 1.0 if share > 0 else 0.0
    Any share above 0 counts as 1: it may be any number.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * sigma * d_sigma - f * sigma**2
    In g squared the factor 2 sigma stands before the whole bracket, so before the part with f, too.
alpha, sigma, d_alpha, d_sigma = rates -> alpha, sigma, d_alpha, d_sigma = rates\n    x = x + share * (2 * sigma * (d_sigma - d_alpha / alpha * sigma) * (t - s)).sqrt() * z && return x + (s - t) * drift + share * (g2 * (t - s)).sqrt() * z -> return x + (s - t) * drift
    You add the noise first, and take the bracket at what came of it: all in the bracket is that of x at t.
(1 + share**2) / 2 * g2 -> (1.0 if share > 0 else 0.5) * g2
    The score has the factor of the ODE or that of the reverse SDE: between them, and beyond, are all other shares.
(1 + share**2) / 2 * g2 -> (1 + share) ** 2 / 2 * g2
    In the bracket the share alone is squared, and 1 is added then.
alpha, sigma, d_alpha, d_sigma = rates -> alpha, sigma, d_alpha, d_sigma = rates\n    share = min(share, 1.0)
    A share above 1 counts as 1 in yours: it may be any number.
drift = f * x - (1 + share**2) -> drift = -(1 + share**2) && return x + (s - t) * drift -> return (f * (s - t)).exp() * x + (s - t) * drift
    You solve the part with f exactly, by an exponential. Finer, but a plain step is asked for: all that is in the
    bracket is taken at t.
drift = f * x - -> drift = f * x0 -
    f is multiplied by the guess of the data: the state itself belongs there.
score = (alpha * x0 - x) / sigma**2 -> score = alpha * x0 - x
    Your score is not divided by sigma squared.
score = (alpha * x0 - x) / sigma**2 -> score = x0
    The guess of the data stands in the place of the score, which is computed from it.
score = (alpha * x0 - x) / sigma**2 -> score = -z / sigma
    The score is computed from the fresh noise z. The noise that x has is what x_0 leaves of it.
score = (alpha * x0 - x) / sigma**2 -> score = (alpha * x0 - x) / (1 - alpha**2)
    You compute sigma from alpha, as if their squares added up to 1: that is so on one kind of line only.
f = d_alpha / alpha -> f = alpha / d_alpha
    f is upside down: the derivative of alpha stands above, alpha below.
f = d_alpha / alpha -> f = 2 * d_alpha / alpha
    f is twice as large as it should be: that is the derivative of the log of alpha squared.
f = d_alpha / alpha -> f = d_alpha / alpha**2
    f is divided by alpha twice.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * sigma * d_sigma - 2 * f * sigma
    In g squared the bracket is multiplied by sigma as a whole: in its second part sigma stands twice.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = (2 * sigma * (d_sigma - f * sigma)) ** 2
    The formula gives g squared already: you square it once more.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = (2 * sigma * (d_sigma - f * sigma)).sqrt()
    The formula gives g squared, and you have taken its root: then g stands where g squared belongs.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * sigma * (d_sigma - d_alpha * sigma)
    In g squared the derivative of alpha stands where f belongs.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = d_sigma**2
    g squared is not the square of sigma's derivative: how fast its *variance* grows counts, and f.
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * (d_sigma - f * sigma) / sigma
    In g squared you divide by sigma: it is a factor.
(1 + share**2) / 2 * g2 -> 1 + share**2 / 2 * g2
    In the bracket the fraction lacks its parentheses: 1 and the square of the share are added before they are halved.
(1 + share**2) / 2 * g2 -> (1 - share**2) / 2 * g2
    In the bracket 1 and the square of the share are added: more dice need more score.
(1 + share**2) / 2 * g2 -> (share + share**2) / 2 * g2
    Without dice your score has no weight at all: a 1 is what is left at a share of 0.
return x + (s - t) * drift -> return x + s * drift
    The bracket is multiplied by the time s: the step s minus t belongs there.
return x + (s - t) * drift -> return x + drift
    The bracket is not multiplied by the step in time, s minus t.
return x + (s - t) * drift -> return x - drift
    The bracket is not multiplied by the step in time, s minus t.
return x + (s - t) * drift -> return (s - t) * drift
    Your step begins from 0: it is added to x.
share * (g2 * (t - s)).sqrt() * z -> share * (t - s) ** 0.5 * z
    g is missing at the noise.
share * (g2 * (t - s)).sqrt() * z -> share * sigma * (t - s) ** 0.5 * z
    The noise is multiplied by sigma: g belongs there.
share * (g2 * (t - s)).sqrt() * z -> share * (g2 * t).sqrt() * z
    The variance of your noise grows with the time t: the length of the step counts.
share * (g2 * (t - s)).sqrt() * z -> share * (g2 * (t - s) / 2).sqrt() * z
    The noise is too weak by the root of 2.
share * (g2 * (t - s)).sqrt() * z -> share * (2 * g2 * (t - s)).sqrt() * z
    The noise is too strong by the root of 2.
share * (g2 * (t - s)).sqrt() * z -> min(share, 1.0) * (g2 * (t - s)).sqrt() * z
    At the noise a share above 1 counts as 1: it may be any number.
(1 + share**2) / 2 * g2 -> (1 + min(share, 1.0) ** 2) / 2 * g2
    In the bracket a share above 1 counts as 1: it may be any number.
share * (g2 * (t - s)).sqrt() * z -> share * (g2 * (t - s)).sqrt()
    z is missing: every number is pushed by the same amount.
"""

RIGHT = r"""
score = (alpha * x0 - x) / sigma**2 -> eps = (x - alpha * x0) / sigma\n    score = -eps / sigma
drift = f * x - (1 + share**2) / 2 * g2 * score -> drift = d_alpha * x0 + d_sigma * (x - alpha * x0) / sigma - share**2 / 2 * g2 * score
share * (g2 * (t - s)).sqrt() * z -> share * g2.sqrt() * abs(s - t) ** 0.5 * z
"""

WRONG = r"""
share * (g2 * (t - s)).sqrt() * z -> share * (g2 * (t - s)).sqrt() * torch.randn_like(x)
return x + (s - t) * drift -> return x - t * drift
f = d_alpha / alpha -> f = d_sigma / sigma
score = (alpha * x0 - x) / sigma**2 -> score = x0 - x
g2 = 2 * sigma * (d_sigma - f * sigma) -> g2 = 2 * sigma * (d_sigma + f * sigma)
"""

EQUIVALENT = ""
