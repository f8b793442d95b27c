"""5.6 open-ended: find a word in many maps."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson05 import blob
from minidiff.judge import attention_iou


@dataclass(frozen=True)
class Planted(Case):
    """A call with maps that were made up, so that it is known where the word and another word belong."""

    mask: torch.Tensor | None = None
    other: torch.Tensor | None = None


def grid16(heat):
    """(heads, n * n) as (heads, 256)."""
    n = math.isqrt(heat.shape[-1])
    return F.interpolate(heat.reshape(-1, 1, n, n), size=16, mode="bilinear").flatten(1)


def plain(maps, word, words):
    """The baseline: the mean over layers and heads."""
    return torch.cat([grid16(layer[:, :, word]) for layer in maps]).mean(0)


def planted(g, layers=((4, 8), (4, 4), (4, 8)), tokens=12):
    """(maps, [two words], all words, their masks): see the text of the exercise."""
    while True:
        masks = [blob(g, 128, 128, 0.12, 0.25) for _ in range(2)]
        if not (masks[0] & masks[1]).any():
            break
    words, objects, maps = [1, 2, 3, 4, 5], [1, 3], []
    for heads, side in layers:
        scores = torch.zeros(heads, side * side, tokens)
        scores[..., 0], scores[..., 6:] = 3.0, 1.0  # start, end and padding take most
        glow = F.interpolate(torch.randn(heads, 1, 3, 3, generator=g), size=side, mode="bilinear").flatten(1)
        scores[..., words] += 3 * glow[..., None]  # where this head looks, whichever word it reads
        good = 3 * (torch.rand(heads, generator=g) < 0.35)
        for word, mask in zip(objects, masks, strict=True):
            scores[..., word] += good[:, None] * F.adaptive_avg_pool2d(mask[None].float(), side).flatten()
        scores += 0.3 * torch.randn(scores.shape, generator=g)
        maps.append(scores.softmax(-1))
    return maps, objects, words, masks


def cases(g):
    found = []
    for _ in range(12):
        maps, (first, second), words, (a, b) = planted(g)
        case = Planted("find", (maps, first, words), mask=a, other=b)
        found += [case, replace(case, args=(maps, second, words), mask=b, other=a)]
    return found


HINTS = """
What do all words of a caption have in common in one head? Whatever it is, it says nothing of your word.

Take it out: compare the word's map with the mean of the other words' maps, head by head. You may subtract, or divide;
logarithms turn one into the other.

Some heads know nothing. Look at how much a head's map of this word differs from its maps of the others, and give heads
that differ more a larger say.

In code: for each layer, layer[:, :, word] and layer[:, :, others] are (heads, places) and (heads, places, number of
others). Combine, enlarge with grid16, and take the mean over all heads of all layers.
"""


def turned(heat):
    return heat.reshape(16, 16).T.flatten()


def mean_iou(results, which):
    return sum(attention_iou(*which(case, got)) for case, got in results) / len(results)


READINGS = {
    "as given": lambda case, got: (got, case.mask),
    "dark": lambda case, got: (-got, case.mask),
    "turned": lambda case, got: (turned(got), case.mask),
    "upside": lambda case, got: (got.reshape(16, 16).flip(0).flatten(), case.mask),
    "other": lambda case, got: (got, case.other),
}


def wanted(results):
    return mean_iou(results, lambda case, _: (plain(*case.args), case.mask)) + 0.08


def not_best_as(reading):
    """A test that it is not this reading of the maps which finds the words, while they do not as given."""

    def holds(results):
        as_given, as_read = (mean_iou(results, READINGS[name]) for name in ("as given", reading))
        return as_given > wanted(results) or as_read < wanted(results)

    return holds


def is_not(way):
    """A test that the maps are not just these, up to a number."""

    def same(got, theirs):
        got, theirs = (x - x.mean() for x in (got, theirs))
        return torch.allclose(got / got.norm(), theirs / theirs.norm(), atol=1e-4)

    return lambda results: not all(same(got, way(*case.args)) for case, got in results)


def differ(results):
    return all((a[1] - b[1]).abs().max() > 1e-6 for a, b in zip(results[::2], results[1::2], strict=True))


def compared(results):
    ours = mean_iou(results, READINGS["as given"])
    return f"Yours have a mean IoU of {ours:.2f}, the plain mean one of {wanted(results) - 0.08:.2f}."


FINITE = """Some numbers of your maps are infinite or no numbers: is something divided by 0, or a logarithm taken of
    it?"""
WORD = "Your map is the same for two words of one caption: it must depend on the word that is looked for."
FEW = """Your maps hold very few different numbers, so which pixels are the brightest is left to chance: say how bright
    each place is."""
BASELINE = (
    "That is the baseline: the plain mean over layers and heads. What could be taken out, and which heads trusted?"
)
START = """You compare the word with the start token. What hides the word is the glow that it shares with the other
    words, and the start token has none of that."""
ONE_LAYER = "You use one layer only. Which heads know something differs from caption to caption, and so does the layer."
CLEARLY = "Your maps are not clearly better than the plain mean over layers and heads: at least 0.08 more of IoU is asked for."
DARK = "Your maps are darkest where the word belongs: look at the sign."
TURNED = "Your maps fit when rows and columns change places: the places are counted row by row."
UPSIDE = "Your maps fit when they are turned upside down: the first places are those at the top."
OTHER = "Your maps find the other object: are words and positions mixed up?"

CHANCE = """Where your maps are bright there is hardly ever the object, as if by chance: is `word` used as it is given?
    Position 0 is the start token."""

PROPERTIES = [
    (" ".join(FINITE.split()), lambda results: all(got.isfinite().all() for _, got in results)),
    (WORD, differ),
    (" ".join(FEW.split()), lambda results: any(len(got.unique()) > 16 for _, got in results)),
    (BASELINE, is_not(plain)),
    (" ".join(START.split()), is_not(lambda maps, word, _: plain(maps, word, 0) - plain(maps, 0, 0))),
    (ONE_LAYER, is_not(lambda maps, word, words: plain(maps[:1], word, words))),
    (ONE_LAYER, is_not(lambda maps, word, words: plain(maps[-1:], word, words))),
    (DARK, not_best_as("dark")),
    (TURNED, not_best_as("turned")),
    (UPSIDE, not_best_as("upside")),
    (OTHER, not_best_as("other")),
    (" ".join(CHANCE.split()), lambda results: mean_iou(results, READINGS["as given"]) > 0.12),
    (CLEARLY, lambda results: mean_iou(results, READINGS["as given"]) > wanted(results), compared),
]

MISTAKES = f"""
return torch.cat(heats).mean(0) -> return (0 * torch.cat(heats).mean(0)).log()
    {FINITE}
find := lambda maps, word, words: plain(maps, words[0], words)
    {WORD}
find := lambda maps, word, words: (plain(maps, word, words) > plain(maps, word, words).mean()).float()
    {FEW}
find := plain
    {BASELINE}
find := lambda maps, word, words: plain(maps, word, words) - plain(maps, 0, words)
    {START}
find := lambda maps, word, words: plain(maps[:1], word, words)
    {ONE_LAYER}
return torch.cat(heats).mean(0) -> return -torch.cat(heats).mean(0)
    {DARK}
find := lambda maps, word, words: turned(find(maps, word, words))
    {TURNED}
find := lambda maps, word, words: find(maps, word, words).reshape(16, 16).flip(0).flatten()
    {UPSIDE}
find := lambda maps, word, words: find(maps, 4 - word, words)
    {OTHER}
find := lambda maps, word, words: find(maps, word + 1, [i + 1 for i in words])
    {CHANCE}
find := lambda maps, word, words: find(maps, word + 1, words)
    {CHANCE}
find := lambda maps, word, words: find(maps, word - 1, words)
    {CHANCE}
"""


def shares(maps, word, words):
    return torch.cat([grid16(m[:, :, word] / m[:, :, words].sum(-1)) for m in maps]).mean(0)


def by_contrast(maps, word, words):
    """Standard scores less those of the other words, heads weighed by how much is left."""
    out = 0
    for m in maps:
        z = (m - m.mean(1, keepdim=True)) / m.std(1, keepdim=True)
        left = z[:, :, word] - z[:, :, [i for i in words if i != word]].mean(-1)
        out = out + (left.square().mean(1, keepdim=True) ** 2 * grid16(left)).sum(0)
    return out


RIGHT = """
find := shares
find := by_contrast
"""

WRONG = """
find := lambda maps, word, words: plain(maps, 0, words) + 1e-3 * plain(maps, word, words)
find := lambda maps, word, words: 0 * plain(maps, word, words)
find := lambda maps, word, words: find(maps, word, words)[:64]
find := lambda maps, word, words: find(maps, word, words).reshape(16, 16)
find := lambda maps, word, words: torch.nan * find(maps, word, words)
"""
