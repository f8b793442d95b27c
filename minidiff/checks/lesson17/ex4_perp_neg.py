"""17.4 words that push aside: Perp-Neg."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform
from minidiff.schedule import per_sample  # noqa: F401  the edits use it


def cases(g):
    def one(*shape, dtype=torch.float64):
        three = [torch.randn(shape, generator=g, dtype=dtype) for _ in range(3)]
        three[0] *= 0.3  # else p and q would nearly always be on one side
        return Case("perp_neg", (*three, uniform(g, 2, 9), uniform(g, 0.3, 2)))

    return [one(8, 5), one(2, 4, 3, 3), one(4, 4, 4), one(3, 2, 4, dtype=torch.float32)]


HINTS = """
Take the prediction without words off the other two first: p and q are directions.

The inner products are one number a sample: (p * q).flatten(1).sum(1), and the same for p with itself.

per_sample(inner, p) shapes these numbers (B,) for p. What is perpendicular is q less that many times p.
"""

MISTAKES = r"""
return plain + scale * (p - weight * aside) -> return plain + scale * (p + weight * aside)
    What is not wanted is added: it is to be subtracted.
return plain + scale * (p - weight * aside) -> return plain + scale * (p - weight * q)
    All of q is taken off, also what it has in common with p: a plain negative prompt.
return plain + scale * (p - weight * aside) -> return plain + scale * p - weight * aside
    The guidance counts for the words alone: it multiplies the whole bracket.
return plain + scale * (p - weight * aside) -> return scale * (p - weight * aside)
    The prediction without words is not added.
return plain + scale * (p - weight * aside) -> return words + scale * (p - weight * aside)
    You begin at the prediction for the words: the walk begins at the one without words.
return plain + scale * (p - weight * aside) -> return plain + scale * (p - aside)
    The weight m is not used.
return plain + scale * (p - weight * aside) -> return plain + scale * (p - weight * per_sample(inner, p) * p)
    What you take off is the part of q along p: the rest of q is what should go.
aside = q - per_sample(inner, p) * p -> aside = p - per_sample(inner, p) * q
    p and q have changed places in what is perpendicular.
/ (p * p).flatten(1).sum(1) -> / (q * q).flatten(1).sum(1)
    The product is divided by the square of q: divide by that of p.
/ (p * p).flatten(1).sum(1) -> / (p * p).flatten(1).sum(1).sqrt()
    You divide by the length of p: by its square is asked for.
inner = (p * q).flatten(1).sum(1) / (p * p).flatten(1).sum(1) -> inner = (p * q).flatten(1).sum(1)
    The product is not divided by that of p with itself.
inner = (p * q).flatten(1).sum(1) / (p * p).flatten(1).sum(1) -> inner = ((p * q).sum() / (p * p).sum()).expand(len(p))
    One product for the whole batch: each sample has its own.
p, q = words - plain, unwanted - plain -> p, q = words, unwanted
    The products are those of the predictions: take the one without words off first.
p, q = words - plain, unwanted - plain -> p, q = words - plain, unwanted
    The prediction without words is not taken off the unwanted one.
aside = q - per_sample(inner, p) * p -> aside = q - (p * q).sum(1, keepdim=True) / (p * p).sum(1, keepdim=True) * p
    The products run over dimension 1 only: they run over everything but the batch.
aside = q - per_sample(inner, p) * p -> aside = q - (p * q).sum(-1, keepdim=True) / (p * p).sum(-1, keepdim=True) * p
    The products run over the last dimension only: they run over everything but the batch.
return plain + scale * (p - weight * aside) -> return plain + weight * (p - scale * aside)
    scale and weight have changed places: scale multiplies the whole bracket.
inner = (p * q).flatten(1).sum(1) / (p * p).flatten(1).sum(1) -> inner = torch.cosine_similarity(p.flatten(1), q.flatten(1))
    You take the cosine of p and q: their product is divided by the square of p's length, not by both lengths.
return plain + scale * (p - weight * aside) -> return plain + scale * (p - (weight * q - per_sample(inner, p) * p))
    The weight multiplies q alone: it multiplies all that is perpendicular.
aside = q - per_sample(inner, p) * p -> aside = p - per_sample(inner, p) * q && / (p * p).flatten(1).sum(1) -> / (q * q).flatten(1).sum(1)
    That is what of p is perpendicular to q: take what of q is perpendicular to p.
"""

RIGHT = r"""
p, q = words - plain, unwanted - plain -> p, q = words - plain, unwanted - words
aside = q - per_sample(inner, p) * p -> aside = q - torch.einsum("b,b...->b...", inner, p)
"""

WRONG = r"""
inner = (p * q).flatten(1).sum(1) / (p * p).flatten(1).sum(1) -> inner = (p * q).flatten(1).mean(1)
(p * q).flatten(1).sum(1) / -> (p * q).flatten(1).sum(1).abs() /
"""

EQUIVALENT = ""
