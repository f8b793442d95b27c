"""16.5 the walk on the sphere: slerp, and a picture turned by words."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    def units(n, *shape, dtype=torch.float64):
        return [F.normalize(torch.randn(shape, generator=g, dtype=dtype), dim=-1) for _ in range(n)]

    def walk(share, *shape, **how):
        return Case("slerp", (*units(2, *shape, **how), share))

    def turn(share, *shape, **how):
        return Case("text_difference", (*units(3, *shape, **how), share))

    shares = [uniform(g, 0.1, 0.4), uniform(g, 0.6, 0.9)]
    return [
        *(walk(share, 4, 6) for share in (*shares, 0.0, 1.0)),
        walk(shares[0], 3, 5, dtype=torch.float32),
        *(turn(share, 4, 6) for share in (*shares, 0.0)),
        turn(shares[1], 3, 5, dtype=torch.float32),
    ]


HINTS = """
The angle of two unit vectors is the arc cosine of their product, one angle for each row: keep the dimension, so that it
broadcasts.

slerp is then one line, the formula. At share 0 it gives a, at share 1 it gives b.

text_difference is slerp, with the picture as a. Its b is a unit vector, made of both captions.
"""

MISTAKES = r"""
angle = (a * b).sum(-1, keepdim=True).acos() -> angle = (a * b).sum(-1, keepdim=True)
    The product of two unit vectors is the cosine of their angle: take the arc cosine.
angle = (a * b).sum(-1, keepdim=True).acos() -> angle = (a * b).sum().clamp(-0.99, 0.99).acos()
    There is one angle for all rows: each pair has its own.
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> return ((share * angle).sin() * a + ((1 - share) * angle).sin() * b) / angle.sin()
    slerp walks from b to a: at share 0 it should be at a.
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> return (1 - share) * a + share * b
    slerp goes the straight way, through the inside of the sphere.
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> return F.normalize((1 - share) * a + share * b, dim=-1)
    slerp goes the straight way and is pushed out to the sphere: the points are on the way, but not at the right share.
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> return ((1 - share) * angle).sin() * a + (share * angle).sin() * b
    slerp does not divide by the sine of the whole angle.
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> return (((1 - share) * angle).cos() * a + (share * angle).cos() * b) / angle.sin()
    slerp takes cosines for sines.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(z, F.normalize(before - after, dim=-1), share)
    text_difference turns away from the second caption: it is after minus before.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(z, after - before, share)
    The difference of two unit vectors is no unit vector: text_difference has to make it one.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(z, after, share)
    text_difference turns towards the second caption itself: the difference of both is asked for.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return F.normalize(z + share * (after - before), dim=-1)
    text_difference adds the difference and makes the sum a unit vector: it should walk along the sphere.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return z + share * (after - before)
    text_difference leaves the sphere: it should walk along it.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(F.normalize(after - before, dim=-1), z, share)
    text_difference begins at the words and walks to the picture.
angle = (a * b).sum(-1, keepdim=True).acos() -> angle = (a * b).sum(-1).mean().acos()
    There is one angle for all rows, that of their mean cosine: each pair has its own.
angle = (a * b).sum(-1, keepdim=True).acos() -> angle = (1 - (a * b).sum(-1, keepdim=True) ** 2).sqrt().asin()
    Your angle is never above 90 degrees: where a and b point away from each other it should be.
return slerp(z, F.normalize(after - before, dim=-1), share) -> return F.normalize(z + share * F.normalize(after - before, dim=-1), dim=-1)
    text_difference adds a share of the direction and makes the sum a unit vector: it should walk along the sphere.
.sum(-1, keepdim=True).acos() -> .sum(-1, keepdim=True).acos().rad2deg()
    The angle is in degrees: sin wants it as acos gives it.
"""

RIGHT = r"""
return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin() -> side = F.normalize(b - (a * b).sum(-1, keepdim=True) * a, dim=-1)\n    return (share * angle).cos() * a + (share * angle).sin() * side
.sum(-1, keepdim=True).acos() -> .sum(-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7).acos()
F.normalize(after - before, dim=-1) -> (after - before) / (after - before).norm(dim=-1, keepdim=True)
"""

WRONG = r"""
F.normalize(after - before, dim=-1) -> F.normalize(after - before, dim=0)
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(before, after, share)
return slerp(z, F.normalize(after - before, dim=-1), share) -> return slerp(z, F.normalize(after - z, dim=-1), share)
"""

EQUIVALENT = """
(a * b).sum(-1, keepdim=True) -> (a * b).sum(1, keepdim=True)
    dim 1 is the last one
F.normalize(after - before, dim=-1) -> F.normalize(after - before)
    dim 1, which is the last one, is where it works if nothing is said
F.normalize(after - before, dim=-1) -> F.normalize(after - before, dim=1)
    dim 1 is the last one
"""
