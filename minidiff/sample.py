"""Samplers: from noise to data by a denoiser alone. Each is a generator of states, x at every time after the first:

    *states, x0 = ddim(denoise, x, schedule, trailing(1000, 25))

denoise(x, t) -> E[x_0 | x_t = x] is a `denoiser`, or a `cfg` or `inpaint` of one. x is the state at ts[0], (B, ...) in
float32 or float64; the last state is at ts[-1], usually 0. `generator`, or a list with one for each sample, draws the
noise of the stochastic ones; the others take it only so that all are called alike. ValueError, when the first state is
asked for, if ts do not descend or leave the schedule.

In the formulas a step goes from t to s < t, eps = (x_t - alpha_t x_0) / sigma_t, and r = sigma / alpha.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from minidiff.schedule import Generators, Schedule, noise_like

States = Iterator[Tensor]


def _steps(schedule: Schedule, ts: Tensor) -> Iterator[tuple[float, ...]]:
    """(t, s, alpha_t, sigma_t, alpha_s, sigma_s) for each step, as Python floats: float64, whatever dtype x has."""
    ts = torch.as_tensor(ts, dtype=torch.float64)
    if ts.ndim != 1 or len(ts) < 2 or not (ts[1:] < ts[:-1]).all():
        raise ValueError(f"ts must be two or more descending times, such as trailing(1000, 25); got {ts.tolist()}")
    ts, alpha, sigma = (a.tolist() for a in (ts, *schedule(ts)))
    return zip(ts[:-1], ts[1:], alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], strict=True)


def _move(x: Tensor, eps: Tensor, alpha: float, sigma: float, alpha_s: float, sigma_s: float) -> Tensor:
    """x_s = alpha_s (x - sigma eps) / alpha + sigma_s eps: the step from t to s that a given eps makes."""
    return alpha_s / alpha * x + (sigma_s - alpha_s * sigma / alpha) * eps


def ddim(
    denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, eta: float = 0.0, generator: Generators = None
) -> States:
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - std^2) eps + std noise. Song et al. 2021 (arXiv:2010.02502) eq. 12.

    std = eta sigma_s sqrt(1 - (r_s / r_t)^2), which is their eq. 16 for any schedule; eta is from 0, deterministic,
    to 1. One call of `denoise` a step.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be from 0 (deterministic) to 1 (as DDPM); got {eta}")
    for t, _, alpha, sigma, alpha_s, sigma_s in _steps(schedule, ts):
        x0 = denoise(x, t)
        eps = (x - alpha * x0) / sigma
        std = eta * sigma_s * math.sqrt(1 - (alpha * sigma_s / (alpha_s * sigma)) ** 2)
        x = alpha_s * x0 + math.sqrt(sigma_s**2 - std**2) * eps
        if std > 0:
            x = x + std * noise_like(x, generator)
        yield x


def ddpm(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None) -> States:
    """x_s ~ q(x_s | x_t, x_0), the posterior of the forward process. Ho et al. 2020 (arXiv:2006.11239) eq. 6 and 7.

    The variance is their beta_tilde, and the times may be a subset. It is `ddim` with eta = 1.
    """
    return ddim(denoise, x, schedule, ts, eta=1.0, generator=generator)


def euler(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None) -> States:
    """x_s / alpha_s = x_t / alpha_t + (r_s - r_t) eps: Euler's method on d(x / alpha) / dr = eps.

    Karras et al. 2022 (arXiv:2206.00364) eq. 1 and 3. It is `ddim` with eta = 0 (Song et al. 2021 eq. 13), and on
    `Flow` it is Euler's method in t too. Diffusers' states are x / alpha: ours times sqrt(1 + r^2) for `Discrete`.
    """
    return ddim(denoise, x, schedule, ts, generator=generator)


def euler_ancestral(
    denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None
) -> States:
    """Euler from r_t to r_down, then noise of r_up, where r_up^2 = r_s^2 (r_t^2 - r_s^2) / r_t^2 = r_s^2 - r_down^2.

    k-diffusion's sample_euler_ancestral. It is `ddim` with eta = 1, and so the same as `ddpm`.
    """
    return ddim(denoise, x, schedule, ts, eta=1.0, generator=generator)


def heun(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None) -> States:
    """Euler to s, then again from t with the mean of eps at t and at s. Karras et al. 2022 (arXiv:2206.00364) alg. 1.

    Of order 2, on d(x / alpha) / dr = eps. Two calls of `denoise` a step; but one, and Euler's step, to clean data
    (sigma_s = 0) or from pure noise (alpha_t = 0), where the second eps or r is undefined.
    """
    for t, s, alpha, sigma, alpha_s, sigma_s in _steps(schedule, ts):
        x0 = denoise(x, t)
        eps = (x - alpha * x0) / sigma
        x_s = alpha_s * x0 + sigma_s * eps
        if alpha > 0 and sigma_s > 0:
            eps_s = (x_s - alpha_s * denoise(x_s, s)) / sigma_s
            x_s = _move(x, (eps + eps_s) / 2, alpha, sigma, alpha_s, sigma_s)
        x = x_s
        yield x


def dpmpp_2m(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None) -> States:
    """x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - e^-h) D, D = x_0 + h / (2 h_last) (x_0 - x_0 of the last step).

    Lu et al. 2022 (arXiv:2211.01095) alg. 2, h = log(r_t / r_s). Of order 2, but D = x_0 in the first step and, as in
    diffusers, in one to clean data. One call of `denoise` a step.
    """
    x0_last, h_last = None, None
    for t, _, alpha, sigma, alpha_s, sigma_s in _steps(schedule, ts):
        x0 = D = denoise(x, t)
        decay = alpha * sigma_s / (alpha_s * sigma)  # e^-h; 0 from pure noise and to clean data
        h = -math.log(decay) if decay > 0 else math.inf
        if x0_last is not None and sigma_s > 0:
            D = x0 + h / (2 * h_last) * (x0 - x0_last)
        x = sigma_s / sigma * x + alpha_s * (1 - decay) * D
        x0_last, h_last = x0, h
        yield x


def consistency(
    denoise: Callable,
    x: Tensor,
    schedule: Schedule,
    ts: Tensor,
    generator: Generators = None,
    scaling: float | None = None,
) -> States:
    """x_s = alpha_s x_0 + sigma_s noise: a guess of the clean data, then fresh noise of the next time.

    Song et al. 2023 (arXiv:2303.01469) alg. 1. For a network that was trained by consistency distillation, whose guess
    is right in one call; 1 to 4 steps are meant. With `scaling`, 10 in diffusers' LCMScheduler, the guess is c_skip x +
    c_out x_0, which is x where the network's time is 0, as their section 3 asks: c_skip = c^2 / (u^2 + c^2), c_out = u
    / sqrt(u^2 + c^2), u = `scaling` times that time, c = 0.5 (Luo et al. 2023, arXiv:2310.04378, section 4.1).
    """
    for t, _, _, _, alpha_s, sigma_s in _steps(schedule, ts):
        x0 = denoise(x, t)
        if scaling is not None:
            u = scaling * schedule.network_time(t).item()
            x0 = 0.25 / (u * u + 0.25) * x + u / math.hypot(u, 0.5) * x0
        x = alpha_s * x0
        if sigma_s > 0:
            x = x + sigma_s * noise_like(x, generator)
        yield x


# Adams-Bashforth coefficients of orders 1 to 4, newest first
_AB = (1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24)


def plms(denoise: Callable, x: Tensor, schedule: Schedule, ts: Tensor, generator: Generators = None) -> States:
    """The step of `ddim` with eps = (55 eps_t - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24, eps_k being that of k steps ago.

    PLMS of Liu et al. 2022 (arXiv:2202.09778), begun as in Stable Diffusion (diffusers' `skip_prk_steps`): lower orders
    while the past is short, and the first step taken again with the mean of eps at both its ends. N steps are N + 1
    calls of `denoise`; N if the first step is also the last, or is from pure noise (alpha_t = 0). Of order 2 unless r
    falls evenly.
    """
    past = []
    for t, s, alpha, sigma, alpha_s, sigma_s in _steps(schedule, ts):
        x0 = denoise(x, t)
        eps = (x - alpha * x0) / sigma
        x_s = alpha_s * x0 + sigma_s * eps
        past = [eps, *past[:3]]
        if len(past) > 1:
            mean = sum(c * e for c, e in zip(_AB[len(past) - 1], past, strict=True))
            x_s = _move(x, mean, alpha, sigma, alpha_s, sigma_s)
        elif alpha > 0 and s > ts[-1]:
            eps_s = (x_s - alpha_s * denoise(x_s, s)) / sigma_s
            x_s = _move(x, (eps + eps_s) / 2, alpha, sigma, alpha_s, sigma_s)
        x = x_s
        yield x


# name -> sampler, for everything that offers, tests or measures them all
SAMPLERS = {f.__name__: f for f in (ddim, ddpm, euler, euler_ancestral, heun, dpmpp_2m, plms, consistency)}
