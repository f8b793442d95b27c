"""The exercises of lesson 03, the VAE."""

import torch

from minidiff.checks.parts import uniform


def posterior(g, *shape, dtype=torch.float64, most=3):
    """mean, logvar and eps of a shape; logvar from -2 most to most."""
    mean, eps = torch.randn(2, *shape, generator=g, dtype=dtype)
    return 2 * mean + 0.5, uniform(g, -2 * most, most, *shape, dtype=dtype), eps
