"""10.4 adding the residuals."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    cases, at = [], ((0.3, 0.7), (1.3, 1.7), (-0.7, -0.3))
    for n, dtype in ((1, torch.float64), (2, torch.float32), (0, torch.float64), (3, torch.float64)):
        shape = whole(g, 1, 2), whole(g, 2, 4), whole(g, 2, 4), whole(g, 2, 4)
        states = [torch.randn(shape, generator=g, dtype=dtype) for _ in range(whole(g, 4, 6))]
        controls = [
            ([torch.randn(shape, generator=g, dtype=dtype) for _ in states], uniform(g, *ends)) for ends in at[:n]
        ]
        cases.append(Case("steer", (states[:-1], states[-1], controls)))
    return cases


HINTS = """
The skips and the lowest level together are as many states as there are residuals: put them into one list.

For each control, make a new list: zip the states with the residuals. A new tensor each, not +=.

With no controls the loop does nothing, and the states come out as they went in.
"""

MISTAKES = r"""
state + scale * residual for -> state + residual for
    The scale is not used: all residuals come in at full strength.
state + scale * residual for -> scale * (state + residual) for
    The scale is on the U-Net's own states as well. At scale 0 the U-Net should be as it was, not silent.
state + scale * residual for -> scale * state + residual for
    The scale is on the U-Net's states instead of on the residuals.
state + scale * residual for -> (1 - scale) * state + scale * residual for
    You blend from the state to the residual. A residual is added: the state stays whole.
state + scale * residual for -> scale * residual for
    The residuals stand in the place of the states. They are added to them.
state + scale * residual for -> state - scale * residual for
    The residuals have the wrong sign.
state + scale * residual for -> state + scale**2 * residual for
    The scale is applied twice.
state + scale * residual for -> state * (1 + scale * residual) for
    The residuals are multiplied in. They are added.
state + scale * residual for -> state + residual / scale for
    The residuals are divided by their scale. They are multiplied by it.
states[:-1], states[-1] -> states[:-1], middle
    The skips are steered, but not the lowest level: the last residual is for it.
states[:-1], states[-1] -> skips, states[-1]
    Only the lowest level is steered, and the skips are not.
states[:-1], states[-1] -> states[:-1], middle + sum(residuals[-1] for residuals, _ in controls)
    The lowest level gets its residual at full strength: the scale is for all states.
states[:-1], states[-1] -> states[:-1], middle + sum(scale * residuals[0] for residuals, scale in controls)
    The lowest level gets the first residual. The last one is for it.
zip(states, residuals, strict=True) -> zip(states, residuals[::-1], strict=True)
    States and residuals are paired from opposite ends. Both lists run from the entrance down.
zip(states, residuals, strict=True) -> zip(states, [*residuals[-2::-1], residuals[-1]], strict=True)
    Skips and residuals are paired from opposite ends. Both lists run from the entrance down.
zip(states, residuals, strict=True) -> zip(states, [residuals[-1], *residuals[:-1]], strict=True)
    Residuals and states are shifted by one: the last residual is that of the lowest level.
zip(states, residuals, strict=True) -> zip(states, [*residuals[1:], residuals[0]], strict=True)
    Residuals and states are shifted by one: the first residual is that of the first skip.
in controls: -> in controls[:1]:
    Only the first control has an effect. There may be several.
in controls: -> in controls[-1:]:
    Only the last control has an effect. There may be several.
state + scale * residual for -> state + scale / len(controls) * residual for
    The controls are averaged. They add up, each at its own scale.
state + scale * residual for -> state + sum(s for _, s in controls) * residual for
    Each control comes in at the sum of all scales instead of at its own.
state + scale * residual for -> state + controls[0][1] * residual for
    All controls come in at the scale of the first one. Each has its own.
states = [*skips, middle] -> states, last = [*skips, middle], controls[-1][1] && scale * residual for -> last * residual for
    All controls come in at the scale of the last one, which is not there if there is no control. Each has its own.
states[:-1], states[-1] -> states
    You gave one list. Two things are asked for: the list of skips, and the state of the lowest level.
states[:-1], states[-1] -> states[-1], states[:-1]
    The skips come first, then the state of the lowest level.
state + scale * residual for -> state + scale / sum(s for _, s in controls) * residual for
    The scales are divided by their sum. They need not add up to 1: each residual comes in as strongly as its scale says.
zip(states, residuals, strict=True) -> zip(states, [f * r for f, r in zip(torch.logspace(-1, 0, len(residuals)).tolist(), residuals)], strict=True)
    The residuals count less the higher up they are, as in diffusers' guess mode. Here each one has the scale alone.
state + scale * residual for -> state + max(scale, 0.0) * residual for
    A control with a negative scale has no effect. A scale may be any number: below 0 it pushes the other way.
state + scale * residual for -> state + abs(scale) * residual for
    The sign of the scale is lost. A scale may be any number: below 0 it pushes the other way.
state + scale * residual for -> state + min(max(scale, 0.0), 1.0) * residual for
    The scale is kept between 0 and 1. It may be any number.
state + scale * residual for -> state + min(scale, 1.0) * residual for
    A scale above 1 counts as 1. It may be any number.
state + scale * residual for -> state + scale / max(1.0, sum(s for _, s in controls)) * residual for
    Where the scales add up to more than 1 they are divided by their sum. Each residual comes in as strongly as its
    scale says.
state + scale * residual for -> state + scale / sum(abs(s) for _, s in controls) * residual for
    The scales are divided by the sum of their sizes. They need not add up to 1: each residual comes in as strongly as
    its scale says.
steer := apart(lambda controls: controls, lambda controls: controls[-1:])
    The lowest level is steered by the last control only. All of them add to it, as to the skips.
steer := apart(lambda controls: controls, lambda controls: controls[:1])
    The lowest level is steered by the first control only. All of them add to it, as to the skips.
steer := apart(lambda controls: controls[-1:], lambda controls: controls)
    The skips are steered by the last control only. All of them add to them, as to the lowest level.
steer := apart(lambda controls: controls[:1], lambda controls: controls)
    The skips are steered by the first control only. All of them add to them, as to the lowest level.
in controls: -> in controls[1:]:
    The first control has no effect. All of them add up.
in controls: -> in controls[:-1]:
    The last control has no effect. All of them add up.
state + scale * residual for -> state + float(scale > 0) * residual for
    A control is on or off in yours: the scale says how much of it.
state + scale * residual for -> (state + scale * residual) / (1 + scale) for
    The sum is divided by one plus the scale. The state stays whole, and the residual comes in on top.
states = [*skips, middle] -> states = [torch.zeros_like(state) for state in (*skips, middle)]
    Those are the residuals alone. They are added to the U-Net's own states.
states[:-1], states[-1] -> states, states[-1]
    The lowest level stands among the skips, too. It is given beside them, and not twice.
states[:-1], states[-1] -> states[:-1][::-1], states[-1]
    The skips come back in reverse order: from the entrance down, as they were given.
states[:-1], states[-1] -> states[:-1], states[-2]
    In the place of the lowest level stands the last skip.
"""

RIGHT = """
state + scale * residual for -> torch.add(state, residual, alpha=scale) for
states[:-1], states[-1] -> tuple(states[:-1]), states[-1]
states[:-1], states[-1] -> [s + sum(c * r[i] for r, c in controls) for i, s in enumerate(skips)], states[-1]
"""

WRONG = """
scale * residual for -> scale / 2 * residual for
in controls: -> in controls[:2]:
states[:-1], states[-1] -> list(skips), middle.clone()
states[:-1], states[-1] -> [skips[0], *states[1:-1]], states[-1]
states = [*skips, middle] -> states = [*skips, middle]; skips.append(middle)
"""

EQUIVALENT = """
zip(states, residuals, strict=True) -> zip(states, residuals)
    the lists are equally long, as the text says
zip(states, residuals, strict=True) -> zip(states, residuals, strict=False)
    the lists are equally long, as the text says
"""


def apart(for_skips, for_middle):
    """From which controls steer the skips, and which the lowest level."""

    def answer(skips, middle, controls):
        for residuals, scale in for_skips(controls):
            skips = [skip + scale * residual for skip, residual in zip(skips, residuals, strict=False)]
        for residuals, scale in for_middle(controls):
            middle = middle + scale * residuals[-1]
        return skips, middle

    return answer
