"""15.4 T5's distances, in buckets that grow."""

import math  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    sizes = [(), (32, 128), (16, 50), (24, 200), (4 * whole(g, 2, 9), whole(g, 60, 300))]
    spread = [torch.randint(-400, 401, (6, 40), generator=g) for _ in sizes]
    places = torch.arange(whole(g, 20, 40))
    return [
        Case("bucket", (torch.arange(-300, 301),)),
        Case("bucket", (places - places[:, None],)),
        *(Case("bucket", (distance, *size)) for distance, size in zip(spread, sizes, strict=True)),
    ]


HINTS = """
Work with r, the distance without its sign; whether the word comes later only adds number // 2 at the end.

Two cases, chosen by torch.where: below number // 4 the bucket is r itself, above it the formula.

The logarithm of 0 is minus infinity, and nonsense as a whole number. torch.where does not take it, but with r of at
least 1 it does not even come up.

Cut off the digits by .long(), then take no bucket beyond the last of the half.
"""

MISTAKES = r"""
+ half * (distance > 0) -> + half * (distance < 0)
    Earlier words have the later ones' buckets, and the other way round.
+ half * (distance > 0) -> + half * (distance >= 0)
    Distance 0 has the bucket of a later word: it belongs to the first half.
torch.where(r < exact, r, far) + half * (distance > 0) -> torch.where(r < exact, r, far)
    Earlier and later words share their buckets.
far = (exact + grown.long()).clamp(max=half - 1) -> far = exact + grown.long()
    The furthest distances go beyond the last bucket of their half.
far = (exact + grown.long()).clamp(max=half - 1) -> far = grown.long().clamp(max=half - 1)
    The buckets that grow begin at 0: they begin after those of one distance each.
torch.where(r < exact, r, far) -> torch.where(r < half, r, far)
    Too many buckets are for one distance each: only the first quarter of them all.
torch.where(r < exact, r, far) -> r.clamp(max=half - 1)
    All buckets are for one distance each: from number // 4 on they grow.
grown.long() -> grown.round().long()
    You round to the nearest bucket: the formula rounds down.
grown.long() -> grown.ceil().long()
    You round up: the formula rounds down.
math.log(furthest / exact) -> math.log(furthest)
    The logarithm below the line is that of furthest alone: it is that of furthest over number // 4.
* (half - exact) -> * half
    The buckets that grow are as many as half of all: only a quarter of all are left for them.
half, exact = number // 2, number // 4 -> half, exact = number, number // 2
    Each half is as large as the whole: there are only number buckets in all, for earlier and later words together.
grown = torch.log(r.clamp(min=1) / exact) / math.log(furthest / exact) * (half - exact) -> grown = (r - exact) / (furthest - exact) * (half - exact)
    Your buckets are equally wide: they should grow with the distance.
"""

RIGHT = r"""
far = (exact + grown.long()).clamp(max=half - 1) -> far = exact + grown.clamp(max=half - exact - 1).long()
+ half * (distance > 0) -> + torch.where(distance > 0, half, 0)
"""

WRONG = r"""
r = distance.abs() -> r = distance
r.clamp(min=1) / exact -> r.clamp(min=1)
half, exact = number // 2, number // 4 -> half, exact = 16, 8
"""

EQUIVALENT = """
r.clamp(min=1) -> r
    what the logarithm says of near distances is not taken
r.clamp(min=1) -> r.clamp(min=2)
    what the logarithm says of near distances is not taken
r.clamp(min=1) -> r.clamp(min=0)
    what the logarithm says of near distances is not taken
r < exact -> r <= exact
    where r is exact, both say the same
"""
