"""6.1 classifier-free guidance, in one batch."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def _denoise(x, t, context):
    """A stand-in for a network. Its answers tell how large the batch was, and at which place in it a row stood."""
    if len(x) != len(t) or len(x) != len(context):
        raise ValueError(f"got a batch of {len(x)}, {len(t)} times and {len(context)} conditions: one for each row")
    rows = torch.arange(len(x), dtype=x.dtype).view(-1, 1, 1, 1)
    text = context.sin().mean((1, 2)).view(-1, 1, 1, 1)
    time = t.to(x).view(-1, 1, 1, 1) / 1000
    return torch.tanh(x * (1 + text)) + 2 * text * time + 0.1 * rows + 0.05 * len(x)


def cases(g):
    found = []
    for b, one, each, dtype, low, high in (
        (3, False, False, torch.float64, 2, 9),
        (4, True, False, torch.float32, 2, 9),
        (2, True, False, torch.float64, 2, 9),
        (3, True, True, torch.float32, 2, 9),
        (2, False, False, torch.float64, 0.2, 0.8),
        (3, True, False, torch.float64, -3, -1),
        (2, False, False, torch.float32, 0, 0),
    ):
        shape = b, whole(g, 2, 4), whole(g, 3, 5), whole(g, 6, 8)
        tokens, width = whole(g, 4, 6), whole(g, 7, 9)
        x = torch.randn(shape, generator=g, dtype=dtype)
        cond, uncond = 2 * torch.randn(2, b, tokens, width, generator=g, dtype=dtype)
        t = (torch.randperm(1000, generator=g)[:b] + 1).to(dtype)
        scale = uniform(g, low, high, b, 1, 1, 1, dtype=dtype) if each else uniform(g, low, high)
        found.append(Case("guided", (_denoise, x, t, cond, uncond[:1] if one else uncond, scale)))
    return found


HINTS = """
Two answers are needed for each picture: one to the prompt, one to the null. A scale of 0 gives the second, a scale of 1
the first, and all others lie on the line through both.

One call: put x twice into a batch with torch.cat, t too, and the texts, the unconditional ones first. .chunk takes the
result apart again.

The unconditional text may be one for all. .expand_as gives it as many rows as the other has.

The step from the unconditional answer to the conditional one is a difference. Walk along it, from its start, as far as
the scale says.
"""

MISTAKES = """
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_cond
    That is the conditional answer alone, as with a scale of 1.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_uncond
    That is the unconditional answer alone.
return x0_uncond + scale -> return x0_cond + scale
    Your scale is one too large: it counts from the conditional answer, as the w of Ho and Salimans does. Here a scale
    of 1 should give the conditional answer.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_cond + scale * (x0_uncond - x0_cond)
    Prompt and null have changed places: you push away from the prompt.
return x0_uncond + scale -> return x0_uncond - scale
    You start at the right answer and walk the wrong way: the prompt lies in the other direction.
return x0_uncond + scale -> return scale
    That is the push alone. It has to start somewhere: which answer should a scale of 0 give?
scale * (x0_cond - x0_uncond) -> scale * x0_cond
    The conditional answer is added whole. Both weights together should be 1, or the numbers of the result become far
    too large.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return (1 + scale) * x0_cond - x0_uncond
    The two weights do not add up to the weight of one answer: what the conditional answer gets more, the other has to
    get less.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return scale * x0_cond - x0_uncond
    Both weights together should be 1: the unconditional answer is taken away whole, whatever the scale.
guided := lambda denoise, x, t, cond, uncond, scale: denoise(x, t, uncond + scale * (cond - uncond))
    You mixed the two texts, and asked the network about a text that nobody wrote. It is its answers that are mixed.
torch.cat([uncond.expand_as(cond), cond]) -> torch.cat([cond, uncond.expand_as(cond)]) && x0_uncond, x0_cond = denoise -> x0_cond, x0_uncond = denoise
    The two halves of the batch are in the other order than agreed: the unconditional ones come first.
torch.cat([uncond.expand_as(cond), cond]) -> torch.cat([cond, uncond.expand_as(cond)])
    The batch goes in with the conditional ones first and comes out taken for the other order, so you push away from the
    prompt.
guided := in_pairs
    You sent each picture's two copies next to each other. Agreed are two halves: first all unconditional ones, then all
    conditional ones.
guided := two_calls
    The numbers of a plain network would be right, but you called it twice. One call on a batch twice as large is asked
    for.
context).chunk(2) -> context).split(2)
    You cut the batch into parts of two pictures each, as split does with a 2. Two parts are needed, however many pictures
    there are.
torch.cat([t, t]) -> t[:1].expand(2 * len(t))
    Every picture got the time of the first one: each has its own t.
uncond.expand_as(cond) -> uncond[:1].expand_as(cond)
    Every picture got the first unconditional text; where there is one for each, they may differ.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return (x0_uncond + scale * (x0_cond - x0_uncond)).repeat(2, 1, 1, 1)
    You gave twice as many pictures as came in: the two halves belong together.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_uncond + (scale.flatten()[0] if isinstance(scale, torch.Tensor) else scale) * (x0_cond - x0_uncond)
    Every picture got the scale of the first one: where there is one for each, they may differ.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_uncond + (scale.mean() if isinstance(scale, torch.Tensor) else scale) * (x0_cond - x0_uncond)
    Every picture got the mean of the scales: where there is one for each, they may differ.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return (x0_uncond + scale * (x0_cond - x0_uncond)).clamp(-1, 1)
    The result is cut off at -1 and 1. These are latents, not colours: they may be larger.
torch.cat([x, x]), torch.cat([t, t]) -> x.repeat_interleave(2, 0), t.repeat_interleave(2, 0)
    The pictures stand in the batch in pairs and the texts in halves, so most rows do not belong together: put x and t
    in as halves, too.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_cond if not isinstance(scale, torch.Tensor) and scale <= 1 else x0_uncond + scale * (x0_cond - x0_uncond)
    Up to a scale of 1 you give the conditional answer, as diffusers does. Here 0 gives the unconditional one, and 0.5
    what lies halfway.
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_uncond + abs(scale) * (x0_cond - x0_uncond)
    A negative scale pushes towards the prompt in yours. It should push away from it.
"""

RIGHT = """
return x0_uncond + scale * (x0_cond - x0_uncond) -> return scale * x0_cond + (1 - scale) * x0_uncond
return x0_uncond + scale * (x0_cond - x0_uncond) -> return x0_cond + (scale - 1) * (x0_cond - x0_uncond)
return x0_uncond + scale * (x0_cond - x0_uncond) -> return torch.lerp(x0_uncond, x0_cond, scale)
"""

WRONG = """
return x0_uncond + scale -> if scale == 1:\\n        return x0_cond\\n    return x0_uncond + scale
scale * (x0_cond - x0_uncond) -> scale**0.5 * (x0_cond - x0_uncond)
scale * (x0_cond - x0_uncond) -> scale / 2 * (x0_cond - x0_uncond)
scale * (x0_cond - x0_uncond) -> 1 / scale * (x0_cond - x0_uncond)
scale * (x0_cond - x0_uncond) -> scale * (x0_cond - x0_uncond) / (x0_cond - x0_uncond).norm()
return x0_uncond + scale * (x0_cond - x0_uncond) -> return (x0_uncond + scale * (x0_cond - x0_uncond)).half()
torch.cat([t, t]) -> torch.cat([t, t]) - 1
torch.cat([t, t]) -> t
uncond.expand_as(cond) -> uncond
uncond.expand_as(cond) -> torch.zeros_like(cond)
expand_as(cond), cond] -> expand_as(cond), cond.roll(1, 0)]
torch.cat([x, x]) -> torch.cat([x, x])[:1].expand(2 * len(x), -1, -1, -1)
guided := picture_by_picture
"""


def in_pairs(denoise, x, t, cond, uncond, scale):
    both = torch.stack([uncond.expand_as(cond), cond], 1).flatten(0, 1)
    out = denoise(x.repeat_interleave(2, 0), t.repeat_interleave(2), both)
    return out[::2] + scale * (out[1::2] - out[::2])


def two_calls(denoise, x, t, cond, uncond, scale):
    x0_uncond, x0_cond = denoise(x, t, uncond.expand_as(cond)), denoise(x, t, cond)
    return x0_uncond + scale * (x0_cond - x0_uncond)


def picture_by_picture(denoise, x, t, cond, uncond, scale):
    rows = zip(x.split(1), t.split(1), cond.split(1), uncond.expand_as(cond).split(1), strict=True)
    pairs = [denoise(torch.cat([a, a]), torch.cat([b, b]), torch.cat([u, c])).chunk(2) for a, b, c, u in rows]
    x0_uncond, x0_cond = (torch.cat(half) for half in zip(*pairs, strict=True))
    return x0_uncond + scale * (x0_cond - x0_uncond)
