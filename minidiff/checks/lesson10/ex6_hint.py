"""10.6 open-ended: a hint of your own."""

from functools import cache

import numpy as np
import torch

from minidiff import data
from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole
from minidiff.checks.solution import Solution


@cache
def _shown(seed):
    """A picture (3, H, 128) of one object, at its left, on a flat colour."""
    rng = np.random.RandomState(seed % 2**32)
    name = ("cat", "house", "mushroom", "fish", "castle", "car", "bell", "owl")[rng.randint(8)]
    spec = data.Spec((name,), ("on white", "on gray", "on purple")[rng.randint(3)], where="at left")
    pixels = np.ascontiguousarray(data.Scene(spec, seed).image[: 8 * rng.randint(14, 17)])
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def cases(g):
    """Three objects, and two pages of one colour, a dark and a light one."""
    cases = [Case("my_hint", (_shown(whole(g, 0, 10**6)),)) for _ in range(3)]
    for low, high in ((0.05, 0.4), (0.6, 0.9)):
        colour = uniform(g, low, high, 3, dtype=torch.float32)
        cases.append(Case("my_hint", (colour[:, None, None].expand(3, 8 * whole(g, 12, 15), 128).clone(),)))
    return cases


HINTS = """
Where does a picture change? Compare each pixel with its neighbours, the one to the right and the one below.

A threshold turns differences into lines. F.max_pool2d of the lines makes them thicker, F.avg_pool2d softer.

Lines are dark: 1 minus what you found. One channel repeated three times is enough.
"""


def _ink(hint):
    """How dark each place is, (H, W), from 0 to 1."""
    return 1 - hint.mean(0)


def _box(marked):
    """(left, top, right, bottom) of what is marked."""
    ys, xs = marked.nonzero().T
    return torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def _object(picture):
    """The box of what is not as the corner."""
    return _box((picture - picture[:, :1, -1:]).abs().amax(0) > 0.1)


def _each(test, blank):
    def holds(results):
        pairs = [(case.args[0], hint) for case, hint in results]
        return all(test(p, hint) for p, hint in pairs if bool((p == p[:, :1, :1]).all()) == blank)

    return holds


def _inside(picture, hint):
    left, top, right, bottom = _object(picture).tolist()
    ink = _ink(hint)
    return ink[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4].sum() >= 0.8 * ink.sum()


def _covers(picture, hint):
    dark = _ink(hint) > 0.25
    return bool(dark.any()) and bool(((_box(dark) - _object(picture)).abs() <= 8).all())


def _framed(picture, hint):
    """Whether it is white but for a frame."""
    white = hint > 0.95
    return bool(white[:, 8:-8, 8:-8].all()) and not bool(white.all())


NUMBERS = (
    "Some numbers of your hint are none at all, or infinite. What do you divide by in a picture of a single colour?"
)
RANGE = "A hint has values from 0, black, to 1, white, and nothing else."
BLACK = "A picture of a single colour gives a black page in yours: white is the paper, and black what is drawn on it."
FRAME = "Around a picture of a single colour your hint has a dark frame, where a pixel has no neighbour to be compared \
with. What stands there for it?"
NOTHING = (
    "A picture of a single colour shows nothing, so its hint should be white all over. Where is nothing in a picture? \
Where it does not change."
)
SOMETHING = "Your hint is white, or nearly: it does not say that there is an object."
SOLID = "More than three quarters of your hint are dark. A drawing is mostly paper."
ELSEWHERE = "More than a fifth of what is dark in your hint lies where no object is."
WHERE = (
    "From your hint one cannot tell where the object is and how large: the box of what is dark is another one than the \
object's by more than 8 pixels at a side."
)
PROPERTIES = [
    (NUMBERS, lambda results: all(bool(hint.isfinite().all()) for _, hint in results)),
    (RANGE, lambda results: all(bool(hint.min() >= 0) and bool(hint.max() <= 1) for _, hint in results)),
    (BLACK, lambda results: not _each(lambda picture, hint: bool((hint < 0.05).all()), blank=True)(results)),
    (FRAME, lambda results: not _each(_framed, blank=True)(results)),
    (NOTHING, _each(lambda picture, hint: bool((hint > 0.95).all()), blank=True)),
    (SOMETHING, _each(lambda picture, hint: bool(_ink(hint).mean() > 0.002), blank=False)),
    (SOLID, _each(lambda picture, hint: bool(_ink(hint).mean() < 0.75), blank=False)),
    (ELSEWHERE, _each(lambda picture, hint: bool(_inside(picture, hint)), blank=False)),
    (WHERE, _each(_covers, blank=False)),
]

MISTAKES = f"""
my_hint := after(lambda hint: hint / hint.min() * 0 if hint.min() else hint / 0)
    {NUMBERS}
my_hint := after(lambda hint: 255 * hint)
    {RANGE}
my_hint := after(lambda hint: 2 * hint - 1)
    {RANGE}
my_hint := after(lambda hint: 1 - hint)
    {BLACK}
my_hint := after(lambda hint: F.pad(hint[:, 1:-1, 1:-1], [1] * 4, value=0.0))
    {FRAME}
my_hint := after(lambda hint: F.pad(hint[:, 1:, 1:], [1, 0, 1, 0], value=0.0))
    {FRAME}
my_hint := lambda picture: (picture.mean(0) > 0.5).float().expand_as(picture)
    {NOTHING}
my_hint := lambda picture: torch.zeros_like(picture)
    {BLACK}
my_hint := lambda picture: torch.ones_like(picture)
    {SOMETHING}
my_hint := after(lambda hint: hint.flip(2))
    {ELSEWHERE}
my_hint := after(lambda hint: upper(hint))
    {WHERE}
my_hint := lambda picture: torch.ones_like(picture) * float((picture == picture[:, :1, :1]).all())
    {SOLID}
"""

RIGHT = """
my_hint := silhouette
my_hint := slopes
my_hint := after(lambda hint: -F.max_pool2d(-hint, 5, 1, 2))
my_hint := frame
"""

WRONG = """
my_hint := lambda picture: picture.clone()
my_hint := lambda picture: picture.mean(0, keepdim=True).expand_as(picture).clone()
my_hint := after(lambda hint: 1 - 0.01 * (1 - hint))
my_hint := after(lambda hint: 0.9 * hint)
my_hint := after(lambda hint: hint[:1])
my_hint := after(lambda hint: hint[:, ::2, ::2])
my_hint := after(lambda hint: F.pad(torch.ones_like(hint)[:, 2:-2, 2:-2], [2] * 4, value=0.0))
my_hint := after(lambda hint: F.pad(hint[:, :-10, :-10], (10, 0, 10, 0), value=1.0))
my_hint := after(lambda hint: F.pad(hint[..., :-10], (10, 0), value=1.0))
my_hint := lambda picture: torch.rand_like(picture)
"""


def after(change):
    """The solution's hint, changed."""
    return lambda picture: change(Solution.of("10.6").answers["my_hint"](picture))


def upper(hint):
    """The upper half of what is dark."""
    _, top, _, bottom = _box(_ink(hint) > 0.5).tolist() if (_ink(hint) > 0.5).any() else (0, 0, 0, 0)
    return torch.where(torch.arange(hint.shape[1])[:, None] < (top + bottom) // 2, hint, torch.ones_like(hint))


def silhouette(picture):
    """Gray where the picture is not as its corner."""
    there = (picture - picture[:, :1, -1:]).abs().amax(0, keepdim=True) > 0.1
    return (1 - 0.6 * there.float()).expand_as(picture).clone()


def slopes(picture):
    """How steep a picture is, not as lines but in shades of gray."""
    gray = picture.mean(0)
    dx = gray.diff(dim=1, append=gray[:, -1:])
    dy = gray.diff(dim=0, append=gray[-1:])
    return (1 - (dx**2 + dy**2).sqrt().clamp(max=1)).expand_as(picture).clone()


def frame(picture):
    """The frame around what is not as the corner."""
    out = torch.ones_like(picture)
    if ((picture - picture[:, :1, -1:]).abs() > 0.1).any():
        left, top, right, bottom = _object(picture).tolist()
        out[:, top:bottom, left:right] = 0
        out[:, top + 2 : bottom - 2, left + 2 : right - 2] = 1
    return out
