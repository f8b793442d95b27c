"""15.6 open-ended: an encoder of your own that knows who is left."""

from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution

GOAL = 0.9
KIND = "States (B, M, D) are asked for, one row of them for each sentence, D at most 600, of the sentences' dtype."
FINITE = "A state holds something that is no finite number."
ALONE = "A sentence's states change with the sentences beside it: each has to be read alone."
WORSE = (
    "The reader cannot tell more than by tossing a coin. Is the relation anywhere multiplied with what stands beside "
    "it? The check's words are other vectors than the notebook's: only left and right are given."
)
FAR = (
    "Better than a coin, and not enough. The pairs that are asked about were never fitted: what you tell has to hold "
    "for any two objects."
)


@cache
def _made():
    return Solution.of("15.6").made("halves, score, left_and_right, WORDS")


@dataclass(frozen=True)
class Sentences(Case):
    """known  the same sentences in the notebook's words, by which is marked."""

    known: torch.Tensor | None = None


def _mean(n, states):
    """The mean of a sentence's states, filled up to 600 numbers, and a 1; zeros if they are not of the kind."""
    right = torch.is_tensor(states) and states.dtype == torch.float64 and states.ndim == 3
    if not right or len(states) != n or states.shape[2] > 600:
        return torch.zeros(n, 601, dtype=torch.float64)
    return F.pad(F.pad(states.mean(1), (0, 600 - states.shape[2])), (0, 1), value=1.0)


def cases(g):
    made = _made()
    turn = torch.linalg.qr(torch.randn(12, 12, generator=g, dtype=torch.float64)).Q
    words = made["WORDS"] @ turn  # as far from each other as the notebook's, but others

    def case(known):
        x = words[(known @ made["WORDS"].T).argmax(2)]
        return Sentences("my_states", (x, *words[8:10]), read=partial(_mean, len(x)), known=known)

    return [case(known) for half in made["halves"](whole(g, 1, 999)) for known in (half, half[:5])]


def _value(results):
    (a, of_a), _, (b, of_b), _ = results
    return _made()["score"](a.known, of_a[:, None, :-1], b.known, of_b[:, None, :-1])


def _reached(results):
    return f"The left one gets more in {_value(results):.0%} of the sentences; at least {GOAL:.0%} is wanted."


PROPERTIES = [
    (KIND, lambda results: all(bool(states[:, -1].all()) for _, states in results)),
    (FINITE, lambda results: all(bool(states.isfinite().all()) for _, states in results)),
    (ALONE, lambda results: all(torch.allclose(results[i][1][:5], results[i + 1][1]) for i in (0, 2))),
    (WORSE, lambda results: _value(results) > 0.6, _reached),
    (FAR, lambda results: _value(results) >= GOAL, _reached),
]

HINTS = """
Sentences differ in who is left only by the relation and the order of the two objects. Both have to meet in one number.

The relation can be told from x[:, 1] and the two vectors that are given: which of them is nearer? Make a number of it,
1 or -1.

Multiply that number into the first object's vector, and see to it that the second object's counts the other way.
"""

MISTAKES = f"""
my_states := lambda x, left, right: x.mean(1)
    {KIND}
my_states := lambda x, left, right: x.mean(0, keepdim=True)
    {KIND}
my_states := lambda x, left, right: x.repeat(1, 1, 60)
    {KIND}
my_states := lambda x, left, right: x.float()
    {KIND}
my_states := lambda x, left, right: torch.einsum("bi,bj,bk->bijk", x[:, 0], x[:, 1], x[:, 2]).flatten(1)[:, None]
    {KIND}
my_states := lambda x, left, right: [*x]
    {KIND}
my_states := lambda x, left, right: x / 0
    {FINITE}
my_states := lambda x, left, right: x - x.mean(0)
    {ALONE}
"""

RIGHT = r"""
my_states := lambda x, left, right: x[:, :1] * (x[:, 1] @ left).sign()[:, None, None]
my_states := lambda x, left, right: torch.where((x[:, 1] == left).all(1)[:, None, None], x[:, :1], x[:, 2:3])
my_states := lambda x, left, right: torch.einsum("ba,bc->bac", x[:, 0], x[:, 1]).flatten(1)[:, None] - torch.einsum("ba,bc->bac", x[:, 2], x[:, 1]).flatten(1)[:, None]
my_states := lambda x, left, right: torch.where((x[:, 1] @ left > x[:, 1] @ right)[:, None, None], x[:, :1] - x[:, 2:3], x[:, 2:3] - x[:, :1])
"""

WRONG = r"""
my_states := lambda x, left, right: x
my_states := lambda x, left, right: (torch.eye(4, dtype=x.dtype)[:, :, None] * x[:, None]).flatten(2)
my_states := lambda x, left, right: x * (x[:, 1:2] @ (left - right))[..., None].sign()
my_states := lambda x, left, right: x[:, ::2]
my_states := lambda x, left, right: x[:, :1]
my_states := lambda x, left, right: F.one_hot(_made()["left_and_right"](x)[:, 0], 8).double()[:, None]
second * sign -> second && first * sign -> first
"""
