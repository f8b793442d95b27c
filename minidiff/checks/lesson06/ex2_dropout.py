"""6.2 condition dropout."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def _chances(g, below, n, p):
    """n numbers from 0 to 1 in any order, of which `below` are less than p: not the share to be expected."""
    u = torch.cat([p * uniform(g, 0.05, 0.95, below), p + (1 - p) * uniform(g, 0.05, 0.95, n - below)])
    return u[torch.randperm(n, generator=g)]


def cases(g):
    found = []
    for n, width, p in ((12, 12, uniform(g, 0.3, 0.4)), (16, 16, uniform(g, 0.6, 0.7)), (14, 9, 0.4), (10, 10, 0.5)):
        u = _chances(g, min(n - 2, round(p * n) + whole(g, 2, 3)), n, p)
        if p == 0.5:
            u = torch.where(u == u[u > p].min(), p, u)  # exactly on the edge
        ids, null = torch.randint(3, 99, (n, width), generator=g), torch.randint(100, 199, (width,), generator=g)
        found.append(Case("drop_conditions", (ids, null, u, p)))
    ids, null, u = torch.randint(3, 99, (9, 9), generator=g), torch.full((9,), 100), uniform(g, 0.05, 0.95, 9)
    return [*found, *(Case("drop_conditions", (ids, null, u.float(), p)) for p in (0.0, 1.0))]


HINTS = """
u holds a number between 0 and 1 for each caption. What share of such numbers is smaller than p?

torch.where(condition, a, b) takes entries of a where the condition holds, else of b. All three are brought to one
shape, lined up from the right.

The condition belongs to rows. u[:, None] has the shape (B, 1), so that it goes along with (B, N).
"""

MISTAKES = """
return torch.where(u[:, None] < p, null, ids) -> return ids.clone()
    No caption was dropped: the network would never learn what to say without one.
return torch.where(u[:, None] < p, null, ids) -> return null.expand_as(ids).clone()
    All captions were dropped: the network would never learn to listen.
< p, null, ids) -> < p, ids, null)
    You dropped the wrong ones: those with a small u should go, or the share is not p.
u[:, None] < p -> u[:, None] > p
    You dropped the captions whose u is above p: those with a small u should go, or the share is not p.
u[:, None] < p -> u[:, None] <= p
    A caption whose u is exactly p was dropped: only those below it go.
u[:, None] < p -> u[:, None] < 1 - p
    You took p for the share that stays. It is the share that goes.
u[:, None] < p -> 1 - u[:, None] < p
    The share is right, but those with a large u go: agreed is that the small ones do.
< p, null, ids) -> < p, 0, ids)
    Dropped captions became zeros. Id 0 is a token like others: the null is the caption you are given.
u[:, None] < p -> u < p
    You dropped columns: the same few tokens of every caption. A caption goes as a whole or stays as a whole.
return torch.where(u[:, None] < p, null, ids) -> return torch.cat([ids[:, :1], torch.where(u[:, None] < p, null, ids)[:, 1:]], 1)
    The first token of dropped captions is still theirs: the null is a whole row, from its first token on.
u[:, None] < p -> u[0] < p
    The batch was dropped as a whole, or not at all: each caption has a u of its own.
u[:, None] < p -> (torch.arange(len(ids)) < p * len(ids))[:, None]
    You always drop the first captions of a batch: u says which ones.
u[:, None] < p -> u.argsort().argsort()[:, None] < round(p * len(u))
    You drop a fixed number of captions, those with the smallest u. Each is on its own: only whether its u is below p
    counts, so the number varies from batch to batch.
u[:, None] < p -> u[:, None] < 0.5
    p is not used: about half of the captions go, whatever it says.
< p, null, ids) -> < p, ids.roll(1, 0), ids)
    Dropped captions were replaced by those of other pictures. That is noise, not the null.
< p, null, ids) -> < p, null[0], ids)
    All tokens of a dropped caption became the null's first one: the null is a whole row of tokens.
return torch.where(u[:, None] < p, null, ids) -> return ids[u >= p]
    You took the captions out of the batch. Their pictures stay, so each needs a caption: the null.
u[:, None] < p -> u.argsort().argsort()[:, None] < int(p * len(u))
    You drop a fixed number of captions, those with the smallest u. Each is on its own: only whether its u is below p
    counts, so the number varies from batch to batch.
u[:, None] < p -> ((u < p) & ((u < p).cumsum(0) == 1))[:, None]
    Only the first of the captions that should go was dropped. If that is a loop: a return in it ends it.
"""

RIGHT = """
return torch.where(u[:, None] < p, null, ids) -> dropped = (u < p).long()[:, None]\\n    return dropped * null + (1 - dropped) * ids
return torch.where(u[:, None] < p, null, ids) -> return torch.stack([null if chance < p else row for row, chance in zip(ids, u, strict=True)])
return torch.where(u[:, None] < p, null, ids) -> out = ids.clone()\\n    out[u < p] = null\\n    return out
"""

WRONG = """
u[:, None] < p -> u[:, None] < min(p, 0.4)
u[:, None] < p -> u[:, None] < p * p
u[:, None] < p -> u.argsort()[:, None] < p * len(u)
u[:, None] < p -> torch.rand(len(ids), 1) < p
< p, null, ids) -> < p, null.flip(0), ids)
return torch.where(u[:, None] < p, null, ids) -> return torch.where(u[:, None] < p, null, ids).float()
return torch.where(u[:, None] < p, null, ids) -> return u < p
"""
