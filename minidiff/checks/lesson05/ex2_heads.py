"""5.2 heads: cut, attend, put together."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson05 import qkv
from minidiff.checks.parts import whole

LEARNS = ("x", "q", "k", "v")


def cases(g):
    heads, n, d = whole(g, 3, 4), 6, 5
    return [
        Case("split_heads", (torch.randn(2, 12, heads * d, generator=g), heads)),
        Case("split_heads", (torch.randn(3, 12, 16, generator=g, dtype=torch.float64), 2)),
        Case("split_heads", (torch.randn(3, 4, 6, generator=g), 2)),
        Case("merge_heads", (torch.randn(2, heads, n, d, generator=g),)),
        Case("merge_heads", (torch.randn(3, 2, 7, 5, generator=g),)),
        Case("multi_head", (*qkv(g, 2, n=n, m=6, d=heads * d), heads)),
        Case("multi_head", (*qkv(g, 3, n=6, m=4, d=20), 5)),
    ]


HINTS = """
Cut the last axis into two, heads and channels of a head, then change the order of axes. A reshape alone never changes
which number comes after which.

x.reshape(B, N, heads, d) cuts, x.transpose(1, 2) swaps two axes. Look at a small tensor whose numbers say where they
come from.

merge_heads does the same backwards: first swap, then make one axis of two.

multi_head: split all three, attention of 5.1 on what you got (it does not mind more axes in front), merge.
"""

MISTAKES = """
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, heads, N, C // heads)
    The shape is right, the content is not: your first head holds the first tokens whole. It should hold a part of
    every token.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, C // heads, heads).permute(0, 3, 1, 2)
    Your heads take channels in turn. Each should have a run of neighbouring channels.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads)
    The channels are cut, but the heads still stand behind the tokens: two axes must change places.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads).permute(0, 2, 3, 1)
    Tokens and channels of each head have changed places: the channels come last.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads).permute(2, 0, 1, 3)
    The heads stand before the batch: the batch comes first.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads).transpose(1, 2).flatten(0, 1)
    Heads and batch are one axis. That works too, and older code does it, but here they are two.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, C // heads, heads).transpose(1, 2)
    You took the number of heads for the size of one.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads).transpose(1, 2).flip(1)
    The heads come in reverse order: the first has the first channels.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, heads, N // heads, C)
    You cut the tokens. Each head sees all of them, and a part of their channels.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, 8).transpose(1, 2)
    You always give a head eight channels: how many it has depends on the width, and on how many heads there are.
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, 2, C // 2).transpose(1, 2)
    You always cut in two: how many heads there are is given.
x.transpose(1, 2).flatten(2) -> x.reshape(len(x), x.shape[2], -1)
    The shape is right, the content is not: tokens and heads must change places before the last two axes become one.
x.transpose(1, 2).flatten(2) -> x.permute(0, 2, 3, 1).flatten(2)
    The channels of the heads are interleaved: those of a head belong side by side.
x.transpose(1, 2).flatten(2) -> x.flatten(1, 2)
    The heads stand one behind the other, as if they were tokens. They belong side by side, as channels.
x.transpose(1, 2).flatten(2) -> x.transpose(1, 2)
    Heads and tokens have changed places, and the heads are still apart: make one axis of the last two.
x.transpose(1, 2).flatten(2) -> x.mean(1)
    You average the heads: then what one head found is mixed with the others', and most of it is lost.
x.transpose(1, 2).flatten(2) -> x.sum(1)
    You add the heads up: then what one head found is mixed with the others', and most of it is lost.
x.transpose(1, 2).flatten(2) -> x[:, 0]
    Only the first head is there: all of them belong into a row.
x.transpose(1, 2).flatten(2) -> x.flip(1).transpose(1, 2).flatten(2)
    The heads come in reverse order.
x.transpose(1, 2).flatten(2) -> x.transpose(1, 2).flatten(2).transpose(1, 2)
    Tokens and channels have changed places: the channels come last.
multi_head := lambda q, k, v, heads: attention(q, k, v)
    That is attention with one head: the number of heads makes no difference.
(split_heads(x, heads) -> (split_heads(x, 2)
    You always use two heads: how many there are is given.
attention(q, k, v)) -> attention(q * heads**-0.5, k, v))
    The scores are too small: a head's dot product has as many terms as a head has channels.
attention(q, k, v)) -> (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).mean(1, keepdim=True) @ v)
    All heads use the same weights, the mean of them: then one head would do.
attention(q, k, v)) -> attention(q, k, v).mean(1, keepdim=True).expand(-1, heads, -1, -1))
    All heads give the same, the mean of them: each gives what it found.
multi_head := stacked
    You put the heads into the batch, and take them out in another order: what varied slowest going in does so going out.
attention(q, k, v)) -> (q @ k.mT / q.shape[-1] ** 0.5).mean(1, keepdim=True).softmax(-1) @ v)
    All heads use the same scores, the mean of them: each head compares on its own.
attention(q, k, v)) -> (q @ k.mT / q.shape[-1] ** 0.5).softmax(1) @ v)
    The softmax runs along the heads: it is the keys that compete.
multi_head := between_heads
    The heads of one token look at each other: tokens and heads have to change places before. Each head compares the
    tokens of the one side with those of the other.
attention(q, k, v)) -> attention(q, v, k))
    Keys and values have changed places: it is values that are mixed.
return merge_heads(attention(q, k, v)) -> return attention(q, k, v)
    The heads are still apart: put them together again.
return merge_heads(attention(q, k, v)) -> return attention(q, k, v).reshape(len(q), q.shape[2], -1)
    The heads come out right, but are put together wrongly: use your merge_heads.
return merge_heads(attention(q, k, v)) -> return attention(q, k, v).mean(1)
    You average the heads: put them side by side, as merge_heads does.
"""


def one_head_at_a_time(q, k, v, heads):
    parts = zip(*(x.chunk(heads, -1) for x in (q, k, v)), strict=True)
    return torch.cat([torch.nn.functional.scaled_dot_product_attention(*part) for part in parts], -1)


def stacked(q, k, v, heads):
    """The heads one after the other, each with its whole batch; taken apart as if it were the other way round."""
    parts = (torch.cat(x.chunk(heads, -1)) for x in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(*parts)
    return out.reshape(len(q), heads, *out.shape[1:]).transpose(1, 2).flatten(2)


def between_heads(q, k, v, heads):
    """Attention along the wrong axis, for the heads stand behind the tokens."""
    q, k, v = (x.unflatten(-1, (heads, -1)) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).flatten(2)


RIGHT = """
split_heads := lambda x, heads: torch.stack(x.chunk(heads, -1), 1)
merge_heads := lambda x: x.permute(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)
multi_head := one_head_at_a_time
"""

EQUIVALENT = """
x.reshape(B, N, heads, C // heads).transpose(1, 2) -> x.reshape(B, N, heads, C // heads).transpose(2, 1)
    which of two axes is named first makes no difference when they are swapped
x.transpose(1, 2) -> x.transpose(2, 1)
    which of two axes is named first makes no difference when they are swapped
"""

WRONG = """
split_heads := lambda x, heads: split_heads(x, heads).flip(2)
merge_heads := lambda x: x.amax(1)
merge_heads := lambda x: merge_heads(x).half()
multi_head := lambda *args: 2 * multi_head(*args)
multi_head := lambda *args: multi_head(*args).flip(-1)
multi_head := lambda *args: multi_head(*args).detach()
"""
