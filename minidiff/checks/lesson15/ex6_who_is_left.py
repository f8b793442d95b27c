"""15.6 open-ended: an encoder of your own that knows who is left."""

from functools import cache

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution

GOAL = 0.9
KIND = "States (B, M, D) are asked for, one row of them for each sentence, D at most 600, of the sentences' dtype."
FINITE = "A state holds something that is no finite number."
ALONE = "A sentence's states change with the sentences beside it: each has to be read alone."
WORSE = "The reader cannot tell more than by tossing a coin. Is the relation anywhere multiplied with what stands beside it?"
FAR = (
    "Better than a coin, and not enough. The pairs that are asked about were never fitted: what you tell has to hold "
    "for any two objects."
)


@cache
def _made():
    return Solution.of("15.6").made("halves, score, WORDS")


def _mean(states):
    """The mean of a sentence's states, filled up to 600 numbers; what is no states, as it is."""
    if not torch.is_tensor(states) or states.ndim != 3 or states.shape[2] > 600:
        return states
    return F.pad(states.mean(1), (0, 600 - states.shape[2]))


def cases(g):
    made = _made()
    sides, halves = made["WORDS"][8:10], made["halves"](whole(g, 1, 999))
    return [Case("my_states", (x, *sides), read=_mean) for half in halves for x in (half, half[:5])]


def _value(results):
    (a, of_a), _, (b, of_b), _ = results
    return _made()["score"](a.args[0], of_a[:, None], b.args[0], of_b[:, None])


def _reached(results):
    return f"The left one gets more in {_value(results):.0%} of the sentences; at least {GOAL:.0%} is wanted."


def _kind(results):
    wanted = ((len(case.args[0]), 600) for case, _ in results)
    kept = [means for _, means in results if torch.is_tensor(means) and means.dtype == torch.float64]
    return len(kept) == len(results) and all(m.shape == shape for m, shape in zip(kept, wanted, strict=True))


PROPERTIES = [
    (KIND, _kind),
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
my_states := lambda x, left, right: x / 0
    {FINITE}
my_states := lambda x, left, right: x - x.mean(0)
    {ALONE}
"""

RIGHT = r"""
my_states := lambda x, left, right: torch.einsum("ba,bc->bac", x[:, 0], x[:, 1]).flatten(1)[:, None] - torch.einsum("ba,bc->bac", x[:, 2], x[:, 1]).flatten(1)[:, None]
my_states := lambda x, left, right: torch.where((x[:, 1] @ left > x[:, 1] @ right)[:, None, None], x[:, :1] - x[:, 2:3], x[:, 2:3] - x[:, :1])
"""

WRONG = r"""
my_states := lambda x, left, right: x
my_states := lambda x, left, right: (torch.eye(4, dtype=x.dtype)[:, :, None] * x[:, None]).flatten(2)
my_states := lambda x, left, right: x * (x[:, 1:2] @ (left - right))[..., None].sign()
my_states := lambda x, left, right: x[:, ::2]
my_states := lambda x, left, right: x[:, :1]
second * sign -> second && first * sign -> first
"""
