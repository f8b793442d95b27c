"""12.6 open-ended: learn something new, and forget little."""

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.solution import Solution

LEARNED, FORGOTTEN = 0.95, 0.25
AXES = torch.exp(-torch.arange(24, dtype=torch.float64) / 6)  # the notebook's
RANK = "A rank of 1 or 2 is asked for: A has the shape (r, 24), and B (24, r)."
FINITE = "A or B has a number that is not finite."
NEW = "It has not learned the new task: the new inputs do not get the answers that are wanted."
AS_PLAIN = (
    "The new task is learned, and as much is forgotten as by the plain solution, or more. Have you used the own inputs?"
)
FAR = (
    "Better than plain, and not enough. A new input has a part along axes where old inputs are large, and a part where "
    "they are small: let A look at the second."
)


def tried(pair):
    """The change and its rank: A and B themselves may be others, and of two ranks."""
    A, B = pair
    return {"change": B @ A, "rank": len(A)}


def cases(g):
    """Tasks as the notebook's."""
    cases = []
    for _ in range(4):
        W, own, middle, near, answer = (
            torch.randn(n, 24, generator=g, dtype=torch.float64) for n in (24, 40, 1, 10, 1)
        )
        new = 0.5 * middle + 0.1 * near
        W = W / 24**0.5
        wanted = new @ W.T + 2 * F.normalize(answer)
        cases.append(Case("my_adapter", (W, new, wanted, AXES * own), read=tried))
    return cases


def _learned(results):
    found = []
    for case, result in results:
        W, new, wanted, _ = case.args
        gap = wanted - new @ W.T
        found.append(1 - (gap - new @ result["change"].T).square().sum() / gap.square().sum())
    return min(found).item()


def _forgotten(results):
    plain = Solution.of("12.6").made("plain_adapter")["plain_adapter"]
    shares = []
    for case, result in results:
        A, B = plain(*case.args)
        shares.append((result["change"] * AXES).square().sum() / (B @ A * AXES).square().sum())
    return (sum(shares) / len(shares)).item()


def _reached(results):
    learned, forgotten = _learned(results), _forgotten(results)
    return f"Learned {learned:.2f}, at least {LEARNED} is wanted; forgotten {forgotten:.2f}, at most {FORGOTTEN}."


PROPERTIES = [
    (RANK, lambda results: all(result["rank"] in (1, 2) for _, result in results)),
    (FINITE, lambda results: all(result["change"].isfinite().all() for _, result in results)),
    (NEW, lambda results: _learned(results) >= LEARNED),
    (AS_PLAIN, lambda results: _forgotten(results) < 0.95),
    (FAR, lambda results: _forgotten(results) <= FORGOTTEN, _reached),
]

HINTS = """
Two roads. Train A and B from a start as in 12.1, by the loss of 12.2: the new inputs with their answers, and own inputs,
whose answers are those of W alone. Or compute them.

Train with own inputs, and look at the number below: does it fall when the own ones weigh more? Is the new task still
learned then? A rate of 0.05 and some hundred steps of Adam are enough.

To compute: with rank 1, B is the answer that is missing, and A a direction whose product with the middle of the new
inputs is 1. There are many such directions. Which is as small as can be on own inputs?
"""

MISTAKES = f"""
my_adapter := lambda W, new, wanted, own: (new[:3], W[:, :3])
    {RANK}
my_adapter := lambda W, new, wanted, own: (torch.eye(24, dtype=W.dtype), W)
    {RANK}
my_adapter := lambda W, new, wanted, own: (new[:1] / 0, W[:, :1])
    {FINITE}
my_adapter := lambda W, new, wanted, own: (torch.zeros_like(new[:2]), torch.zeros_like(W[:, :2]))
    {NEW}
my_adapter := lambda W, new, wanted, own: (direct(new)[0], -missing(W, new, wanted))
    {NEW}
my_adapter := lambda W, new, wanted, own: (direct(new)[0] / 2, missing(W, new, wanted))
    {NEW}
my_adapter := lambda W, new, wanted, own: (direct(new)[0], missing(W, new, wanted))
    {AS_PLAIN}
my_adapter := lambda W, new, wanted, own: (along(new, 0), missing(W, new, wanted))
    {AS_PLAIN}
"""

RIGHT = """
my_adapter := lambda W, new, wanted, own: (along(new, 12), missing(W, new, wanted))
my_adapter := trained
1e-3 * torch.eye -> 3e-3 * torch.eye
"""

WRONG = """
my_adapter := lambda W, new, wanted, own: (along(new, 4), missing(W, new, wanted))
my_adapter := lambda W, new, wanted, own: trained(W, new, wanted, own, 0.05)
my_adapter := lambda W, new, wanted, own: trained(W, new, wanted, own, 3.0, steps=10)
my_adapter := lambda W, new, wanted, own: direct(new)[0]
my_adapter := lambda W, new, wanted, own: (missing(W, new, wanted), along(new, 12))
own.T @ own -> new.T @ new
1e-3 * torch.eye -> 10.0 * torch.eye
"""

EQUIVALENT = """
"""


def direct(new):
    middle = new.mean(0, keepdim=True)
    return middle / middle.square().sum(), middle


def missing(W, new, wanted):
    return (wanted - new @ W.T).mean(0)[:, None]


def along(new, first):
    """A direction in which only the axes from the first on count."""
    middle = new.mean(0, keepdim=True).clone()
    middle[:, :first] = 0
    return middle / middle.square().sum()


def trained(W, new, wanted, own, weight=3.0, steps=150):
    g = torch.Generator().manual_seed(0)
    A = torch.randn(1, 24, generator=g, dtype=W.dtype).div(24**0.5).requires_grad_()
    B = torch.zeros(24, 1, dtype=W.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([A, B], 0.05)
    with torch.enable_grad():
        for _ in range(steps):
            change = (B @ A).T
            loss = (wanted - new @ (W.T + change)).square().sum(1).mean() + weight * (own @ change).square().sum(
                1
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return A.detach(), B.detach()
