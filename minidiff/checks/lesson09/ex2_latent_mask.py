"""9.2 a mask of latents that misses nothing."""

import torch

from minidiff.checks import Case


def _mask(g, factor, rows, columns, single, more):
    """Some blocks have the pixels at these places, one each; others so many; all others none. The first row is empty."""
    blocks = torch.zeros((rows - 1) * columns, factor, factor, dtype=torch.bool)
    for block, (y, x) in zip(blocks, single, strict=False):
        block[y, x] = True
    for block, n in zip(blocks[len(single) :].flatten(1), more, strict=False):
        block[torch.randperm(factor * factor, generator=g)[:n]] = True
    blocks = torch.cat([torch.zeros_like(blocks[:columns]), blocks[torch.randperm(len(blocks), generator=g)]])
    return blocks.reshape(rows, columns, factor, factor).transpose(1, 2).reshape(rows * factor, columns * factor)


def cases(g):
    cases = [Case("latent_mask", (_mask(g, 8, 6, 7, [(0, 0), (2, 5)], []), 8))]
    for factor, rows, columns in ((8, 5, 7), (5, 8, 6), (16, 4, 6)):
        last, middle, pixels = factor - 1, factor // 2, factor * factor
        ends = [(0, 0), (last, last), (middle, middle), (middle - 1, middle - 1), (0, last), (last, 0), (1, 2), (0, 2)]
        more = 2 * [pixels // 4, pixels - pixels // 4, pixels]
        cases.append(Case("latent_mask", (_mask(g, factor, rows, columns, ends, more), factor)))
    return cases


HINTS = """
As soon as one of the pixels is True the block is. So of all the pixels in a block you want the largest, when True is 1
and False is 0.

torch.nn.functional has a pooling of that kind. It wants floats, with batch and channel in front.

Or by hand: reshape to four axes, rows of blocks, rows in a block, columns of blocks, columns in a block. Then take the
largest over the second and the fourth.
"""

MISTAKES = """
latent_mask := lambda m, f: F.interpolate(m[None, None].float(), scale_factor=1 / f)
    One corner of each block speaks for it, as in diffusers. Here a block counts as soon as any of its pixels does.
latent_mask := lambda m, f: m[None, None, f - 1 :: f, f - 1 :: f].float()
    The last corner of each block speaks for it. Here a block counts as soon as any of its pixels does.
latent_mask := lambda m, f: m[None, None, f // 2 :: f, f // 2 :: f].float()
    One pixel in the middle of each block speaks for it: all of them have a say.
latent_mask := lambda m, f: (F.interpolate(m[None, None].float(), scale_factor=1 / f, mode="bilinear") > 0).float()
    Only what lies in the middle of a block speaks for it: all of its pixels have a say.
latent_mask := lambda m, f: F.interpolate(m[None, None].float(), scale_factor=1 / f, mode="bilinear")
    The mean of what lies in the middle of a block speaks for it: all of its pixels have a say, and one is enough.
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) >= 0.5).float()
    You ask for a majority in the block. One single pixel is enough.
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) > 0.1).float()
    You ask for more than a few pixels in the block. One single pixel is enough.
F.max_pool2d( -> F.avg_pool2d(
    Your blocks are grey. A block with one pixel in it is redrawn as whole as one that is full.
latent_mask := lambda m, f: F.avg_pool2d(m[None, None].float(), f, divisor_override=1)
    You counted the pixels of each block. The answer is only yes or no.
latent_mask := lambda m, f: 1 - F.max_pool2d((~m)[None, None].float(), f)
    Yours is redrawn only where a whole block is marked: then a thin line is lost altogether.
F.max_pool2d( -> 1 - F.max_pool2d(
    Inside and outside have changed places.
mask[None, None].float() -> (~mask)[None, None].float()
    You marked the blocks in which anything is kept. Asked for are those in which anything is redrawn.
latent_mask := lambda m, f: m.reshape(f, len(m) // f, f, -1).float().amax((0, 2))[None, None]
    Your blocks are not made of neighbours: look at the order of the four sizes in the reshape.
latent_mask := lambda m, f: m.reshape(len(m) // f, f, -1, f).float().amax((0, 2))[None, None]
    You took the largest over the blocks instead of within them, so that one block is left.
latent_mask := lambda m, f: F.max_pool2d(m[None, None, ::f].float(), (1, f))
    You looked at the first row of each block only.
latent_mask := lambda m, f: F.max_pool2d(m[None, None, :, ::f].float(), (f, 1))
    You looked at the first column of each block only.
mask[None, None].float(), factor) -> mask[None, None].float(), factor).transpose(2, 3)
    Height and width have changed places.
latent_mask := lambda m, f: F.max_pool2d(F.max_pool2d(m[None, None].float(), f), 3, 1, 1)
    Your mask has grown: blocks without a marked pixel are in it, because their neighbours have one.
latent_mask := lambda m, f: m[None, None].float()
    That is still the mask of pixels: it should be as many times smaller as the factor says.
mask[None, None].float(), factor) -> mask[None, None].float(), factor, 1)
    Your blocks overlap: each begins where the one before it ends.
mask[None, None].float(), factor) -> mask[None, None].float(), factor)[0, 0]
    The numbers are right. Batch and channel are missing in front: two axes of size 1.
mask[None, None].float(), factor) -> mask[None, None].float(), factor)[0]
    The numbers are right. An axis of size 1 is missing in front: there should be one for the batch, one for the
    channel.
return F.max_pool2d( -> return 0 * F.max_pool2d(
    Nothing is redrawn, whatever the mask says.
return F.max_pool2d( -> return 1 + 0 * F.max_pool2d(
    Everything is redrawn, whatever the mask says.
mask[None, None].float(), factor) -> mask[None, None].float(), 8)
    You take blocks of 8 pixels whatever the factor is.
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) > 0.02).float()
    You ask for more than a certain part of the block. One single pixel is enough, however large the block is.
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) > 0.01).float()
    You ask for more than a certain part of the block. One single pixel is enough, however large the block is.
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) > 0.005).float()
    You ask for more than a certain part of the block. One single pixel is enough, however large the block is.
latent_mask := lambda m, f: F.max_pool2d(m[None, None].float(), f + 2, f, 1)
    Pixels beside a block have a say in it, too. Only its own count.
latent_mask := lambda m, f: (m.any(1).view(-1, f, 1).any(1) & m.any(0).view(-1, f).any(1)).float()[None, None]
    You look at rows and columns apart, so that a block is marked if there is a pixel somewhere in its row and one
    somewhere in its column. The pixel has to be in the block.
latent_mask := lambda mask, factor: latent_mask(torch.logical_xor(mask, inner(mask, factor)), factor)
    Only the rim of a block speaks for it: the pixels within have a say, too.
latent_mask := lambda m, f: (m[::f, ::f] | m[f - 1 :: f, ::f] | m[::f, f - 1 :: f] | m[f - 1 :: f, f - 1 :: f]).float()[None, None]
    Only the four corners of a block speak for it: all of its pixels have a say.
latent_mask := lambda m, f: m.reshape(len(m) // f, m.shape[1] // f, f * f).any(2).float()[None, None]
    Your blocks are not made of neighbours: a reshape cuts each row of pixels into runs, one after the other.
"""

RIGHT = """
latent_mask := lambda m, f: F.avg_pool2d(m[None, None].float(), f).ceil()
latent_mask := lambda m, f: m.unfold(0, f, f).unfold(1, f, f).flatten(2).any(2).float()[None, None]
latent_mask := lambda m, f: F.adaptive_max_pool2d(m[None, None].float(), (len(m) // f, m.shape[1] // f))
"""

WRONG = """
latent_mask := lambda m, f: F.max_pool2d(m[None, None].float(), f) > 0
latent_mask := lambda m, f: (F.avg_pool2d(m[None, None].float(), f) > 0.05).float()
latent_mask := lambda m, f: F.max_pool2d(m[None, None].double(), f)
latent_mask := lambda m, f: F.max_pool2d(m[None, None].float(), f).expand(-1, 4, -1, -1)
latent_mask := lambda m, f: (F.interpolate(m[None, None].float(), scale_factor=1 / f, mode="bilinear", antialias=True) > 0.02).float()
"""


def inner(mask, factor):
    """What is marked of a mask inside of the blocks' borders."""
    inside = [(torch.arange(n) % factor > 0) & (torch.arange(n) % factor < factor - 1) for n in mask.shape]
    return mask & inside[0][:, None] & inside[1]
