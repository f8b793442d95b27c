"""11.4 pixels: decode, and the way to bytes."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def decode(z):
    """A stand-in for a decoder. What it gives lies so that rounding is never a matter of the last digit."""
    k = (8 * z).round().repeat_interleave(2, 2).repeat_interleave(2, 3)
    k = torch.stack([5 * k[:, 0] + 90, 4 * k[:, 1] + 60 + k[:, 0], 6 * k[:, 2] + 150 - k[:, 3]], 1)
    k = k + torch.arange(k.shape[-1]) + 3 * torch.arange(k.shape[-2])[:, None]
    return (k + 0.35 * torch.sin(1 + k)) / 127.5 - 1


def cases(g):
    cases = []
    for b, h, w, dtype in ((2, 3, 5, torch.float32), (1, 4, 4, torch.float64), (3, 5, 3, torch.float32)):
        factor = uniform(g, 0.15, 0.6)
        z = torch.randint(-24, 25, (b, 4, h, w), generator=g).to(dtype) / 8  # so that 8 z are whole numbers
        cases.append(Case("to_pixels", (decode, factor * z, factor)))
    return cases


HINTS = """
The U-Net worked on latents that were multiplied by the factor. What does the decoder expect?

-1 should become 0, and 1 should become 255: shift, then stretch.

Then round, clamp to what a byte can hold, and .byte. In this order nothing wraps around.

permute puts the colours last: which of the four axes goes where?
"""

MISTAKES = r"""
latents / scaling_factor -> latents
    The latents go into the decoder as the U-Net has them: the scaling factor is forgotten.
latents / scaling_factor -> latents * scaling_factor
    You multiplied by the scaling factor. That was done on the way in; on the way out it is undone.
latents / scaling_factor -> (latents / scaling_factor).clamp(-1, 1)
    You clamped the latents. They are no pixels, and reach far beyond 1.
decode(latents / scaling_factor) -> decode(latents) / scaling_factor
    You divided the pixels by the scaling factor instead of the latents.
latents / scaling_factor -> latents / 0.18215
    You divided by the factor of Stable Diffusion, whatever factor is given.
(pixels + 1) * 127.5 -> pixels * 255
    The decoder's values are taken for 0 to 1. They go from -1 to 1, so that the dark half is black.
(pixels + 1) * 127.5 -> pixels * 127.5
    -1 should become 0: the values are stretched, but not shifted.
(pixels + 1) * 127.5 -> (pixels + 1) * 255
    The values are stretched twice as far as they should be: from -1 to 1 is a way of 2.
(pixels + 1) * 127.5 -> (pixels / 2 + 1) * 127.5
    Black and white are gray: -1 should become 0, and 1 should become 255.
(pixels + 1) -> (1 - pixels)
    The pictures are negatives: -1 is black, and 1 is white.
((pixels + 1) * 127.5).round().clamp(0, 255) -> ((pixels + 1) * 127.5).round()
    What lies beyond -1 and 1 has wrapped around: a very bright place is dark. Clamp before you make bytes.
.round() ->
    Bytes made from floats are cut off, not rounded: all is half a step too dark.
.round() -> .ceil()
    You rounded up. Bytes should be rounded to the nearest.
127.5 -> 128
    You multiply as if there were 256 steps. The bytes go from 0 to 255.
127.5 -> 128 && .round() ->
    You multiply as if there were 256 steps, and what makes bytes of floats cuts off. They go from 0 to 255, rounded.
127.5 -> 127
    The brightest byte is 254 in yours. The bytes go from 0 to 255.
pixels = decode(latents / scaling_factor) -> y = decode(latents / scaling_factor)\n    low, high = y.amin((1, 2, 3), True), y.amax((1, 2, 3), True)\n    pixels = 2 * (y - low) / (high - low) - 1
    You stretch each picture from its darkest to its brightest value. -1 and 1 have a fixed meaning.
pixels = decode(latents / scaling_factor) -> y = decode(latents / scaling_factor)\n    pixels = 2 * (y - y.min()) / (y.max() - y.min()) - 1
    You stretch all the pictures from the darkest to the brightest value. -1 and 1 have a fixed meaning.
.permute(0, 2, 3, 1) ->
    The colours are still the second axis. Pictures as bytes have them last.
(0, 2, 3, 1) -> (0, 3, 2, 1)
    Height and width have changed places: the pictures lie on their side.
.permute(0, 2, 3, 1) -> .reshape(len(pixels), *pixels.shape[2:], 3)
    The colours are mixed up: reshape puts numbers into other axes as they come. permute turns the axes.
.permute(0, 2, 3, 1) -> .permute(0, 2, 3, 1).flip(-1)
    Red and blue have changed places.
pixels = decode(latents / scaling_factor) -> pixels = decode(latents / scaling_factor).tanh()
    The values are pressed together between -1 and 1. Cut off what lies beyond, and leave the rest as it is.
.clamp(0, 255) -> .clamp(max=255)
    What lies below -1 has wrapped around: a very dark place is bright. Clamp on both sides before you make bytes.
.clamp(0, 255) -> .clamp(min=0)
    What lies above 1 has wrapped around: a very bright place is dark. Clamp on both sides before you make bytes.
.permute(0, 2, 3, 1) -> .permute(0, 2, 3, 1).squeeze()
    A batch of one picture has lost its first axis: squeeze takes away every size of 1.
.permute(0, 2, 3, 1) -> .permute(0, 2, 3, 1).squeeze(0)
    A batch of one picture has lost its first axis: squeeze takes away every size of 1.
.permute(0, 2, 3, 1) -> .permute(0, 2, 3, 1)[0]
    That is the first picture alone. All of the batch are asked for.
.permute(0, 2, 3, 1) -> .permute(2, 3, 1, 0)
    The batch is the last axis: it stays the first.
((pixels + 1) * 127.5).round().clamp(0, 255) -> pixels.sigmoid().mul(255).round()
    The values go through a sigmoid. -1 is black and 1 is white: shift, stretch, and cut off what lies beyond.
(pixels + 1) * 127.5 -> (pixels + 1) / 2
    The values go from 0 to 1 in yours, and as bytes are 0 or 1. Stretch them to 255.
(pixels + 1) * 127.5 -> pixels.abs() * 255
    The dark half is folded up: -1 should become 0, and not as bright as 1.
decode(latents / scaling_factor) -> decode(latents[:1] / scaling_factor).expand(len(latents), -1, -1, -1)
    All pictures are the first one.
((pixels + 1) * 127.5).round() -> (((pixels + 1) / 2).round() * 255)
    You round before you stretch to 255, so that all is black or white: bytes are rounded last.
"""

RIGHT = """
((pixels + 1) * 127.5).round().clamp(0, 255) -> ((pixels / 2 + 0.5).clamp(0, 1) * 255).round()
(pixels + 1) * 127.5).round() -> (pixels.clamp(-1, 1) + 1) * 127.5 + 0.5).floor()
.permute(0, 2, 3, 1) -> .movedim(1, -1).contiguous()
"""

WRONG = """
.clamp(0, 255) -> .clamp(0, 254)
.byte() -> .long()
.byte() -> .int()
.byte() ->
latents / scaling_factor -> latents / scaling_factor**2
pixels = decode(latents / scaling_factor) -> pixels = decode(latents / scaling_factor).mean(1, True).repeat(1, 3, 1, 1)
return ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1) -> return ((pixels + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)
"""
