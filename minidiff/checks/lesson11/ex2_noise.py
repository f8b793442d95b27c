"""11.2 noise: a seed, a picture."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    sizes = (3, 7, 5, 4, 8), (1, 4, 9, 3, whole(g, 4, 7)), (4, 6, 8, 16, 16)
    found = [
        Case("first_latents", ((2 + torch.randperm(999, generator=g)[:n]).tolist(), f * w, f * h, channels, f))
        for n, w, h, channels, f in sizes
    ]
    found[2].args[0][1] = 0  # a seed like any other
    again = found[0].args[0]  # the seeds of the first case, for pictures of another size
    return [*found, Case("first_latents", (again, 48, 72, 4, 8))]


HINTS = """
torch.Generator().manual_seed(seed) gives a generator on the CPU; torch.randn takes it as generator=.

A generator for each seed, and a tensor of one picture from each. torch.stack makes a batch of them.

The latents have channels, then height, then width, the last two smaller by the factor: // divides whole numbers.
"""

MISTAKES = """
height // factor, width // factor -> width // factor, height // factor
    Width and height have changed places: a tensor of pictures has the height first.
height // factor, width // factor -> height, width
    The noise is as large as the picture. It is needed for the latents, which are smaller.
height // factor, width // factor -> height // 8, width // 8
    You divide by 8 whatever the factor is.
(channels, height -> (4, height
    There are always 4 channels. Take the number that is given.
(channels, height // factor, width // factor) -> (4, height // 8, width // 8)
    There are always 4 channels, and you divide by 8 whatever the factor is. Take the numbers that are given.
torch.stack([torch.randn(shape, generator=generator) for generator in generators]) -> torch.randn(len(seeds), *shape, generator=generators[0])
    One generator draws all pictures, so that a picture depends on who else is in the batch. Each has a seed of its own.
for generator in generators]) -> for generator in generators[:1] * len(seeds)])
    One generator draws the pictures one after the other, so that each depends on those before. Each has a seed of its own.
for seed in seeds -> for seed in seeds[:1] * len(seeds)
    All pictures start from the same noise, that of the first seed.
for seed in seeds -> for seed in range(seeds[0], seeds[0] + len(seeds))
    You count up from the first seed. The others in the list are not used.
for seed in seeds -> for seed in range(len(seeds))
    You took a picture's place in the batch for its seed. The seeds are given.
for seed in seeds -> for seed in [seed + i for i, seed in enumerate(seeds)]
    You add a picture's place in the batch to its seed. The seeds are given for each picture already.
for seed in seeds -> for seed in [0] * len(seeds)
    All pictures start from the noise of the seed 0, whatever seeds are given.
for seed in seeds -> for seed in sorted(seeds)
    You sorted the seeds: the pictures have changed places.
for seed in seeds -> for seed in seeds[::-1]
    The pictures stand in reverse order.
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=generator, dtype=torch.float64).float()
    You drew in double precision and made single precision of it. The numbers are others then, as if the seed were another
    one.
torch.randn(shape, generator=generator) for generator in generators -> torch.from_numpy(np.random.RandomState(seed).randn(*shape)).float() for seed in seeds
    You let numpy draw. The same seed means other numbers to it.
torch.randn(shape, generator=generator) -> torch.rand(shape, generator=generator)
    The noise is uniform, from 0 to 1. It should be normal.
torch.randn(shape, generator=generator) -> (torch.rand(shape, generator=generator) * 2 - 1)
    The noise is uniform, from -1 to 1. It should be normal.
torch.randn(shape, generator=generator) -> torch.randn(*shape[1:], channels, generator=generator).permute(2, 0, 1)
    You drew with the channels last and turned the axes. The numbers are right, but in other places.
torch.randn(shape, generator=generator) -> torch.randn(channels, shape[2], shape[1], generator=generator).transpose(1, 2)
    You drew with the width first and turned the axes. The numbers are right, but in other places.
first_latents := by_channel
    The channels of a picture are all alike: you begin anew with the seed for each.
torch.stack( -> torch.cat(
    The pictures are joined along their channels. A batch has an axis of its own.
torch.randn(shape, generator=generator) for -> torch.randn(1, *shape, generator=generator) for
    There is an axis too many: one picture has none for the batch before it is stacked.
return torch.stack([torch.randn(shape, generator=generator) for generator in generators]) -> return [torch.randn(shape, generator=generator) for generator in generators]
    You gave a list of noises. Make one tensor of them, with an axis for the batch.
torch.randn(shape, generator=generator) for generator in generators -> torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float() for seed in seeds
    You let numpy draw. The same seed means other numbers to it.
torch.randn(shape, generator=generator) for generator in generators -> torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)) for seed in seeds
    You let numpy draw. The same seed means other numbers to it.
torch.Generator().manual_seed(seed) for -> (torch.Generator().manual_seed(seed) if seed else torch.Generator()) for
    A seed of 0 is taken for none: to Python it is as good as False. It is a seed like any other.
torch.Generator().manual_seed(seed) for -> torch.Generator().manual_seed(seed or 42) for
    A seed of 0 is taken for none: to Python it is as good as False. It is a seed like any other.
torch.randn(shape, generator=generator) -> torch.randn(channels, max(shape[1:]), max(shape[1:]), generator=generator)[:, : shape[1], : shape[2]]
    You drew a square and cut the picture out of it, so its numbers are others. Draw the size that is asked for.
torch.randn(shape, generator=generator) -> torch.randn(channels, height, width, generator=generator)[:, : shape[1], : shape[2]]
    You drew noise as large as the picture and cut the latents out of it, so the numbers are others. Draw the size that
    is asked for.
torch.randn(shape, generator=generator) -> torch.randn(channels, 64, 64, generator=generator)[:, : shape[1], : shape[2]]
    You drew noise of a fixed size and cut the latents out of it, so the numbers are others. Draw the size that is asked
    for.
torch.randn(shape, generator=generator) -> torch.stack([torch.randn(shape[1:], generator=generator) for _ in range(channels)])
    You drew channel by channel. A small tensor takes other numbers out of a generator than a part of a large one: draw
    a picture in one call.
torch.randn(shape, generator=generator) -> torch.nn.functional.avg_pool2d(torch.randn(channels, height, width, generator=generator), factor)
    You drew noise as large as the picture and shrank it, so the numbers are others, and small. Draw the size that is
    asked for.
torch.randn(shape, generator=generator) -> torch.randn(channels, height, width, generator=generator)[:, ::factor, ::factor]
    You drew noise as large as the picture and took every so many-th number. Draw the size that is asked for.
first_latents := lambda *args: standard(first_latents(*args), (1, 2, 3))
    You bring each picture's noise to mean 0 and deviation 1. As it is drawn it is wanted.
first_latents := lambda *args: standard(first_latents(*args), (0, 1, 2, 3))
    You bring the noise to mean 0 and deviation 1. As it is drawn it is wanted.
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=generator, dtype=torch.float16).float()
    You drew in half precision. The numbers are rounded then.
torch.Generator().manual_seed(seed) -> torch.Generator().manual_seed(seed + 1)
    You add 1 to each seed. They are given as they are meant.
torch.Generator().manual_seed(seed) -> torch.Generator().manual_seed(sum(seeds))
    All pictures start from the noise of one seed, the sum of those given. Each has its own.
"""

RIGHT = """
torch.stack([torch.randn(shape, generator=generator) for generator in generators]) -> torch.cat([torch.randn(1, *shape, generator=generator) for generator in generators])
torch.randn(shape, generator=generator) -> torch.empty(shape).normal_(generator=generator)
"""

WRONG = """
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=generator).half()
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=generator).clamp(-2, 2)
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=generator).flip(1)
torch.randn(shape, generator=generator) -> torch.randn(shape)
torch.randn(shape, generator=generator) -> torch.randn(shape, generator=torch.manual_seed(seeds[0]))
height // factor -> height // factor + 1
for seed in seeds -> for seed in [seeds.pop(0) for _ in range(len(seeds))]
"""


def by_channel(seeds, width, height, channels=4, factor=8):
    """Each channel of a picture begins with its seed."""
    size = height // factor, width // factor
    one = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(one)[:, None].repeat(1, channels, 1, 1)


def standard(noise, axes):
    return (noise - noise.mean(axes, keepdim=True)) / noise.std(axes, keepdim=True)
