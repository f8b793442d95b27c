"""12.3 a word among frozen ones."""

import torch
import torch.nn.functional as F  # noqa: F401  the edits use it

from minidiff.checks import Case
from minidiff.checks.parts import whole

LEARNS = ("vectors",)


def tried(table):
    """Reads the rows, and whether the table would get the gradient that it wants."""

    def leaves(node):
        if node is not None:
            yield from [node.variable] if hasattr(node, "variable") else []
            for before, _ in node.next_functions:
                yield from leaves(before)

    def read(rows):
        return {"rows": rows.detach(), "the table learns": any(torch.equal(x, table) for x in leaves(rows.grad_fn))}

    return read


def cases(g):
    cases = []
    for V, K, D, dtype in ((6, 1, 4, torch.float64), (5, 3, 2, torch.float64), (9, 2, 3, torch.float32)):
        table, vectors = (torch.randn(n, D, generator=g, dtype=dtype) for n in (V, K))
        ids = torch.randint(0, V + K, (whole(g, 2, 3), whole(g, 5, 7)), generator=g)
        ids[0, :K] = torch.arange(V, V + K).flip(0)  # each new one is there
        ids[1, 0], ids[1, 1] = 0, V - 1
        ids[1, 2 : 2 + K] = torch.arange(V, V + K)  # and again, in another order
        cases.append(Case("embed", (table.requires_grad_(), vectors, ids), read=tried(table)))
    for V, K, D, k, dtype in ((8, 3, 4, 3, torch.float64), (12, 1, 5, 5, torch.float64), (7, 2, 6, 1, torch.float32)):
        table = torch.randn(V, D, generator=g, dtype=dtype) * torch.logspace(-1, 1, V, dtype=dtype)[:, None]
        cases.append(Case("nearest", (table, 3 * torch.randn(K, D, generator=g, dtype=dtype), k)))
    return cases


HINTS = """
Put the new vectors below the table, as further rows. An index tensor (B, N) into a matrix (V, D) gives (B, N, D).

detach gives the same numbers without a gradient: for that which is to stay as it is, and not for that which learns.

A cosine is the product of two vectors of length 1: F.normalize makes them so. topk gives values and indices, the
largest first.
"""

MISTAKES = r"""
torch.cat([table.detach(), vectors]) -> torch.cat([vectors, table.detach()])
    The new vectors come before the table: their ids are those behind its last one.
torch.cat([table.detach(), vectors]) -> torch.cat([table, vectors])
    A gradient reaches the table, so its words would change, too: cut it off there.
torch.cat([table.detach(), vectors]) -> torch.cat([table.detach(), vectors.flip(0)])
    The new vectors stand in the opposite order.
torch.cat([table.detach(), vectors]) -> torch.cat([table.detach(), vectors[:1].expand_as(vectors)])
    All new ids get the first vector: each has its own.
torch.cat([table.detach(), vectors]) -> torch.cat([table.detach(), vectors.mean(0).expand_as(vectors)])
    All new ids get the mean of the vectors: each has its own.
embed := overwriting
    The new vectors take the places of the table's last rows: the old words should stay, and the new ids lie behind them.
cosines.topk(k) -> (new @ table.T).topk(k)
    You compare by products with rows that are not of length 1, in which long rows win.
cosines.topk(k) -> (-torch.cdist(new, table)).topk(k)
    You compare by the distance, in which lengths count: the cosine asks for the direction alone.
cosines.topk(k) -> cosines.topk(k, largest=False)
    Those are the rows that point the other way: the largest cosines are asked for.
cosines.topk(k) -> cosines.abs().topk(k)
    A row that points the opposite way counts as near: take the cosine with its sign.
topk(k).indices -> topk(k).indices.flip(1)
    The largest cosine comes last: it should come first.
topk(k).indices -> topk(k).values
    Those are the cosines themselves: ids are asked for.
topk(k).indices -> topk(k).indices.sort().values
    The ids are sorted by number: by cosine, the largest first, is asked for.
topk(k).indices -> topk(k).indices + 1
    Your ids count from 1: the table's first row is 0.
F.normalize(new, dim=1) -> F.normalize(new.mean(0, keepdim=True), dim=1).expand_as(new)
    You ask for the mean of the vectors: each has its own neighbours.
torch.cat([table.detach(), vectors])[ids] -> (table.detach()[ids % len(table)] + 0 * vectors.sum())
    The ids behind the table begin again at its first rows: they are those of the new vectors.
embed := one_late
    The first of the new ids gets the table's last row: the new ids begin at the table's length.
embed := from_one
    The new vectors stand one place off: the first id behind the table is that of the first vector.
embed := as_they_come
    You deal out the vectors as new ids appear in the text: which vector it is the id says.
torch.cat([table.detach(), vectors]) -> torch.cat([table.detach(), F.normalize(vectors, dim=1)])
    The new vectors come with length 1: as they are they are asked for.
cosines.topk(k) -> (F.normalize(new, dim=0) @ F.normalize(table, dim=0).T).topk(k)
    You bring columns to length 1: each word is a row.
cosines.topk(k) -> (new @ table.T / table.square().sum(1)).topk(k)
    You divide by the square of a row's length: by the length itself.
cosines.topk(k).indices -> cosines.topk(k + 1).indices[:, 1:]
    The row with the largest cosine is left out: it comes first.
cosines.topk(k) -> (F.normalize(new - table.mean(0), dim=1) @ F.normalize(table - table.mean(0), dim=1).T).topk(k)
    You take the table's mean away first: the cosine is that of the vectors as they are.
torch.cat([table.detach(), vectors])[ids] -> torch.where((ids == len(table))[..., None], vectors[0], table.detach()[ids.clamp(max=len(table) - 1)])
    Only the first of the new ids gets its vector. There may be several.
cosines.topk(k).indices -> cosines.argsort(1, descending=True).argsort(1)[:, :k]
    Those are the places of the first rows in the order: which rows come first is asked for. One argsort is enough.
cosines.topk(k).indices -> cosines.topk(k).indices[:1].repeat(len(new), 1)
    All vectors get the neighbours of the first: each has its own.
cosines.topk(k) -> torch.cdist(new, table).topk(k)
    Those are the rows that are farthest: the largest cosines are asked for.
cosines.topk(k) -> (new @ F.normalize(table, dim=0).T).topk(k)
    You bring the table's columns to length 1: each word is a row.
cosines.topk(k) -> F.normalize(cosines, dim=0).topk(k)
    You normalise the cosines of each row of the table over the new vectors. As they are they are compared.
"""

RIGHT = r"""
F.normalize(new, dim=1) -> new
cosines.topk(k).indices -> cosines.argsort(dim=1, descending=True)[:, :k]
torch.cat([table.detach(), vectors])[ids] -> F.embedding(ids, torch.cat([table.detach(), vectors]))
embed := by_where
"""

WRONG = r"""
torch.cat([table.detach(), vectors]) -> torch.cat([table.detach(), vectors.detach()])
torch.cat([table.detach(), vectors])[ids] -> torch.cat([table.detach(), vectors])[ids.T]
torch.cat([table.detach(), vectors])[ids] -> torch.cat([table.detach(), vectors])[ids].mean(1)
torch.cat([table.detach(), vectors])[ids] -> F.normalize(torch.cat([table.detach(), vectors])[ids], dim=-1)
cosines.topk(k).indices -> cosines.topk(k, dim=0).indices
F.normalize(table, dim=1).T -> F.normalize(table, dim=0).T
F.normalize(new, dim=1) @ F.normalize(table, dim=1).T -> F.normalize(new, dim=0) @ F.normalize(table, dim=1).T
"""

EQUIVALENT = """
F.normalize(new, dim=1) -> new
    the length of a vector changes nothing in the order of its neighbours
F.normalize(new, dim=1) -> F.normalize(new)
    1 is what is taken if not told
F.normalize(table, dim=1) -> F.normalize(table)
    1 is what is taken if not told
"""


def overwriting(table, vectors, ids):
    n = len(table) - len(vectors)
    return torch.cat([table[:n].detach(), vectors])[ids.clamp(max=len(table) - 1)]


def by_where(table, vectors, ids):
    new = ids >= len(table)
    old = table.detach()[ids.clamp(max=len(table) - 1)]
    return torch.where(new[..., None], vectors[(ids - len(table)).clamp(min=0)], old)


def one_late(table, vectors, ids):
    old = torch.cat([table.detach(), vectors])[ids]
    return torch.where((ids == len(table))[..., None], table[-1].detach(), old)


def from_one(table, vectors, ids):
    return torch.cat([table.detach(), vectors[1:], vectors[-1:]])[ids]


def as_they_come(table, vectors, ids):
    out, new = by_where(table, vectors, ids), ids >= len(table)
    return out.masked_scatter(new[..., None], vectors[torch.arange(int(new.sum())) % len(vectors)])
