"""From what a network predicts to a denoiser, E[x_0 | x_t], and the loss that trains the network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minidiff.schedule import Generators, Schedule, Time, noise_like, per_sample

Cond = Tensor | tuple[Tensor, ...] | None  # what a network is told besides the time; first dimensions are B or 1


@dataclass(frozen=True)
class Prediction:
    """What a network's output `out` stands for: x_0 = to_x0(x_t, out, alpha, sigma) recovers the data, and in training
    out should equal target(x_0, eps, alpha, sigma). Data is (B, ...); alpha and sigma broadcast over it.
    """

    to_x0: Callable
    target: Callable


# eps. Ho et al. 2020 (arXiv:2006.11239) eq. 15 and 14. Where alpha = 0 it says nothing of x_0.
EPS = Prediction(
    to_x0=lambda x, eps, alpha, sigma: (x - sigma * eps) / alpha,
    target=lambda x0, eps, alpha, sigma: eps,
)
# v = alpha eps - sigma x_0. Salimans & Ho 2022 (arXiv:2202.00512) section 4, where alpha^2 + sigma^2 = 1.
V = Prediction(
    to_x0=lambda x, v, alpha, sigma: (alpha * x - sigma * v) / (alpha**2 + sigma**2),
    target=lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0,
)
# x_0 itself; diffusers calls it "sample".
X0 = Prediction(
    to_x0=lambda x, x0, alpha, sigma: x0,
    target=lambda x0, eps, alpha, sigma: x0,
)
# u = eps - x_0, which is dx_t/dt of `Flow`. Esser et al. 2024 (arXiv:2403.03206) section 3, where alpha + sigma = 1.
FLOW = Prediction(
    to_x0=lambda x, u, alpha, sigma: (x - sigma * u) / (alpha + sigma),
    target=lambda x0, eps, alpha, sigma: eps - x0,
)


def _predict(net: Callable, x: Tensor, t: Time, cond: Cond, schedule: Schedule) -> Tensor:
    # at least float32: half precision would round times such as 976.889
    time = schedule.network_time(t).expand(len(x)).to(x.device, torch.promote_types(x.dtype, torch.float32))
    return net(x, time, cond)


def denoiser(net: Callable, schedule: Schedule, prediction: Prediction) -> Callable:
    """denoise(x, t, cond=None) -> E[x_0 | x_t = x, cond], of x's shape (B, ...), for t a number or (B,).

    net(x, time, cond) is any callable; it is told time = schedule.network_time(t), of shape (B,). ValueError for EPS
    where alpha = 0.
    """

    def denoise(x: Tensor, t: Time, cond: Cond = None) -> Tensor:
        alpha, sigma = (per_sample(a, x) for a in schedule(t))
        if prediction is EPS and (schedule.snr(t) == 0).any():
            raise ValueError(f"EPS cannot give x_0 where alpha = 0; got t = {t}; take V, or start at an earlier time")
        return prediction.to_x0(x, _predict(net, x, t, cond, schedule), alpha, sigma)

    return denoise


def clipped(denoise: Callable, limit: float) -> Callable:
    """denoise with its x_0 cut to [-limit, limit]: 1 for pixels. In the code of Ho et al. 2020, not in their paper.

    A sampler takes eps from x_0, and so moves by the eps of the clipped x_0. It goes around `cfg`, and into `inpaint`.
    """
    return lambda x, t, *cond: denoise(x, t, *cond).clamp(-limit, limit)


def loss(
    net: Callable,
    x0: Tensor,
    t: Time,
    cond: Cond,
    schedule: Schedule,
    prediction: Prediction,
    weight: Callable | None = None,
    *,
    eps: Tensor | None = None,
    generator: Generators = None,
) -> Tensor:
    """weight(snr) mean (net(x_t) - target)^2, of shape (B,): one per sample. Ho et al. 2020 eq. 14, for any target.

    x0 is (B, ...), t a number or (B,); eps is like x0, drawn with `generator` if not given. `weight` maps the SNR, of
    t's shape, to factors: `lambda snr: (5 / snr).clamp(max=1)` is min-SNR-5 for EPS (Hang et al. 2023,
    arXiv:2303.09556).
    """
    eps = noise_like(x0, generator) if eps is None else eps
    alpha, sigma = (per_sample(a, x0) for a in schedule(t))
    error = _predict(net, alpha * x0 + sigma * eps, t, cond, schedule) - prediction.target(x0, eps, alpha, sigma)
    mse = error.square().flatten(1).mean(1)
    return mse if weight is None else weight(schedule.snr(t)).to(mse) * mse
