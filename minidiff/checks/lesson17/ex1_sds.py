"""17.1 the gradient of score distillation."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import noised, schedule
from minidiff.checks.parts import whole
from minidiff.schedule import Flow, per_sample


def cases(g):
    def one(*shape, dtype=torch.float64, levels=None, weight=1, read=None):
        x, eps = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(2))
        t = torch.tensor([whole(g, 1, 19) for _ in range(shape[0])])
        shift = torch.randn(shape[1:], generator=g, dtype=dtype)

        def denoise(x_t, t):
            return weight * (x_t - shift).tanh() * 2 + per_sample(t, x_t) / 30

        if levels:
            t = t / 20
        return Case("sds_gradient", (denoise, x, t, eps, levels or schedule(g, 20)), read=read)

    learns = torch.ones((), dtype=torch.float64, requires_grad=True)  # the denoiser's: nothing may reach it

    def reaches_the_denoiser(found):
        if not torch.is_tensor(found) or not found.requires_grad:
            return False
        return torch.autograd.grad(found.sum(), learns, allow_unused=True)[0] is not None

    return [
        one(3, 4),
        one(2, 3, 4, 5),
        one(5, 2, levels=noised(Flow())),
        one(4, 2, 3, 3, dtype=torch.float32),
        one(2, 3, weight=learns, read=reaches_the_denoiser),
    ]


HINTS = """
Three lines: the noisy x_t by schedule(t), the noise that the denoiser's x_0 leaves in it, and the difference.

x_t = alpha x_0 + sigma eps holds for the guess as well: solve it for eps, with the guess in the place of x_0.

alpha and sigma are (B,): per_sample(alpha, x) makes them broadcast over x. The weight is sigma squared, and all stands
under torch.no_grad().
"""

MISTAKES = r"""
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (eps - eps_hat)
    The sign is turned: who steps against your gradient goes away from what the denoiser believes.
return sigma**2 * (eps_hat - eps) -> return eps_hat - eps
    The weight, sigma squared, is missing.
return sigma**2 * (eps_hat - eps) -> return sigma * (eps_hat - eps)
    The weight is sigma; it should be its square.
return sigma**2 * (eps_hat - eps) -> return alpha**2 * (eps_hat - eps)
    The weight is alpha squared; it should be sigma squared.
return sigma**2 * (eps_hat - eps) -> return sigma**2 * eps_hat
    The noise that was put on is not subtracted. On average that is the same, but a single look shakes far more.
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (denoise(x_t, t) - x)
    You compare pictures: the difference of the two noises is asked for.
denoise(x_t, t)) / sigma -> denoise(x_t, t)) / alpha
    You divide by alpha: solved for the noise, the line is divided by sigma.
(x_t - alpha * denoise(x_t, t)) / sigma -> (x_t - denoise(x_t, t)) / sigma
    The guess counts alpha times in x_t: you take it off as it is.
(x_t - alpha * denoise(x_t, t)) / sigma -> denoise(x_t, t)
    The denoiser's answer is a picture, its best x_0. Which noise does that leave in x_t?
x_t = alpha * x + sigma * eps -> x_t = x + sigma * eps
    x is not made smaller by alpha when noise is added.
x_t = alpha * x + sigma * eps -> x_t = alpha * x + eps
    The noise is added as it is; it counts sigma times.
x_t = alpha * x + sigma * eps -> x_t = sigma * x + alpha * eps
    alpha and sigma have changed places.
denoise(x_t, t) -> denoise(x, t)
    The denoiser sees x without noise: it should see x_t.
with torch.no_grad(): -> if True:
    A gradient flows backward through the denoiser: call it without gradients, or detach its answer.
for a in schedule(t) -> for a in schedule(t[0])
    All samples get the levels of the first one: each has its own time.
x_t = alpha * x + sigma * eps -> x_t = alpha.sqrt() * x + (1 - alpha).sqrt() * eps
    You take roots, as of alpha bar: schedule gives what multiplies x and the noise.
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (x - denoise(x_t, t))
    You give sigma squared times x less the guess: the difference of the noises comes to alpha sigma times that.
denoise(x_t, t) -> denoise(x_t, t - 1)
    The denoiser is told a time that is one less than t.
x_t = alpha * x + sigma * eps -> x_t = alpha**2 * x + sigma**2 * eps
    You square alpha and sigma: schedule gives what multiplies x and the noise.
"""

RIGHT = r"""
x_t = alpha * x + sigma * eps -> x_t = schedule.add_noise(x, eps, t)
return sigma**2 * (eps_hat - eps) -> return alpha * sigma * (x - denoise(x_t, t))
(x_t - alpha * denoise(x_t, t)) / sigma -> x_t / sigma - alpha / sigma * denoise(x_t, t)
"""

WRONG = r"""
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (eps_hat - eps).abs()
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (eps_hat - torch.randn_like(eps))
return sigma**2 * (eps_hat - eps) -> return (sigma**2 * (eps_hat - eps)).mean()
"""

EQUIVALENT = ""
