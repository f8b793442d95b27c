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
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = gate1 * attend(modulated(x, shift1, scale1))
    The attention takes the place of x: it is added to x.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return gate2 * think(modulated(x, shift2, scale2))
    The MLP takes the place of x: it is added to x.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + attend(modulated(x, shift1, scale1))
    The attention has no gate.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + think(modulated(x, shift2, scale2))
    The MLP has no gate.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> x = x + gate1 * attend(x)
    The attention reads x as it is: it reads the modulated one.
return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(x)
    The MLP reads x as it is: it reads the modulated one.
x = x + gate1 * attend(modulated(x, shift1, scale1)) -> y = x\n    x = x + gate1 * attend(modulated(x, shift1, scale1)) && return x + gate2 * think(modulated(x, shift2, scale2)) -> return x + gate2 * think(modulated(y, shift2, scale2))
    The MLP reads the x from before the attention.
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
six[:, None].chunk(6, dim=-1) -> six.unflatten(1, (6, 1, -1)).unbind(1)
"""

WRONG = r"""
six[:, None].chunk(6, dim=-1) -> six[:1, None].chunk(6, dim=-1)
gate2 * think -> gate1 * think
eps=1e-6) * (1 + scale) + shift -> eps=1e-6).detach() * (1 + scale) + shift
"""

EQUIVALENT = ""
