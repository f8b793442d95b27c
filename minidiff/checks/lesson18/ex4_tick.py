"""18.4 one tick of a stream: one call for frames of different times."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import noised
from minidiff.checks.lesson18 import answerer
from minidiff.checks.parts import uniform
from minidiff.schedule import EDM, Flow


def cases(g):
    def case(own, n, m, *shape, dtype=torch.float64):
        z, noises = (torch.randn(size, generator=g, dtype=dtype) for size in (shape, (n, *shape)))
        waiting, ts = torch.randn(m, *shape, generator=g, dtype=dtype), uniform(g, 0.1, 0.9, n).sort(descending=True)
        return Case("tick", (z, waiting, at_once(answerer(g, dtype)), noised(own), ts.values, noises))

    return [
        case(EDM(), 3, 2, 2, 3, 4),
        case(Flow(), 4, 3, 1, 2, 5),
        case(EDM(), 3, 0, 2, 2, 2),  # the first frame
        case(Flow(), 4, 2, 3, 2, 2),
        case(Flow(), 1, 0, 2, 3, 3),  # one call a picture: nobody waits
        case(EDM(), 2, 1, 2, 2, 2, dtype=torch.float32),
    ]


def at_once(answer):
    """Each call moves the answers on a little, so that a second one is seen."""

    def f(x, t):
        t = torch.as_tensor(t)
        if t.shape != x.shape[:1]:
            raise ValueError(f"f got {len(x)} frames and times of shape {tuple(t.shape)}, expected {len(x)} times")
        return answer(x, t) + 0.1 * len(x)

    return f


HINTS = """
schedule.add_noise(x0, eps, t) takes a batch and a time for each of it. z[None] is a batch of one.

torch.cat puts the new frame before those that wait. Of m + 1 frames the times are ts[: m + 1], for the newest has the
first time and each of the others is one call further.

Of the answers all but a finished one wait: at most n - 1 of them, the first n - 1. The k-th is noised to the time
k + 1, by the noise k + 1.

With n = 1 nobody waits: slices such as x0[: n - 1] are then empty, and nothing has to be asked for.
"""

MISTAKES = r"""
x = torch.cat([schedule.add_noise(z[None], noises[:1], ts[:1]), waiting]) -> x = torch.cat([z[None], waiting])
    The new frame is not noised to the first time.
x = torch.cat([schedule.add_noise(z[None], noises[:1], ts[:1]), waiting]) -> x = torch.cat([schedule.add_noise(z[None], noises[-1:], ts[:1]), waiting])
    The new frame gets the last noise: the first one is its own.
done = x0[-1] if len(x) == n else None -> done = x0[-1]
    A frame is given back as finished before it has had all its calls.
done = x0[-1] if len(x) == n else None -> done = x0[0] if len(x) == n else None
    You give back the newest answer: the last one has had all calls.
done = x0[-1] if len(x) == n else None -> done = x[-1] if len(x) == n else None
    You give back the noisy state: the answer is finished.
done = x0[-1] if len(x) == n else None -> done = x0[-1:] if len(x) == n else None
    The finished frame is still a batch of one.
done = x0[-1] if len(x) == n else None -> done = None
    No frame is ever finished.
left = x0[: n - 1] -> left = x[: n - 1]
    The states wait as they were, with more noise on them: what waits are the answers, noised to their next times.
left = x0[: n - 1] -> left = x0[1:]
    You keep the older answers and drop the newest: a finished one is the last.
return done, schedule.add_noise(left, noises[1 : len(left) + 1], ts[1 : len(left) + 1]) -> return done, left
    The answers wait without noise: each is noised to its next time.
noises[1 : len(left) + 1], ts[1 : -> noises[: len(left)], ts[1 :
    The noises are those of the calls that have been, not of the calls that come.
noises[1 : len(left) + 1], ts[1 : len(left) + 1] -> noises[1 : len(left) + 1], ts[: len(left)]
    The answers are noised to the times that they come from: each goes on to its next one.
noises[1 : len(left) + 1], ts[1 : len(left) + 1] -> noises[1 : len(left) + 1].flip(0), ts[1 : len(left) + 1].flip(0)
    Times and noises come in the wrong order: the newest frame has the second time.
noises[1 : len(left) + 1], ts -> torch.randn_like(left), ts
    You draw new noise: it is given.
noises[1 : len(left) + 1], ts -> noises[1:2], ts
    All that wait get the same noise: each time has its own.
return done, schedule.add_noise -> return schedule.add_noise(left, noises[1 : len(left) + 1], ts[1 : len(left) + 1]), done\n    return done, schedule.add_noise
    The finished frame comes first, then those that wait.
x = torch.cat([schedule.add_noise(z[None], noises[:1], ts[:1]), waiting]) -> x = torch.cat([waiting, schedule.add_noise(z[None], noises[:1], ts[:1])])
    The new frame stands behind those that wait: the newest comes first.
x0 = f(x, ts[: len(x)]) -> x0 = torch.cat([f(x[i : i + 1], ts[i : i + 1]) for i in range(len(x))])
    f is called once for each frame: call it once, with all of them.
done = x0[-1] if len(x) == n else None -> done = x0[0] if len(x) == n else None && left = x0[: n - 1] -> left = x0[1:] if len(x) == n else x0
    You give back the newest answer, and keep the oldest: the last one has had all calls.
left = x0[: n - 1] -> left = x0[:-1]
    The last answer is dropped while fewer than n frames are under way: it waits for its next call.
noises[1 : len(left) + 1], ts -> noises[:1].expand_as(left), ts
    All that wait get the first noise again: each time has its own.
x0 = f(x, ts[: len(x)]) -> x0 = f(x, ts[:1].expand(len(x)))
    f is told the first time for all frames: each has its own.
x0 = f(x, ts[: len(x)]) -> x0 = f(x, ts[: len(x)].flip(0))
    f is told the times in the wrong order: the newest frame has the first one.
"""

RIGHT = r"""
done = x0[-1] if len(x) == n else None -> done = x0[n - 1] if len(x0) == n else None
schedule.add_noise(z[None], noises[:1], ts[:1]) -> schedule.add_noise(z[None], noises[:1], ts[0])
left = x0[: n - 1] -> left = x0[:-1] if len(x) == n else x0
"""

WRONG = r"""
left = x0[: n - 1] -> left = x0[:n]
"""

EQUIVALENT = ""
