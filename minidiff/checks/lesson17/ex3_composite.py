"""17.3 what a ray sees: the weights of its pieces."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole

LEARNS = ("alpha",)


def cases(g):
    wall = uniform(g, 0.1, 0.9, 2, 5, 3)
    wall[:, 2] = 1.0
    return [
        Case("composite", (wall,)),  # the first: its slopes are looked at
        Case("composite", (uniform(g, 0, 1, 2, 4),)),
        Case("composite", (uniform(g, 0, 1, 3, whole(g, 5, 8), 2, 3),)),
        Case("composite", (uniform(g, 0, 1, 4, 4, 4, 4),)),
        Case("composite", (uniform(g, 0, 1, 2, 1, 2),)),
        Case("composite", (uniform(g, 0, 0.6, 2, 6, 3, dtype=torch.float32),)),
    ]


HINTS = """
What has passed after each piece is a running product of 1 - alpha along dimension 1: torch.cumprod.

Before the first piece all light is there, 1; before the i-th, what has passed after the one before it. So the running
product is shifted by one place, and begins with a 1.

The weights are alpha times that; what is left for the ground is the last of the running product.
"""

MISTAKES = r"""
return alpha * before, passed[:, -1] -> return alpha * passed, passed[:, -1]
    A piece hides itself: before the i-th piece only those with smaller numbers have stopped light.
return alpha * before, passed[:, -1] -> return before, passed[:, -1]
    Your weights are the light that arrives at each piece: alpha of it is stopped there.
return alpha * before, passed[:, -1] -> return alpha, passed[:, -1]
    Each piece has its own alpha as its weight, as if nothing stood before it.
return alpha * before, passed[:, -1] -> return alpha * before, (alpha * before).sum(1)
    The second number is the opacity, all that was stopped: what is left for the ground is asked for.
return alpha * before, passed[:, -1] -> return alpha * before, before[:, -1]
    For the ground you leave what arrives at the last piece: that piece stops light, too.
passed = (1 - alpha).cumprod(dim=1) -> passed = alpha.cumprod(dim=1)
    You multiply what is stopped: what passes is 1 minus alpha.
passed = (1 - alpha).cumprod(dim=1) -> passed = 1 - alpha.cumsum(dim=1)
    You subtract the alphas one after the other: what passes multiplies.
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).cumprod(dim=-1)
    The product runs over the last dimension: a ray runs along dimension 1.
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).flip(1).cumprod(dim=1).flip(1) && torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1) -> torch.cat([passed[:, 1:], torch.ones_like(passed[:, :1])], dim=1) && passed[:, -1] -> passed[:, 0]
    The ray is read from far to near: the pieces that come first are near.
torch.ones_like(passed[:, :1]) -> torch.zeros_like(passed[:, :1])
    Before the first piece nothing has been stopped: all the light, 1, is there.
return alpha * before, passed[:, -1] -> return alpha * before / (alpha * before).sum(1, keepdim=True), passed[:, -1]
    You make the weights add up to 1: together with what is left for the ground they do so by themselves.
torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1) -> passed.roll(1, dims=1)
    Before the first piece stands the product of all: there nothing has been stopped, and it is 1.
return alpha * before, passed[:, -1] -> return alpha * before, 1 - alpha.sum(1)
    For the ground the alphas are subtracted from 1: what is left is the product of all 1 - alpha.
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).cumprod(dim=-1) && torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1) -> torch.cat([torch.ones_like(passed[..., :1]), passed[..., :-1]], dim=-1) && passed[:, -1] -> passed[..., -1]
    All runs along the last dimension: a ray runs along dimension 1, and behind it there may be rows and columns.
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).cumprod(dim=-1) && torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1) -> torch.cat([torch.ones_like(passed[..., :1]), passed[..., :-1]], dim=-1)
    All runs along the last dimension: a ray runs along dimension 1, and behind it there may be rows and columns.
passed = (1 - alpha).cumprod(dim=1) -> alpha = alpha.clamp(max=0.99)\n    passed = (1 - alpha).cumprod(dim=1)
    You cut alpha off at 0.99: a wall stops everything.
passed = (1 - alpha).cumprod(dim=1) -> alpha = alpha.clamp(max=0.999)\n    passed = (1 - alpha).cumprod(dim=1)
    You cut alpha off at 0.999: a wall stops everything.
return alpha * before -> return alpha * passed / (1 - alpha).clamp(min=1e-6)
    What arrives at a wall cannot be had by a division by 1 minus its alpha, 0: shift the product instead.
"""

RIGHT = r"""
return alpha * before, passed[:, -1] -> return alpha * before, 1 - (alpha * before).sum(1)
return alpha * before, passed[:, -1] -> return before - passed, passed[:, -1]
"""

WRONG = r"""
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).log().cumsum(dim=1).exp()
return alpha * before, passed[:, -1] -> return alpha * before, passed[:, -1:]
return alpha * before, passed[:, -1] -> return (alpha * before).detach(), passed[:, -1]
passed = (1 - alpha).cumprod(dim=1) -> passed = (1 - alpha).prod(dim=1, keepdim=True).expand_as(alpha)
passed = (1 - alpha).cumprod(dim=1) -> passed = (-alpha).exp().cumprod(dim=1)
"""

EQUIVALENT = ""
