"""10.4 adding the residuals."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    cases = []
    for n, dtype in ((1, torch.float64), (2, torch.float32), (0, torch.float64), (3, torch.float64)):
        shape = whole(g, 1, 2), whole(g, 2, 4), whole(g, 2, 4), whole(g, 2, 4)
        states = [torch.randn(shape, generator=g, dtype=dtype) for _ in range(whole(g, 4, 6))]
        controls = [
            ([torch.randn(shape, generator=g, dtype=dtype) for _ in states], uniform(g, 0.3, 0.7) + (i == 1))
            for i in range(n)
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
"""

RIGHT = """
state + scale * residual for -> torch.add(state, residual, alpha=scale) for
states[:-1], states[-1] -> tuple(states[:-1]), states[-1]
states[:-1], states[-1] -> [s + sum(c * r[i] for r, c in controls) for i, s in enumerate(skips)], states[-1]
"""

WRONG = """
scale * residual for -> scale / 2 * residual for
scale * residual for -> min(scale, 1.0) * residual for
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
