"""7.1 a step of DDIM, from no fresh noise to DDPM's."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import schedule
from minidiff.checks.parts import uniform, whole


def cases(g):
    def case(t, s, eta, *shape, dtype=torch.float64):
        x, x0, noise = (m * torch.randn(shape, generator=g, dtype=dtype) for m in (1.5, 1.5, 1))
        return Case("ddim_step", (x, x0, t, s, schedule(g, 30), eta, noise))

    return [
        case(whole(g, 20, 30), whole(g, 5, 15), uniform(g, 0.3, 0.7), 2, 3, 4),
        case(whole(g, 8, 20), whole(g, 2, 6), uniform(g, 0.3, 0.7), 5, 2),
        case(25, whole(g, 8, 12), 1.0, 3, 2, 4, 5, dtype=torch.float32),
        case(25, whole(g, 8, 12), 0.0, 4, 3),
        case(whole(g, 3, 20), 0, uniform(g, 0.3, 0.7), 3, 4),
        case(30, 5, 1, 3, 4),
        case(whole(g, 8, 20), 1, uniform(g, 0.3, 0.7), 2, 5),
        case(whole(g, 14, 16), whole(g, 10, 12), 0.1, 3, 4),  # so little fresh noise that even too much leaves room
    ]


HINTS = """
Three parts: the guess of the picture at the level of s, what is left of the old noise, and the fresh noise.

The old noise, with size 1, is what x holds besides the picture: solve the line that makes x from x_0 and eps for eps.

First the deviation of the fresh noise, by the formula with eta. Then the old noise gets the rest: the squares of both
together are the square of sigma at s.

schedule(t) gives two numbers, alpha and sigma; so does schedule(s). The tensor method .sqrt takes a root. At s = 0
sigma is 0, and so is all noise: no special case is needed.
"""

MISTAKES = r"""
(sigma_s**2 - std**2).sqrt() * eps -> sigma_s * eps
    The fresh noise comes on top of the old, so there is more noise at s than there should be: what is fresh has to
    replace a part of what is old.
(sigma_s**2 - std**2).sqrt() * eps -> (sigma_s - std) * eps
    Deviations of independent noises do not add up, their squares do: so what is left for the old noise is found by the
    squares.
(sigma_s**2 - std**2).sqrt() * eps -> (sigma_s**2 - std**2) * eps
    The old noise is scaled by a variance: the root of what is left over is its deviation.
(sigma_s**2 - std**2).sqrt() * eps -> (1 - alpha_s - std**2).clamp(min=0).sqrt() * eps
    For the old noise you took one minus alpha for the square of sigma. That is right for the alphas of Song and others,
    which are the squares of ours.
+ std * noise ->
    The old noise makes room, but nothing moves in: the fresh noise is missing.
* eps + std * noise -> * noise + std * eps
    Old and fresh noise have changed places: the fresh one comes in with the deviation std, the old one gets the rest.
std = eta * -> std = 0 *
    eta is not used: your step is the deterministic one, whatever eta says.
std = eta * -> std = 1 *
    eta is not used: your step is always that of DDPM.
std = eta * sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> std = (eta * sigma_s) ** 2 * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2)
    You multiply the fresh noise by its variance: a standard deviation belongs there.
(sigma / alpha) ** 2).sqrt() -> (sigma / alpha) ** 2)
    In the deviation of the fresh noise the root of one minus the ratio has been forgotten.
std = eta * -> std = eta**0.5 *
    eta multiplies your variance. In the paper it multiplies the standard deviation.
sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2) -> (1 - (alpha / alpha_s) ** 2)
    That is the larger of DDPM's two variances, which goes by the noise at t. Here that of s counts, or your last step
    would leave noise in.
sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> sigma_s
    The deviation of the fresh noise is a fixed share of sigma at s. The root is missing, which says how much of the
    noise the step takes away.
std = eta * sigma_s -> std = eta * sigma && (sigma_s**2 - std**2) -> (sigma_s**2 - std**2).clamp(min=0)
    The deviation of the fresh noise is made from sigma at t, so that it leaves no room: the noise wanted is that of s.
(sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2 -> sigma_s**2 / sigma**2
    In the square root, your r is sigma alone; r is sigma over alpha.
(sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2 -> (sigma_s / alpha_s) / (sigma / alpha)
    The ratio of the two r is not squared under the root.
(1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2) -> (1 - (sigma / alpha) ** 2 / (sigma_s / alpha_s) ** 2).abs()
    The ratio of the two r is upside down: that of s, the smaller one, stands above.
(1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2) -> (1 - (sigma / alpha) ** 2 / (sigma_s / alpha_s) ** 2).abs() && (sigma_s**2 - std**2) -> (sigma_s**2 - std**2).clamp(min=0)
    The ratio of the two r is upside down, so the fresh noise leaves no room: that of s, the smaller one, stands above.
(1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2) -> (1 - (sigma / alpha) ** 2 / (sigma_s / alpha_s) ** 2)
    There is a root of a number below 0. Under it stands one minus a ratio that lies between 0 and 1: is the ratio
    upside down, or are the two exchanged?
return alpha_s * x0 -> return alpha * x0
    Your guess of the picture is still scaled by the alpha of t: the step ends at s.
return alpha_s * x0 -> return x0
    Your guess of the picture comes in at full strength: at s it is scaled by alpha.
(x - alpha * x0) / sigma -> x - alpha * x0
    Your eps is as large as the noise in x at t: divide it by sigma, so that its size is 1.
(x - alpha * x0) / sigma -> (x - x0) / sigma
    To get at the noise in x, what has to be taken out is the picture as it is in x, so scaled by alpha.
(x - alpha * x0) / sigma -> (x - alpha_s * x0) / sigma_s
    Your eps is computed with alpha and sigma of s. What is in x has the levels of t.
(sigma_s**2 - std**2).sqrt() * eps + std * noise -> sigma_s * noise
    All your noise is fresh: then nothing of x is kept but the guess of the picture.
alpha_s * x0 + (sigma_s -> alpha_s * x0 - (sigma_s
    The old noise has the wrong sign: it is in x, and a part of it stays there.
eps = ( -> x0 = x0.clamp(-1, 1)\n    eps = (
    You clamp the guess of the picture. Nothing says that it lies between -1 and 1; latents do not.
return alpha_s * x0 + (sigma_s**2 - std**2).sqrt() * eps + std * noise -> return x0.clone()
    You gave the guess of the picture itself: the step goes only as far as s.
std = eta * sigma_s * -> std = eta *
    The deviation of the fresh noise lacks the factor sigma at s.
std = eta * sigma_s * -> std = eta * && (sigma_s**2 - std**2) -> (sigma_s**2 - std**2).clamp(min=0)
    The deviation of the fresh noise lacks the factor sigma at s, so it is too large and leaves no room for the old.
= schedule(t), schedule(s) -> = [[a.sqrt() for a in schedule(i)] for i in (t, s)]
    You draw the roots of what the schedule gives. Those are alpha and sigma themselves: the roots are drawn already.
= schedule(t), schedule(s) -> = [[a**2 for a in schedule(i)] for i in (t, s)]
    You square what the schedule gives. Those are alpha and sigma themselves, as they stand in the formulas.
= schedule(t), schedule(s) -> = [(a.sqrt(), (1 - a).sqrt()) for a, _ in (schedule(t), schedule(s))]
    You take alpha for the papers' alpha-bar, and find both levels from it. It is the root already, and sigma is given,
    too.
std = eta * sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> std = eta * sigma_s / sigma * (1 - alpha / alpha_s).sqrt()
    In your std the alphas stand as in the paper. Its alpha is the square of ours, so under the root the ratio is
    squared.
std = eta * sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> std = eta * ((1 - alpha_s) / (1 - alpha) * (1 - alpha / alpha_s)).sqrt() && (sigma_s**2 - std**2) -> (sigma_s**2 - std**2).clamp(min=0)
    In your std the alphas stand as in the paper. Its alpha is the square of ours.
std = eta * sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> std = eta * ((1 - alpha_s) / (1 - alpha) * (1 - alpha / alpha_s)).sqrt() && (sigma_s**2 - std**2) -> (1 - alpha_s - std**2).clamp(min=0)
    In both noises the alphas stand as in the paper. Its alpha is the square of ours.
+ std * noise -> + eta * std * noise
    eta comes in twice where the fresh noise is added: std has it already.
std = eta * -> std = eta**2 *
    eta is squared in your std, or stands in it twice: it multiplies the standard deviation once.
eps = (x - alpha * x0) / sigma -> eps = (x - alpha * x0) / (x - alpha * x0).std()
    You bring the old noise to size 1 by the standard deviation that you measure. Sigma at t is how large it is; what a
    few numbers show is only near that.
(sigma_s**2 - std**2).sqrt() * eps -> ((sigma_s**2 - std**2).sqrt() if eta == 1 else sigma_s) * eps
    The old noise makes room only where eta is 1. It has to as soon as there is any fresh noise.
(sigma_s**2 - std**2).sqrt() * eps -> (sigma_s**2 - (std / eta) ** 2 if eta else sigma_s**2).clamp(min=0).sqrt() * eps
    The old noise makes room for all of DDPM's fresh noise, though eta lets in less: the same std belongs in both
    places.
(sigma / alpha) ** 2).sqrt() -> (sigma / alpha) ** 2) ** 1 / 2
    Your std is halved where a root should be: without brackets that is a power of 1, and then a division by 2.
(sigma_s**2 - std**2).sqrt() * eps -> (sigma_s**2 - std**2) ** 1 / 2 * eps
    The size of the old noise is halved where a root should be: without brackets that is a power of 1, and then a division by 2.
(sigma / alpha) ** 2).sqrt() -> (sigma / alpha) ** 2) ** 1 / 2 && (sigma_s**2 - std**2).sqrt() * eps -> (sigma_s**2 - std**2) ** 1 / 2 * eps
    Both noises are halved where a root should be: without brackets that is a power of 1, and then a division by 2.
(x - alpha * x0) / sigma -> x - alpha * x0 / sigma
    In your eps only the picture is divided by sigma: parentheses are missing around the difference.
std * noise -> std * noise / noise.std()
    You bring the fresh noise to a standard deviation of exactly 1. It is drawn from such noise: take it as it is.
"""

RIGHT = r"""
std = eta * sigma_s * (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> std = eta * (sigma_s / sigma) * (1 - alpha**2 / alpha_s**2).sqrt()
(sigma_s**2 - std**2).sqrt() * eps -> (1 - alpha_s**2 - std**2).clamp(min=0).sqrt() * eps
(alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s) -> (alpha, sigma), (alpha_s, sigma_s) = [[float(a) for a in schedule(i)] for i in (t, s)] && (1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2).sqrt() -> math.sqrt(1 - (sigma_s / alpha_s) ** 2 / (sigma / alpha) ** 2) && (sigma_s**2 - std**2).sqrt() * eps -> math.sqrt(max(0, sigma_s**2 - std**2)) * eps
"""

WRONG = r"""
std = eta * -> std = 1.5 * eta *
std = eta * -> std = eta / 100 *
.sqrt() * eps -> .sqrt() * 0.9 * eps
= schedule(t), -> = schedule(t - 1),
std * noise -> std * torch.randn_like(x)
return alpha_s * x0 + (sigma_s**2 - std**2).sqrt() * eps + std * noise -> return (alpha_s * x0 + (sigma_s**2 - std**2).sqrt() * eps + std * noise).double()
return alpha_s * x0 + (sigma_s**2 - std**2).sqrt() * eps + std * noise -> return alpha_s * x0 + (sigma_s**2 - std**2).sqrt() * eps + std * noise, x0
"""
