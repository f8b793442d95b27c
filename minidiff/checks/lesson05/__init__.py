"""The exercises of lesson 05, cross-attention."""

import torch

from minidiff.checks.parts import uniform


def qkv(g, *before, n=5, m=7, d=8, dtype=torch.float64):
    """n queries, m keys and m values of d channels, with these axes before."""
    return tuple(2 * torch.randn(*before, size, d, generator=g, dtype=dtype) for size in (n, m, m))


def blob(g, height, width, low=0.15, high=0.3):
    """A random ellipse in a picture: bool (height, width)."""
    centre, radius = uniform(g, 0.3, 0.7, 2), uniform(g, low, high, 2)
    y, x = torch.meshgrid(*((torch.arange(size) + 0.5) / size for size in (height, width)), indexing="ij")
    return ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
