"""9.2 a mask of latents that misses nothing."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    """Blocks with no pixel, a single one, a quarter, three quarters, or all of them."""
    cases = []
    for factor, rows, columns in ((8, 5, 7), (5, 8, 6), (16, 4, 3)):
        pixels = factor * factor
        inside = torch.zeros(rows * columns, pixels, dtype=torch.bool)
        for i, row in enumerate(inside[columns:]):  # the first row of blocks is empty
            n = (1, pixels // 4, pixels - pixels // 4, pixels, 0)[i if i < 5 else whole(g, 0, 4)]
            row[torch.randperm(pixels, generator=g)[:n]] = True
        inside[columns:] = inside[columns + torch.randperm(len(inside) - columns, generator=g)]
        mask = inside.reshape(rows, columns, factor, factor).transpose(1, 2).reshape(rows * factor, columns * factor)
        cases.append(Case("latent_mask", (mask, factor)))
    return cases


HINTS = """
As soon as one of the pixels is True the block is. So of all the pixels in a block you want the largest, when True is 1
and False is 0.

torch.nn.functional has a pooling of that kind. It wants floats, with batch and channel in front.

Or by hand: reshape to four axes, rows of blocks, rows in a block, columns of blocks, columns in a block. Then take the
largest over the second and the fourth.
"""

MISTAKES = """
F.max_pool2d(mask[None, None].float(), factor) -> F.interpolate(mask[None, None].float(), scale_factor=1 / factor)
    One corner of each block speaks for it, as in diffusers. Here a block counts as soon as any of its pixels does.
F.max_pool2d(mask[None, None].float(), factor) -> mask[None, None, factor - 1 :: factor, factor - 1 :: factor].float()
    The last corner of each block speaks for it. Here a block counts as soon as any of its pixels does.
F.max_pool2d(mask[None, None].float(), factor) -> mask[None, None, factor // 2 :: factor, factor // 2 :: factor].float()
    One pixel in the middle of each block speaks for it: all of them have a say.
F.max_pool2d(mask[None, None].float(), factor) -> (F.interpolate(mask[None, None].float(), scale_factor=1 / factor, mode="bilinear") > 0).float()
    Only what lies in the middle of a block speaks for it: all of its pixels have a say.
F.max_pool2d(mask[None, None].float(), factor) -> F.interpolate(mask[None, None].float(), scale_factor=1 / factor, mode="bilinear")
    What lies in the middle of a block speaks for it, and its mean is taken: all of its pixels have a say, and one is enough.
F.max_pool2d(mask[None, None].float(), factor) -> (F.avg_pool2d(mask[None, None].float(), factor) >= 0.5).float()
    You ask for a majority in the block. One single pixel is enough.
F.max_pool2d(mask[None, None].float(), factor) -> (F.avg_pool2d(mask[None, None].float(), factor) > 0.1).float()
    You ask for more than a few pixels in the block. One single pixel is enough.
F.max_pool2d( -> F.avg_pool2d(
    Your blocks are grey. A block with one pixel in it is redrawn as whole as one that is full.
F.max_pool2d(mask[None, None].float(), factor) -> F.avg_pool2d(mask[None, None].float(), factor, divisor_override=1)
    You counted the pixels of each block. The answer is only yes or no.
F.max_pool2d(mask[None, None].float(), factor) -> 1 - F.max_pool2d((~mask)[None, None].float(), factor)
    Yours is redrawn only where a whole block is marked: then a thin line is lost altogether.
F.max_pool2d( -> 1 - F.max_pool2d(
    Inside and outside have changed places.
mask[None, None].float() -> (~mask)[None, None].float()
    You marked the blocks in which anything is kept. Asked for are those in which anything is redrawn.
F.max_pool2d(mask[None, None].float(), factor) -> mask.reshape(factor, len(mask) // factor, factor, -1).float().amax((0, 2))[None, None]
    Your blocks are not made of neighbours: look at the order of the four sizes in the reshape.
F.max_pool2d(mask[None, None].float(), factor) -> mask.reshape(len(mask) // factor, factor, -1, factor).float().amax((0, 2))[None, None]
    You took the largest over the blocks instead of within them, so that one block is left.
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(mask[None, None, ::factor].float(), (1, factor))
    You looked at the first row of each block only.
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(mask[None, None, :, ::factor].float(), (factor, 1))
    You looked at the first column of each block only.
mask[None, None].float(), factor) -> mask[None, None].float(), factor).transpose(2, 3)
    Height and width have changed places.
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(F.max_pool2d(mask[None, None].float(), factor), 3, 1, 1)
    Your mask has grown: blocks without a marked pixel are in it, because their neighbours have one.
F.max_pool2d(mask[None, None].float(), factor) -> mask[None, None].float()
    That is still the mask of pixels: it should be as many times smaller as the factor says.
mask[None, None].float(), factor) -> mask[None, None].float(), factor, 1)
    Your blocks overlap: each begins where the one before it ends.
mask[None, None].float(), factor) -> mask[None, None].float(), factor)[0, 0]
    The numbers are right. Batch and channel are missing in front: two axes of size 1.
mask[None, None].float(), factor) -> mask[None, None].float(), factor)[0]
    The numbers are right. An axis of size 1 is missing in front: there should be one for the batch and one for the channel.
return F.max_pool2d( -> return 0 * F.max_pool2d(
    Nothing is redrawn, whatever the mask says.
return F.max_pool2d( -> return 1 + 0 * F.max_pool2d(
    Everything is redrawn, whatever the mask says.
mask[None, None].float(), factor) -> mask[None, None].float(), 8)
    You take blocks of 8 pixels whatever the factor is.
"""

RIGHT = """
F.max_pool2d(mask[None, None].float(), factor) -> F.avg_pool2d(mask[None, None].float(), factor).ceil()
F.max_pool2d(mask[None, None].float(), factor) -> mask.unfold(0, factor, factor).unfold(1, factor, factor).flatten(2).any(2).float()[None, None]
F.max_pool2d(mask[None, None].float(), factor) -> F.adaptive_max_pool2d(mask[None, None].float(), (len(mask) // factor, mask.shape[1] // factor))
"""

WRONG = """
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(mask[None, None].float(), factor) > 0
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(mask[None, None].double(), factor)
F.max_pool2d(mask[None, None].float(), factor) -> F.max_pool2d(mask[None, None].float(), factor).expand(-1, 4, -1, -1)
F.max_pool2d(mask[None, None].float(), factor) -> (F.avg_pool2d(mask[None, None].float(), factor) > 0.05).float()
F.max_pool2d(mask[None, None].float(), factor) -> (F.interpolate(mask[None, None].float(), scale_factor=1 / factor, mode="bilinear", antialias=True) > 0.02).float()
latent_mask := lambda mask, factor: latent_mask(torch.logical_xor(mask, inner(mask, factor)), factor)
"""


def inner(mask, factor):
    """What is marked of a mask inside of the blocks' borders."""
    inside = [(torch.arange(n) % factor > 0) & (torch.arange(n) % factor < factor - 1) for n in mask.shape]
    return mask & inside[0][:, None] & inside[1]
