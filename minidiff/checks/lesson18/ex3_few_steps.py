"""18.3 few calls: an answer, fresh noise, and the next answer."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import schedule, states
from minidiff.checks.lesson18 import answerer
from minidiff.checks.parts import whole


class Dice:
    """noise(x): other numbers at each call. Every attempt gets a copy, and none is said to have changed it."""

    def __init__(self, seed):
        self.seed = 1000 * seed

    def __call__(self, x):
        self.seed += 1
        return 1.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(self.seed), dtype=x.dtype) + 0.2

    def __eq__(self, other):
        return isinstance(other, Dice)

    __hash__ = None

    def __repr__(self):
        return "noise"


def cases(g):
    def case(ts, *shape, dtype=torch.float64):
        x, times = torch.randn(shape, generator=g, dtype=dtype), torch.tensor(ts, dtype=torch.float64)
        return Case("few_steps", (answerer(g, dtype), x, schedule(g, 30), times, Dice(whole(g, 1, 999))), read=states)

    return [
        case([30, 21, 12, 5, 0], 2, 3, 4),
        case([30, 0], 4, 5),
        case([26, whole(g, 14, 18), 7, 3], 3, 2),  # does not end in clean data
        case([30, 16, 0], 2, 2, 3, dtype=torch.float32),
    ]


HINTS = """
Pairs that follow each other: zip(ts[:-1], ts[1:]).

An answer knows nothing of the old noise any more. So the new state is made of the answer and fresh noise alone, at the
level of the next time.

yield gives a state and goes on from there when the next one is asked for: it stands inside the loop, at its end.
"""

MISTAKES = r"""
x0 = f(x, t) -> x0 = f(x, s)
    f is told the time s: what it sees stands at t.
alpha, sigma = schedule(s) -> alpha, sigma = schedule(t)
    You make the state at t anew: it belongs to s.
x = alpha * x0 + sigma -> x = x0 + sigma
    The answer is not multiplied by the alpha of s.
+ sigma * noise(x0) -> + 0 * noise(x0)
    The fresh noise is missing: f would be asked at s about something that has no noise.
+ sigma * noise(x0) -> + noise(x0)
    The noise has the size 1: at s it is sigma of s.
+ sigma * noise(x0) -> + sigma.sqrt() * noise(x0)
    You multiply the noise by the root of sigma: sigma is a deviation already.
+ sigma * noise(x0) -> + sigma**2 * noise(x0)
    You multiply the noise by sigma squared: sigma is the deviation.
sigma * noise(x0) -> sigma * torch.randn_like(x0)
    You draw the noise yourself: noise is given, a function.
x = alpha * x0 + sigma * noise(x0) -> a, b = schedule(t)\n        x = alpha * x0 + sigma * (x - a * x0) / b
    You keep the noise that the answer leaves over: that is DDIM. Fresh noise is asked for.
yield x -> yield x0
    You yield the answers: the states at the next times are asked for.
+ sigma * noise(x0) -> + sigma * x0
    You add the answer once more in place of noise.
yield x -> pass\n    yield x
    Only the last state is given: yield stands behind the loop.
for t, s in -> z = noise(x)\n    for t, s in && + sigma * noise(x0) -> + sigma * z
    The same noise is added each time: it is fresh at each.
x = alpha * x0 + sigma * noise(x0) -> y = alpha * x0 + sigma * noise(x0) && yield x -> yield y
    f is asked about the first x each time: it sees the state that was made last.
for t, s in -> yield x\n    for t, s in
    You yield the x that is given, too: the first state asked for is the one at ts[1].
x = alpha * x0 + sigma * noise(x0) -> x = alpha * x0 + (sigma * noise(x0) if s > ts[-1] else 0)
    The last state is left without noise: it gets that of its time, which need not be 0.
x = alpha * x0 + sigma * noise(x0) -> x = x + sigma * noise(x0)
    The noise is added to x: it belongs to the answer, times alpha.
+ sigma * noise(x0) -> + (sigma**2 - schedule(ts[-1])[1] ** 2).clamp(min=0).sqrt() * noise(x0)
    The noise is a little less than sigma: its deviation is sigma of s itself.
"""

RIGHT = r"""
x = alpha * x0 + sigma * noise(x0) -> x = schedule.add_noise(x0, noise(x0), s)
x = alpha * x0 + sigma * noise(x0) -> x = alpha * x0\n        if s > 0:\n            x = x + sigma * noise(x0)
alpha * x0 -> per_sample(alpha, x0) * x0
sigma * noise(x0) -> sigma.item() * noise(x)
"""

WRONG = r"""
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-2], ts[1:-1], strict=True)
x0 = f(x, t) -> x0 = f(f(x, t), t)
"""

EQUIVALENT = """
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:])
    both have the same length
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:], strict=False)
    both have the same length
noise(x0) -> noise(x)
    x and x0 have the same shape
"""
