"""14.3 noise on the small picture, and a map that says how much."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def case(B, H, W, dtype=torch.float64, level=None):
        little, eps = (torch.randn(B, 3, H, W, generator=g, dtype=dtype) for _ in range(2))
        level = uniform(g, 0.1, 0.9, B, dtype=dtype) if level is None else torch.full((B,), level, dtype=dtype)
        return Case("augmented", (little, level, eps))

    return [
        case(2, 4, 6),
        case(3, 5, 3),
        case(4, 3, 4),
        case(3, 4, 4, level=0.0),
        case(2, 4, 5, level=1.0),
        case(2, 6, 4, dtype=torch.float32),
    ]


HINTS = """
level.view(-1, 1, 1, 1) multiplies a picture each.

Noise and picture keep the variance of the whole at 1, if both had it: the squares of the two factors add up to 1.

The map holds one number, its picture's level, at every pixel: one channel, as high and as wide as the picture.
"""

MISTAKES = r"""
return (1 - level**2).sqrt() * little -> return (1 - level) * little
    The picture's factor is 1 - level: with it the variance sinks. The squares of both factors add up to 1.
return (1 - level**2).sqrt() * little -> return (1 - level**2) * little
    The root is missing: your factor for the picture is the square of the right one.
return (1 - level**2).sqrt() * little -> return (1 - level).sqrt() * little
    The level is not squared under the root.
return (1 - level**2).sqrt() * little + level * eps, -> return (1 - level).sqrt() * little + level.sqrt() * eps,
    You take the level for a variance: it is the noise's factor itself, and squared it is the variance.
return (1 - level**2).sqrt() * little + level * eps, -> return ((1 - level**2).sqrt() * little + level * eps).clamp(-1, 1),
    You clamp what comes out: noise reaches beyond the values of pictures.
+ level * eps, -> + level * eps[:, :1],
    All channels get the noise of the first one.
return (1 - level**2).sqrt() * little -> return little
    The noise is added to the whole picture: its variance grows. The picture shrinks as the noise comes.
+ level * eps, -> + level**2 * eps,
    The noise is multiplied by the level squared.
+ level * eps, -> + level.sqrt() * eps,
    The noise is multiplied by the root of the level.
+ level * eps, -> - level * eps,
    The noise is taken off: it is added.
return (1 - level**2).sqrt() * little + level * eps, -> return (1 - level**2) * little + level**2 * eps,
    Both factors are the squares of the right ones: the roots are missing.
return (1 - level**2).sqrt() * little + level * eps, -> return (1 - level**2).sqrt() * (little + level * eps),
    The noise shrinks with the picture: the root multiplies the picture alone.
return (1 - level**2).sqrt() * little + level * eps, -> return (little + level * eps) / (1 + level**2).sqrt(),
    Noise is added to the whole picture, and then both shrink: it is the picture's factor alone that keeps the variance.
return (1 - level**2).sqrt() * little -> return (1 + level**2).sqrt() * little
    The picture grows with the noise: the sign under the root is wrong.
+ level * eps, -> + level * torch.randn_like(eps),
    You draw noise of your own: eps is given.
return (1 - level**2).sqrt() * little + level * eps, -> return level * little + (1 - level**2).sqrt() * eps,
    Picture and noise have changed places: at level 0 the picture is as it was.
level.expand(-1, 1, *little.shape[2:]) -> (level**2).expand(-1, 1, *little.shape[2:])
    The map holds the squared level.
level.expand(-1, 1, *little.shape[2:]) -> (1 - level**2).sqrt().expand(-1, 1, *little.shape[2:])
    The map holds the picture's factor: it says how much noise there is.
level.expand(-1, 1, *little.shape[2:]) -> 1 - level.expand(-1, 1, *little.shape[2:])
    The map holds 1 minus the level.
level.expand(-1, 1, *little.shape[2:]) -> level[:1].expand(len(little), 1, *little.shape[2:])
    All maps hold the first picture's level: each picture has its own.
level.expand(-1, 1, *little.shape[2:]) -> (level * eps)[:, :1]
    The map holds noise: it says at every pixel how much there is, the same number everywhere.
level.expand(-1, 1, *little.shape[2:]) -> level.mean().expand(len(little), 1, *little.shape[2:])
    All maps hold the mean level: each picture has its own.
level.expand(-1, 1, *little.shape[2:]) -> 0 * level.expand(-1, 1, *little.shape[2:])
    The map is empty: the network would not know how far to trust the picture.
level = level.view(-1, 1, 1, 1) -> level = level.mean().expand(len(little), 1, 1, 1)
    All pictures have the mean level: each has its own.
level = level.view(-1, 1, 1, 1) -> level = level[:1].view(-1, 1, 1, 1).expand(len(little), 1, 1, 1)
    All pictures have the first one's level: each has its own.
"""

RIGHT = r"""
level.expand(-1, 1, *little.shape[2:]) -> level * torch.ones_like(little[:, :1])
(1 - level**2).sqrt() * little + level * eps -> level.acos().sin() * 0 + (1 - level.square()) ** 0.5 * little + eps * level
"""

WRONG = r"""
+ level * eps, -> + 2 * level * eps,
return (1 - level**2).sqrt() * little -> return (1 - level**3).sqrt() * little
level.expand(-1, 1, *little.shape[2:]) -> level.expand(-1, 3, *little.shape[2:])
"""

EQUIVALENT = ""
