"""Noise schedules and grids of times: x_t = alpha(t) x_0 + sigma(t) eps, where t = 0 is clean data.

So t of `Discrete` is diffusers' 0-based index plus one. Everything is computed in float64 on the CPU and
cast to the dtype and device of the data once, at the end.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

Time = float | Tensor  # one for all samples, or (B,)
Generators = torch.Generator | list[torch.Generator] | None  # of noise: one for all samples, or one for each


def per_sample(a: Tensor, x: Tensor) -> Tensor:
    """a, of shape () or (B,), with x's dtype and device and shaped to broadcast over x of shape (B, ...)."""
    if a.ndim and a.shape != x.shape[:1]:
        raise ValueError(f"t must be one number, or {len(x)} of them to give each sample its own; got {tuple(a.shape)}")
    return a.to(x).reshape(a.shape + (1,) * (x.ndim - a.ndim))


def _times(t: Time) -> Tensor:
    # tensors go to the CPU first, because not every device has float64
    return torch.as_tensor(t.cpu() if torch.is_tensor(t) else t, dtype=torch.float64)


def noise_like(x: Tensor, generator: Generators = None) -> Tensor:
    """eps ~ N(0, I) like x, drawn on the generator's device, so that a CPU generator gives the same eps everywhere.

    With a list of generators, one for each of x's (B, ...), a sample's noise does not depend on those beside it.
    """
    if isinstance(generator, list):
        return torch.cat([noise_like(each, g) for each, g in zip(x.split(1), generator, strict=True)])
    device = generator.device if generator else x.device
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=device).to(x.device)


class Schedule:
    """(alpha, sigma) = schedule(t): float64, of t's shape, for t a number or a tensor of times in [0, T].

    A subclass has T, `levels(t)` -> (alpha, sigma), and `network_time(t)`: what a network trained on it is told,
    float64, of t's shape. ValueError outside [0, T].
    """

    T = math.inf

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        t = _times(t)
        if not ((t >= 0) & (t <= self.T)).all():
            raise ValueError(f"t must lie in [0, {self.T:g}], where 0 is clean data; got {t.min():g} to {t.max():g}")
        return self.levels(t)

    def snr(self, t: Time) -> Tensor:
        """Signal-to-noise ratio alpha^2 / sigma^2, of t's shape; falls with t, from infinity at t = 0."""
        alpha, sigma = self(t)
        return alpha**2 / sigma**2

    def add_noise(self, x0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """x_t = alpha x_0 + sigma eps, for x0 and eps of shape (B, ...) and t a number or (B,), one per sample."""
        alpha, sigma = (per_sample(a, x0) for a in self(t))
        return alpha * x0 + sigma * eps


class Discrete(Schedule):
    """alpha^2 = alpha_bar, sigma^2 = 1 - alpha_bar, alpha_bar_t = prod_{s <= t} (1 - beta_s): variance preserving.

    Ho et al. 2020 (arXiv:2006.11239) eq. 4. `betas` are T numbers in (0, 1]; `alpha_bar` has T + 1, the first being 1.
    Between whole times sigma / alpha is linear in t, as in diffusers' Euler. Where the SNR ends at zero, that ratio
    ends at infinity, so all times above T - 1 are pure noise.
    """

    def __init__(self, betas: Tensor | Sequence[float]):
        self.betas = torch.as_tensor(betas, dtype=torch.float64)
        bad = self.betas[~((self.betas > 0) & (self.betas <= 1))].tolist()
        if bad or self.betas.ndim != 1 or not len(self.betas):
            got = f"shape {tuple(self.betas.shape)}" + (f", among them {bad[:3]}" if bad else "")
            raise ValueError(f"betas must be a list of numbers in (0, 1], such as linear_betas(); got {got}")
        self.T = len(self.betas)
        self.alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), (1 - self.betas).cumprod(0)])

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        ratio = ((1 - self.alpha_bar) / self.alpha_bar).sqrt()
        lower, upper, w = ratio[t.floor().long()], ratio[t.ceil().long()], t.frac()
        ratio = torch.where(w > 0, (1 - w) * lower + w * upper, lower)  # 0 * inf would be nan
        return (1 + ratio**2) ** -0.5, (1 + ratio**-2) ** -0.5  # exact where the ratio is 0 or infinite

    def network_time(self, t: Time) -> Tensor:
        """t - 1, the 0-based index."""
        return _times(t) - 1


class EDM(Schedule):
    """alpha = 1, sigma = t, t in [0, inf): variance exploding. Karras et al. 2022 (arXiv:2206.00364) table 1."""

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t

    def network_time(self, t: Time) -> Tensor:
        """c_noise = log(sigma) / 4, same table."""
        return _times(t).log() / 4


class Flow(Schedule):
    """alpha = 1 - t, sigma = t, t in [0, 1]: rectified flow. Esser et al. 2024 (arXiv:2403.03206) eq. 13."""

    T = 1

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def network_time(self, t: Time) -> Tensor:
        """1000 t, as in Stable Diffusion 3."""
        return _times(t) * 1000


# Betas, to be given to Discrete: shape (T,), float64.


def linear_betas(T: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """beta linear in t. Ho et al. 2020 section 4."""
    return torch.linspace(start, end, T, dtype=torch.float64)


def scaled_linear_betas(T: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """sqrt(beta) linear in t, as in Stable Diffusion. The code of Rombach et al. 2022 (arXiv:2112.10752)."""
    return torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2


def cosine_betas(T: int = 1000, s: float = 0.008) -> Tensor:
    """beta_t = min(1 - f(t) / f(t - 1), 0.999), f(t) = cos^2((t / T + s) / (1 + s) pi / 2).

    Nichol & Dhariwal 2021 (arXiv:2102.09672) eq. 17. Clipped, so alpha_bar_T is tiny but not 0.
    """
    f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Shift and scale sqrt(alpha_bar) so that its last value is 0 and its first stays: T is then pure noise.

    Lin et al. 2023 (arXiv:2305.08891) algorithm 1, in the dtype of `betas`. At T a prediction of eps says nothing of
    x_0; take V.
    """
    root = (1 - betas).cumprod(0).sqrt()
    alpha_bar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


# Grids, for n steps: n + 1 descending times ending in 0, float64. ValueError if n < 1 or n does not fit into T.


def _check(n: int, most: float = math.inf) -> None:
    if not 1 <= n <= most:
        raise ValueError(f"n, the number of steps, must be from 1 to {most}; got {n}")


def _then_zero(times: Iterable[float]) -> Tensor:
    return torch.tensor([*times, 0.0], dtype=torch.float64)


def trailing(T: int, n: int) -> Tensor:
    """Whole times from T down by T / n, rounded: begins at pure noise, so take this one. Lin et al. 2023 table 2.

    Diffusers' "trailing" plus one. (For some n, such as 61 of 1000, theirs has an entry too many, the index -1.)
    """
    _check(n, T)
    step = (T - T / n) - T  # -T / n rounded as numpy's arange does, so that ties between two times fall as in diffusers
    return _then_zero(round(T + i * step) for i in range(n))


def leading(T: int, n: int, offset: int = 0) -> Tensor:
    """Whole times from 1 + offset up by floor(T / n), reversed. Never begins at T. Lin et al. 2023 table 2, offset 0.

    Diffusers' "leading" plus one; `offset` is its `steps_offset`, which is 1 for Stable Diffusion 1.5.
    """
    _check(n, T - offset)
    return _then_zero(1 + offset + i * (T // n) for i in reversed(range(n)))


def linspace(T: int, n: int) -> Tensor:
    """n even, fractional times from T to 1; n = 1 is from 1, of little use. Lin et al. 2023 table 2, but unrounded.

    The "linspace" of diffusers' Euler and Heun plus one; that of its DDIM and DDPM is rounded.
    """
    _check(n, T)
    return _then_zero(torch.linspace(1, T, n, dtype=torch.float64).flip(0))


def karras(lo: float, hi: float, n: int) -> Tensor:
    """Times of `EDM` from hi down to lo, even in sigma^(1/7). Karras et al. 2022 eq. 5; theirs are 0.002 and 80."""
    _check(n)
    return _then_zero(torch.linspace(hi ** (1 / 7), lo ** (1 / 7), n, dtype=torch.float64) ** 7)


def shifted(n: int, shift: float) -> Tensor:
    """Times of `Flow`: shift t / (1 + (shift - 1) t) for t from 1 down by 1 / n. Esser et al. 2024 eq. 23.

    A shift of 1 is even; above 1 more steps are spent in the noise, as larger pictures need (Stable Diffusion 3 has 3).
    """
    _check(n)
    return _then_zero(shift * i / (n + (shift - 1) * i) for i in range(n, 0, -1))
