"""4.5 sums with meanings."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def cases(g):
    found = []
    for n, d, p, m, k in ((40, 8, 2, 1, 5), (30, 6, 3, 1, 4), (50, 10, 1, 2, 6), (25, 5, 2, 2, 3), (40, 9, 3, 2, 4)):
        gallery = uniform(g, 0.3, 3, n, 1) * torch.randn(n, d, generator=g, dtype=torch.float64)
        plus = F.normalize(torch.randn(p, d, generator=g, dtype=torch.float64), dim=-1)
        minus = F.normalize(torch.randn(m, d, generator=g, dtype=torch.float64), dim=-1)
        gallery[0] = 2 * plus[0] - 0.5 * minus[0]  # near to one of those that go in, and among the nearest
        found.append(Case("nearest", (gallery, plus, minus, k)))
    gallery = torch.randn(30, 16, generator=g, dtype=torch.float64)
    pair = torch.linalg.qr(torch.randn(16, 2, generator=g, dtype=torch.float64))[0].T
    gallery[3] = pair[0]  # goes in itself, and is at 45 degrees from the sum: with two near the sum among the first
    gallery[[8, 20]] += 9 * (pair[0] - pair[1])
    found.append(Case("nearest", (gallery, pair[:1], pair[1:], 4)))
    return found


HINTS = """
One vector first: the sum of all under plus, less the sum of all under minus. Axis 0 is the one to sum.

F.cosine_similarity does not care how long the vectors are. It also takes one vector against many, if the one gets an
axis more.

.topk(k) gives two things, the largest values and where they are, in falling order.
"""

MISTAKES = """
plus.sum(0) - minus.sum(0) -> plus.sum(0) + minus.sum(0)
    What stands under minus is added.
plus.sum(0) - minus.sum(0) -> plus.sum(0)
    minus is not used.
plus.sum(0) - minus.sum(0) -> -minus.sum(0)
    plus is not used.
plus.sum(0) - minus.sum(0) -> minus.sum(0) - plus.sum(0)
    Those are the farthest ones: the order is the wrong way round, or plus and minus have changed places.
plus.sum(0) - minus.sum(0) -> plus.mean(0) - minus.mean(0)
    You average plus and minus, each on its own. With two here and one there, the one counts too much.
plus.sum(0) - minus.sum(0) -> (plus - minus).sum(0)
    You subtract before you add up. Where one vector is on one side and two are on the other, the one is used twice, and
    three and two do not fit at all.
plus.sum(0) - minus.sum(0) -> F.normalize(plus.sum(0), dim=-1) - F.normalize(minus.sum(0), dim=-1)
    You bring plus and minus to length 1, each on its own. How much there is of each should count.
plus.sum(0) - minus.sum(0) -> plus[0] - minus[0]
    Only the first vector of each group is used.
F.cosine_similarity(gallery, target[None], dim=-1) -> (gallery @ target)
    A long vector of the gallery wins in yours only because it is long. The angle should count.
F.cosine_similarity(gallery, target[None], dim=-1) -> (-(gallery - target).norm(dim=-1))
    You measure the distance between the ends. The angle should count, not the lengths.
F.cosine_similarity(gallery, target[None], dim=-1) -> (-(gallery - F.normalize(target, dim=0)).norm(dim=-1))
    You measure the distance between the ends, where the gallery's vectors keep their lengths. The angle should count.
F.cosine_similarity(gallery, target[None], dim=-1) -> F.cosine_similarity(gallery, target[None], dim=-1).abs()
    You ignore the sign of the cosine, so those that point the opposite way count as near.
.topk(k).indices -> .topk(k).indices.flip(0)
    The right ones, but the nearest comes last: it should come first.
.topk(k).indices -> .topk(k).indices.sort().values
    The right ones, but in the order of the gallery: the nearest should come first.
.topk(k).indices -> .topk(k).values
    You gave the cosines. Which vectors of the gallery are they of?
return F.cosine_similarity(gallery, target[None], dim=-1).topk(k).indices -> return gallery[F.cosine_similarity(gallery, target[None], dim=-1).topk(k).indices]
    You gave the vectors themselves. Where they stand in the gallery is asked for.
.topk(k).indices -> .topk(1).indices
    You gave the nearest one only: k are asked for.
.topk(k).indices -> .argmax()
    You gave the nearest one only: k are asked for.
.topk(k).indices -> .topk(k + 1).indices
    You gave one too many: k are asked for.
.topk(k).indices -> .topk(k + 1).indices[1:]
    The nearest one is left out. Here nothing is left out: that is for the caller to say.
nearest := _without_what_went_in
    You leave out vectors that went into the sum. Here nothing is left out: that is for the caller to say.
.topk(k).indices -> .topk(k).indices + 1
    You count from one: the first vector of the gallery is number 0.
F.cosine_similarity(gallery, target[None], dim=-1).topk(k).indices -> F.cosine_similarity(gallery, target[None], dim=-1)[1:].topk(k).indices + 1
    You leave out the first vector of the gallery. Here nothing is left out: that is for the caller to say.
"""

RIGHT = """
nearest := lambda g, p, m, k: (F.normalize(g, dim=-1) @ (p.sum(0) - m.sum(0))).argsort(descending=True)[:k]
"""

EQUIVALENT = """
F.cosine_similarity(gallery, target[None], dim=-1) -> F.cosine_similarity(target[None], gallery, dim=-1)
    the cosine is the same from both sides
F.cosine_similarity(gallery, target[None], dim=-1) -> F.cosine_similarity(gallery, target[None])
    of a table the last axis is axis 1, and that is the axis taken when none is named
F.cosine_similarity(gallery, target[None], dim=-1) -> F.cosine_similarity(gallery, target[None], dim=1)
    of a table the last axis is axis 1, and that is the axis taken when none is named
target[None] -> target
    it is given an axis where one is missing
"""

WRONG = """
nearest := lambda g, p, m, k: torch.arange(k)
nearest := lambda g, p, m, k: nearest(g, p, m, k).tolist()
nearest := lambda g, p, m, k: nearest(g, p, 2 * m, k)
nearest := lambda g, p, m, k: (g @ (p.sum(0) - m.sum(0)) / g.square().sum(-1)).topk(k).indices
"""


def _without_what_went_in(gallery, plus, minus, k):
    cosines = F.cosine_similarity(gallery, (plus.sum(0) - minus.sum(0))[None])
    known = F.cosine_similarity(gallery[:, None], torch.cat([plus, minus])[None], dim=-1).amax(1) > 0.999
    return cosines.masked_fill(known, -2).topk(k).indices
