"""16.6 open-ended: a dictionary of your own, better than squares picked by chance."""

from functools import cache

import torch

from minidiff.checks import Case
from minidiff.checks.solution import Solution

GOAL = 0.7
KIND = "64 words are asked for, a tensor (64, 48) of the squares' dtype."
FINITE = "A word holds something that is no finite number. Does every word have squares of its own?"
WORSE = (
    "Your words are no better than squares picked by chance. Most squares are plain ground: who speaks for the rest?"
)
FAR = (
    "Better than chance, and not enough. Which squares call a word theirs, and is the word in their middle? Ask again "
    "after you have moved it."
)


@cache
def _made():
    made = Solution.of("16.6").made("score_of, pictures, cut")
    return made, made["cut"](made["pictures"](1000, 128)), made["cut"](made["pictures"](2000, 48))


def cases(g):
    _, train, _ = _made()
    return [Case("my_dictionary", (train[torch.randperm(len(train), generator=g)],))]


def _value(results):
    made, train, fresh = _made()
    words = results[0][1]
    return made["score_of"](words, train, fresh)


def _reached(results):
    return f"The error is {_value(results):.3f} times that of chance; at most {GOAL} is wanted."


def _kind(results):
    words = results[0][1]
    return torch.is_tensor(words) and words.shape == (64, 48) and words.dtype == torch.float32


PROPERTIES = [
    (KIND, _kind),
    (FINITE, lambda results: bool(results[0][1].isfinite().all())),
    (WORSE, lambda results: _value(results) < 1, _reached),
    (FAR, lambda results: _value(results) <= GOAL, _reached),
]

HINTS = """
Begin with what the cell above tries: different squares, picked by chance. Where do words stand too close together, where
are none?

Give each square to its nearest word. A word then has a crowd; which point is nearest to all of a crowd, in squares?

Move the words there, and the crowds change. Repeat it, some ten times; a word without a crowd stays where it is.
"""

MISTAKES = f"""
my_dictionary := lambda squares: squares[:63]
    {KIND}
my_dictionary := lambda squares: squares[:65]
    {KIND}
my_dictionary := lambda squares: squares[:64].double()
    {KIND}
my_dictionary := lambda squares: squares[:64].T
    {KIND}
my_dictionary := lambda squares: squares[:64] / 0
    {FINITE}
"""

RIGHT = r"""
range(10) -> range(20)
different = squares.unique(dim=0) -> different = squares.unique(dim=0)[::2]
"""

WRONG = r"""
my_dictionary := lambda squares: squares[:64] * 0
my_dictionary := lambda squares: torch.linspace(-1, 1, 64)[:, None].expand(64, 48)
my_dictionary := lambda squares: squares[:64]
my_dictionary := lambda squares: squares.unique(dim=0)[:64]
return words -> return words.mean(0).expand(64, 48)
"""
