"""18.6 open-ended: a filter of your own for films."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.checks.solution import Solution

STILL = 0.9
KIND = "True or False is asked for, a bool of Python's: torch's answer has to be made one at the end."
NEVER = "You skip nothing, so nothing is saved."
ALWAYS = "You skip every frame, so the picture never changes."
MOVED = "Frames are skipped though the disc has moved. Where in the frame would that be seen, and what hides it in a number for the whole frame?"
LITTLE = (
    "Too few of the frames without a movement are skipped: noise and light count as changes. What do they look like, "
    "after a blur, beside a disc that is somewhere else?"
)


@cache
def _made():
    return Solution.of("18.6").made("pairs, marks")


def cases(g):
    seed = whole(g, 1, 9999)
    now, drawn, moved = _made()["pairs"](200, torch.Generator().manual_seed(seed))
    kept = moved.tolist()
    return [Case("my_skip", (a, b), read=_with(m)) for a, b, m in zip(now, drawn, kept, strict=True)]


def _with(moved):
    """The answer beside what is true."""
    return lambda answer: (answer, moved)


def _marks(results):
    answers, moved = zip(*(found for _, found in results), strict=True)
    return _made()["marks"](answers, torch.tensor(moved))


def _reached(results):
    still, moving = _marks(results)
    return f"Skipped: {still:.0%} of what stands still, at least {STILL:.0%} are wanted; {moving:.0%} of what moves, 0% are wanted."


PROPERTIES = [
    (KIND, lambda results: all(isinstance(answer, bool) for _, (answer, _) in results)),
    (NEVER, lambda results: any(answer for _, (answer, _) in results)),
    (ALWAYS, lambda results: not all(answer for _, (answer, _) in results)),
    (MOVED, lambda results: _marks(results)[1] == 0, _reached),
    (LITTLE, lambda results: _marks(results)[0] >= STILL, _reached),
]

HINTS = """
Three things change a frame: the noise of the camera, in every pixel for itself; the light, in all pixels alike; and the
disc, much, in one place. Take them apart.

A mean over small squares, F.avg_pool2d, takes most of the noise out of the difference of the two frames, and leaves the
disc.

What the light has done is the same everywhere, nearly. The disc covers little of the frame: so the median of each
colour's difference is the light's.

What is left is compared by its largest value, not by its mean. Print that value for some pairs of each kind, and put
the threshold between them.
"""

MISTAKES = f"""
my_skip := lambda now, drawn: (now - drawn).abs().mean() < 0.1
    {KIND}
my_skip := lambda now, drawn: 1
    {KIND}
my_skip := lambda now, drawn: float((now - drawn).abs().mean())
    {KIND}
my_skip := lambda now, drawn: torch.equal(now, drawn)
    {NEVER}
my_skip := lambda now, drawn: False
    {NEVER}
my_skip := lambda now, drawn: True
    {ALWAYS}
my_skip := lambda now, drawn: now.shape == drawn.shape
    {ALWAYS}
"""

RIGHT = r"""
F.avg_pool2d(now - drawn, 4, stride=2) -> F.avg_pool2d(now - drawn, 5, stride=1)
change.flatten(1).median(1).values[:, None, None] -> change.mean((1, 2), keepdim=True)
change.abs().mean(0).max() < 0.15 -> change.square().mean(0).max() < 0.0225
"""

WRONG = r"""
my_skip := lambda now, drawn: bool(torch.cosine_similarity(now.flatten(), drawn.flatten(), dim=0) > 0.97)
my_skip := lambda now, drawn: bool((now - drawn).square().mean() < 0.02)
change.abs().mean(0).max() < 0.15 -> change.abs().mean(0).max() > 0.15
change.abs().mean(0).max() < 0.15 -> change.abs().mean() < 0.15
"""

EQUIVALENT = ""
