"""1.4 zero terminal SNR: end in pure noise."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import betas, whole


def cases(g):
    return [Case("zero_terminal_snr", (betas(g, whole(g, 10, 20)),)) for _ in range(3)]


HINTS = """
Go from betas to the square roots of alpha-bar, change that curve, and come back.

Two changes make any straight map: subtract something so that the last value is 0, then multiply so that the first value
is what it was.

Back: square. The first alpha-bar is 1 minus the first beta, because before it stands a 1; each later step keeps an
alpha-bar over the one before it.
"""

_BETAS = (
    "You bent the betas themselves. It is the curve of the square roots of alpha-bar that is shifted and stretched."
)
_SINGLE = (
    "You bent the roots of what single steps keep. The curve is that of alpha-bar, the product of all the steps so far."
)
MISTAKES = rf"""
zero_terminal_snr := lambda betas: torch.cat([betas[:-1], torch.ones(1, dtype=betas.dtype)])
    You made the last step take everything, and left the others: then all the missing noise comes in one jump.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> root - root[-1]
    The end is right, the beginning is not: after the shift, stretch the curve so that its first value is as before.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> (root - root[-1]) * root[0] / (root[0] + root[-1])
    The curve is stretched by a wrong factor: its first value should come out as it was before the shift.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> (root - root[-1]) / (root[0] - root[-1])
    Your first beta is 0: the curve should begin where it did, a little below 1, and a clean 1 stands before it.
cumprod(0).sqrt() -> cumprod(0) && root**2 -> root
    You shifted alpha-bar itself; the paper shifts what x_0 is multiplied by, which is its square root.
return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> return alpha_bar
    You gave alpha-bars; betas are asked for: what each step takes away from what the step before it left.
return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> return root
    You gave the square roots of alpha-bar; betas are asked for: square, and go back from products to single steps.
return 1 - torch.cat -> return torch.cat
    You gave what each step keeps; a beta is what it takes away.
return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> return 1 - alpha_bar
    You gave one minus alpha-bar, the noise of all the steps so far; a beta is that of a single one.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> root - root[-1] * torch.linspace(0, 1, len(root), dtype=root.dtype)
    Both ends are right, but what you subtract grows along the way: it is one number, and one factor puts the beginning right.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> root - 2 * root[-1]
    The last value is subtracted twice, and nothing is stretched: put what you divide by in parentheses.
return 1 - torch.cat([alpha_bar[:1], -> return 1 - torch.cat([root[:1],
    All betas are right but the first: it is one minus the first alpha-bar, and yours comes from its root.
alpha_bar = root**2 -> alpha_bar = root
    Your betas come from the square roots of alpha-bar: square them before you go back from products to single steps.
torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> alpha_bar[1:] / alpha_bar[:-1]
    A beta is missing, the first: before the first step alpha-bar is 1, and that, too, has a step after it.
[alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> [alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]).clamp(min=0.001)
    The last beta is limited: then something of the picture is left at the end, which is the flaw to be mended.
zero_terminal_snr := _first_lost
    Your first alpha-bar is not what it was: stretching brings it back, and the clean 1 at t = 0 takes no part in that.
zero_terminal_snr := lambda betas: (betas - betas[0]) / (betas[-1] - betas[0]) * (1 - betas[0]) + betas[0]
    {_BETAS}
zero_terminal_snr := lambda betas: betas / betas[-1]
    {_BETAS}
zero_terminal_snr := lambda betas: betas.clone()
    You gave the betas back as they came: the last alpha-bar is still above 0.
zero_terminal_snr := lambda betas: 0 * betas
    You gave zeros: without any beta there is no noise, and the end is clean instead of all noise.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> (root - root[-1]) * (root[0] - root[-1]) / root[0]
    The factor that stretches the curve is upside down: it should enlarge, so that the first value is as before.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> root * root[0] / (root[0] - root[-1]) - root[-1]
    You stretch first and subtract then, so neither end is right: subtract first.
(root - root[-1]) * root[0] / (root[0] - root[-1]) -> root - root[-1] * root[0] / (root[0] - root[-1])
    Only the number that you subtract is stretched: put the difference in parentheses, all of it is to be stretched.
(1 - betas).cumprod(0).sqrt() -> (1 - betas).sqrt()
    {_SINGLE}
zero_terminal_snr := _single_steps
    {_SINGLE}
torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> alpha_bar / alpha_bar.roll(1)
    Your first step divides by the last alpha-bar, which is 0: before the first one stands the clean 1.
"""

RIGHT = """
[alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]] -> [1 - betas[:1], alpha_bar[1:] / alpha_bar[:-1]]
"""

WRONG = """
return 1 - -> return betas / 2 + 0.5 - 0.5 *
return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]]) -> return (1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])).float()
"""

EQUIVALENT = """
(1 - betas).cumprod(0) -> (1 - betas).cumprod(-1)
    betas have one axis
root - root[-1] -> root[-1] - root
    the sign goes away in the square
root[0] - root[-1] -> root[-1] - root[0]
    the sign goes away in the square
"""


def _single_steps(betas):
    root = (1 - betas).sqrt()
    return 1 - ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def _first_lost(betas):
    """The curve with its clean 1, which is shifted and stretched, too."""
    root = torch.cat([torch.ones(1, dtype=betas.dtype), (1 - betas).cumprod(0).sqrt()])
    root = (root - root[-1]) * root[1] / (root[1] - root[-1])
    return 1 - (root[1:] / root[:-1]) ** 2
