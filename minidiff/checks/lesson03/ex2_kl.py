"""3.2 the KL divergence from the standard normal distribution."""

import itertools

import torch

from minidiff.checks import Case
from minidiff.checks.lesson03 import posterior
from minidiff.vae import Gaussian

LEARNS = ("mean", "logvar")


def cases(g):
    shapes = ((3, 2, 4, 5), torch.float64), ((2, 5, 3), torch.float32), ((4, 6), torch.float64)
    extreme = posterior(g, 2, 20, most=15)[:2]  # within the limits of 3.1, which may stand here, too
    return [*(Case("kl", posterior(g, *shape, dtype=dtype)[:2]) for shape, dtype in shapes), Case("kl", extreme)]


def _sums(channels, places):
    """A wrong divergence, which adds up or averages over the channels and over the places."""

    def wrong(mean, logvar):
        terms = (mean**2 + logvar.exp() - 1 - logvar) / 2
        if terms.ndim > 2:
            terms = getattr(terms.flatten(2), places)(2)
            return getattr(terms, channels)(1)
        return terms.sum(1)

    return wrong


HINTS = """
One number first. The logarithm of a normal density is easy: minus half a square, minus the logarithm of the standard
deviation, minus a constant that both densities share.

You need two averages over samples z of q. That of the squared distance from the mean is the variance. That of z
squared is the variance plus the square of the mean.

Put in the averages, and four terms are left, all of them halved: two that grow with mean and variance, the logarithm
of the variance, and a constant. Check that mean 0 and variance 1 give 0.

For the sum: flatten all axes but the first into one, and sum that. .flatten does it when told from which axis.
"""

MISTAKES = """
.sum(1) -> .mean(1)
    You average over the latents of a sample. Independent numbers each add their own divergence: sum.
.flatten(1).sum(1) -> .sum()
    You gave one number for the whole batch. Each sample has a divergence of its own: keep the first axis.
.flatten(1).sum(1) -> .flatten(1).sum(1).mean()
    You gave one number, the average over the batch. That comes later, in the loss: keep the first axis here.
.flatten(1).sum(1) -> .flatten(1).sum(1).mean().expand(len(mean))
    You gave every sample the average over the batch: each has a divergence of its own.
.flatten(1).sum(1) -> .mean()
    You gave one number, an average over everything. Each sample has a divergence of its own, a sum: keep the first
    axis.
.flatten(1).sum(1) -> .sum(1)
    Only the axis after the batch is summed: a sample may have more of them, and all belong to it.
.flatten(1).sum(1) -> .sum(-1)
    Only the last axis is summed: a sample may have more of them, and all belong to it.
.flatten(1).sum(1) -> .sum(0)
    You sum over the batch. It is the other axes, those of one sample, that belong together.
.flatten(1).sum(1) -> .sum((1, 2, 3))
    You sum three axes by their numbers. A sample may have fewer of them: take all after the first.
.flatten(1).sum(1) ->
    Nothing is summed: each sample has one divergence, the sum over all its numbers.
.sum(1) / 2 -> .sum(1)
    Your divergence is twice too large: look at the factor in the exponent of a normal density.
return ( -> return -(
    Your divergence is negative. It never is: turn the difference of the two logarithms round.
logvar.exp() -> logvar
    Where the variance itself belongs you used its logarithm: the two would cancel for any logvar.
logvar.exp() -> (logvar / 2).exp()
    Where the variance belongs you used the standard deviation.
logvar.exp() - 1 - logvar -> (2 * logvar).exp() - 1 - 2 * logvar
    You took logvar for the logarithm of the standard deviation. It is that of the variance, which is squared already.
logvar.exp() - 1 - logvar -> logvar.exp() - 1 - logvar / 2
    The logarithm is that of the standard deviation, and is halved once more with the rest: all four terms share one
    half.
logvar.exp() - 1 - logvar -> logvar.exp() - 1 - 2 * logvar
    The logarithm counts twice what it should: logvar is that of the variance already, and all four terms share one
    half.
mean**2 -> mean
    The mean is not squared: being off to the left is as wrong as being off to the right.
mean**2 -> mean.abs()
    The mean counts with its distance from 0. In the exponent of a normal density stands the square of that.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.exp() - logvar)
    Your divergence is too large by the same amount for every number: for the standard normal distribution itself it
    must be 0.
- 1 - logvar -> + 1 - logvar
    The constant has the wrong sign: for the standard normal distribution itself the divergence must be 0.
- 1 - logvar -> - 1
    The term with the logarithm is missing: then a variance of 0 would be best, and not one of 1.
- 1 - logvar -> - 1 + logvar
    The logarithm has the wrong sign: a variance near 0 should cost a lot, and with yours it is a gain.
mean**2 + logvar -> logvar
    Your divergence does not depend on the mean, but a distribution far away from 0 is unlike one around 0.
+ logvar.exp() - 1 - logvar ->
    Your divergence does not depend on logvar: how wide the distribution is should matter.
(mean**2 + logvar.exp() - 1 - logvar) -> ((mean**2 + 1) * (-logvar).exp() - 1 + logvar)
    That is the divergence of the standard normal distribution from q. The average is over samples of q, so the two
    have changed places.
/ 2 -> / 2 / 0.6931471805599453
    Your numbers are too large by one factor everywhere: you count bits. With natural logarithms they are nats.
"""

MISTAKES += "".join(
    f"""(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.clamp(-{n}, {n}).exp() - 1 - logvar.clamp(-{n}, {n}))
    Ordinary numbers come out right, but you limit logvar too early: a very small or large variance has its price, too.
"""
    for n in (3, 5, 10, 15)
)
MISTAKES += "".join(
    f"""(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.clamp(-{n}, {n}).exp() - 1 - logvar.clamp(-{n}, {n}))
    You limit logvar, and early: a very small or a very large variance has its price, too.
"""
    for n in (1, 2)
)
MISTAKES += """
return (mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2 -> return ((mean**2 + logvar.exp() - logvar).flatten(1).sum(1) - 1) / 2
    The one is taken away once for a sample: it belongs to each of its numbers.
return (mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2 -> return (mean**2 + logvar.exp() - logvar).flatten(1).sum(1) / 2 - 1
    The one is taken away once for a sample, and outside the half: it belongs to each of its numbers, with the others.
return (mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2 -> return (mean**2 + logvar.exp() - logvar).flatten(1).sum(1) / 2 - 0.5
    The one is taken away once for a sample: it belongs to each of its numbers.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.exp() + 1.8378770664093453)
    That is the cross entropy of the two: the entropy of q, how spread its own samples are, has to be taken away.
- 1 - logvar -> - 1 - logvar.abs()
    The sign of logvar is lost: a small and a large variance are different things.
(mean**2 + logvar.exp() -> (mean**2 - logvar.exp()
    The variance has the wrong sign: a wide distribution should cost, and with yours it is a gain.
mean**2 + logvar -> -mean**2 + logvar
    The mean has the wrong sign: being far from 0 should cost, and with yours it is a gain.
logvar.exp() - 1 - logvar -> (-logvar).exp() - 1 - logvar
    You have one over the variance where the variance itself belongs.
.flatten(1).sum(1) -> .flatten(2).sum(2).mean(1)
    You add up the places and average over the channels: all numbers of a sample add up.
kl := _sums(channels="sum", places="mean")
    You add up the channels and average over the places: all numbers of a sample add up.
kl := _sums(channels="mean", places="sum")
    You add up the places and average over the channels: all numbers of a sample add up.
.flatten(1).sum(1) -> .flatten(1).sum(1, keepdim=True)
    You keep an axis of length 1: one number for each sample is asked for, so only the first axis stays.
"""
MISTAKES += "".join(
    f"""(mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2 -> ({m} * mean**2 + {v} * logvar.exp() - {c} - {w} * logvar).flatten(1).sum(1)
    Your half stands before some of the terms only: all four share it.
"""
    for m, v, c, w in itertools.product((0.5, 1), repeat=4)
    if 0 < (m, v, c, w).count(1) < 4 and (m, v, c) != (0.5, 0.5, 0.5)  # that one is told above
)

RIGHT = """
kl := lambda m, v: Gaussian(m, v).kl()
kl := lambda m, v: torch.distributions.kl_divergence(torch.distributions.Normal(m, v.exp().sqrt()), torch.distributions.Normal(0.0, 1.0)).reshape(len(m), -1).sum(1)
kl := lambda m, v: torch.stack([0.5 * (a * a + b.exp() - 1 - b).sum() for a, b in zip(m, v)])
"""

WRONG = """
.sum(1) -> .amax(1)
.flatten(1).sum(1) -> .flatten(0, -2).sum(0)
kl := lambda m, v: (m + (v / 2).exp() * torch.randn_like(m)).square().flatten(1).sum(1)
/ 2 -> / 2 + mean.abs().flatten(1).sum(1)
.sum(1) / 2 -> .sum(1).div(2).tolist()
kl := lambda mean, logvar: (mean**2 + logvar.exp() - 1 - logvar).detach().flatten(1).sum(1) / 2
"""
