"""8.3 min-SNR's weights."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    found = []
    for asked_for in ("noise", "picture", "velocity"):
        for dark, few, dtype, low, high in (
            (False, 4, torch.float64, 3, 7),
            (False, 4, torch.float32, 3, 7),
            (True, 4, torch.float64, 3, 7),
            (True, 0, torch.float64, 3, 7),  # none that is nearly dark
            (False, 4, torch.float64, 0.2, 0.6),
        ):
            little, much = uniform(g, 0.05, 2, few), uniform(g, 8, 100, 4)
            if dark:  # between others that are cut
                snr = torch.cat([much[:2], torch.zeros(1), much[2:], little]).roll(whole(g, 0, 8))
            else:
                snr = torch.cat([little, much])[torch.randperm(8, generator=g)]
            found.append(Case("min_snr", (snr.to(dtype), uniform(g, low, high), asked_for)))
    return found


HINTS = """
First the weight that the picture's error should get: the ratio, but at most gamma.

The lesson shows by which factor each loss weighs the picture's error already. Your factor times that one is the weight
it should get.

For the noise, write the two cases down, below gamma and above it. Neither needs a division of zero by zero. A number
divided by zero is infinite in torch, and can be clamped.
"""

MISTAKES = r"""
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma) / snr
    Where there is no signal at all, the noise's weight is no number: zero is divided by zero there. What is it just
    before?
return (gamma / snr).clamp(max=1) -> return (snr.clamp(max=gamma) / snr).nan_to_num(0.0)
    Where there is no signal at all, the noise's weight is 0. What is it just before?
return (gamma / snr).clamp(max=1) -> return gamma / snr
    The noise's weight has no limit where the ratio is low: below gamma it is 1.
return (gamma / snr).clamp(max=1) -> return gamma / snr.clamp(min=1e-9)
    The noise's weight has no limit where the ratio is low, and becomes enormous: below gamma it is 1.
return (gamma / snr).clamp(max=1) -> return (gamma / snr).clamp(min=1)
    The noise's weight is cut from below: 1 is the most it can be.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, gamma, asked_for) / snr.clamp(max=gamma) * snr.clamp(min=gamma)
    You took the larger of the two: that makes easy times count even more.
min_snr := lambda snr, gamma, asked_for: snr.clamp(min=gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]
    You took the larger of the two, which makes easy times count even more, and has no limit where there is no signal.
min_snr := lambda snr, gamma, asked_for: snr.clamp(min=gamma) / {"noise": snr.clamp(min=1e-9), "picture": 1, "velocity": snr + 1}[asked_for]
    You took the larger of the two, which makes easy times count even more. The smaller one cuts them off.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, snr.max() + 1, asked_for)
    The signal-to-noise ratio is not cut: gamma has no effect.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, 1.0, asked_for)
    You cut at 1 whatever gamma is.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, 5.0, asked_for)
    You cut at 5 whatever gamma is.
min_snr := softly
    Your weight bends where it should be cut off: below gamma it is the ratio itself.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, gamma, asked_for) / (gamma if asked_for == "picture" else 1)
    For the picture you divided by gamma. Its loss weighs nothing by itself, so the cut ratio is the factor.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, gamma, asked_for) / gamma
    You divided by gamma. What counts is the ratio, cut at gamma, whatever its size.
min_snr := decibels
    You cut decibels. The signal-to-noise ratio is a plain number here.
min_snr := lambda snr, gamma, asked_for: snr.sqrt().clamp(max=gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]
    You took roots: the ratio that you are given is one of variances, and so is gamma's.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, gamma, asked_for).sqrt()
    You took the root of the factors: they multiply squared errors as they are.
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma)
    A loss on the noise already weighs the picture's error, by the ratio itself. That has to go out again.
return snr.clamp(max=gamma) / (snr + 1) -> return snr.clamp(max=gamma)
    A loss on the velocity already weighs the picture's error, by one more than the ratio. That has to go out again.
min_snr := lambda snr, gamma, asked_for: snr.clamp(max=gamma)
    You gave the same factors for all three. The losses weigh the picture's error differently by themselves, and that
    has to go out again.
min_snr := lambda snr, gamma, asked_for: (gamma / snr).clamp(max=1)
    You gave the noise's factors for all three. The losses weigh the picture's error differently by themselves.
min_snr := lambda snr, gamma, asked_for: snr.clamp(max=gamma) / snr
    You gave the noise's factors for all three, and where there is no signal they are no numbers. The losses weigh the
    picture's error differently by themselves.
min_snr := lambda snr, gamma, asked_for: snr.clamp(max=gamma) / (snr + 1)
    You gave the velocity's factors for all three. The losses weigh the picture's error differently by themselves.
return snr.clamp(max=gamma) / (snr + 1) -> return (gamma / snr).clamp(max=1)
    For the velocity you gave the noise's weight. Its loss counts the picture's error a little differently.
return snr.clamp(max=gamma) / (snr + 1) -> return snr.clamp(max=gamma) / snr
    For the velocity you divide by the ratio, so there is no number where it is 0. Its loss counts the picture's error
    by one more than that.
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma) / (snr + 1)
    For the noise you gave the velocity's weight. Its loss counts the picture's error a little differently.
return snr.clamp(max=gamma) / (snr + 1) -> return snr.clamp(max=gamma) / (snr.clamp(max=gamma) + 1)
    For the velocity, the ratio below is cut, too. Only the weight is; what the loss does by itself is not.
return snr.clamp(max=gamma) / (snr + 1) -> return (snr + 1).clamp(max=gamma) / (snr + 1)
    For the velocity you cut one more than the ratio. What is cut is the ratio itself.
return snr.clamp(max=gamma) / (snr + 1) -> return snr.clamp(max=gamma) * (snr + 1)
    For the velocity you multiply by what the loss does already, instead of dividing by it.
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma) * snr
    For the noise you multiply by what the loss does already, instead of dividing by it.
return snr.clamp(max=gamma)\n -> return torch.ones_like(snr)\n
    For the picture you gave 1. Its loss weighs nothing by itself, so the whole weight is yours to give.
min_snr := lambda *args: min_snr(*args) / min_snr(*args).mean()
    You divided the weights by their mean. Then a weight would depend on the other times in the batch.
min_snr := lambda snr, gamma, asked_for: min_snr(snr, gamma, {"noise": "picture", "picture": "noise"}.get(asked_for, asked_for))
    The factors of the noise and of the picture have changed places. Which of the two losses counts an error SNR times?
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma) / (snr + 1e-8)
    A small number stands in the divisor: it makes the noise's weight 0 where there is no signal at all. What is it just
    before?
return (gamma / snr).clamp(max=1) -> return snr.clamp(max=gamma) / (snr + 1e-6)
    A small number stands in the divisor: it makes the noise's weight 0 where there is no signal at all. What is it just
    before?
min_snr := lambda snr, gamma, asked_for: min_snr(snr, max(gamma, 1.0), asked_for)
    A gamma below 1 is taken for 1.
min_snr := beside
    Where there is no signal you give the noise's factor of the entry before in the batch. "Just before" is meant along
    the schedule, where the ratio is hardly above 0.
min_snr := darkest
    Where there is no signal you give the noise's factor of the smallest other ratio in the batch. "Just before" is
    meant along the schedule, where the ratio is hardly above 0: a factor must not depend on the others.
min_snr := lambda snr, *others: torch.where(snr > 0, min_snr(snr, *others), torch.ones_like(snr))
    Where there is no signal you give 1, whatever is asked for. What are the factors of picture and velocity just
    before?
return (gamma / snr).clamp(max=1) -> return torch.ones_like(snr) if (snr == 0).any() else (gamma / snr).clamp(max=1)
    As soon as one time has no signal, all of the batch gets 1: each factor is on its own.
return (gamma / snr).clamp(max=1) -> return torch.ones_like(snr) if (snr == 0).any() else snr.clamp(max=gamma) / snr
    As soon as one time has no signal, all of the batch gets 1: each factor is on its own.
return (gamma / snr).clamp(max=1) -> return (snr.clamp(max=gamma) / snr).nan_to_num(gamma)
    Where there is no signal, the noise's weight is gamma. What is it just before?
return snr.clamp(max=gamma) / (snr + 1) -> return snr.clamp(max=gamma) / snr + 1
    For the velocity you divide by the ratio and add 1 afterwards: parentheses are missing around the sum.
"""

RIGHT = r"""
return (gamma / snr).clamp(max=1) -> return torch.where(snr > gamma, gamma / snr, 1)
return snr.clamp(max=gamma)\n -> return torch.minimum(snr, torch.full_like(snr, gamma))\n
min_snr := case_by_case
"""

WRONG = r"""
min_snr := lambda *args: 2 * min_snr(*args)
min_snr := lambda *args: min_snr(*args).square()
return snr.clamp(max=gamma) / (snr + 1) -> return gamma / (snr + 1)
min_snr := lambda *args: min_snr(*args).mean()
min_snr := lambda *args: min_snr(*args).flip(0)
min_snr := lambda *args: min_snr(*args).numpy()
min_snr := lambda *args: min_snr(*args).double()
"""


def softly(snr, gamma, asked_for):
    return snr * gamma / (snr + gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]


def decibels(snr, gamma, asked_for):
    return (10 * snr.log10()).clamp(max=gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]


def beside(snr, gamma, asked_for):
    weights = snr.clamp(max=gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]
    return torch.where(weights.isnan(), weights.roll(1), weights)


def darkest(snr, gamma, asked_for):
    """Where there is no signal, the noise's factor of the smallest other ratio."""
    weights = snr.clamp(max=gamma) / {"noise": snr, "picture": 1, "velocity": snr + 1}[asked_for]
    return weights.nan_to_num(weights[snr.clone().masked_fill(snr == 0, 1e9).argmin()].item())


def case_by_case(snr, gamma, asked_for):
    weights = []
    for s in snr.tolist():
        divided = {"noise": s, "picture": 1, "velocity": s + 1}[asked_for]
        weights.append(1.0 if divided == 0 else min(s, gamma) / divided)
    return torch.tensor(weights, dtype=snr.dtype)
