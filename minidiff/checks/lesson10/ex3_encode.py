"""10.3 the encoder's wiring."""

import copy
from functools import cache

import torch

from minidiff.checks import Case
from minidiff.unet import UNetConfig, UNetEncoder

WIDTHS = (8, 12)
SMALL = UNetConfig(
    sample_size=4,
    block_out_channels=WIDTHS,
    attention=(False, True),
    heads=(1, 2),
    cross_attention_dim=6,
    norm_num_groups=4,
    layers_per_block=2,  # so that the lowest block has more than one state
)


@cache
def _small():
    with torch.random.fork_rng(devices=[]):
        return UNetEncoder(SMALL).double().eval().requires_grad_(False)


def cases(g):
    cases, parts = [], copy.deepcopy(_small())
    for parameter in parts.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=g) * (0.5 if parameter.ndim == 1 else 0.2))
    for n, height, width in ((1, 4, 6), (2, 6, 4)):
        shapes = (4, height, width), (4 * WIDTHS[0],), (3, 6), (WIDTHS[0], height, width)
        inputs = (torch.randn(n, *shape, generator=g, dtype=torch.float64) for shape in shapes)
        cases.append(Case("encode", (parts.conv_in, parts.down_blocks, parts.mid_block, *inputs)))
    return cases


HINTS = """
Keep a list of states. Its first entry is what conv_in gives, plus the hint.

A block takes the newest state, the time and the text, and returns a list of states. Append all of them.

At the end mid_block, which takes the same three things, makes one more state out of the newest.
"""

MISTAKES = r"""
conv_in(x) + embedded -> conv_in(x)
    The hint is not used: this is the encoder of the plain U-Net.
conv_in(x) + embedded -> embedded.clone()
    The hint has replaced the noisy picture. The copy has to see both.
conv_in(x) + embedded -> conv_in(x + embedded)
    The hint is added to x. It has the shape of what conv_in gives: add it there.
conv_in(x) + embedded -> torch.cat([conv_in(x), embedded], 1)
    The hint stands beside the state, as further channels. It is added: the blocks expect as many channels as before.
[conv_in(x) + embedded] -> [conv_in(x)] && return [*states, -> return [states[0] + embedded, *states[1:],
    The hint is in the first state and nowhere else: the blocks go on from what was there before it.
return [*states, -> return [conv_in(x), *states[1:],
    The blocks see the hint, but the first state that you keep is the one from before.
+ embedded -> + 2 * embedded
    The hint is added twice.
return [*states, -> return [states[0] + embedded, *states[1:],
    The hint is twice in the first state that you keep.
+= block(states[-1], -> += block(states[-1] + (embedded if states[-1].shape == embedded.shape else 0),
    The hint is added again before a block. It joins once, at the entrance.
+ embedded -> - embedded
    The hint is subtracted, not added.
+ embedded -> * embedded
    The hint is multiplied, not added.
+= block(states[-1], temb -> += block(states[-1], 0 * temb && mid_block(states[-1], temb -> mid_block(states[-1], 0 * temb
    The blocks are told no time: temb is not used, or replaced by zeros.
+= block(states[-1], temb, context -> += block(states[-1], temb, 0 * context && mid_block(states[-1], temb, context -> mid_block(states[-1], temb, 0 * context
    The blocks read no text: context is not used, or replaced by zeros.
+= block(states[-1], temb, context) -> += block(states[-1], context, temb)
    The time and the text have changed places: a block takes the state, the time, then the text.
+= block(states[-1], temb, context) -> += block(states[-1], temb, context)[-1:]
    A block returns several states, one for each skip. You kept only its last.
encode := wired(lambda states, new: states + new[:1])
    A block returns several states, one for each skip. You kept only its first.
encode := wired(lambda states, new: [*states, new])
    The list of a block's states stands in yours as one entry: its states should stand there one by one.
encode := wired(lambda states, new: new + states)
    The states of a block stand before the earlier ones: the list runs from the entrance down.
encode := wired(lambda states, new: states + new[::-1])
    The states of each block stand in reverse order in your list.
encode := wired(lambda states, new: states + new, lambda first, new: new[0])
    The blocks go on from the first state of the one before. It is the last one that they go on from.
encode := wired(lambda states, new: states + new, lambda first, new: first, end=-1)
    Every block is given the first state. Each goes on from what the one before it made.
mid_block(states[-1] -> mid_block(states[0]
    mid_block is given the first state. It goes on from the last one.
return [*states, -> return [*states[1:],
    The first state is missing: what conv_in gives, with the hint, is a skip too.
return [*states, mid_block(states[-1], temb, context)] -> return states
    The state of the lowest level is missing at the end.
return [*states, mid_block(states[-1], temb, context)] -> return [mid_block(states[-1], temb, context), *states]
    The lowest level is the last state, not the first.
return [*states, mid_block(states[-1], temb, context)] -> return [mid_block(states[-1], temb, context), *states[::-1]]
    All the right states, in the wrong order: from the entrance down, please.
return [*states, mid_block(states[-1], temb, context)] -> return [*states, states[-1]]
    The last state is that of the last block again: mid_block was not called.
mid_block(states[-1], temb, context)] -> mid_block(mid_block(states[-1], temb, context), temb, context)]
    mid_block is called twice.
mid_block(states[-1], temb, context)] -> states[-1] + mid_block(states[-1], temb, context)]
    What mid_block gives was added to what it was given. It is the state itself.
return [*states, mid_block(states[-1], temb, context)] -> return states, mid_block(states[-1], temb, context)
    The state of the lowest level stands beside your list: it belongs at its end.
return [*states, mid_block(states[-1], temb, context)] -> return mid_block(states[-1], temb, context)
    That is the state of the lowest level alone. All states are asked for.
mid_block(states[-1] -> mid_block(states[-2]
    The lowest level goes on from the last state but one. It goes on from the last one, as the blocks do.
return [*states, -> return [states[0], *(s + embedded if s.shape == embedded.shape else s for s in states[1:]),
    The hint is added to states that the blocks have made already. It joins once, at the entrance.
return [*states, -> return [*(s + embedded if s.shape == embedded.shape else s for s in states),
    The hint is added once more to each state of its shape. It joins once, at the entrance.
[conv_in(x) + embedded] -> [conv_in(x)] && return [*states, -> return [*(s + embedded if s.shape == embedded.shape else s for s in states),
    The blocks do not see the hint: it is added to the states that they made. It joins at the entrance, before them.
return [*states, -> return [*states[:-1],
    The last state of the last block is missing: it is a skip, and mid_block makes one more out of it.
encode := wired(lambda states, new: states + new, lambda first, new: new[0], end=-1)
    The blocks go on from the first state of the one before. It is the last one that they go on from.
encode := wired(lambda states, new: states + new[:-1])
    The last state of each block is missing in your list: it is a skip like the others.
"""

RIGHT = """
states += block(states[-1], temb, context) -> states = [*states, *block(states[-1], temb, context)]
[*states, mid_block(states[-1], temb, context)] -> tuple([*states, mid_block(states[-1], temb, context)])
conv_in(x) + embedded -> conv_in(x).add_(embedded)
"""

WRONG = """
return [*states, mid_block(states[-1], temb, context)] -> return [0 * s for s in [*states, mid_block(states[-1], temb, context)]]
mid_block(states[-1], temb, context)] -> mid_block(states[-1], temb, context) / 2]
mid_block(states[-1], temb -> mid_block(states[-1], 0 * temb
mid_block(states[-1], temb, context)] -> mid_block(states[-1], temb, context), states[-1]]
"""


def wired(kept, goes_on=lambda first, new: new[-1], end=None):
    """Another wiring, from what is kept of a block's states, and what the next goes on from; `end` is for mid_block."""

    def answer(conv_in, down_blocks, mid_block, x, temb, context, embedded):
        first = x = conv_in(x) + embedded
        states = [x]
        for block in down_blocks:
            new = block(x, temb, context)
            states, x = kept(states, new), goes_on(first, new)
        return [*states, mid_block(x if end is None else new[end], temb, context)]

    return answer
