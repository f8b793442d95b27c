"""16.3 the next code: a draw from a softmax, with a temperature and only the likeliest."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def case(B, K, *how, dtype=torch.float64, size=2):
        return Case(
            "choose",
            (size * torch.randn(B, K, generator=g, dtype=dtype), torch.rand(B, generator=g, dtype=dtype), *how),
        )

    return [
        case(64, 7),
        case(64, 9, uniform(g, 0.3, 0.6)),
        case(64, 6, uniform(g, 1.6, 2.5)),
        case(64, 8, 1.0, 3),
        case(64, 8, uniform(g, 1.6, 2.5), 4),
        case(16, 5, 1.0, 1),
        case(64, 5, 1.0, 5, size=0.2),
        case(64, 7, uniform(g, 0.3, 0.6), dtype=torch.float32),
        Case("choose", (torch.zeros(3, 4, dtype=torch.float64), torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64))),
    ]


HINTS = """
Without top, three lines: divide, softmax over the codes, cumsum over the codes.

The first code whose sum is above u: count how many sums are not.

With top: topk gives the values, the last of them is the least that may stay. Set all logits below it to minus infinity,
before the softmax; then the rest sums to 1 by itself.
"""

MISTAKES = r"""
(logits / temperature) -> (logits * temperature)
    You multiply by the temperature: a low one should make the choice bolder.
(logits / temperature) -> logits
    The temperature has no effect: what it divides are the logits, before the softmax.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return logits.argmax(1)
    You always take the likeliest code: the dice have no effect.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated > u[:, None] * cumulated[:, -1:]).sum(1)
    You count the sums above u: those that are not above it stand before the code.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) - 1
    Your code is one too early: you take the last whose sum is not above u.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) + 1
    Your code is one too late.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= 1 - u[:, None] * cumulated[:, -1:]).sum(1)
    You add up to 1 minus u.
if top is not None: -> if False:
    top has no effect: all codes may still be chosen.
logits.topk(top).values[:, -1:] -> logits.topk(top).values[:, :1]
    With top, only the likeliest code is left.
logits.topk(top).values[:, -1:] -> logits.topk(top, largest=False).values[:, -1:]
    With top, the limit is taken from the least likely codes.
logits = logits.masked_fill(logits < least, -torch.inf) -> logits = logits.masked_fill(logits < least, 0.0)
    With top, the other logits become 0, which is a probability like any other: minus infinity is none.
logits = logits.masked_fill(logits < least, -torch.inf) -> logits = logits.masked_fill(logits >= least, -torch.inf)
    With top, the likeliest codes are the ones that you forbid.
logits = logits.masked_fill(logits < least, -torch.inf) -> logits = logits.masked_fill(logits <= least, -torch.inf) && topk(top) -> topk(min(top + 1, logits.shape[1]))
    With top as large as the number of codes, one is lost.
(logits / temperature).softmax(1).cumsum(1) -> (logits.softmax(1) / temperature).cumsum(1) && return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= u[:, None]).sum(1).clamp(max=logits.shape[1] - 1)
    The temperature divides probabilities: it divides the logits, before the softmax.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated < u[:, None] * cumulated[:, -1:]).sum(1)
    You also take a code whose sum only equals u: it has to be above u.
if top is not None: -> chances = (logits / temperature).softmax(1)\n    if top is not None: && (logits / temperature).softmax(1).cumsum(1) -> (chances * (logits > -torch.inf)).cumsum(1) && return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= u[:, None]).sum(1).clamp(max=logits.shape[1] - 1)
    With top, the probabilities that are left do not sum to 1: divide by their sum, or mask before the softmax.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> chances, order = (logits / temperature).softmax(1).sort(dim=1, descending=True)\n    place = (chances.cumsum(1) <= u[:, None]).sum(1).clamp(max=(chances > 0).sum(1) - 1)\n    return order.gather(1, place[:, None])[:, 0]
    The probabilities are added up from the likeliest on: add them up from code 0 on.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> chances = (logits / temperature).softmax(1).sort(dim=1, descending=True).values\n    return (chances.cumsum(1) <= u[:, None]).sum(1).clamp(max=(chances > 0).sum(1) - 1)
    You give the place among the sorted probabilities: the code that stands there has another number.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= 1 - u[:, None]).sum(1).clamp(max=logits.shape[1] - 1)
    You add up to 1 minus u.
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated <= u[0] * cumulated[:, -1:]).sum(1)
    All rows get the first u: each has its own.
logits = logits.masked_fill(logits < least, -torch.inf) -> logits = logits.masked_fill(logits > logits.topk(top, largest=False).values[:, -1:], -torch.inf)
    With top, the least likely codes are the ones that are kept.
topk(top) -> topk(min(top + 1, logits.shape[1]))
    With top, one code more than that is kept.
if top is not None: -> kept = torch.arange(logits.shape[1]).expand_as(logits)\n    if top is not None: && logits = logits.masked_fill(logits < least, -torch.inf) -> logits, kept = logits.topk(top)
    With top, you give the place among those that are left: the code that stands there has another number.
"""

RIGHT = r"""
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (cumulated > u[:, None] * cumulated[:, -1:]).int().argmax(1)
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return torch.searchsorted(cumulated, u[:, None] * cumulated[:, -1:], right=True)[:, 0]
logits = logits.masked_fill(logits < least, -torch.inf) -> logits = torch.where(logits < least, -torch.inf, logits)
"""

WRONG = r"""
.softmax(1).cumsum(1) -> .softmax(0).cumsum(1)
.softmax(1).cumsum(1) -> .softmax(1).cumsum(0)
return (cumulated <= u[:, None] * cumulated[:, -1:]).sum(1) -> return (u * logits.shape[1]).long()
"""

EQUIVALENT = """
u[:, None] * cumulated[:, -1:] -> u[:, None] / cumulated[:, -1:]
    the last sum is 1, but for rounding
"""
