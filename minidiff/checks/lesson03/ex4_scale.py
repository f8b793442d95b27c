"""3.4 the scale of the latents."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def latents(g, *shape):
    """Latents whose pictures and channels differ in mean and spread, (B, C, h, w) float32."""
    ways = torch.linspace(1, 2, shape[0]).view(-1, 1, 1, 1), torch.linspace(0.5, 2.5, shape[1]).view(-1, 1, 1)
    spread, offset = ways[0] * ways[1], 3 * ways[0] + 2 * ways[1] - 5
    return uniform(g, 0.3, 6) * (torch.randn(shape, generator=g) * spread + offset)


def cases(g):
    def settings():
        return uniform(g, 0.1, 0.8), uniform(g, 0.2, 1.5)

    large = [latents(g, 3, c, 120, 100 + c) for c in (4, 5)]  # so large that n and n - 1 are the same
    small = [torch.randn(shape, generator=g) * 3 for shape in ((2, 4, 3, 5), (3, 2, 2, 4), (1, 6, 4, 4))]
    small[1], small[2] = small[1].double(), 10 * small[2]
    return [
        *(Case("scaling_factor", (x,)) for x in large),
        *(Case("to_latents", (x, *settings())) for x in small),
        *(Case("from_latents", (x, *settings())) for x in small),
    ]


HINTS = """
What must a number be multiplied by so that its standard deviation, which is s now, becomes 1?

A tensor has a method .std: without arguments it takes all entries together. .item makes it a Python float.

There: first the shift away, so that the mean is 0; then times the factor. Try it on paper with mean 3 and standard
deviation 2.

Back: undo the last step first. Then from_latents of to_latents gives what you began with.
"""

CHANNELS = "scaling_factor goes by the spread within each channel, and so forgets that their means differ too. Take all numbers together."
PICTURES = "scaling_factor goes by the spread within each picture, and so forgets that their means differ too. Take all numbers together."
PLACES = "scaling_factor goes by how much each place changes from picture to picture. Take all numbers together."
LIMIT = "to_latents limits what comes out: latents may lie anywhere, and the way back should find them again."
MISTAKES = f"""
1 / latents.std().item() -> latents.std().item()
    scaling_factor gives what the latents spread now. The factor is what makes that 1.
latents.std() -> latents.var()
    scaling_factor divides by the variance: after that the latents have not a variance of 1 but one over what they had.
latents.std() -> latents.square().mean().sqrt()
    scaling_factor measures how far the latents are from 0. Their spread is how far they are from their own mean.
latents.std() -> latents.abs().max()
    scaling_factor puts the latents between -1 and 1. Unit variance is asked for, not a range.
latents.std() -> latents.abs().mean()
    scaling_factor uses the mean absolute value: that is another measure of size than the standard deviation.
latents.std().item() -> latents.std((0, 2, 3))
    scaling_factor gives a number for each channel. One for all is asked for: what a channel carries more of, it should
    keep more of.
latents.std() -> latents.std((0, 2, 3)).mean()
    scaling_factor averages the channels' own spreads, and so forgets that their means differ too. Take all numbers
    together.
latents.std() -> latents.flatten(1).std(1).mean()
    scaling_factor averages the spreads of single pictures, and so forgets that their means differ too. Take all
    numbers together.
latents.std() -> latents[0].std()
    scaling_factor looks at the first picture only: all of the batch counts.
1 / latents.std().item() -> 0.18215
    scaling_factor ignores the latents: that number belongs to the VAE of Stable Diffusion and to no other.
(mean - shift) * factor -> (mean - shift) / factor
    to_latents divides by the factor; it should multiply, and the way back divides.
(mean - shift) * factor -> mean * factor
    to_latents does not use the shift.
(mean - shift) * factor -> mean - shift
    to_latents does not use the factor.
(mean - shift) * factor -> (mean + shift) * factor
    to_latents adds the shift: it is the mean of the latents, and should become 0.
(mean - shift) * factor -> mean * factor - shift
    to_latents takes the shift away from what is scaled already. The shift was measured before: it comes first.
(mean - shift) * factor -> mean / factor + shift
    to_latents does what from_latents should do.
(mean - shift) * factor -> (mean - mean.mean()) * factor
    to_latents takes away the mean of what it is given. The shift is measured once, and given: else no way leads back.
z / factor + shift -> z * factor + shift
    from_latents multiplies by the factor again: it should undo that.
z / factor + shift -> z / factor
    from_latents does not use the shift: the decoder would get latents around 0.
z / factor + shift -> z + shift
    from_latents does not use the factor.
z / factor + shift -> z / factor - shift
    from_latents takes the shift away a second time: it should put it back.
z / factor + shift -> (z + shift) / factor
    from_latents undoes the two steps in the order in which they were made: the last one is undone first.
z / factor + shift -> (z - shift) / factor
    from_latents takes the shift away once more, and before the factor is undone: undo the last step first.
z / factor + shift -> (z - shift) * factor
    from_latents does the same as to_latents, and should do the opposite.
latents.std() -> (latents - latents.mean()).abs().mean()
    scaling_factor uses the mean distance from the mean: that is another measure of spread than the standard deviation.
latents.std() -> (latents.max() - latents.min())
    scaling_factor puts the latents into a range of length 1. Unit variance is asked for, not a range.
latents.std() -> latents.abs().median()
    scaling_factor uses the median size: that is another measure than the standard deviation.
latents.std() -> latents.var((0, 2, 3)).mean().sqrt()
    {CHANNELS}
latents.std() -> latents.std((0, 2, 3)).log().mean().exp()
    {CHANNELS}
latents.std() -> (latents - latents.mean((0, 2, 3), keepdim=True)).std()
    {CHANNELS}
1 / latents.std().item() -> (1 / latents.std((0, 2, 3))).mean().item()
    {CHANNELS}
latents.std() -> latents.std((0, 2, 3)).max()
    scaling_factor goes by the channel that spreads most. Take all numbers together.
latents.std() -> latents[:, 0].std()
    scaling_factor looks at the first channel only: all of them count.
latents.std() -> latents[-1].std()
    scaling_factor looks at the last picture only: all of the batch counts.
latents.std() -> latents.flatten(1).var(1).mean().sqrt()
    {PICTURES}
latents.std() -> (latents - latents.mean((1, 2, 3), keepdim=True)).std()
    {PICTURES}
1 / latents.std().item() -> (1 / latents.flatten(1).std(1)).mean().item()
    {PICTURES}
latents.std() -> latents.std(0).mean()
    {PLACES}
latents.std() -> latents.std(0, correction=0).mean()
    {PLACES}
latents.std() -> latents.std((2, 3)).mean()
    scaling_factor averages the spreads of each channel of each picture, and so forgets that their means differ too.
    Take all numbers together.
1 / latents.std().item() -> 1 / latents.std().item() ** 0.5
    scaling_factor takes a root too many: the standard deviation is the root of the variance already.
(mean - shift) * factor -> shift * factor - mean * factor
    to_latents has the wrong sign: the shift is taken away from what it is given.
(mean - shift) * factor -> ((mean - shift) * factor).clamp(-1, 1)
    {LIMIT}
(mean - shift) * factor -> ((mean - shift) * factor).clamp(-3, 3)
    {LIMIT}
(mean - shift) * factor -> ((mean - shift) * factor).clamp(-4, 4)
    {LIMIT}
(mean - shift) * factor -> ((mean - shift) * factor).half().to(mean)
    to_latents rounds to half precision: keep the dtype that is given.
z / factor + shift -> z / factor + z.mean()
    from_latents adds the mean of what it is given: put the shift back.
z / factor + shift -> z / factor + shift * factor
    from_latents stretches the shift as well: it was taken away before the factor came, so it is put back as it is.
"""

RIGHT = """
scaling_factor := lambda z: float(z.var(correction=0) ** -0.5)
from_latents := lambda z, f, s: (z + f * s) / f
"""

WRONG = """
1 / latents.std().item() -> round(1 / latents.std().item(), 2)
1 / latents.std().item() -> 1 / latents.std()
(mean - shift) * factor -> (mean - mean.mean()) / mean.std()
(mean - shift) * factor -> ((mean - shift) * factor).clamp(-2, 2)
(mean - shift) * factor -> mean.sub_(shift).mul(factor)
z / factor + shift -> z.float() / factor + shift
"""
