"""8.4 some times more often."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def _shares(g):
    """Times that are drawn often, seldom and, the first and some others, never; the sum is no power of two."""
    shares = uniform(g, 0.5, 3, whole(g, 8, 12))
    shares[0] = shares[len(shares) // 2] = 0
    return shares


def cases(g):
    found = []
    for n in (6, 40):
        u = torch.cat([torch.zeros(1, dtype=torch.float64), uniform(g, 0.02, 0.98, n)])
        found.append(Case("draw_times", (u, _shares(g))))
    # on edges that are exact: a piece begins at its edge
    edges = torch.tensor([0.25, 0.0, 0.75, 0.5, 0.625], dtype=torch.float64)
    found.append(Case("draw_times", (edges, torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64))))
    shares = _shares(g)
    edges = (shares.cumsum(0) / shares.sum())[1:-1]
    found.append(Case("draw_times", (torch.cat([edges - 1e-5, edges + 1e-5]), shares)))
    for _ in range(2):
        shares = _shares(g)
        drawn = shares.nonzero()[:, 0] + 1
        t = torch.cat([drawn[-1:], drawn[torch.randint(len(drawn), (4,), generator=g)]])  # fewer than can be drawn
        found.append(Case("undo", (t, shares)))
    return found


HINTS = """
Lay the shares end to end on a line from 0 to 1. A number u falls into one of them: that is its time.

torch.cumsum gives the ends of the pieces, torch.searchsorted says into which piece a number falls. Read what its
argument `right` does.

A time that is drawn twice as often as it would be by equal chances should count half. By equal chances each of T times
is drawn with 1 divided by T.
"""

MISTAKES = r"""
draw_times := lambda u, shares: (u * len(shares)).long() + 1
    The shares are not used: every time is as likely as every other.
return torch.searchsorted(ends, u, right=True) + 1 -> return torch.searchsorted(ends, u, right=True)
    Your times are one too small: the first entry belongs to t = 1.
return torch.searchsorted(ends, u, right=True) + 1 -> return torch.searchsorted(ends, u, right=True) + 2
    Your times are one too large.
ends = shares.cumsum(0) / shares.sum() -> ends = shares.cumsum(0)
    The shares need not add up to 1. Yours are treated as if they did.
u, right=True) + 1 -> u) + 1
    At the very edge you draw a time whose share is 0. On which side does a number belong that hits the edge?
draw_times := lambda u, shares: len(shares) - torch.searchsorted(shares.flip(0).cumsum(0) / shares.sum(), u, right=True)
    The shares are laid out from the last time to the first, so a small u gives a late time.
ends, u, right=True) -> ends, 1 - u, right=True).clamp(max=len(shares) - 1)
    You turned u around: a large one gives an early time.
ends, u, right=True) -> ends, 1 - u, right=True)
    You turned u around: a large one gives an early time, and 0 gives none at all.
draw_times := lambda u, shares: torch.full(u.shape, int(shares.argmax()) + 1)
    You always give the likeliest time: u has no effect.
draw_times := lambda u, shares: draw_times(u, (shares.max() + 0.1 - shares) * (shares > 0))
    Times with a large share are drawn seldom, those with a small one often.
draw_times := lambda u, shares: draw_times(u, shares.square())
    The shares are squared: large ones are drawn too often.
draw_times := lambda u, shares: draw_times(u, shares.softmax(0))
    You took the softmax of the shares, so that a share of 0 is drawn, too. They are in proportion already.
draw_times := lambda u, shares: draw_times(u, shares.sort().values)
    You sorted the shares, so that they lost their times: the first entry belongs to t = 1.
draw_times := lambda u, shares: draw_times(u, shares.sort(descending=True).values)
    You sorted the shares, the largest first, so that they lost their times: the first entry belongs to t = 1.
draw_times := lambda u, shares: draw_times(u, shares).sort().values
    The times come out sorted. Each number gives its own time, in the order given.
return shares.sum() / (len(shares) * shares[t - 1]) -> return len(shares) * shares[t - 1] / shares.sum()
    You give a time the more weight the oftener it is drawn. It has too much already.
(len(shares) * shares[t - 1]) -> shares[t - 1]
    undo is too large by one factor everywhere: if every time had the same share, each should be 1.
return shares.sum() / -> return 1 /
    undo treats the shares as if they added up to 1. They need not.
return shares.sum() / (len(shares) * shares[t - 1]) -> return 1 / shares[t - 1]
    undo gives one over the share as it is. The probability of a time is its share of all, and there are T times.
return shares.sum() / -> return shares[t - 1].sum() /
    undo adds up the shares of the times drawn only. Those are a sample; the sum is over all shares.
return shares.sum() / (len(shares) * shares[t - 1]) -> return shares[t - 1].mean() / shares[t - 1]
    undo compares with the mean share of the times drawn. Those are a sample; the mean over all times is meant.
return shares.sum() / (len(shares) * shares[t - 1]) -> return 1 / shares[t - 1] / (1 / shares[t - 1]).mean()
    You divided by the mean over the times drawn. A factor must not depend on the others in the batch.
return shares.sum() / (len(shares) * shares[t - 1]) -> return 1 / shares[t - 1] / (1 / shares[t - 1]).sum()
    undo makes factors that add up to 1 in the batch. A factor must not depend on the others in the batch.
return shares.sum() / -> return shares.max() * len(shares) /
    You compare with the likeliest time. It is the mean over all times that has to stay as it was.
return shares.sum() / (len(shares) * shares[t - 1]) -> return (shares.sum() / (len(shares) * shares[t - 1])).sqrt()
    You took a root: that undoes only a part.
shares[t - 1] -> shares[t % len(shares)]
    These are the factors of the times after: the first entry belongs to t = 1.
shares[t - 1] -> shares[t]
    undo looks one entry too far: the first one belongs to t = 1.
(len(shares) * -> ((shares > 0).sum() *
    undo counts only the times that can be drawn. The mean is over all T times.
(len(shares) * -> (len(t) *
    undo counts the times drawn. The mean is over all T times, however many are drawn.
return shares.sum() / (len(shares) * shares[t - 1]) -> return torch.ones(len(t), dtype=shares.dtype)
    You gave 1 for all: the times that are drawn often would count more.
draw_times := listed(100)
    You made a list in which each time stands as often as its share says, rounded to whole numbers. The shares are no
    whole numbers: compare u with where they end.
draw_times := listed(1000)
    You made a list in which each time stands as often as its share says, rounded to whole numbers. The shares are no
    whole numbers: compare u with where they end.
draw_times := listed(10000)
    You made a list in which each time stands as often as its share says, rounded to whole numbers. The shares are no
    whole numbers: compare u with where they end.
return shares.sum() / (len(shares) * shares[t - 1]) -> return 1 / len(shares) * shares[t - 1] / shares.sum()
    undo multiplies by the probability: parentheses are missing around what stands below the line.
return shares.sum() / (len(shares) * shares[t - 1]) -> return shares.sum() / len(shares) * shares[t - 1]
    undo multiplies by the share: parentheses are missing around what stands below the line.
"""

RIGHT = r"""
return torch.searchsorted(ends, u, right=True) + 1 -> return (u[:, None] >= ends[:-1]).sum(1) + 1
ends = shares.cumsum(0) / shares.sum() -> ends = (shares / shares.sum()).cumsum(0)
return torch.searchsorted(ends, u, right=True) + 1 -> return torch.bucketize(u, ends, right=True) + 1
return shares.sum() / (len(shares) * shares[t - 1]) -> return shares.mean() / shares.gather(0, t - 1)
"""

WRONG = r"""
return torch.searchsorted(ends, u, right=True) + 1 -> return (torch.searchsorted(ends, u, right=True) + 1).double()
ends, u, right=True) -> ends, u / 2 + 0.25, right=True)
draw_times := lambda u, shares: draw_times(u, shares.sqrt())
draw_times := lambda u, shares: draw_times(u, (shares > 0).double())
draw_times := lambda u, shares: draw_times(u[:1], shares).expand(len(u)).clone()
draw_times := lambda u, shares: torch.multinomial(shares, len(u), replacement=True) + 1
return shares.sum() / -> return 2 * shares.sum() /
undo := lambda t, shares: undo(torch.arange(len(shares)) + 1, shares)
"""

EQUIVALENT = """
shares.cumsum(0) -> shares.cumsum(-1)
    there is one axis only
"""


def listed(n):
    """With a list of about n times, in which each stands as often as its share says."""

    def draw(u, shares):
        often = (n * shares / shares.sum()).round().long()
        return (torch.arange(len(shares)) + 1).repeat_interleave(often)[(u * often.sum()).long()]

    return draw
