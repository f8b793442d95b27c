"""18.5 how an LCM is told its guidance."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("embedded", "project")


def cases(g):
    def vector(n, dim, dtype=torch.float64):
        return Case(
            "guidance_vector", (uniform(g, 0.2, 3.0, n, dtype=dtype) / (300 if dtype != torch.float64 else 1), dim)
        )

    def whole(n, C, dim, dtype=torch.float64):
        embedded, project = (torch.randn(size, generator=g, dtype=dtype) for size in ((n, C), (C, dim)))
        return Case("told", (embedded, uniform(g, 1.5, 9.0, n, dtype=dtype), project))

    return [
        vector(3, 8),
        vector(2, 9),
        vector(5, 4),
        vector(3, 6, torch.float32),
        whole(3, 5, 8),
        whole(2, 4, 6),
        whole(4, 3, 7),
    ]


HINTS = """
The frequencies fall from 1 to exactly a ten thousandth: the exponent runs from 0 to minus 1.

w[:, None] times the frequencies is a table (B, half). First all sines, then all cosines.

F.pad(x, (0, 1)) adds a column of zeros at the end, F.pad(x, (0, 0)) none.

told: the scale of lesson 06 counts from 1, w from 0. The matrix is (C, dim), so the vectors, (B, dim), meet its
transpose.
"""

MISTAKES = r"""
(half - 1)) -> half)
    The last frequency is not a ten thousandth: the exponent's steps are one less than the frequencies.
angles = 1000 * w[:, None] * frequencies -> angles = w[:, None] * frequencies
    The factor 1,000 is missing.
[angles.sin(), angles.cos()] -> [angles.cos(), angles.sin()]
    The cosines come first in yours: here it is the sines, other than in the U-Net's time.
torch.cat([angles.sin(), angles.cos()], dim=1) -> torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
    Sines and cosines take turns in yours: all sines come first.
torch.cat([angles.sin(), angles.cos()], dim=1) -> torch.cat([angles, angles], dim=1)
    You give the angles themselves: their sines and cosines are asked for.
(0, dim - 2 * half) -> (dim - 2 * half, 0)
    With an odd dim the zero stands at the beginning: it belongs at the end.
10000.0 ** (-torch.arange -> 10000.0 ** (torch.arange
    The frequencies grow: they fall, the first is 1.
guidance_vector(guidance - 1, -> guidance_vector(guidance,
    The scale goes in as it is: w is one less.
guidance_vector(guidance - 1, -> guidance_vector(guidance + 1,
    w is the scale less one, not more.
return embedded + guidance_vector -> return guidance_vector
    The time's vector is lost: the guidance's is added to it.
return embedded + guidance_vector -> return embedded * guidance_vector
    You multiply the two: they are added.
torch.arange(half, dtype=w.dtype) -> torch.arange(half, dtype=torch.float32)
    The frequencies are made in float32, and the factor 1,000 makes that visible: make them in w's dtype.
"""

RIGHT = r"""
10000.0 ** (-torch.arange(half, dtype=w.dtype) / (half - 1)) -> torch.logspace(0, -4, half, dtype=w.dtype)
guidance_vector(guidance - 1, project.shape[1]) @ project.T -> F.linear(guidance_vector(guidance - 1, project.shape[1]), project)
(0, dim - 2 * half) -> (0, dim % 2)
"""

WRONG = r"""
10000.0 ** -> 1000.0 **
w[:, None] * frequencies -> w[:1, None] * frequencies
return embedded + guidance_vector -> return embedded + 2 * guidance_vector
"""

EQUIVALENT = ""
