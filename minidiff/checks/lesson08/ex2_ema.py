"""8.2 the average of the weights."""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    found = []
    for steps, most, dtype in (
        (whole(g, 3, 5), 0.999, torch.float64),
        (whole(g, 60, 80), uniform(g, 0.8, 0.85), torch.float64),
        (whole(g, 20, 30), uniform(g, 0.5, 0.6), torch.float32),
        (whole(g, 3, 5), uniform(g, 0.02, 0.06), torch.float64),  # below the decay of the first step
    ):
        shapes = [(whole(g, 2, 3), 4), (whole(g, 2, 4),), (2, 1, 2)]
        draws = [[torch.randn(shape, generator=g, dtype=dtype) for shape in shapes] for _ in range(steps + 1)]
        found.append(Case("ema", ([tensor + 2 for tensor in draws[0]], draws[1:], most), read=_listed))
    return found


def _listed(average):
    """A tuple is as good as a list; a generator is none."""
    return list(average) if isinstance(average, tuple) else average


HINTS = """
Begin with copies of the first weights. For each step, for each tensor: old and new, mixed.

The decay is the share that the average keeps; it depends on how many steps came before, and has a highest value.

tensor.lerp(other, share) gives a new tensor that lies by that share of the way towards the other one.
"""

MISTAKES = r"""
decay * old + (1 - decay) * new -> (1 - decay) * old + decay * new
    The new weights get the share that the average should keep. So it hardly remembers anything.
decay = min(most, (1 + n) / (10 + n)) -> decay = most
    The decay is at its highest from the first step on, so the random weights of the beginning stay too long.
decay = min(most, (1 + n) / (10 + n)) -> decay = (1 + n) / (10 + n)
    The decay grows without end: it should stop at the highest one that you were given.
min(most, -> max(most,
    You took the larger of the two decays. The smaller one lets the average be quick at the beginning.
in enumerate(later): -> in enumerate(later, 1):
    Your count of the steps is one ahead: at the first step n is 0.
(1 + n) / (10 + n) -> n / (10 + n)
    The decay is 0 in the first step, so what came before is forgotten at once: it begins at a tenth.
decay = min(most, (1 + n) / (10 + n))\n -> \n && decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True) -> old.lerp(new, 1 - min(most, (1 + n * len(first) + i) / (10 + n * len(first) + i))) for i, (old, new) in enumerate(zip(average, weights, strict=True))
    n counts steps. Yours grows with each tensor, so the decays within a step differ.
tensor.clone() for tensor in first -> torch.zeros_like(tensor) for tensor in first
    The average begins at zero instead of at the first weights.
tensor.clone() for tensor in first -> tensor.clone() for tensor in later[0]
    The average begins at the weights after the first step, not at those before it.
ema := lambda first, later, most: ema(later[0], later[1:], most)
    The average begins at the weights after the first step, and its count with the second: begin with those before the
    first step.
in enumerate(later): -> in enumerate([first, *later[:-1]]):
    The average sees each step one too late: the last weights are not in it.
return average -> return [tensor.clone() for tensor in later[-1]]
    These are the last weights, without any average.
return average -> return [tensor.clone() for tensor in first]
    These are the weights of the beginning: the average never moved.
return average -> return [torch.stack(each).mean(0) for each in zip(first, *later, strict=True)]
    This is the plain mean over all steps. An exponential one forgets the old ones.
return average -> return [torch.stack(each).mean(0) for each in zip(*later, strict=True)]
    This is the plain mean over the weights after the steps. An exponential one begins before them, and forgets the old
    ones.
(1 - decay) * new -> new
    The new weights enter in full, so the average becomes far too large.
decay * old + (1 - decay) * new -> old + (1 - decay) * new
    The old average stays in full while new weights come on top.
decay * old + (1 - decay) * new -> old + (1 - decay) * (old - new)
    The average moves away from the new weights: the difference has the wrong sign.
ema := mixed_with_the_last
    You mix each step's weights with those of the step before. What is mixed with them is the average so far.
ema := live
    You let the training go on from the average. It should only watch: each new weight is as it was given.
average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)] -> average = [decay * average[0] + (1 - decay) * weights[0], *average[1:]]
    Only the first tensor of the list is averaged. The others are still those before the first step.
ema := corrected
    Your average begins at zeros, and what is missing is divided out, as in Adam. Here it begins as a copy of the
    weights before the first step, which stay a part of it.
ema := divided
    You divide by one minus the product of all decays, as Adam does, whose averages begin at zero. This one begins at
    weights, so nothing is missing.
(1 + n) / (10 + n) -> len(later) / (9 + len(later))
    You take the decay of the last step in all steps: it is another one in each, by n.
(1 + n) / (10 + n) -> (1 + len(later)) / (10 + len(later))
    The decay is the same in all steps, by how many there are: it is another one in each, by n.
min(most, (1 + n) / (10 + n)) -> min(most, 1 + n) / (10 + n)
    You cut 1 + n at the highest decay, before the division: the quotient is what has a limit.
(1 + n) / (10 + n) -> (1 + n) / 10 + n
    You divide by 10 and add n: parentheses are missing around what stands below the line.
"""

RIGHT = r"""
decay * old + (1 - decay) * new -> old.lerp(new, 1 - decay)
return average -> return tuple(average)
"""

WRONG = r"""
min(most, -> min(most / 2,
in enumerate(later): -> in enumerate(later[::2]):
in enumerate(later): -> in enumerate(later[::-1]):
return average -> return [average[0], *(w.clone() for w in later[-1][1:])]
return average -> return torch.cat([w.flatten() for w in average])
return average -> return (w for w in average)
return average -> return [w + 1e-3 for w in average]
average = [tensor.clone() for tensor in first] -> average = first && average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)] -> [old.lerp_(new, 1 - decay) for old, new in zip(average, weights, strict=True)]
"""

EQUIVALENT = """
tensor.clone() -> tensor
    nothing is changed in place
min(most, (1 + n) / (10 + n)) -> min((1 + n) / (10 + n), most)
    the smaller of two is the same in either order
zip(average, weights, strict=True) -> zip(average, weights)
    both lists are equally long
zip(average, weights, strict=True) -> zip(average, weights, strict=False)
    the two lists of zip are equally long
"""


def mixed_with_the_last(first, later, most):
    out = first
    for n, (before, weights) in enumerate(zip([first, *later], later, strict=False)):
        d = min(most, (1 + n) / (10 + n))
        out = [d * old + (1 - d) * new for old, new in zip(before, weights, strict=True)]
    return out


def divided(first, later, most):
    left = math.prod(min(most, (1 + n) / (10 + n)) for n in range(len(later)))
    average = first
    for n, weights in enumerate(later):
        decay = min(most, (1 + n) / (10 + n))
        average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)]
    return [tensor / (1 - left) for tensor in average]


def live(first, later, most):
    average, before = [tensor.clone() for tensor in first], first
    for n, weights in enumerate(later):
        d = min(most, (1 + n) / (10 + n))
        moved = [a + new - old for a, new, old in zip(average, weights, before, strict=True)]
        average = [d * a + (1 - d) * m for a, m in zip(average, moved, strict=True)]
        before = weights
    return average


def corrected(first, later, most):
    average, left = [torch.zeros_like(tensor) for tensor in first], 1.0
    for n, weights in enumerate(later):
        decay = min(most, (1 + n) / (10 + n))
        average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)]
        left *= decay
    return [tensor / (1 - left) for tensor in average] if later else [tensor.clone() for tensor in first]
