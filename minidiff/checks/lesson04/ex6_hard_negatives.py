"""4.6 open-ended: captions that are nearly right."""

import collections
import random
from dataclasses import replace

import numpy as np

from minidiff import data
from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.judge import labels

KINDS = {"objects": "objects", "where": "layout", "size": "size", "style": "style", "place": "place"}


COMMON = "fox,cat,dog,rocket,red apple,green apple,owl,pizza,star,car,tree,banana,house".split(",")  # one a place


class Rehashed(str):
    """The same text, with the hash that it might have when Python is started anew."""

    def __hash__(self):
        return super().__hash__() ^ 0x5DEECE66D


def in_turn(spec, i, many):
    """The i-th of so many: with the i-th size, position and relation; or style, object and place, if there are many."""
    if many > 4:
        return replace(spec, place=data.PLACES[i], style=spec.style and data.STYLES[i % 3], objects=(COMMON[i],))
    choice = data.RELATIONS if len(spec.objects) == 2 else data.POSITIONS
    return replace(spec, size=spec.size and data.SIZES[i % 2], where=spec.where and choice[i])


def cases(g):
    """Captions of every kind, each thrice, the third time as if Python had been started anew.

    Two kinds are of every place, sizes and positions are in turn: whoever always gives the same meets it among them.
    """
    rng, specs = np.random.RandomState(whole(g, 0, 2**31 - 1)), []
    wanted = [
        lambda s: len(s.objects) == 2 and not s.style,
        lambda s: len(s.objects) == 2 and s.style,
        lambda s: len(s.objects) == 1 and s.size and not s.where and not s.style,
        lambda s: len(s.objects) == 1 and s.where and not s.size and not s.style,
        lambda s: len(s.objects) == 1 and s.where and s.size and s.style,
        lambda s: len(s.objects) == 1 and not s.where and not s.size and not s.style,
        lambda s: len(s.objects) == 1 and not s.where and not s.size and s.style,
    ]
    for kind in wanted:
        found, some = [], 4 if kind in wanted[:5] else len(data.PLACES)
        while len(found) < some:
            spec = data.random_spec(rng)
            found += [spec] if kind(spec) else []
        specs += [in_turn(spec, i, some) for i, spec in enumerate(found)]
    captions = [str(spec) for spec in specs]
    random.Random(whole(g, 0, 2**31 - 1)).shuffle(captions)
    return [Case("hard_negative", (each,)) for caption in captions for each in (caption, caption, Rehashed(caption))]


HINTS = """
data.parse turns a caption into a Spec, replace from dataclasses changes one of its fields, and str turns it back into
a caption.

data.OPPOSITE has the opposite of each relation. Turn the relation, or swap the objects, but not both.

What does CLIP not look at? Change one kind of thing at a time, and let the cell below measure it: it does not overlook
layout, size, style and place equally often.
"""


def parses(caption, got):
    try:
        data.parse(got)
    except ValueError:
        return False
    return True


def words_lost(caption, got):
    return collections.Counter(caption.lower().split()) - collections.Counter(got.lower().split())


def another_picture(caption, got):
    return labels(data.parse(caption)) != labels(data.parse(got))


def every(holds):
    """A test of every pair of a caption and what became of it."""
    return lambda results: all(holds(case.args[0], got) for case, got in results)


def kinds(results):
    pairs = [(data.parse(case.args[0]), data.parse(got)) for case, got in results]
    return [kind for field, kind in KINDS.items() if any(getattr(a, field) != getattr(b, field) for a, b in pairs)]


def changed(results):
    return f"You only ever change this: {', '.join(kinds(results))}."


GRAMMAR = "Not all of them are captions of this world's grammar: try data.parse on what you give."
SAME = "Some captions come back as they were. Nothing is wrong with those."
SCENE = """Some of your captions still describe the same picture: whoever turns the relation must not turn the objects
    as well."""
LESS = "Some of your captions only leave something out. They say less, but what they say is true."
CLOSE = "Some captions have more than two words that are not in the original. Those are too easy."
AGAIN = "The same caption does not always become the same: draw nothing at random."
KIND = "Change at least three of these, depending on the caption: objects, layout, size, style, place."
HASH = """Another start of Python would give other captions: the hash of a text is drawn anew each time. Take something
    else of the caption, such as its length."""

PROPERTIES = [
    (GRAMMAR, every(parses)),
    (SAME, every(lambda caption, got: data.parse(caption) != data.parse(got))),
    (" ".join(SCENE.split()), every(another_picture)),
    (LESS, every(lambda caption, got: words_lost(got, caption) or len(got.split()) == len(caption.split()))),
    (CLOSE, every(lambda caption, got: words_lost(got, caption).total() <= 2)),
    (AGAIN, lambda results: all(a[1] == b[1] for a, b in zip(results[::3], results[1::3], strict=True))),
    (
        " ".join(HASH.split()),
        lambda results: all(a[1] == b[1] for a, b in zip(results[::3], results[2::3], strict=True)),
    ),
    (KIND, lambda results: len(kinds(results)) >= 3, changed),
]


def same_scene(caption):
    """Another caption of the same picture, where there is one."""
    spec = data.parse(caption)
    if len(spec.objects) < 2:
        return str(replace(spec, place="on blue" if spec.place != "on blue" else "on pink"))
    return str(replace(spec, objects=spec.objects[::-1], where=data.OPPOSITE[spec.where]))


def elsewhere(caption, by=1):
    spec = data.parse(caption)
    return str(replace(spec, place=data.PLACES[(data.PLACES.index(spec.place) + by) % len(data.PLACES)]))


MISTAKES = f"""
hard_negative := lambda caption: " ".join(reversed(caption.split()))
    {GRAMMAR}
hard_negative := lambda caption: caption
    {SAME}
hard_negative := same_scene
    {SCENE}
size="small" if spec.size == "big" else "big" -> size=None
    {LESS}
hard_negative := lambda caption: str(data.random_spec(np.random.RandomState(len(caption) * 31 + ord(caption[0]))))
    {CLOSE}
hard_negative := lambda caption: elsewhere(caption, random.randint(1, 5))
    {AGAIN}
hard_negative := lambda caption: elsewhere(caption, 1 + hash(caption) % 5)
    {HASH}
"""


def swapped_objects(caption):
    """Swaps objects where there are two, else style, size or place."""
    spec = data.parse(caption)
    if len(spec.objects) == 2:
        return str(replace(spec, objects=spec.objects[::-1]))
    if spec.style:
        return str(replace(spec, style="sketch" if spec.style != "sketch" else "silhouette"))
    if spec.size:
        return str(replace(spec, size="big" if spec.size == "small" else "small"))
    return str(replace(spec, place="on blue" if spec.place != "on blue" else "on white"))


RIGHT = """
hard_negative := swapped_objects
hard_negative := lambda c: hard_negative(c).upper()
"""

WRONG = """
hard_negative := elsewhere
hard_negative := lambda c: data.parse(hard_negative(c))
hard_negative := str.upper
hard_negative := lambda c: f"not {c}"
hard_negative := lambda c: "red apple left of green apple on blue"
hard_negative := lambda c: c.rpartition(" ")[0] + " black"
hard_negative := lambda c: c if data.parse(c).style and data.parse(c).size else hard_negative(c)
hard_negative := lambda c: elsewhere(c) if len(data.parse(c).objects) == 1 else hard_negative(c)
"""
