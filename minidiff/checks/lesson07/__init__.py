"""The exercises of lesson 07, samplers."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import betas, uniform, whole
from minidiff.schedule import Discrete


def schedule(g, T):
    """(alpha, sigma) = schedule(t) along betas of no name; see `noised`."""
    return noised(Discrete(betas(g, T)))


def noised(own):
    """A schedule as a function with add_noise, which has no copy that differs from it."""

    def schedule(t):
        return own(t)

    schedule.add_noise = own.add_noise
    return schedule


def denoiser(g, dtype):
    """Stands for a network: linear in neither x nor t, mixing the numbers of a sample, and often above 1."""
    a, b, c = (uniform(g, low, high) for low, high in ((0.6, 1.2), (0.2, 0.5), (0.5, 1.5)))

    def denoise(x, t):
        t = torch.as_tensor(t, dtype=dtype) / 30
        return torch.tanh(a * x + b * x.roll(1, -1) - t) * (2 + torch.cos(3 * t + c))

    return denoise


def states(returned):
    """The states as a list; a bare tensor stays one."""
    return returned if isinstance(returned, torch.Tensor) else list(returned)


def sampler_cases(name, g):
    def case(ts, *shape, dtype=torch.float64):
        x = torch.randn(shape, generator=g, dtype=dtype)
        times = torch.tensor(ts, dtype=torch.float64)
        return Case(name, (denoiser(g, dtype), x, schedule(g, 30), times), read=states)

    middle = whole(g, 14, 19)
    return [
        case([30, 24, middle, 9, 4, 0], 2, 3, 4),
        case([27, uniform(g, 11.2, 11.4), 1], 3, 5),  # times need not be whole
        case([30, 21, 13, 6, 0], 2, 2, 3, 4, dtype=torch.float32),
        case([25, 0], 4, 2),
        case([28, 20, middle - 4, 5], 2, 3, 4),  # no clean data, so what is remembered shows in the next call
    ]


def with_start(sampler):
    return lambda denoise, x, *args: [x, *sampler(denoise, x, *args)]


def the_end(sampler):
    return lambda *args: [*sampler(*args)][-1]


def whole_times(sampler):
    """With a schedule that is asked for whole times only."""
    return lambda denoise, x, schedule, *more: sampler(denoise, x, lambda t: schedule(int(t)), *more)


def whole_list(sampler):
    """With whole times only."""
    return lambda denoise, x, schedule, ts, *more: sampler(denoise, x, schedule, ts.floor(), *more)


def one_tensor(sampler):
    def always_the_last(*args):
        states = [*sampler(*args)]
        return [states[-1]] * len(states)

    return always_the_last
