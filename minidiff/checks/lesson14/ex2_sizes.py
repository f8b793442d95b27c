"""14.2 tell a network sizes."""

import torch

from minidiff.checks import Case
from minidiff.unet import timestep_embedding  # noqa: F401  the edits use it

LEARNS = ("temb", "pooled")


def cases(g):
    def sizes(B, n=6):
        return torch.randint(0, 1024, (B, n), generator=g).float()

    def told(B, P, D, dim, n=6):
        temb, pooled = torch.randn(B, D, generator=g), torch.randn(B, P, generator=g)
        matrix = torch.randn(P + n * dim, D, generator=g) / (P + n * dim) ** 0.5
        bias = torch.randn(D, generator=g)
        return Case("told_time", (temb, pooled, sizes(B, n), dim, lambda x: (x @ matrix + bias).tanh()))

    return [
        Case("embedded", (sizes(2), 8)),
        Case("embedded", (sizes(3, 5), 16)),
        Case("embedded", (sizes(6), 4)),
        told(2, 5, 7, 8),
        told(3, 12, 12, 4, n=5),
        told(1, 6, 24, 4),
    ]


HINTS = """
timestep_embedding takes a vector of numbers, (N,), and gives (N, dim). sizes.flatten() is such a vector: all numbers of
the first picture, then all of the second.

Put its rows together again, those of one picture side by side: reshape(B, -1).

told_time: torch.cat([..., ...], dim=1), pooled text first; what the layers make of it is added to temb.
"""

MISTAKES = r"""
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.T.flatten(), dim).reshape(len(sizes), -1)
    Numbers of different pictures are mixed up: each row should hold those of one picture.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(*sizes.shape, dim).sum(1)
    The six are added up, so that nobody can tell which was the width: they stand side by side.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(*sizes.shape, dim).mT.flatten(1)
    The numbers are interleaved: first comes all of the first number's embedding, then all of the second's.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(*sizes.shape, dim).flip(1).flatten(1)
    The last number comes first.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten() / 1000, dim).reshape(len(sizes), -1)
    The sizes are divided: they are embedded as they are, in pixels.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes[:, 0], dim).repeat(1, sizes.shape[1])
    Only the first number counts: each is embedded.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding((sizes / sizes.max()).flatten(), dim).reshape(len(sizes), -1)
    The sizes are divided by the largest: they are embedded as they are, in pixels.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim)
    The numbers' embeddings stand below each other: those of one picture stand side by side.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1, 2, dim // 2).transpose(1, 2).flatten(1)
    First come the cosines of all numbers, then the sines of all: each number has its own beside each other.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(-1, 6 * dim)
    Six numbers are written into your code: there are as many as sizes has columns.
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1, dim).roll(dim // 2, 2).flatten(1)
    Sines stand before cosines: timestep_embedding has them the other way round, as SDXL does.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([embedded(sizes, dim), pooled], dim=1)
    The pooled text comes first, then the sizes.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([pooled, 0 * embedded(sizes, dim)], dim=1)
    The sizes have no effect.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([pooled, sizes], dim=1)
    The layers get the bare sizes: they are embedded first.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([pooled, embedded(sizes, 256)], dim=1)
    dim has no effect: how long an embedding is, is given.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([temb, pooled, embedded(sizes, dim)], dim=1)
    The layers get the time, too: they get text and sizes.
layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)) -> layers(pooled) + layers(embedded(sizes, dim))
    The layers get text and sizes one after the other: they get both at once, side by side.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([0 * pooled, embedded(sizes, dim)], dim=1)
    The pooled text has no effect.
return temb + layers( -> return layers(
    The time is lost: what the layers say is added to it.
return temb + layers( -> return temb - layers(
    What the layers say is taken off: it is added.
return temb + layers( -> return temb + 2 * layers(
    What the layers say is added twice.
return temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)) -> return temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)).mean(0)
    All pictures get the mean of what the layers say: each has its own.
return temb + layers( -> return temb * layers(
    What the layers say multiplies the time: it is added to it.
return temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)) -> return temb * (1 + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)))
    What the layers say scales the time: it is added to it.
return temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)) -> return torch.nn.functional.silu(temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)))
    You apply SiLU to the sum: it goes out as it is.
return temb + layers(torch.cat([pooled, embedded(sizes, dim)], dim=1)) -> return torch.cat([temb, layers(torch.cat([pooled, embedded(sizes, dim)], dim=1))], dim=1)
    What the layers say stands beside the time: it is added to it.
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([pooled, embedded(sizes[:1].expand_as(sizes), dim)], dim=1)
    All pictures are told the sizes of the first.
"""

RIGHT = r"""
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> torch.cat([timestep_embedding(column, dim) for column in sizes.T], dim=1)
"""

WRONG = r"""
torch.cat([pooled, embedded(sizes, dim)], dim=1) -> torch.cat([pooled, embedded(sizes.flip(1), dim)], dim=1)
timestep_embedding(sizes.flatten(), dim).reshape(len(sizes), -1) -> timestep_embedding(sizes.flatten(), dim // 2).reshape(len(sizes), -1).repeat(1, 2)
"""

EQUIVALENT = ""
