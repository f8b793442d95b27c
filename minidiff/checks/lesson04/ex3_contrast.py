"""4.3 the contrastive loss."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import uniform
from minidiff.clip import contrastive_loss

LEARNS = ("images", "texts", "logit_scale")


def cases(g):
    found = []
    for b, d, dtype, low, high in (
        (5, 8, torch.float64, 0.5, 2),
        (3, 4, torch.float32, 0.5, 2),
        (7, 6, torch.float64, 0.5, 2),
        (6, 4, torch.float64, 4.9, 5.2),  # a scale above 100, at which others cut it off
    ):
        images, texts = torch.randn(2, b, d, generator=g, dtype=dtype)
        lengths = uniform(g, 0.5, 3, 2, b, 1, dtype=dtype)
        scale = torch.tensor(uniform(g, low, high), dtype=dtype)
        found.append(Case("clip_loss", (images * lengths[0], (images + texts) * lengths[1], scale)))
    return found


HINTS = """
F.normalize brings vectors to length 1, along the axis that you name.

All cosines at once are one matrix product, pictures times captions transposed. The scale is the exponential of what
you get.

F.cross_entropy takes a table of scores and the index of the right answer for each row. On the diagonal the index is
the row's own number.

The second question is the first one put to the transposed table.
"""

MISTAKES = """
images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1) ->
    The vectors keep their lengths: only directions should count.
F.normalize(images, dim=-1), F.normalize(texts, dim=-1) -> F.normalize(images, dim=-1), texts
    The captions' vectors keep their lengths, so a long one wins: only directions should count, on both sides.
F.normalize(images, dim=-1), F.normalize(texts, dim=-1) -> images, F.normalize(texts, dim=-1)
    The pictures' vectors keep their lengths, so a long one wins: only directions should count, on both sides.
F.normalize(images, dim=-1), F.normalize(texts, dim=-1) -> F.normalize(images, dim=0), F.normalize(texts, dim=0)
    You bring each *column* to length 1. It is each vector, a row, that should have length 1.
F.normalize(images, dim=-1), F.normalize(texts, dim=-1) -> images / images.norm(), texts / texts.norm()
    You divide by the length of the whole table. Each vector should have length 1.
F.normalize(images, dim=-1), F.normalize(texts, dim=-1) -> (x / x.square().sum(-1, keepdim=True) for x in (images, texts))
    You divide by the square of the length, so vectors do not get length 1.
logit_scale.exp() -> logit_scale
    You multiply by the logarithm of the scale. Undo the logarithm first.
logit_scale.exp() -> (-logit_scale).exp()
    You divide by the scale: that makes cosines even smaller.
logit_scale.exp() -> logit_scale.exp().clamp(max=100)
    You cut the scale off at 100, as OpenAI did while training. The loss itself takes it as it is.
logit_scale.exp() -> logit_scale.clamp(max=4.6052).exp()
    You cut the scale off at 100, as OpenAI did while training. The loss itself takes it as it is.
logit_scale.exp() * ->
    The scale makes no difference: the cosines are to be multiplied by it.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> F.cross_entropy(logits, own)
    You ask each picture for its caption, but no caption for its picture.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> F.cross_entropy(logits.T, own)
    You ask each caption for its picture, but no picture for its caption.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> (F.cross_entropy(logits, own, label_smoothing=0.1) + F.cross_entropy(logits.T, own, label_smoothing=0.1)) / 2
    Your labels are smoothed: the right answer should have all of the probability, and here a part of it goes to the others.
clip_loss := without_the_pair_below
    The right answer is missing in the sum of exponentials: it is one of the answers that share out the probability.
F.cross_entropy(logits.T, own)) / 2 -> F.cross_entropy(logits.T, own))
    Your loss is twice too large: the two questions are averaged.
return ( -> return len(own) * (
    You sum over the batch. With the mean the loss does not depend on how many pairs there are.
return ( -> return -(
    The sign is wrong: your loss falls when pairs are torn apart.
own = torch.arange(len(logits), device=logits.device) -> own = 0 * torch.arange(len(logits), device=logits.device)
    You say that the first caption is everybody's own. The right answer is another one for each row.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> -logits.diagonal().mean()
    You only pull pairs together. Without wrong answers all could end at one point.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> 1 - (images * texts).sum(-1).mean()
    You only ask that pairs have a cosine of 1. Without wrong answers all could end at one point.
clip_loss := lambda images, texts, s: (F.normalize(images, dim=-1) - F.normalize(texts, dim=-1)).square().sum(-1).mean()
    You measure how far pairs are apart. Without wrong answers all could end at one point.
F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own) -> F.cross_entropy(logits.softmax(1), own) + F.cross_entropy(logits.T.softmax(1), own)
    There are two softmaxes in yours: the cross-entropy of torch has one inside.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> F.binary_cross_entropy_with_logits(logits, torch.eye(len(own)).to(logits))
    You ask of each field alone whether it is a pair. It should be a choice: one of a row, one of a column.
(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 -> F.binary_cross_entropy_with_logits(logits, torch.eye(len(own)))
    You ask of each field alone whether it is a pair. It should be a choice: one of a row, one of a column.
images @ texts.T -> images @ images.T
    You compare pictures with pictures: every picture is nearest to itself, whatever the captions are.
images @ texts.T -> texts @ texts.T
    You compare captions with captions: every caption is nearest to itself, whatever the pictures are.
clip_loss := all_against_all
    Pictures compete with pictures in yours, too, and captions with captions. A picture chooses among the captions
    alone, and a caption among the pictures.
clip_loss := lambda i, t, s: all_against_all(i, t, s, itself=True)
    Pictures compete with pictures in yours, too, and captions with captions. A picture chooses among the captions
    alone, and a caption among the pictures.
clip_loss := lambda images, texts, s: F.cross_entropy(s.exp() * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T, torch.arange(len(images)), reduction="none")
    You gave a loss for each picture, and did not ask the captions. Training needs one number, the mean of both questions.
clip_loss := lambda images, texts, s: sum(F.cross_entropy(z, torch.arange(len(z)), reduction="none") for z in [s.exp() * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T, s.exp() * F.normalize(texts, dim=-1) @ F.normalize(images, dim=-1).T]) / 2
    You gave a loss for each pair. Training needs one number, the mean over them.
"""


def written_out(images, texts, logit_scale):
    z = logit_scale.exp() * (images / images.norm(dim=-1, keepdim=True)) @ (texts / texts.norm(dim=-1, keepdim=True)).T
    return -(z.diagonal() - (z.logsumexp(0) + z.logsumexp(1)) / 2).mean()


def without_the_pair_below(images, texts, logit_scale):
    scores = logit_scale.exp() * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(0) + others.logsumexp(1)).mean() / 2 - scores.diagonal().mean()


def all_against_all(images, texts, logit_scale, itself=False):
    both = F.normalize(torch.cat([images, texts]), dim=-1)
    scores = logit_scale.exp() * both @ both.T
    if not itself:
        scores = scores.masked_fill(torch.eye(len(both), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(both)).roll(len(images)))


RIGHT = """
clip_loss := written_out
clip_loss := lambda i, t, s: contrastive_loss(F.normalize(i, dim=-1), F.normalize(t, dim=-1), s.exp())
"""

EQUIVALENT = """
torch.arange(len(logits), device=logits.device) -> torch.arange(len(logits))
    a check is made on the CPU, where tensors begin anyway; that a GPU would stop is said in a note
F.normalize(images, dim=-1) -> F.normalize(images)
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(images, dim=-1) -> F.normalize(images, dim=1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(texts, dim=-1) -> F.normalize(texts)
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.normalize(texts, dim=-1) -> F.normalize(texts, dim=1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
"""

WRONG = """
logit_scale.exp() -> float(logit_scale.exp())
logit_scale.exp() -> logit_scale.detach().exp()
clip_loss := lambda i, t, s: clip_loss(i, t, s).detach()
clip_loss := lambda i, t, s: clip_loss(i, t, s).item()
logit_scale.exp() -> (2 * logit_scale).exp()
clip_loss := lambda i, t, s: clip_loss(i, t, s) / 0.6931
clip_loss := lambda i, t, s: torch.tensor(len(i)).to(i).log() - clip_loss(i, t, s)
clip_loss := lambda i, t, s: 0.9 * clip_loss(i, t, s) + 0.1 * clip_loss(i, t, 0 * s)
clip_loss := lambda i, t, s: clip_loss(i, F.pad(t, (0, 0, 0, 1)), s)
"""
