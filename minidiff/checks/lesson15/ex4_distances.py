"""15.4 T5's distances, in buckets that grow."""

import math  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def cases(g):
    # primes: no distance lies exactly between two buckets, where rounding would decide
    furthest = (61, 97, 127, 151, 199, 251, 293)[whole(g, 0, 6)]
    sizes = [(), (32, 128), (16, 50), (24, 200), (4 * whole(g, 2, 9), furthest)]
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
+ half * (distance > 0) -> + number * (distance > 0)
    The buckets of later words begin at number: they begin at number // 2, and there are only number in all.
+ half * (distance > 0) -> + (half - 1) * (distance > 0)
    The buckets of later words begin one too early: the last of the first half has a bucket of its own.
far = (exact + grown.long()).clamp(max=half - 1) -> far = exact + grown.long()
    The furthest distances go beyond the last bucket of their half.
far = (exact + grown.long()).clamp(max=half - 1) -> far = (exact + grown.long()).clamp(max=half)
    The furthest distances go one bucket beyond the last of their half.
half, exact = number // 2, number // 4 -> half, exact = 16, 8
    Thirty-two buckets are written into your code: number has no effect.
math.log(furthest / exact) -> math.log(128 / exact)
    A furthest distance of 128 is written into your code: furthest has no effect.
return torch.where(r < exact, r, far) + half * (distance > 0) -> near = torch.where(r < exact, r, far)\n    return torch.where(distance > 0, number - 1 - near, near)
    The buckets of later words are in reverse order: both halves have the same order.
r = distance.abs() -> r = torch.where(distance > 0, distance - 1, -distance)
    You count later words from 0: a word that stands one place later is at distance 1, and the bucket of a later word at distance 0 stays empty.
r = distance.abs() -> r = (-distance).clamp(min=0) && + half * (distance > 0) -> + 0 * half
    All later words have bucket 0, as in a decoder, which does not see them: here they have the second half.
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
math.log(furthest / exact) -> math.log(furthest / half)
    The logarithm below the line is that of furthest over number // 2: it is that of furthest over number // 4.
torch.log(r.clamp(min=1) / exact) -> torch.log2(r.clamp(min=1) / exact)
    The two logarithms have different bases, 2 above the line and e below.
torch.log(r.clamp(min=1) / exact) -> torch.log(r.clamp(min=1) / half)
    The logarithm above the line is that of r over number // 2: it is that of r over number // 4.
r.clamp(min=1) / exact -> r.clamp(min=1)
    The logarithm above the line is that of r alone: it is that of r over number // 4.
torch.log(r.clamp(min=1) / exact) / math.log(furthest / exact) -> torch.log(r.clamp(min=1)) / math.log(furthest)
    The logarithms are those of r and of furthest alone: each is divided by number // 4 first.
torch.log(r.clamp(min=1) / exact) -> torch.log1p(r / exact)
    You add 1 below the logarithm: at r = number // 4 it is 0.
torch.log(r.clamp(min=1) / exact) -> torch.log((r // exact).clamp(min=1))
    You divide with //, which cuts the digits off before the logarithm is taken.
torch.where(r < exact, r, far) -> torch.where(r < exact, distance, far)
    Near distances keep their signs: earlier words have buckets below 0.
return torch.where(r < exact, r, far) -> far = torch.where(r >= furthest, half - 1, far.clamp(max=half - 2))\n    return torch.where(r < exact, r, far)
    The last bucket is for the furthest alone in your answer: it begins where the formula says, and takes all beyond, too.
exact + grown.long() -> exact + 1 + grown.long()
    The buckets that grow begin one too late: the first of them is number // 4.
* (half - exact) -> * half
    The buckets that grow are as many as half of all: only a quarter of all are left for them.
half, exact = number // 2, number // 4 -> half, exact = number, number // 2
    Each half is as large as the whole: there are only number buckets in all, for earlier and later words together.
half, exact = number // 2, number // 4 -> half, exact = number // 4, number // 8
    Each half has a quarter of the buckets: it has half of them.
grown = torch.log(r.clamp(min=1) / exact) / math.log(furthest / exact) * (half - exact) -> grown = (r - exact) / (furthest - exact) * (half - exact)
    Your buckets are equally wide: they should grow with the distance.
"""

RIGHT = r"""
far = (exact + grown.long()).clamp(max=half - 1) -> far = exact + grown.clamp(max=half - exact - 1).long()
+ half * (distance > 0) -> + torch.where(distance > 0, half, 0)
r = distance.abs() -> r = distance.abs().clamp(max=furthest)
"""

WRONG = r"""
r = distance.abs() -> r = distance
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
