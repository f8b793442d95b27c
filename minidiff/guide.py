"""Guidance, inpainting and control: a denoiser (or its net) goes in, one comes out, and no sampler knows."""

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff.denoise import Cond
from minidiff.schedule import Time


def cfg(denoise: Callable, cond: Cond, uncond: Cond, scale: float) -> Callable:
    """guided(x, t) = x_0(uncond) + scale (x_0(cond) - x_0(uncond)). Ho & Salimans 2022 (arXiv:2207.12598) eq. 6.

    Their w is scale - 1; on eps it is the same, as x_0 is linear in eps. cond and uncond are tensors whose first
    dimension is B or 1, such as (B, tokens, width), or tuples of such tensors. One call of `denoise`, on [uncond,
    cond]; at scale 1 on cond alone.
    """

    def batch(n: int, *parts: Cond) -> Cond:
        """The conditions of n samples, one after the other: tensors, or tuples of them."""
        if isinstance(parts[0], tuple):
            return tuple(batch(n, *each) for each in zip(*parts, strict=True))
        return torch.cat([c.expand(n, *c.shape[1:]) for c in parts])

    def guided(x, t):
        if scale == 1:
            return denoise(x, t, batch(len(x), cond))
        times = torch.cat([t, t]) if torch.is_tensor(t) and t.ndim else t
        x0_uncond, x0_cond = denoise(torch.cat([x, x]), times, batch(len(x), uncond, cond)).chunk(2)
        return x0_uncond + scale * (x0_cond - x0_uncond)

    return guided


def inpaint(denoise: Callable, known: Tensor, mask: Tensor) -> Callable:
    """inpainted(x, t) = mask x_0 + (1 - mask) known: drawn anew where mask is 1, kept where it is 0.

    known is (B, ...) like x; mask broadcasts to it, in [0, 1]. For guidance too, give it cfg(...). From
    add_noise(known, eps, ts[0]) to t = 0 by `ddim` (eta = 0) or `dpmpp_2m`, it equals putting the known area, noised by
    that same eps, back into x_t after each step; Lugmayr et al. 2022 (arXiv:2201.09865) eq. 8 draws fresh noise there.
    """
    mask = mask.to(known)
    return lambda x, t: mask * denoise(x, t) + (1 - mask) * known


def inpaint9(unet: Callable, mask: Tensor, masked: Tensor) -> Callable:
    """net(x, t, context) of a U-Net that learned to inpaint: it is shown [x, mask, masked], 4 + 1 + 4 channels.

    Rombach et al. 2022, section 4.5. `masked` are the latents of the picture, gray where it is redrawn, (B, 4, H, W);
    mask (B or 1, 1, H, W) is 1 there. Of a guided batch, [uncond, cond], both halves see them.
    """
    shown = torch.cat([mask.expand(len(masked), -1, -1, -1).to(masked), masked], dim=1)

    def net(x, t, context=None, residuals=None):
        return unet(torch.cat([x, shown.repeat(len(x) // len(shown), 1, 1, 1)], dim=1), t, context, residuals)

    return net


def controlled(unet: Callable, controlnet: Callable, hint: Tensor, scale: float = 1.0) -> Callable:
    """net(x, t, context), `unet` with the residuals of `controlnet` times `scale`: give it to `denoiser`.

    Zhang et al. 2023 (arXiv:2302.05543), section 3.1. The hint is (B or 1, 3, 8 H, 8 W) for x of (B, C, H, W); of a
    guided batch, [uncond, cond], it steers both halves. `unet` may be a controlled one: their residuals add up.
    """

    def net(x: Tensor, t: Time, context: Cond = None, residuals: list[Tensor] | None = None) -> Tensor:
        if len(x) % len(hint):
            raise ValueError(f"got {len(hint)} hints for a batch of {len(x)}: give one, or one for each picture")
        hints = hint.to(x).repeat(len(x) // len(hint), 1, 1, 1)
        own = controlnet(x, t, context, hints, scale)
        return unet(x, t, context, own if residuals is None else [a + b for a, b in zip(own, residuals, strict=True)])

    return net
