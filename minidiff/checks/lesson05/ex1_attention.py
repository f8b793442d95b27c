"""5.1 scaled dot-product attention."""

import math

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson05 import qkv
from minidiff.checks.parts import whole

LEARNS = ("q", "k", "v")


class Guarded(torch.Tensor):
    """A tensor that torch's own attention refuses, for the exercise is to write it."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            raise TypeError("torch's own function is what your answer is compared with")
        return super().__torch_function__(func, types, args, kwargs or {})

    def __deepcopy__(self, memo):
        return self.clone()


def cases(g):
    guarded = (x.as_subclass(Guarded) for x in qkv(g, 2, n=4, m=6, d=3))
    sure = qkv(g, 2, n=4, m=5, d=4)
    return [
        Case("attention", qkv(g, 2, n=5, m=whole(g, 6, 8), d=6)),
        Case("attention", qkv(g, 3, n=4, m=6, d=9, dtype=torch.float32)),
        Case("attention", qkv(g, 2, 3, n=whole(g, 4, 7), m=3, d=5)),
        Case("attention", qkv(g, n=4, m=5, d=6)),
        Case("attention", (2000 * sure[0], *sure[1:])),  # as choosy as the longest queries of the next cell
        Case("attention", tuple(guarded)),
    ]


HINTS = """
All dot products of N queries and M keys are one matrix product, (N, d) times (d, M): so something must be turned round
first.

.transpose(-1, -2) swaps the last two axes, whatever comes before. @ multiplies matrices, batch by batch.

Divide before the softmax. The softmax's dim is that of the keys, the last one of the scores.

The weights are (..., N, M), the values (..., M, d): one more matrix product.
"""

MISTAKES = """
attention := lambda q, k, v: F.scaled_dot_product_attention(q, k, v)
    You call torch's own function. Write it out: two matrix products, and a softmax between them.
/ math.sqrt(q.shape[-1]) ->
    The scores are not divided by anything: the wider the vectors, the more a single key takes it all.
math.sqrt(q.shape[-1]) -> q.shape[-1]
    You divide by the number of channels. A typical dot product grows more slowly than that: look at its standard
    deviation, not at its variance.
math.sqrt(q.shape[-1]) -> math.isqrt(q.shape[-1])
    The root is a whole number in yours. The root of a number of channels seldom is one.
math.sqrt(q.shape[-1]) -> round(math.sqrt(q.shape[-1]))
    The root is a whole number in yours. The root of a number of channels seldom is one.
/ math.sqrt(q.shape[-1]) -> * math.sqrt(q.shape[-1])
    You multiply the scores where you should divide: they are too large already.
math.sqrt(q.shape[-1]) -> math.sqrt(k.shape[-2])
    You divide by the root of the number of keys. It is the number of channels that makes scores large.
math.sqrt(q.shape[-1]) -> math.sqrt(q.shape[-2])
    You divide by the root of the number of queries. It is the number of channels that makes scores large.
scores.softmax(-1) -> scores.mul(math.sqrt(q.shape[-1])).softmax(-1) / math.sqrt(q.shape[-1])
    You divide after the softmax: then the weights no longer sum to 1. The scores are what gets too large.
scores.softmax(-1) -> scores.softmax(-2)
    The softmax runs along the queries: then the queries compete for a key. Each query shares out its attention over
    the keys.
scores.softmax(-1) -> scores.softmax(1)
    The softmax runs along the second axis, whichever that is. The keys are the last axis, however many come before.
scores.softmax(-1) -> scores.softmax(0)
    The softmax runs along the first axis, so the samples of a batch compete with each other.
scores.softmax(-1) -> scores.softmax(0 if scores.ndim == 3 else 1)
    You did not say along which axis the softmax runs, and torch guesses another than that of the keys.
scores.softmax(-1) -> scores
    The softmax is missing: scores may be negative, and they do not sum to 1.
scores.softmax(-1) -> scores.exp()
    The weights are exponentials that do not sum to 1: divide by their sum, as a softmax does.
scores.softmax(-1) -> scores.exp() / scores.exp().sum(-1, keepdim=True)
    Small scores come out right. Of a large one the exponential is infinite: take the largest off first, or use softmax.
scores.softmax(-1) -> (scores - scores.max()).exp() / (scores - scores.max()).exp().sum(-1, keepdim=True)
    You take the same number off the scores of every query. Where a query's own are all far below it, their exponentials
    are 0 and nothing is left to share out: take off the largest of each query.
scores.softmax(-1) -> (e := (scores - scores.amax((-2, -1), keepdim=True)).exp()) / e.sum(-1, keepdim=True)
    You take the same number off the scores of every query. Where a query's own are all far below it, their exponentials
    are 0 and nothing is left to share out: take off the largest of each query.
scores.softmax(-1) -> scores.clamp(-80, 80).softmax(-1)
    You cut large scores off at a limit, and beyond it they all count the same. How far they are apart still matters.
scores.softmax(-1) -> scores.clamp(max=80).softmax(-1)
    You cut large scores off at a limit, and beyond it they all count the same. How far they are apart still matters.
scores.softmax(-1) -> (e := scores.clamp(max=80).exp()) / e.sum(-1, keepdim=True)
    You cut large scores off at a limit, and beyond it they all count the same. How far they are apart still matters.
scores.softmax(-1) -> scores.flatten(-2).softmax(-1).reshape(scores.shape)
    The softmax runs over queries and keys at once. Each query shares out an attention of 1 of its own.
q @ k.transpose(-1, -2) / -> F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) /
    You bring queries and keys to length 1. Their lengths count: the longer a query, the choosier.
scores.softmax(-1) -> scores.sigmoid()
    You squash each score on its own. The keys of a query must compete: their weights sum to 1.
scores.softmax(-1) -> (scores / scores.sum(-1, keepdim=True))
    You divide the scores by their sum. They may be negative, so take exponentials first, as a softmax does.
scores.softmax(-1) -> torch.nn.functional.one_hot(scores.argmax(-1), k.shape[-2]).to(v)
    Each query gets the value of its best key alone. That is a dictionary, and it has no slope to learn from.
scores.softmax(-1) -> (-scores).softmax(-1)
    The keys that fit worst get the largest weights: look at the sign of the scores.
k.transpose(-1, -2) -> v.transpose(-1, -2) && softmax(-1) @ v -> softmax(-1) @ k
    Keys and values have changed places: queries are compared with the keys, and it is values that are mixed.
softmax(-1) @ v -> softmax(-1) @ k
    You mix the keys. They only decide how much; what comes back is a mix of the values.
q @ k.transpose(-1, -2) -> q @ v.transpose(-1, -2)
    You compare the queries with the values. They are compared with the keys.
q @ k.transpose(-1, -2) -> 0 * q @ k.transpose(-1, -2)
    Every query gets the same mean of all values: the queries are not used.
softmax(-1) @ v -> softmax(-1)
    You return the weights. They still have to mix the values.
k.transpose(-1, -2) -> k.permute(*range(k.ndim)[::-1])
    You turn all axes of the keys round. Only the last two change places, whatever comes before.
k.transpose(-1, -2) -> k.transpose(1, 2)
    You swap the second axis with the third. It is the last two that change places, however many come before.
q @ k.transpose(-1, -2) -> q @ k
    The keys are not turned round: rows of the one meet columns of the other.
"""


def in_loops(q, k, v):
    if q.ndim > 2:
        return torch.stack([in_loops(*rows) for rows in zip(q, k, v, strict=True)])
    rows = []
    for query in q:
        scores = k @ query / query.numel() ** 0.5
        w = (scores - scores.max()).exp()
        rows.append((w[:, None] * v).sum(0) / w.sum())
    return torch.stack(rows)


RIGHT = """
attention := in_loops
attention := lambda q, k, v: torch.einsum("...nm,...md->...nd", (torch.einsum("...nd,...md->...nm", q, k) * q.size(-1) ** -0.5).softmax(dim=-1), v)
"""

EQUIVALENT = """
k.transpose(-1, -2) -> k.transpose(-2, -1)
    which of two axes is named first makes no difference when they are swapped
"""

WRONG = """
scores.softmax(-1) -> scores.tanh().softmax(-1)
scores.softmax(-1) -> (scores * math.log(2)).softmax(-1)
scores.softmax(-1) -> (scores.square() / scores.square().sum(-1, keepdim=True))
scores.softmax(-1) -> scores.tril().softmax(-1)
scores.softmax(-1) -> scores.detach().softmax(-1)
attention := lambda q, k, v: attention(q, k[..., :1, :].expand_as(k), v)
attention := lambda q, k, v: attention(q.double(), k.double(), v.double())
attention := lambda q, k, v: attention(q.mul_(1.001), k, v)
attention := lambda q, k, v: 0 * q
"""
