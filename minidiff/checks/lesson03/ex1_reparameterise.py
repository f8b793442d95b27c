"""3.1 a sample that gradients flow through."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson03 import posterior

LEARNS = ("mean", "logvar")


def cases(g):
    centre, extreme, noise = posterior(g, 3, 2, 5, 4, most=45)
    return [
        Case("reparameterise", posterior(g, 2, 3, 4, 5, dtype=torch.float32)),
        Case("reparameterise", posterior(g, 3, 2, 2, 6)),
        Case("reparameterise", posterior(g, 4, 7)),
        Case("reparameterise", (30 * centre, extreme, noise)),
        Case("reparameterise", (0 * centre, extreme, noise)),  # where the lower limit shows
    ]


HINTS = """
What must a standard normal number be multiplied by to have the variance you want? And what added, to have the mean?

logvar is the logarithm of the variance. To multiply by a standard deviation, undo the logarithm and take a square
root: both together are one exp of half of it.

torch.clamp, or the method of that name, limits every entry of a tensor to a lower and an upper number. Use it before
exp.

For the gradient there is nothing to do, as long as all of it is arithmetic on mean and logvar.
"""

MISTAKES = """
(logvar.clamp(-30, 20) / 2) -> logvar.clamp(-30, 20)
    eps is multiplied by the variance. It should be multiplied by how far z spreads, the standard deviation.
(logvar.clamp(-30, 20) / 2) -> logvar
    eps is multiplied by the variance: it should be how far z spreads, the standard deviation. And logvar is not
    limited.
(logvar.clamp(-30, 20) / 2).exp() -> (logvar.clamp(-30, 20) / 2)
    eps is multiplied by half of logvar itself: that is still a logarithm, and may be negative.
(logvar.clamp(-30, 20) / 2).exp() -> logvar.clamp(-30, 20)
    eps is multiplied by logvar itself: that is still a logarithm, and may be negative.
(logvar.clamp(-30, 20) / 2).exp() -> logvar
    eps is multiplied by logvar itself: that is still a logarithm, and may be negative. And it is not limited.
(logvar.clamp(-30, 20) / 2).exp() -> logvar.clamp(-30, 20).sqrt()
    You take the root of a logarithm, which is no number wherever logvar is negative. Undo the logarithm first.
reparameterise := lambda mean, logvar, eps: mean + F.softplus(logvar) * eps
    You make the spread positive with a softplus. logvar is a logarithm: its exponential is what undoes it.
reparameterise := lambda mean, logvar, eps: mean + F.softplus(logvar.clamp(-30, 20)) * eps
    You make the spread positive with a softplus. logvar is a logarithm: its exponential is what undoes it.
.exp() * eps -> .exp() * ((eps - eps.mean()) / eps.std())
    You shift and stretch eps so that these numbers have mean 0 and variance 1. It is random: take it as it comes.
logvar.clamp(-30, 20) / 2 -> -logvar.clamp(-30, 20) / 2
    The sign of the exponent is wrong: where logvar is small, your z spreads widely.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> eps + (logvar.clamp(-30, 20) / 2).exp() * mean
    mean and eps have changed places: the mean is where z should be when eps is 0.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> (logvar.clamp(-30, 20) / 2).exp() * (mean + eps)
    The mean is stretched along with the noise: only eps is to be multiplied.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> mean.clone()
    You gave the mean: that is the middle of the distribution, and no sample of it.
return mean + -> return
    The spread is right, but all your samples lie around 0: the mean is missing.
(logvar.clamp(-30, 20) / 2).exp() * eps -> eps
    logvar is not used: every latent gets noise of the same strength.
mean + -> mean -
    The sign of eps is wrong. The distribution is the same, but this is not the sample that eps stands for.
(logvar.clamp(-30, 20) / 2).exp() * eps -> (logvar.clamp(-30, 20) / 2).exp()
    eps is not used: you add the standard deviation itself, so every z lies above its mean.
logvar.clamp(-30, 20) / 2 -> logvar / 2
    Ordinary numbers come out right. Where logvar is extreme, it should be limited to the two numbers given.
clamp(-30, 20) -> clamp(-20, 30)
    The limits have changed places: a very small variance does less harm than a very large one, so the lower limit is
    the one further from 0.
clamp(-30, 20) -> clamp(-20, 20)
    The lower limit is too high: the two limits are not the same distance from 0.
clamp(-30, 20) -> clamp(max=20)
    Only large logvars are limited. There is a lower limit, too.
clamp(-30, 20) -> clamp(min=-30)
    Only small logvars are limited. There is an upper limit, too.
(logvar.clamp(-30, 20) / 2) -> (logvar / 2).clamp(-30, 20)
    You limit the logarithm of the standard deviation. The limits belong to that of the variance.
(logvar.clamp(-30, 20) / 2).exp() -> (logvar / 2).exp().clamp(-30, 20)
    You limit the standard deviation. The limits belong to logvar, before anything is done with it.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> (mean + (logvar / 2).exp() * eps).clamp(-30, 20)
    You limit z. It is logvar that the limits belong to; z may lie anywhere.
mean + -> mean.clamp(-30, 20) +
    You limit the mean as well. The limits belong to logvar alone.
reparameterise := lambda mean, logvar, eps: mean + F.softplus(logvar.clamp(-30, 20)).sqrt() * eps
    You make the spread positive with a softplus. logvar is a logarithm: its exponential is what undoes it.
reparameterise := lambda mean, logvar, eps: mean + F.softplus(logvar).sqrt() * eps
    You make the spread positive with a softplus. logvar is a logarithm: its exponential is what undoes it.
reparameterise := lambda mean, logvar, eps: mean + F.softplus(logvar.clamp(-30, 20) / 2) * eps
    You make the spread positive with a softplus. logvar is a logarithm: its exponential is what undoes it.
reparameterise := lambda mean, logvar, eps: mean + 10 ** (logvar.clamp(-30, 20) / 2) * eps
    You undo a logarithm to base 10: logvar is the natural one.
reparameterise := lambda mean, logvar, eps: mean + 2 ** (logvar.clamp(-30, 20) / 2) * eps
    You undo a logarithm to base 2: logvar is the natural one.
(logvar.clamp(-30, 20) / 2).exp() -> (logvar.clamp(-30, 20) * 2).exp()
    You double the logarithm, which squares the variance: a standard deviation is its root.
(logvar.clamp(-30, 20) / 2).exp() -> logvar.clamp(-30, 20).exp() / 2
    You halve the variance itself: half of its logarithm is what gives the root.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> mean + ((logvar / 2).exp() * eps).clamp(-30, 20)
    You limit what is added to the mean. The limits belong to logvar, before anything is done with it.
.exp() * eps -> .exp() * eps.abs()
    You take eps without its sign: all your samples lie above the mean.
.exp() * eps -> .exp() * eps.clamp(-1, 1)
    You limit eps: it is random, and taken as it comes.
reparameterise := lambda mean, logvar, eps: reparameterise(mean.float(), logvar.float(), eps.float()).to(mean)
    You calculate in float32: where all that is given is float64, the rest should be, too.
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> mean + (logvar.clamp(-30, 20) / 2).exp().float() * eps
    The standard deviation is rounded to float32: where all that is given is float64, it should be, too.
"""

_LIMITS = "Ordinary numbers come out right, but one of the two limits of logvar is another than the one given."
_SMALL = "You add a small number to the spread: e to any power is positive already, and the sample should be exact."
MISTAKES += "".join(
    f"clamp(-30, 20) -> clamp({low}, {high})\n    {_LIMITS}\n"
    for low, high in ((-30, 30), (-30, 10), (-30, 2), (-10, 20), (-10, 10), (-5, 20), (-10, 2), (-30, 15))
)
MISTAKES += "".join(
    f"(logvar.clamp(-30, 20) / 2).exp() -> {spread}\n    {_SMALL}\n"
    for n in (3, 4, 5, 6, 7, 8)
    for spread in (f"((logvar.clamp(-30, 20) / 2).exp() + 1e-{n})", f"(logvar.clamp(-30, 20).exp() + 1e-{n}).sqrt()")
)

RIGHT = """
reparameterise := lambda m, v, e: torch.addcmul(m, v.clamp(-30, 20).exp().sqrt(), e)
reparameterise := lambda m, v, e: torch.distributions.Normal(m, v.clamp(-30, 20).exp() ** 0.5).icdf(0 * e + 0.5) + (v.clamp(-30, 20) / 2).exp() * e
"""

WRONG = """
reparameterise := lambda m, v, e: m + (v.clamp(-30, 20) / 2).exp() * torch.randn_like(m)
reparameterise := lambda m, v, e: m + (v.clamp(-30, 20) / 2).exp() * torch.randn(m.shape, generator=torch.Generator().manual_seed(0)).to(m)
return mean + -> return mean.detach() +
return mean + (logvar.clamp(-30, 20) / 2) -> return mean + (logvar.detach().clamp(-30, 20) / 2)
mean + (logvar.clamp(-30, 20) / 2).exp() * eps -> (mean + (logvar.clamp(-30, 20) / 2).exp() * eps).detach()
logvar.clamp(-30, 20) -> logvar.detach().clamp_(-30, 20)
(logvar.clamp(-30, 20) / 2).exp() * eps -> (logvar.clamp(-25, 20) / 2).exp() * eps
"""
