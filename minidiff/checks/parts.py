"""What the exercises' cases are made of."""

import math
import re

import torch

from minidiff.checks.compare import Printed
from minidiff.schedule import Discrete


def whole(g, low, high):
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def uniform(g, low, high, *shape, dtype=torch.float64):
    """Numbers between low and high: a tensor of `shape`, or a float without one."""
    x = low + (high - low) * torch.rand(shape, generator=g, dtype=dtype)
    return x if shape else x.item()


def betas(g, T):
    """Betas that rise, but along no named schedule."""
    return uniform(g, 0.01, 0.2, T).sort().values


def random_alpha_bars(g, T):
    """alpha-bars from 1 down, T + 1 of them."""
    return Discrete(betas(g, T)).alpha_bar


def columns(a, x):
    """The numbers a, (B,), one a sample: shaped to multiply x of shape (B, ...)."""
    return a.to(x).reshape(-1, *[1] * (x.ndim - 1))


def table(*lines):
    """Reads a printed table: for each (words, numbers, tolerance), the numbers of the line that has these words.

    Numbers within the tolerance of the wanted ones are taken for them. A line may hold others besides, but the wanted
    ones have to stand in it in their order. Words are looked for as whole words, in small letters; thousands may be
    separated by commas.
    """

    def read(text):
        text = re.sub(r"(?<=\d)[,_](?=\d{3})", "", text.lower().replace("−", "-"))
        rows = [(line, list(map(float, _NUMBER.findall(line)))) for line in text.splitlines()]
        found = Printed({words: _best(rows, words, *wanted) for words, *wanted in lines})
        found.within = {words: tolerance for words, _, tolerance in lines}
        return found

    return read


_NUMBER = re.compile(r"(?:(?<![\w.])|(?<=(?<!\w)x))-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\bnan\b|-?\binf\b")


def _best(rows, words, numbers, tolerance):
    """Of the lines with these words the numbers of the first that has the wanted ones, else of the first with most."""
    found = [found for line, found in rows if re.search(rf"(?<![\w.]){re.escape(words)}(?!\w|\.\d)", line)]
    for row in found:
        rest = iter(row)
        if all(any(_near(f, n, tolerance) for f in rest) for n in numbers):
            return list(numbers)
    row = max(found, key=len, default=[])
    near = [n if _near(f, n, tolerance) else f for f, n in zip(row, numbers, strict=False)]
    return near + row[len(near) :] if found else None


def _near(found, wanted, tolerance):
    return abs(found - wanted) <= tolerance or found == wanted or math.isnan(found) and math.isnan(wanted)
