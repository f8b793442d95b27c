"""15.3 positions that turn."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("x",)


def cases(g):
    def angles(n, *dims):
        return Case("angles_of", (torch.randint(0, 60, (n, len(dims)), generator=g), dims))

    def turn(*shape, dtype=torch.float64):
        x = torch.randn(shape, generator=g, dtype=dtype)
        return Case("turned", (x, uniform(g, -4, 4, shape[-2], shape[-1] // 2, dtype=dtype)))

    return [
        angles(7, 8),
        angles(5, 4, 6),
        angles(6, 2, 8, 6),
        turn(5, 8),
        turn(2, 3, 6, 4),
        turn(3, 4, 4, 8),
        turn(2, 2, 5, 6, dtype=torch.float32),
    ]


HINTS = """
angles_of: for one axis with coordinates p (N,) and d channels, the exponents are -torch.arange(0, d, 2) / d, and p[:,
None] times 10000 to that power has the shape (N, d / 2).

All axes: places.T gives the coordinates axis by axis; put the results after each other along dim 1.

turned: x.unflatten(-1, (-1, 2)) makes pairs of neighbours, unbind(-1) takes them apart into a and b, each (..., N,
d / 2).

Both turned parts have to stand beside each other again, a' b' a' b': stack them along a new last dimension, and
flatten that away.
"""

MISTAKES = r"""
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (torch.arange(0, d, 2) / d)
    The exponent has the wrong sign: the angles should become smaller from pair to pair.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(d // 2) / d)
    The exponents go in steps half as large as they should: the i-th is twice i over d.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(0, d, 2) / sum(dims))
    You divide by all channels: each axis has its own number d.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(d // 2) / max(d // 2 - 1, 1))
    The last angle of an axis is exactly a ten thousandth of the first: the formula stops one step before that.
return torch.cat(each, dim=1) -> return torch.cat(each[::-1], dim=1)
    The axes come in the wrong order: the first axis has the first angles.
p[:, None] * 10000.0 -> 10000.0
    The coordinates are missing: your angles are the same everywhere.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos + b * sin, b * cos - a * sin], dim=-1).flatten(-2)
    You turn the other way.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    The turned numbers stand in two halves: each pair has to stand together again.
a, b = x.unflatten(-1, (-1, 2)).unbind(-1) -> a, b = x.chunk(2, dim=-1)
    You pair each channel with one of the other half, and put the result where the neighbours belong: channels 0 and 1 are the first pair.
a, b = x.unflatten(-1, (-1, 2)).unbind(-1) -> a, b = x.chunk(2, dim=-1) && dim=-1).flatten(-2) -> dim=-2).flatten(-2)
    You pair each channel with one of the other half, as Llama's code does: here channels 0 and 1 are the first pair.
cos, sin = angles.cos(), angles.sin() -> sin, cos = angles.cos(), angles.sin()
    Sine and cosine have changed places: at place 0 nothing may turn.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos - b * sin, a * sin - b * cos], dim=-1).flatten(-2)
    The second of each pair has a wrong sign: you mirror, you do not turn.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return x + torch.stack([cos, sin], dim=-1).flatten(-2)
    You add sines and cosines, as the table of SD 3 does: turn instead.
"""

RIGHT = r"""
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> out = torch.empty_like(x)\n    out[..., 0::2], out[..., 1::2] = a * cos - b * sin, a * sin + b * cos\n    return out
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> turn = torch.view_as_real(torch.complex(a, b) * torch.complex(cos, sin))\n    return turn.flatten(-2)
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (torch.arange(0, -d, -2) / d)
"""

WRONG = r"""
10000.0 ** (-torch.arange(0, d, 2) / d) -> 1000.0 ** (-torch.arange(0, d, 2) / d)
return torch.cat(each, dim=1) -> return torch.stack(each, dim=1)
cos, sin = angles.cos(), angles.sin() -> cos, sin = angles[:1].cos(), angles[:1].sin()
"""

EQUIVALENT = """
zip(places.T, dims, strict=True) -> zip(places.T, dims)
    there are as many dims as axes
zip(places.T, dims, strict=True) -> zip(places.T, dims, strict=False)
    there are as many dims as axes
"""
