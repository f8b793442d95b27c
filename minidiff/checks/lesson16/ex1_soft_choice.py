"""16.1 a choice with a slope: Gumbel-softmax and straight-through."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case
from minidiff.checks.parts import uniform

LEARNS = ("shares", "logits")


def cases(g):
    def soft(tau, *shape, dtype=torch.float64):
        logits = 2 * torch.randn(shape, generator=g, dtype=dtype)
        return Case("soft_choice", (logits, uniform(g, 0.05, 0.95, *shape, dtype=dtype), tau))

    def hard(*shape, dtype=torch.float64):
        return Case("one_code", (torch.randn(shape, generator=g, dtype=dtype).softmax(1),))

    sizes = [(2, 5, 3, 4), (6, 4), (3, 7, 2)]
    return [
        *(hard(*size) for size in sizes[:2]),
        hard(*sizes[2], dtype=torch.float32),
        soft(uniform(g, 0.3, 0.8), *sizes[0]),
        soft(uniform(g, 1.3, 3.0), *sizes[1]),
        soft(uniform(g, 0.3, 0.8), *sizes[2], dtype=torch.float32),
    ]


HINTS = """
soft_choice, from the inside out: the logarithm of u is negative. Minus it is positive, so it has a logarithm again.

The temperature divides logits and Gumbel numbers together: what is added after dividing would drown the logits or be
drowned.

one_code: argmax gives numbers of codes, F.one_hot gives a new last dimension, which has to go back to the place of dim 1.

For the slope: shares minus shares, one of them detached, is exactly 0 as a number. What is its gradient?
"""

MISTAKES = r"""
gumbel = -(-u.log()).log() -> gumbel = (-u.log()).log()
    The Gumbel numbers count with the wrong sign.
gumbel = -(-u.log()).log() -> gumbel = -u.log()
    The logarithm is taken only once: these are exponential numbers.
gumbel = -(-u.log()).log() -> gumbel = u
    The uniform numbers themselves are added to the logits.
gumbel = -(-u.log()).log() -> gumbel = u.log() - (1 - u).log()
    These are logistic numbers, the difference of two of Gumbel's: right for a choice of two, with one number for both.
return ((logits + gumbel) / tau).softmax(1) -> return (logits / tau + gumbel).softmax(1)
    Only the logits are divided by the temperature.
return ((logits + gumbel) / tau).softmax(1) -> return (logits + gumbel / tau).softmax(1)
    Only the Gumbel numbers are divided by the temperature.
return ((logits + gumbel) / tau).softmax(1) -> return ((logits + gumbel) * tau).softmax(1)
    You multiply by the temperature: a low one should make the choice harder, not softer.
return ((logits + gumbel) / tau).softmax(1) -> return (logits + gumbel).softmax(1)
    The temperature has no effect.
return ((logits + gumbel) / tau).softmax(1) -> return (logits / tau).softmax(1)
    There are no dice in it: the Gumbel numbers are missing.
return ((logits + gumbel) / tau).softmax(1) -> return ((logits + gumbel) / tau).softmax(-1)
    The softmax runs over the last dimension: the codes are dim 1.
return ((logits + gumbel) / tau).softmax(1) -> return ((logits + gumbel) / tau).softmax(0)
    The softmax runs over the batch: the codes are dim 1.
return ((logits + gumbel) / tau).softmax(1) -> return ((logits.softmax(1) + gumbel) / tau).softmax(1)
    The Gumbel numbers are added to probabilities: they belong to logits.
return hard + (shares - shares.detach()) -> return shares
    one_code leaves the shares as they are: exactly 1 and 0 are asked for.
return hard + (shares - shares.detach()) -> return hard + shares
    one_code adds the shares to the chosen code: as numbers they have to cancel.
return hard + (shares - shares.detach()) -> return hard * shares
    one_code keeps the largest share: it should be exactly 1.
hard = F.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1) -> hard = torch.zeros_like(shares).scatter(-1, shares.argmax(-1, keepdim=True), 1.0)
    one_code looks for the largest along the last dimension: the codes are dim 1.
hard = F.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1) -> hard = (shares == shares.max()).to(shares)
    one_code chooses one code of the whole tensor: each place has one of its own.
hard = F.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1) -> hard = shares.round()
    one_code rounds: where no share is above a half, nothing is chosen. The largest is, however small.
"""

RIGHT = r"""
return ((logits + gumbel) / tau).softmax(1) -> return F.softmax((logits - (-u.log()).log()) / tau, dim=1)
hard = F.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1) -> hard = torch.zeros_like(shares).scatter(1, shares.argmax(1, keepdim=True), 1.0)
return hard + (shares - shares.detach()) -> return shares + (hard - shares).detach()
"""

WRONG = r"""
return ((logits + gumbel) / tau).softmax(1) -> return ((logits.detach() + gumbel) / tau).softmax(1)
return hard + (shares - shares.detach()) -> return hard
shares.argmax(1), shares.shape[1] -> shares.argmin(1), shares.shape[1]
gumbel = -(-u.log()).log() -> gumbel = -(u.log()).abs().sqrt()
gumbel = -(-u.log()).log() -> gumbel = -(-torch.rand_like(u).log()).log()
"""

EQUIVALENT = ""
