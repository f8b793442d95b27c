"""2.1 tell a network the time: sines and cosines."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole

ATOL = 2e-3  # an angle of 999 has five digits after the point in float32, the last ones lost


def cases(g):
    whole_times = torch.cat([torch.tensor([0, 999]), torch.randint(1, 999, (3,), generator=g)])
    return [
        Case("timestep_embedding", (whole_times, 8)),
        Case("timestep_embedding", (uniform(g, 0, 1000, 7).float(), 14)),
        Case("timestep_embedding", (uniform(g, 0, 1000, 1).float(), 2 * whole(g, 8, 16))),
    ]


HINTS = """
First the frequencies, dim // 2 of them. torch.arange counts i = 0, 1, 2, ...

A column of times against a row of frequencies: t[:, None] * w has the shape (B, dim // 2).

Times may be whole numbers or fractions: .float() makes both float32. A power of 10000 falls when its exponent is
negative.

torch.cat([..., ...], dim=-1) puts two halves side by side.
"""

MISTAKES = """
[angles.cos(), angles.sin()] -> [angles.sin(), angles.cos()]
    Your two halves have changed places: here, as in Stable Diffusion, the cosines come first.
torch.cat([angles.cos(), angles.sin()], dim=-1) -> torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)
    You let cosines and sines alternate; here all the cosines come first, then all the sines.
torch.cat([angles.cos(), angles.sin()], dim=-1) -> torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    You let sines and cosines alternate; here all the cosines come first, then all the sines.
arange(half) / half) -> arange(half) / dim)
    Your waves slow down only half as much as they should: there are half of dim frequencies, and i counts through those.
arange(half) / half) -> arange(half) * 2 / half)
    Your waves slow down twice as much as they should: i counts the frequencies one by one, up to half of dim.
arange(half) / half) -> arange(1, half + 1) / half)
    Your first wave is slower than it should be: i begins at 0, so the first frequency is 1.
arange(half) / half) -> arange(half) / (half - 1))
    Your last wave has exactly one ten-thousandth of the first one's frequency. Here it would be the next one that has: you divided by one too few.
(-torch.arange -> (torch.arange
    Your frequencies grow instead of falling: the waves should get slower from one to the next.
w = 10000 ** (-torch.arange(half) / half) -> w = torch.exp(-torch.arange(half) / half)
    Your frequencies fall too little: the base is 10000, and yours is e.
w = 10000 ** -> w = 1000 **
    Your frequencies fall too little: the base is 10000, and yours is a thousand.
w = 10000 ** (-torch.arange(half) / half) -> w = torch.ones(half)
    All your waves have the same frequency, so t and t plus one turn look alike.
angles = -> angles = 2 * torch.pi *
    Your waves are faster by one factor: the angle is t times a frequency, in radians, without two pi.
angles = -> angles = 0.001 *
    You made t small first. It comes as it is, from 0 to some hundreds.
10000 ** (-torch.arange(half) / half) -> 10000 ** (-torch.arange(half).flip(0) / half)
    Your waves stand from the slowest to the fastest: i begins at 0, with the fastest.
angles = t.float()[:, None] * w -> angles = (w[:, None] * t.float()).reshape(len(t), half)
    Your samples are mixed up: reshape only cuts the numbers anew, row by row; it does not exchange rows and columns.
t.float()[:, None] -> (1000 * t.float() / t.max())[:, None]
    You divide t by the largest time of the batch: what a sample is told should not depend on the others.
t.float()[:, None] -> (t.float() / t.max())[:, None]
    You divide t by the largest time of the batch: what a sample is told should not depend on the others.
t.float()[:, None] -> t.long()[:, None]
    You cut t to whole numbers; it may have a fraction.
t.float()[:, None] -> (t.float()[:, None] + 1)
    Your clock is one step ahead: t counts as it is.
t.float()[:, None] -> t[:1].float()[:, None].expand(len(t), 1)
    All your samples are told the time of the first one: each has its own t.
angles.sin()] -> angles.cos()]
    Your second half holds cosines again: without the sines, many times look alike.
angles.sin()] -> -angles.sin()]
    Your sines have the wrong sign: the clock runs backwards.
torch.cat([angles.cos(), angles.sin()], dim=-1) -> torch.cat([angles, angles], dim=-1)
    You gave the angles themselves; take their cosines and sines.
dim=-1) -> dim=-1).mT
    Each column of yours is one sample. A batch comes first: one row a sample.
return torch -> return 0 * torch
    You gave zeros: then the network cannot know what time it is.
angles = t.float()[:, None] * w -> angles = t.float()[:, None] * w % 1
    You keep only what the angles have after the point. A full turn is two pi, and cosine and sine need no help with it.
angles = -> angles = torch.pi / 180 *
    You turn the angles as if they were degrees: they are radians as they come.
w = 10000 ** (-torch.arange(half) / half) -> w = 10000 ** (-torch.arange(dim) / dim) && [angles.cos(), angles.sin()] -> [angles[:, ::2].cos(), angles[:, 1::2].sin()]
    Your sines have other frequencies than your cosines: each clock hand is told by both.
t.float()[:, None] -> t.round().float()[:, None]
    You round t to whole numbers; it may have a fraction.
return torch -> return dim**0.5 * torch
    You multiply by the root of dim, as transformers do with words. Cosines and sines are taken as they are.
return torch -> return (2 / dim) ** 0.5 * torch
    You make each row have length 1. Cosines and sines are taken as they are.
"""

RIGHT = """
t.float() -> t.double() && dim=-1) -> dim=-1).float()
t.float()[:, None] * w -> torch.outer(t.float(), w)
10000 ** (-torch.arange(half) / half) -> torch.exp(-torch.arange(half) / half * torch.log(torch.tensor(10000.0)))
"""

WRONG = """
t.float() -> t.double()
w = 10000 ** -> w = 20000 **
half = dim // 2 -> half = 4
.cos(), angles -> .cos(), 0.1 + angles
return torch -> return 2**0.5 * torch
dim=-1) -> dim=-1).flip(-1)
"""

EQUIVALENT = """
t.float() -> t
    times a float32 frequency, whole numbers become float32, too
torch.cat([angles.cos(), angles.sin()], dim=-1) -> torch.cat([angles.cos(), angles.sin()], dim=1)
    there are two axes
"""
