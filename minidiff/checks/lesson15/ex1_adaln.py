"""15.1 a norm that listens: adaLN-zero."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case

LEARNS = ("x", "shift", "scale", "six")


def cases(g):
    def randn(*shape, dtype=torch.float64):
        return torch.randn(shape, generator=g, dtype=dtype)

    def norm(B, N, D, **how):
        return Case("modulated", (3 * randn(B, N, D, **how) + 1, randn(B, 1, D, **how), randn(B, 1, D, **how)))

    def block(B, N, D, dtype=torch.float64):
        mix, turn = (randn(N, N, dtype=dtype) / N**0.5, randn(D, D, dtype=dtype) / D**0.5)
        return Case(
            "adaln_block",
            (randn(B, N, D, dtype=dtype), randn(B, 6 * D, dtype=dtype), lambda h: mix @ h, lambda h: (h @ turn).tanh()),
        )

    return [
        norm(2, 5, 6),
        norm(3, 4, 8),
        norm(2, 3, 16, dtype=torch.float32),
        block(2, 5, 6),
        block(3, 4, 8),
        block(6, 6, 6),
        block(2, 3, 16, dtype=torch.float32),
    ]


HINTS = """
modulated: F.layer_norm(x, x.shape[-1:], eps=1e-6) norms each row over its channels. The scale counts as 1 + scale, so
that 0 leaves the norm as it is.

adaln_block: six[:, None] has the shape (B, 1, 6 D), and chunk(6, dim=-1) cuts it into six pieces that broadcast over
the rows.

Two lines are left, x = x + gate * what, and again. The second begins with the x that the first has changed; attend
and think read the modulated x, not x itself.
"""

MISTAKES = r"""
* (1 + scale) + shift -> * scale + shift
    The scale counts as it is: a scale of 0 would wipe everything out, where it should leave the norm alone.
* (1 + scale) + shift -> * (1 + scale)
    The shift is not added.
* (1 + scale) + shift -> * (1 + scale) - shift
    The shift is taken off: it is added.
* (1 + scale) + shift -> * (1 - scale) + shift
    You multiply by one minus the scale: it is one plus the scale.
return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift -> return x + F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
    x itself is added, too: that is the block's part.
* (1 + scale) + shift -> + scale + shift
    The scale is added: what was normed is multiplied by one plus the scale.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.normalize(x, dim=-1) *
    You bring each row to length 1: it is brought to mean 0 and variance 1.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean((0, 1), keepdim=True)) / (x.var((0, 1), correction=0, keepdim=True) + 1e-6).sqrt() *
    You norm each channel over batch and rows, as a batch norm does: each row is normed over its channels.
* (1 + scale) + shift -> * (1 + shift) + scale
    Shift and scale have changed places.
return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift -> return (F.layer_norm(x, x.shape[-1:], eps=1e-6) + shift) * (1 + scale)
    The shift is scaled, too: it is added at the end.
return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift -> return x * (1 + scale) + shift
    x is not normed.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.layer_norm(x, x.shape[1:], eps=1e-6) *
    You norm over all rows and channels together: each row has a mean and a variance of its own.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.layer_norm(x.mT, x.mT.shape[-1:], eps=1e-6).mT *
    You norm each channel over the rows: each row is normed over its channels.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.rms_norm(x, x.shape[-1:], eps=1e-6) *
    The mean is not taken off: this is an RMS norm.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> x / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt() *
    You divide by the deviation, and the mean is not taken off.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean(-1, keepdim=True)) *
    The mean is taken off, and nothing is divided by the deviation.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6) *
    You divide by the variance: the root is missing.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-6).sqrt() *
    Your variance is that of a sample, divided by D - 1: torch's default, where layer_norm divides by D.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) *
    Your deviation is that of a sample, divided by D - 1: torch's default, where layer_norm divides by D.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> (x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=0, keepdim=True) + 1e-6) *
    You add eps to the deviation: layer_norm adds it to the variance, under the root.
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.layer_norm(x, x.shape[-1:]) *
    Your eps is 1e-5, layer_norm's default: 1e-6 is asked for.
return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift -> return F.layer_norm(x * (1 + scale) + shift, x.shape[-1:], eps=1e-6)
    You norm at the end, and so take back most of what scale and shift did: the norm comes first.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = gate1 * attend(modulated(x, shift1, scale1))
    The attention takes the place of x: it is added to x.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return gate2 * think(modulated(x, shift2, scale2))
    The MLP takes the place of x: it is added to x.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + attend(modulated(x, shift1, scale1))
    The attention has no gate.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + think(modulated(x, shift2, scale2))
    The MLP has no gate.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + think(modulated(x, shift2, scale2))
    Neither attention nor MLP has a gate.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = gate1 * x + attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return gate2 * x + think(modulated(x, shift2, scale2))
    The gates multiply x: they multiply what is added to it.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = gate1 * (x + attend(modulated(x, shift1, scale1))) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return gate2 * (x + think(modulated(x, shift2, scale2)))
    The gates multiply the whole sum: they multiply what is added to x.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x
    The MLP is missing.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return gate2 * think(modulated(x, shift2, scale2))
    x is never added: attention and MLP take its place.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x - gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x - gate2 * think(modulated(x, shift2, scale2))
    What attention and MLP answer is taken off: it is added.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + gate1 * think(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * attend(modulated(x, shift2, scale2))
    attend and think have changed places.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * attend(modulated(x, shift2, scale2))
    The attention is called twice, and the MLP never.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> y = x + gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(y, shift2, scale2))
    What the attention has added is lost at the end: the MLP's answer is added to that x.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(x, scale2, shift2))
    In the MLP's half shift and scale have changed places.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = modulated(x + gate1 * attend(x), shift1, scale1) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return modulated(x + gate2 * think(x), shift2, scale2)
    You modulate after the sum: what attention and MLP read is modulated, before them.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return F.layer_norm(x + gate2 * think(modulated(x, shift2, scale2)), x.shape[-1:], eps=1e-6)
    You norm what comes out: it goes out as it is.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> pass
    The attention is missing.
six[:, None].chunk(6, dim=-1) -> F.silu(six)[:, None].chunk(6, dim=-1)
    You apply SiLU to the six: they come out of the matrix, and count as they are.
six[:, None].chunk(6, dim=-1) -> six[:1, None].chunk(6, dim=-1)
    All pictures have the first one's six: each has its own.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + gate1 * attend(x)
    The attention reads x as it is: it reads the modulated one.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(x)
    The MLP reads x as it is: it reads the modulated one.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> y = x\n    x = x + gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(y, shift2, scale2))
    The MLP reads the x from before the attention.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(x, shift1, scale1))
    The MLP is modulated by the attention's shift and scale: it has its own.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> h = gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(h, shift2, scale2))
    The MLP reads the attention's answer alone, and only its own is added: each is added to x.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> h = modulated(x, shift1, scale1)\n    x = x + gate1 * attend(h) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(h)
    The MLP reads what the attention read: it reads the new x, modulated anew.
attend(modulated(x, shift1, scale1)) -> attend(modulated(x, shift1, scale1 - 1)) && think(modulated(x, shift2, scale2)) -> think(modulated(x, shift2, scale2 - 1))
    In the block the scales count as they are: a scale of 0 leaves the norm alone.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = modulated(x, shift1, scale1)\n    x = x + gate1 * attend(x) && return x + gate2 * think(modulated(x, shift2, scale2)) -> x = modulated(x, shift2, scale2)\n    return x + gate2 * think(x)
    What comes out is added to the modulated x: it is added to x itself.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + gate2 * think(modulated(x, shift2, scale2)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate1 * attend(modulated(x, shift1, scale1))
    The MLP comes first: the attention does.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + attend(gate1 * modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + think(gate2 * modulated(x, shift2, scale2))
    The gates multiply what goes in: they multiply what comes out.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + gate1.sigmoid() * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2.sigmoid() * think(modulated(x, shift2, scale2))
    The gates go through a sigmoid, which is never 0: they count as they are.
shift1, scale1, gate1, shift2, scale2, gate2 = six -> shift1, scale1, gate2, shift2, scale2, gate1 = six
    The two gates have changed places.
return x + gate2 * think -> return x + gate1 * think
    The MLP has the attention's gate.
shift1, scale1, gate1, shift2, scale2, gate2 = six -> shift1, shift2, scale1, scale2, gate1, gate2 = six
    You take both shifts first, then both scales, then both gates: the first three are all of the attention.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + (1 + gate1) * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + (1 + gate2) * think(modulated(x, shift2, scale2))
    The gates count as 1 + gate: at a gate of 0 nothing may be added.
shift1, scale1, gate1, shift2, scale2, gate2 = six -> shift2, scale2, gate2, shift1, scale1, gate1 = six
    The first three of the six belong to the attention, the last three to the MLP: you have them the other way round.
shift1, scale1, gate1, shift2, scale2, gate2 = six -> scale1, shift1, gate1, scale2, shift2, gate2 = six
    In the six the shift comes before the scale.
shift1, scale1, gate1, shift2, scale2, gate2 = six -> gate1, shift1, scale1, gate2, shift2, scale2 = six
    In the six the gates come last of their three, not first.
shift1, scale1, gate1, shift2, scale2, gate2 = six[:, None].chunk(6, dim=-1) -> shift1, scale1, gate1, shift2, scale2, gate2 = six[:, None].unflatten(-1, (-1, 6)).unbind(-1)
    You take every sixth number: each of the six is D numbers in a row.
gate1 * attend -> (1 + gate1) * attend
    The gate of the attention counts as 1 + gate: at a gate of 0 nothing may be added.
gate2 * think -> (1 + gate2) * think
    The gate of the MLP counts as 1 + gate: at a gate of 0 nothing may be added.
"""

RIGHT = r"""
return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift -> return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt() * (1 + scale) + shift
F.layer_norm(x, x.shape[-1:], eps=1e-6) * -> F.group_norm(x, x.shape[1], eps=1e-6) *
six[:, None].chunk(6, dim=-1) -> six.unflatten(1, (6, 1, -1)).unbind(1)
"""

WRONG = r"""
eps=1e-6) * (1 + scale) + shift -> eps=1e-6).detach() * (1 + scale) + shift
"""

EQUIVALENT = ""
