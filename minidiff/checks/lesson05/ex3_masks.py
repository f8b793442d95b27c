"""5.3 masks: the causal one, and attention that obeys one."""

import math

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson05 import qkv
from minidiff.checks.parts import whole

LEARNS = ("q", "k", "v")


def cases(g):
    def look(*shape):
        mask = torch.rand(*shape, generator=g) < 0.5
        mask[..., 0], mask[..., -1] = True, False  # every query may look somewhere, and not everywhere
        return mask

    n = whole(g, 5, 7)
    q, k, v = qkv(g, 2, n=6, m=8, d=5)
    q[:, 0], k[:, 0], one = 300, -1, look(6, 8)
    one[0, 1:] = False  # the first query may look at one key alone, and -100 is not enough to forbid the others
    q[:, 2] = 0  # scores of 0, which are not forbidden
    return [
        Case("causal_mask", (n,)),
        Case("causal_mask", (3,)),
        Case("masked_attention", (*qkv(g, 2, n=5, m=7, d=4), look(5, 7))),
        Case("masked_attention", (*qkv(g, 3, n=4, m=6, d=8, dtype=torch.float32), look(3, 1, 6))),
        Case("masked_attention", (*qkv(g, 2, 3, n=n, m=n, d=4), torch.ones(n, n).tril().bool())),
        Case("masked_attention", (q, k, v, one)),
    ]


HINTS = """
causal_mask: row i, column j is True where j comes no later than i. torch has a method for the lower triangle of a
matrix.

The softmax turns a score into e to that power. Which score becomes exactly 0?

scores.masked_fill(where, value) puts a value where a mask is True. Yours is True where nothing is to happen.

The rest is 5.1: scores, divided; then the mask; then the softmax; then the values.
"""

_LATE = """You mask after the softmax. Where a forbidden score is far larger, the others are 0 by then, and no division
    brings them back: mask the scores."""
_TOTALS = (
    "w",
    "w + 1e-6",
    "w + 1e-8",
    "w + 1e-9",
    "w + 1e-10",
    "w + 1e-12",
    "w.clamp(min=1e-6)",
    "w.clamp(min=1e-9)",
    "w.clamp(min=1e-12)",
    "w.where(w > 0, 1)",
)
MISTAKES = """
.tril() -> .triu()
    Your words see the later ones and not the earlier ones: it is the other triangle.
.tril() -> .tril(-1)
    Your words do not see themselves, and the first one sees nothing at all. The diagonal belongs to it.
.tril() -> .tril(1)
    Your words see one word too far: the next one.
return torch.ones(n, n, dtype=torch.bool).tril() -> return ~torch.ones(n, n, dtype=torch.bool).tril()
    The two values are swapped: True is where a query may look.
.tril() ->
    Everything is allowed: no word is kept from seeing the later ones.
return torch.ones(n, n, dtype=torch.bool).tril() -> return torch.eye(n, dtype=torch.bool)
    Each word sees only itself: then it learns nothing of the words before it.
return torch.ones(n, n, dtype=torch.bool).tril() -> return torch.ones(n, n).tril()
    These are numbers, 0 and 1. A mask is made of False and True.
return torch.ones(n, n, dtype=torch.bool).tril() -> return torch.ones(n, n, dtype=torch.int).tril()
    These are whole numbers, 0 and 1. A mask is made of False and True.
return torch.ones(n, n, dtype=torch.bool).tril() -> return torch.full((n, n), -math.inf).triu(1)
    These are numbers to be added to scores. Here a mask is made of False and True.
scores.masked_fill(~mask, -math.inf) -> scores
    The mask is not used: forbidden keys are looked at as before.
~mask, -math.inf -> mask, -math.inf
    The mask is used the wrong way round: what may be looked at is forbidden.
scores.masked_fill(~mask, -math.inf).softmax(-1) -> scores.softmax(-1) * mask
    Forbidden weights become 0 after the softmax, and what they had is lost: rows no longer sum to 1.
scores.masked_fill(~mask, -math.inf) -> (scores * mask)
    Forbidden scores become 0, or nearly, but the softmax of a score of 0 is not 0: they are still looked at.
~mask, -math.inf -> ~mask, 1e-9
    Forbidden scores become 0, or nearly, but the softmax of a score of 0 is not 0: they are still looked at.
~mask, -math.inf -> ~mask, -1.0
    Forbidden scores are lowered to -1, which is not enough: they are still looked at.
~mask, -math.inf -> ~mask, -10.0
    Forbidden scores are lowered to -10, which is not enough: they are still looked at.
~mask, -math.inf -> ~mask, -100.0
    Forbidden scores are lowered to -100. Other scores may be lower still, and then they are looked at.
scores.masked_fill(~mask, -math.inf) -> (scores * mask).masked_fill(scores * mask == 0, -math.inf)
    You take each score of 0 for a forbidden one, but what is allowed can have a score of 0, too: ask the mask.
scores.masked_fill(~mask, -math.inf).softmax(-1) -> (scores * mask).masked_fill(scores * mask == 0, -math.inf).softmax(-1).nan_to_num()
    You take each score of 0 for a forbidden one, but what is allowed can have a score of 0, too: ask the mask.
~mask, -math.inf).softmax(-1) -> mask, -math.inf).softmax(-1).nan_to_num()
    The mask is used the wrong way round: what may be looked at is forbidden.
scores.masked_fill(~mask, -math.inf) -> (scores + -math.inf * (1 - mask.to(scores)))
    Infinity times 0 is no number, so what is allowed becomes nan: put infinities where they belong, and nothing elsewhere.
scores.masked_fill(~mask, -math.inf) -> (scores + mask.to(scores))
    The mask is used as 0 and 1, to be added: what is allowed becomes likelier by that much, and nothing is forbidden.
scores.masked_fill(~mask, -math.inf).softmax(-1) -> scores.softmax(-1).masked_fill(~mask, -math.inf)
    Minus infinity comes after the softmax: it belongs to the scores, before it.
masked_attention := lambda q, k, v, mask: (w := (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask) / w.sum(-2, keepdim=True) @ v
    You make the weights sum to 1 again, but along the queries. Each query shares out its attention over the keys.
scores.masked_fill(~mask, -math.inf).softmax(-1) -> scores.masked_fill(~mask, -math.inf).softmax(-2)
    The softmax runs along the queries. Each query shares out its attention over the keys.
scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) -> scores = q @ k.transpose(-1, -2)
    The mask is right. But the scores are not divided by the root of the number of channels.
scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) -> scores = q @ k.transpose(-1, -2) / q.shape[-1]
    The mask is right. But the scores are divided by the number of channels, not by its root.
masked_attention := lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v * mask[..., :1, :].mT)
    You set values to 0 where their key may not be looked at by the first query. The weight of a forbidden key still
    counts in the sum, and queries differ.
masked_attention := lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v * mask.any(-2)[..., None])
    You set values to 0 where no query may look at their key. The weight of a forbidden key still counts in the sum,
    and queries differ.
masked_attention := lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask[..., :1, :])
    All queries use the first row of the mask: each has a row of its own.
.softmax(-1) @ v -> .softmax(-1)
    You return the weights. They still have to mix the values.
scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) -> scores = q @ k.transpose(-1, -2) / math.isqrt(q.shape[-1])
    The mask is right. But the root of the number of channels is a whole number in yours, and it seldom is one.
""" + "\n".join(
    f"masked_attention := lambda *args: masked_late(*args, lambda w: {total})\n    {_LATE}" for total in _TOTALS
)


def masked_late(q, k, v, mask, total):
    """The weights of all keys, those of the forbidden ones then 0, and all divided by what is left."""
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask
    return weights / total(weights.sum(-1, keepdim=True)) @ v


RIGHT = """
return torch.ones(n, n, dtype=torch.bool).tril() -> return torch.arange(n)[None] <= torch.arange(n)[:, None]
masked_attention := lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
scores.masked_fill(~mask, -math.inf) -> (scores - 1e9 * ~mask)
scores.masked_fill(~mask, -math.inf) -> torch.where(mask, scores, -torch.inf)
"""

EQUIVALENT = """
k.transpose(-1, -2) -> k.transpose(-2, -1)
    which of two axes is named first makes no difference when they are swapped
"""

WRONG = """
causal_mask := lambda n: causal_mask(n).flip(0)
causal_mask := lambda n: torch.ones(n, dtype=torch.bool)
causal_mask := lambda n: causal_mask(n) & torch.ones(n, n, dtype=torch.bool).triu(-1)
causal_mask := lambda n: causal_mask(n).tolist()
~mask, -math.inf -> ~mask, -5.0
scores.masked_fill(~mask, -math.inf) -> (scores * mask / mask)
masked_attention := lambda q, k, v, mask: masked_attention(q, k, v, mask.fill_(True))
masked_attention := lambda q, k, v, mask: mask / mask.sum(-1, keepdim=True) @ v.float()
@ v -> .detach() @ v
"""
