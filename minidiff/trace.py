"""Everything that happens while a picture is drawn: what notebooks and widgets draw from."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn

from minidiff.canvas import Canvas
from minidiff.denoise import Cond
from minidiff.guide import cfg


@dataclass
class Call:
    """One call of the denoiser on B pictures; tensors are latents, (B, 4, H / 8, W / 8), on the CPU."""

    t: float
    x: Tensor  # the state it was given
    x0: Tensor  # its estimate of the clean latents, guided
    x0_cond: Tensor  # the same for the prompt alone
    x0_uncond: Tensor | None  # and for the negative prompt; None at guidance 1, which needs none
    attention: dict[str, Tensor] = field(default_factory=dict)
    """Cross-attention layer -> (B, h * w, N), mean over heads: how much each position looks at each token."""
    control: list[list[Tensor]] = field(default_factory=list)
    """What each ControlNet added to each of the U-Net's states, for the prompt alone, (B, C, h, w)."""


@dataclass
class Trace:
    """Everything that happened while pictures were drawn."""

    prompts: list[str]
    tokens: list[list[str]]  # of each prompt, N with start, end and padding
    context: Tensor  # (B, N, D), the text states that the U-Net reads
    times: Tensor  # (steps + 1,), descending to 0
    states: list[Tensor] = field(default_factory=list)  # steps + 1 latents, from pure noise to the picture's
    calls: list[Call] = field(default_factory=list)  # one a step, or more, by the sampler
    images: list[Image.Image] = field(default_factory=list)


class Drawing(Iterator):
    """Pictures while they are drawn: each next() is a step, and gives (state, estimate of x_0)."""

    def __init__(self, steps: Iterator, trace: Trace, decode: Callable, preview: Callable, canvas: Canvas | None):
        self.steps, self.trace, self.decode, self.preview, self.canvas = steps, trace, decode, preview, canvas

    def __next__(self) -> tuple[Tensor, Tensor]:
        return next(self.steps)

    def images(self, latents: Tensor | None = None) -> list[Image.Image]:
        """The pictures of the last state so far; or, as a preview, of other latents, such as an estimate of x_0. What
        was to be kept of an image is kept, pixel for pixel."""
        drawn = self.decode(self.trace.states[-1]) if latents is None else self.preview(latents)
        return drawn if self.canvas is None else self.canvas.paste(drawn)


def traced_cfg(
    denoise: Callable,
    cond: Cond,
    uncond: Cond,
    scale: float,
    unet: nn.Module,
    controlnets: list[nn.Module],
    calls: list[Call],
) -> Callable:
    """`guide.cfg`, which adds to `calls`, at each call, its two halves, the attention maps and what control added."""
    # of MMDiT, attn2 is the picture's to itself
    layers = {name: layer for name, layer in unet.named_modules() if name.endswith("attn2") and hasattr(layer, "maps")}

    def guided(x: Tensor, t) -> Tensor:
        n, parts, attention, control = len(x), [], {}, []

        def parted(x, t, context):
            out = denoise(x, t, context)
            parts.extend(out.cpu().chunk(len(out) // n))
            return out

        def look(name):
            return lambda layer, args, out: attention.update({name: layer.maps(*args)[-n:].mean(1).float().cpu()})

        def keep(layer, args, residuals):
            control.append([residual[-n:].cpu() for residual in residuals])

        hooks = [layer.register_forward_hook(look(name)) for name, layer in layers.items()]
        hooks += [controlnet.register_forward_hook(keep) for controlnet in set(controlnets)]
        try:
            with uncompiled():
                x0 = cfg(parted, cond, uncond, scale)(x, t)
        finally:
            for hook in hooks:
                hook.remove()
        uncond_part = parts[0] if len(parts) == 2 else None
        calls.append(Call(float(t), x.cpu(), x0.cpu(), parts[-1], uncond_part, attention, control))
        return x0

    return guided


def uncompiled() -> AbstractContextManager:
    """Compiled modules run as they were written, as their hooks are not called otherwise."""
    compiler_is_loaded = "torch._dynamo" in sys.modules  # or else nothing is compiled, and loading it takes a second
    return torch.compiler.set_stance("force_eager") if compiler_is_loaded else nullcontext()
