"""12.2 its own pictures beside the new ones."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("losses",)
ATOL = 1e-6  # torch.where of two numbers gives weights in float32


def cases(g):
    masks = [
        ([0, 0, 0, 1, 1], torch.float64),
        ([1, 0, 1, 1, 1, 0, 1], torch.float32),
        ([1, 0, 0, 0], torch.float64),
        ([1, 1, 0, 1], torch.float64),
        ([0, 0, 0], torch.float64),
        ([1, 1, 1, 1], torch.float64),
    ]
    return [
        Case("prior_loss", (uniform(g, 0.2, 3.0, len(mask), dtype=dtype), torch.tensor(mask).bool(), weight))
        for mask, dtype in masks
        for weight in (uniform(g, 0.2, 0.9), uniform(g, 1.5, 4.0))
    ]


HINTS = """
A tensor of True and False chooses rows: losses[own]. ~own is its opposite.

Take the two means, and multiply that of the model's own pictures by the weight.

The mean of no numbers is nan. So ask with .any() whether there are some of a kind before you take the mean of them.
"""

MISTAKES = r"""
prior_loss := lambda losses, own, weight: losses.mean()
    You take one mean of all: the two kinds have a mean each.
prior_loss := lambda losses, own, weight: torch.where(own, weight * losses, losses).mean()
    You divide by the size of the whole batch: each of the two kinds is divided by its own number.
prior_loss := lambda losses, own, weight: torch.where(own, weight * losses, losses).sum()
    You add up the losses: a mean of each kind is asked for.
weight * losses[own].mean() -> losses[own].mean()
    The weight is not used.
losses[~own].mean() -> weight * losses[~own].mean() && weight * losses[own].mean() -> losses[own].mean()
    The weight is at the new pictures: it belongs to the model's own.
losses[~own].mean() -> weight * losses[~own].mean()
    The weight is at both: it belongs to the model's own pictures alone.
losses[~own].mean() -> (1 - weight) * losses[~own].mean()
    The two weights add up to 1 in yours: the new pictures always count once.
weight * losses[own].mean() -> weight * losses[own].sum() / len(losses)
    The model's own pictures are divided by the size of the whole batch: a mean over their own number is asked for.
losses[~own].mean() -> losses.mean()
    The first mean runs over the whole batch: over the new pictures alone it should.
weight * losses[own].mean() -> weight * losses.mean()
    The second mean runs over the whole batch: over the model's own pictures alone it should.
weight * losses[own].mean() -> 0
    Only the new pictures count.
losses[~own].mean() -> 0
    Only the model's own pictures count.
total + weight * losses[own].mean() -> total - weight * losses[own].mean()
    The model's own pictures are taken away: they are to be kept, so their loss is added.
return total -> return total / 2
    The sum of the two means is halved.
return total -> return total / (1 + weight)
    You divide by the sum of the weights: the new pictures always count once.
prior_loss := careless
    Where a batch has none of a kind, yours is nan: that part should be 0.
prior_loss := weighed
    You divide by the sum of all weights, those of every sample: the two kinds have a mean each.
if own.any(): -> if own.any() and not own.all():
    Where all are the model's own pictures, their part is missing.
prior_loss := only_both
    Where a batch has none of a kind, yours is 0: only the part of that kind is.
prior_loss := one_mean
    Where all are the model's own pictures, you forget the weight.
losses[own].mean() -> losses[own].sum() / (own.sum() + 1) && losses[~own].mean() -> losses[~own].sum() / ((~own).sum() + 1)
    You divide by one more than there are of a kind.
weight * losses[own].mean() -> weight**2 * losses[own].mean()
    The weight counts twice.
prior_loss := lambda losses, own, weight: losses[1 - own.long()].mean() + weight * losses[own.long()].mean()
    As numbers, True and False choose the samples 1 and 0, over and over. As a mask, of type bool, they choose those
    where True stands.
prior_loss := lambda losses, own, weight: losses[~own.long()].mean() + weight * losses[own.long()].mean()
    As numbers, True and False choose the samples 1 and 0, over and over. As a mask, of type bool, they choose those
    where True stands.
prior_loss := lambda losses, own, weight: halves(*losses.tensor_split(2), weight)
    You take the first half for new and the second for the model's own. Which is which, own says.
prior_loss := lambda losses, own, weight: halves(losses[: len(losses) // 2], losses[len(losses) // 2 :], weight)
    You take the first half for new and the second for the model's own. Which is which, own says.
prior_loss := lambda losses, own, weight: halves(losses[int(own.sum()) :], losses[: int(own.sum())], weight)
    You take the first ones of the batch for the model's own. Which they are, own says.
prior_loss := lambda losses, own, weight: halves(losses[: len(own) - int(own.sum())], losses[len(own) - int(own.sum()) :], weight)
    You take the last ones of the batch for the model's own. Which they are, own says.
weight * losses[own].mean() -> weight * losses[own].sum()
    The losses of the model's own pictures are added up: their mean is asked for.
losses[~own].mean() -> losses[~own].sum()
    The losses of the new pictures are added up: their mean is asked for.
losses[~own].mean() -> losses[~own].sum() / len(losses)
    The new pictures are divided by the size of the whole batch: a mean over their own number is asked for.
total + weight * losses[own].mean() -> weight * losses[own].mean()
    Where there are the model's own pictures, the new ones are forgotten: the second part is added to the first.
weight * losses[own].mean() -> min(weight, 1.0) * losses[own].mean()
    A weight above 1 counts as 1. It may be any number.
"""

RIGHT = r"""
losses.sum() * 0 -> losses.new_zeros(())
prior_loss := by_weights
prior_loss := lambda losses, own, weight: (losses * ~own).sum() / (~own).sum().clamp(min=1) + weight * (losses * own).sum() / own.sum().clamp(min=1)
"""

WRONG = r"""
return total -> return total.sqrt()
if own.any(): -> if own.all():
if (~own).any(): -> if (~own).sum() > 1:
losses[own].mean() -> losses[own].median()
losses[own].mean() -> losses[own].square().mean()
prior_loss := lambda losses, own, weight: losses[~own].mean() if (~own).any() else 0.0
return total -> return total.item()
"""

EQUIVALENT = """
"""


def careless(losses, own, weight):
    return losses[~own].mean() + weight * losses[own].mean()


def weighed(losses, own, weight):
    weights = torch.ones_like(losses).masked_fill(own, weight)
    return (weights * losses).sum() / weights.sum()


def only_both(losses, own, weight):
    return losses.sum() * 0 if own.all() or not own.any() else careless(losses, own, weight)


def one_mean(losses, own, weight):
    return losses.mean() if own.all() or not own.any() else careless(losses, own, weight)


def by_weights(losses, own, weight):
    n = own.sum().item()
    return (torch.where(own, weight / max(n, 1), 1 / max(len(own) - n, 1)) * losses).sum()


def halves(new, own, weight):
    return sum(part.mean() * w for part, w in ((new, 1.0), (own, weight)) if len(part))
