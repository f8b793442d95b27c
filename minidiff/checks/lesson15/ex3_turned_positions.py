"""15.3 positions that turn."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("x",)


def _single(angles):
    """Places are whole numbers, so double precision is as right."""
    return angles.float() if torch.is_tensor(angles) and angles.dtype == torch.float64 else angles


def cases(g):
    def angles(n, *dims):
        return Case("angles_of", (torch.randint(0, 60, (n, len(dims)), generator=g), dims), read=_single)

    def turn(*shape, dtype=torch.float64):
        x = torch.randn(shape, generator=g, dtype=dtype)
        return Case("turned", (x, uniform(g, -4, 4, shape[-2], shape[-1] // 2, dtype=dtype)))

    return [
        angles(7, 8),
        angles(5, 4, 6),
        angles(6, 2, 8, 6),
        angles(4, 6, 6),
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
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(2, d + 2, 2) / d)
    Your i begins at 1: it begins at 0, so the first angle of an axis is the coordinate itself.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-2 * torch.arange(0, d, 2) / d)
    The exponents go in steps twice as large as they should: you have the 2 in them twice.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 1000.0 ** (-torch.arange(0, d, 2) / d)
    You take powers of 1000: the formula has 10000.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(0, d, 2) // d)
    You divide with //, which cuts the exponents to whole numbers.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(0, d, 2) / dims[0])
    You divide by the first axis's channels: each axis has its own number d.
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(0, d, 2) / dims[-1])
    You divide by the last axis's channels: each axis has its own number d.
p[:, None] * 10000.0 -> p[:, None] + 10000.0
    The coordinate is added: it is multiplied.
p[:, None] * 10000.0 -> (p[:, None] + 1) * 10000.0
    You count places from 1: at place 0 nothing turns.
10000.0 ** (-torch.arange(0, d, 2) / d) -> torch.exp(-torch.arange(0, d, 2) / d)
    You take powers of e: the formula has 10000.
return torch.cat(each, dim=1) -> return torch.cat(each, dim=1) % (2 * torch.pi)
    Whole turns are taken off: the angle itself is asked for.
return torch.cat(each, dim=1) -> return torch.cat(each, dim=1).sin()
    You return sines: the angles themselves are asked for.
p[:, None] * 10000.0 -> 2 * torch.pi * p[:, None] * 10000.0
    Your angles are 2 pi times too large: the coordinate counts as it is.
each = [p[:, None] * 10000.0 ** (-torch.arange(0, d, 2) / d) for p, d in zip(places.T, dims, strict=True)] -> theta = (10000.0 ** (-torch.arange(0, sum(dims), 2) / sum(dims))).split([d // 2 for d in dims])\n    each = [p[:, None] * t for p, t in zip(places.T, theta)]
    Your exponents run on from one axis to the next: each axis begins at 0, with its own d.
return torch.cat(each, dim=1) -> return torch.stack(each, dim=-1).flatten(1)
    The angles of the axes are interleaved: first come all of the first axis.
return torch.cat(each, dim=1) -> return torch.cat(each, dim=1).repeat_interleave(2, dim=1)
    Every angle is there twice: two channels share one.
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
    The second of each pair has a wrong sign: this is no turn, for lengths change.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos + b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    The first of each pair has a wrong sign: this is no turn, for lengths change.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos + b * sin, a * sin - b * cos], dim=-1).flatten(-2)
    You mirror each pair: turn it.
a, b = x.unflatten(-1, (-1, 2)).unbind(-1) -> b, a = x.unflatten(-1, (-1, 2)).unbind(-1)
    The two of each pair have changed places.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return x + torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    x itself is added to what was turned.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos - b * sin, b], dim=-1).flatten(-2)
    The second of each pair stays as it was: both change.
dim=-1).flatten(-2) -> dim=-1).flip(-1).flatten(-2)
    The two of each pair have changed places in what you return.
cos, sin = angles.cos(), angles.sin() -> cos, sin = angles.cos(), 0 * angles
    The sines are missing: you only multiply by cosines.
cos, sin = angles.cos(), angles.sin() -> cos, sin = angles[:1].cos(), angles[:1].sin()
    Everything is turned by the first place's angles: each place has its own.
cos, sin = angles.cos(), angles.sin() -> cos, sin = (angles / 2).cos(), (angles / 2).sin()
    You turn by half of the angle.
cos, sin = angles.cos(), angles.sin() -> cos, sin = (angles * 2).cos(), (angles * 2).sin()
    You turn by twice the angle.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> a = a * cos - b * sin\n    return torch.stack([a, a * sin + b * cos], dim=-1).flatten(-2)
    The second of each pair is made with the first one's new value: both need the old ones.
cos, sin = angles.cos(), angles.sin() -> cos, sin = angles.deg2rad().cos(), angles.deg2rad().sin()
    You take the angles for degrees: they are radians.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    The pairs are left apart: flatten them into d channels again.
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> return x + torch.stack([cos, sin], dim=-1).flatten(-2)
    You add sines and cosines, as the table of SD 3 does: turn instead.
"""

RIGHT = r"""
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> out = torch.empty_like(x)\n    out[..., 0::2], out[..., 1::2] = a * cos - b * sin, a * sin + b * cos\n    return out
return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2) -> turn = torch.view_as_real(torch.complex(a, b) * torch.complex(cos, sin))\n    return turn.flatten(-2)
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (torch.arange(0, -d, -2) / d)
10000.0 ** (-torch.arange(0, d, 2) / d) -> 10000.0 ** (-torch.arange(0, d, 2).double() / d)
"""

WRONG = r"""
return torch.cat(each, dim=1) -> return torch.stack(each, dim=1)
"""

EQUIVALENT = """
zip(places.T, dims, strict=True) -> zip(places.T, dims)
    there are as many dims as axes
zip(places.T, dims, strict=True) -> zip(places.T, dims, strict=False)
    there are as many dims as axes
"""
