"""16.4 the best of k: what a critic makes of many candidates."""

import math  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case


def cases(g):
    def case(P, n, k, dtype=torch.float64):
        close = torch.stack([torch.randperm(n, generator=g) for _ in range(P)]).to(dtype) - n / 3
        return Case("best_of", (close / 7, torch.rand(P, n, generator=g) < 0.4, k))

    return [case(5, 8, 3), case(4, 6, 1), case(3, 5, 5), case(6, 9, 2, dtype=torch.float32), case(7, 12, 4)]


HINTS = """
First sort each caption's candidates, best first, and take their good along: argsort and gather.

Then one chance for each place i, by the formula. math.comb(a, b) is 0 where b is larger than a, and all chances add up
to 1.

The share expected for one caption is the sum of the chances of the good places; what is asked for is the mean over the
captions, as a float.
"""

MISTAKES = r"""
descending=True -> descending=False
    The critic's worst comes first: sort with the largest number first.
sorted_good = good.gather(1, close.argsort(dim=1, descending=True)).double() -> sorted_good = good.double()
    A caption's candidates are not sorted, so the critic has no say.
sorted_good = good.gather(1, close.argsort(dim=1, descending=True)).double() -> sorted_good = good.double().sort(dim=1, descending=True).values
    You choose by what is right, like a critic who knows all: only the critic's numbers may be looked at.
close.argsort(dim=1, descending=True) -> close.argsort(dim=1, descending=True).argsort(dim=1)
    Order and rank are exchanged: argsort says which candidate stands at each place, and argsort of that at which place each candidate stands.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> 1 / k if i < k else 0.0
    You take the mean over the k nearest: one picture is shown, the nearest of a random k.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> 1.0 if i == 0 else 0.0
    You take the best of all n, whatever k is.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> 1 / n
    You take the mean over all candidates, as if nobody chose.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> math.comb(n - i, k - 1) / math.comb(n, k)
    In the upper binomial one candidate too many is left: neither the i before it nor the candidate itself are.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> math.comb(n - 1 - i, k) / math.comb(n, k)
    In the upper binomial k are drawn: one of them is the candidate itself.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> k / n * (1 - k / n) ** i
    You draw each candidate by itself, with a chance of k in n: then there are not always k.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> ((n - i) / n) ** k - ((n - i - 1) / n) ** k
    You draw with replacement: the k are different candidates.
return (sorted_good @ torch.tensor(chances, dtype=torch.float64)).mean().item() -> return (sorted_good @ torch.tensor(chances, dtype=torch.float64)).sum().item()
    You add the captions up: their mean is asked for.
return (sorted_good @ torch.tensor(chances, dtype=torch.float64)).mean().item() -> best = close[:, :k].argmax(1, keepdim=True)\n    return good.gather(1, best).double().mean().item()
    You take the first k of the n: the mean over all choices of k is asked for.
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> math.comb(n - 1 - i, k - 1) / math.comb(n, k - 1)
    Below the line k - 1 are drawn of n: k are.
return (sorted_good @ torch.tensor(chances, dtype=torch.float64)).mean().item() -> return sorted_good[:, :k].amax(1).mean().item()
    You count a caption if any of the k nearest is right: one picture is shown, the nearest of a random k.
"""

RIGHT = r"""
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> k / n * math.prod((n - i - j) / (n - j) for j in range(1, k))
sorted_good = good.gather(1, close.argsort(dim=1, descending=True)).double() -> sorted_good = torch.stack([row[order] for row, order in zip(good, (-close).argsort(1), strict=True)]).double()
"""

WRONG = r"""
.gather(1, close.argsort(dim=1, descending=True)) -> .gather(0, close.argsort(dim=0, descending=True))
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> math.comb(n - 1 - i, k - 1) / math.comb(n - 1, k - 1)
math.comb(n - 1 - i, k - 1) / math.comb(n, k) -> math.comb(n - 1 - i, k - 1)
"""

EQUIVALENT = """
close.argsort(dim=1, descending=True) -> close.argsort(descending=True)
    dim 1 is the last one
"""
