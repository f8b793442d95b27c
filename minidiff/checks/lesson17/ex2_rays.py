"""17.2 rays: where a camera looks."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    def one(B, side, n, dtype=torch.float64):
        return Case("rays", (uniform(g, 0, 6, B, dtype=dtype), side, n))

    turned = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    return [
        Case("rays", (turned, 4, 3)),
        one(2, whole(g, 3, 6), whole(g, 7, 9)),
        one(5, 5, 5),
        one(3, 4, 6, dtype=torch.float32),
    ]


HINTS = """
Begin with one camera at azimuth 0: (arange(side) + 0.5) / side is at the middles of equal pieces from 0 to 1. Stretch
that to -1 to 1.

torch.meshgrid(s, u, u, indexing="ij") gives z, y and x of the shape (n, side, side): depth first, then rows, then
columns.

cos and sin of shape (B, 1, 1, 1) broadcast over them. y has no camera in it: expand it to (B, n, side, side), and stack
X, Y and Z in a new last dimension.
"""

MISTAKES = r"""
[cos * x + sin * z, -> [cos * x - sin * z, && cos * z - sin * x] -> cos * z + sin * x]
    The cameras walk the other way round: the signs of both sines are turned.
cos * z - sin * x] -> cos * z + sin * x]
    The sign of the sine in Z is wrong: what you have is no rotation.
[cos * x + sin * z, -> [cos * x - sin * z,
    The sign of the sine in X is wrong: what you have is no rotation.
z, y, x = torch.meshgrid(s, u, u, indexing="ij") -> z, x, y = torch.meshgrid(s, u, u, indexing="ij")
    Rows and columns have changed places: rows are y, columns are x.
s = (torch.arange(n).to(azimuth) + 0.5) / n * 2 - 1 -> s = 1 - (torch.arange(n).to(azimuth) + 0.5) / n * 2
    The rays run from far to near: near places come first.
u = (torch.arange(side).to(azimuth) + 0.5) / side * 2 - 1 -> u = torch.linspace(-1, 1, side).to(azimuth)
    Rows and columns run from edge to edge: they should be at the middles of equal pieces.
s = (torch.arange(n).to(azimuth) + 0.5) / n * 2 - 1 -> s = torch.linspace(-1, 1, n).to(azimuth)
    The places along a ray run from edge to edge: they should be at the middles of equal pieces.
+ 0.5) / side * 2 - 1 -> + 0.5) / side
    Rows and columns reach from 0 to 1: the cube reaches from -1 to 1.
+ 0.5) / n * 2 - 1 -> + 0.5) / n
    Depths reach from 0 to 1: the cube reaches from -1 to 1.
+ 0.5) / side * 2 - 1 -> ) / side * 2 - 1
    Rows and columns are at the beginnings of the pieces: they should be at their middles.
+ 0.5) / n * 2 - 1 -> ) / n * 2 - 1
    Depths are at the beginnings of the pieces: they should be at their middles.
cos, sin = azimuth.cos()[:, None, None, None], azimuth.sin()[:, None, None, None] -> cos, sin = azimuth.sin()[:, None, None, None], azimuth.cos()[:, None, None, None]
    Cosine and sine have changed places.
cos, sin = azimuth.cos()[:, None, None, None], azimuth.sin()[:, None, None, None] -> cos, sin = azimuth.deg2rad().cos()[:, None, None, None], azimuth.deg2rad().sin()[:, None, None, None]
    You take the azimuths for degrees: they are radians.
return torch.stack([cos * x + sin * z, y.expand(len(azimuth), n, side, side), cos * z - sin * x], dim=-1) -> return torch.stack([cos * z - sin * x, y.expand(len(azimuth), n, side, side), cos * x + sin * z], dim=-1)
    The last dimension is (Z, Y, X): it should be (X, Y, Z).
u = (torch.arange(side).to(azimuth) + 0.5) / side * 2 - 1 -> u = torch.linspace(-1, 1, side).to(azimuth) && s = (torch.arange(n).to(azimuth) + 0.5) / n * 2 - 1 -> s = torch.linspace(-1, 1, n).to(azimuth)
    Rows, columns and depths run from edge to edge: they should be at the middles of equal pieces.
+ 0.5) / side * 2 - 1 -> ) / side * 2 - 1 && + 0.5) / n * 2 - 1 -> ) / n * 2 - 1
    Rows, columns and depths are at the beginnings of the pieces: they should be at their middles.
+ 0.5) / n * 2 - 1 -> + 0.5) / side * 2 - 1
    The pieces along a ray are as long as those of rows and columns: there are n of them from -1 to 1.
+ 0.5) / side * 2 - 1 -> + 0.5) / side && + 0.5) / n * 2 - 1 -> + 0.5) / n
    Rows, columns and depths reach from 0 to 1: the cube reaches from -1 to 1.
return torch.stack([cos * x + sin * z, y.expand(len(azimuth), n, side, side), cos * z - sin * x], dim=-1) -> return torch.stack([cos * x + sin * z, cos * z - sin * x, y.expand(len(azimuth), n, side, side)], dim=-1)
    The last dimension is (X, Z, Y): it should be (X, Y, Z).
+ 0.5) / side * 2 - 1 -> + 1) / side * 2 - 1 && + 0.5) / n * 2 - 1 -> + 1) / n * 2 - 1
    Rows, columns and depths are at the ends of the pieces: they should be at their middles.
azimuth.cos()[:, None, None, None], azimuth.sin()[:, None, None, None] -> azimuth.cos()[:1, None, None, None], azimuth.sin()[:1, None, None, None] && torch.stack([cos * x + sin * z, y.expand(len(azimuth), n, side, side), cos * z - sin * x], dim=-1) -> torch.stack([cos * x + sin * z, y.expand(1, n, side, side), cos * z - sin * x], dim=-1).expand(len(azimuth), -1, -1, -1, -1)
    All cameras stand where the first one does: each has its own azimuth.
"""

RIGHT = r"""
u = (torch.arange(side).to(azimuth) + 0.5) / side * 2 - 1 -> u = (2 * torch.arange(side).to(azimuth) + 1 - side) / side
y.expand(len(azimuth), n, side, side) -> y + 0 * cos
"""

WRONG = r"""
dim=-1) -> dim=1)
cos * z - sin * x] -> cos * z]
azimuth.sin()[:, None, None, None] -> azimuth.sin()[:1, None, None, None]
s = (torch.arange(n).to(azimuth) -> s = (torch.arange(side).to(azimuth)
"""

EQUIVALENT = r"""
torch.meshgrid(s, u, u, indexing='ij') -> torch.meshgrid(s, u, u)
    torch's default, of which it only warns
"""
