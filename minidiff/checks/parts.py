"""What the lessons' cases and mistakes are made of."""

import torch

from minidiff.checks import Mistake
from minidiff.schedule import Discrete


def whole(g, low, high):
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def uniform(g, low, high, *shape, dtype=torch.float64):
    """Numbers between low and high: a tensor of `shape`, or a float without one."""
    x = low + (high - low) * torch.rand(shape, generator=g, dtype=dtype)
    return x if shape else x.item()


def betas(g, T):
    """Betas that rise, but along no named schedule."""
    return uniform(g, 0.01, 0.2, T).sort().values


def random_alpha_bars(g, T):
    """alpha-bars from 1 down, T + 1 of them."""
    return Discrete(betas(g, T)).alpha_bar


def mistakes(name, *named):
    """Mistakes in one function, from (name, sentence, function)."""
    return tuple(Mistake(f"{name}: {which}", sentence, {name: wrong}) for which, sentence, wrong in named)


def methods(base, name, *named):
    """Mistakes in one method of a class, from (name, sentence, method)."""
    return tuple(
        Mistake(f"{name}: {which}", sentence, {base.__name__: type("Wrong", (base,), {name: wrong})})
        for which, sentence, wrong in named
    )
