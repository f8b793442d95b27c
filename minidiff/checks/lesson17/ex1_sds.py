"""17.1 the gradient of score distillation."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import schedule
from minidiff.checks.parts import whole
from minidiff.schedule import per_sample


def straight(t):
    return 1 - t / 20, t / 20


def cases(g):
    def one(*shape, dtype=torch.float64, levels=None):
        x, eps = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(2))
        t = torch.tensor([whole(g, 1, 19) for _ in range(shape[0])])
        shift = torch.randn(shape[1:], generator=g, dtype=dtype)

        def denoise(x_t, t):
            return (x_t - shift).tanh() * 2 + per_sample(t, x_t) / 30

        return Case("sds_gradient", (denoise, x, t, eps, levels or schedule(g, 20)))

    return [one(3, 4), one(2, 3, 4, 5), one(5, 2, levels=straight), one(4, 2, 3, 3, dtype=torch.float32)]


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
"""

RIGHT = r"""
return sigma**2 * (eps_hat - eps) -> return alpha * sigma * (x - denoise(x_t, t))
(x_t - alpha * denoise(x_t, t)) / sigma -> x_t / sigma - alpha / sigma * denoise(x_t, t)
"""

WRONG = r"""
for a in schedule(t) -> for a in schedule(t[0])
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (eps_hat - eps).abs()
return sigma**2 * (eps_hat - eps) -> return sigma**2 * (eps_hat - torch.randn_like(eps))
return sigma**2 * (eps_hat - eps) -> return (sigma**2 * (eps_hat - eps)).mean()
"""

EQUIVALENT = ""
