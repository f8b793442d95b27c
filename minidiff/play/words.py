"""Words for the studio: what the model can read, and the nearest to what was typed that it can."""

import difflib
import re
import unicodedata
from collections.abc import Collection
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

from minidiff import data
from minidiff.data import COLOURS, LANDSCAPES, OBJECTS, PLACES, POSITIONS, RELATIONS, SIZES, STYLES, Spec

GROUPS = {"style": STYLES, "size": SIZES, "where": (*POSITIONS, *RELATIONS), "place": PLACES, "object": tuple(OBJECTS)}
EXAMPLES = (
    "big fox in meadow",
    "penguin in snow",
    "sailboat in sea",
    "rocket left of moon in space",
    "sketch of owl on yellow",
    "cat above pizza on pink",
    "pixel art of ghost on purple",
    "silhouette of dinosaur in desert",
)
_PARTS = re.compile(
    "|".join(
        rf"\b(?P<{group}>{'|'.join(sorted(words, key=len, reverse=True))})(?:e?s)?\b" for group, words in GROUPS.items()
    )
    + r"|(?P<word>[^\W\d_]+)"
)


def nearest(text: str) -> Spec:
    """A sentence of the grammar, made of the words of it that are in a text; what it does not say is chosen."""
    found = {group: [] for group in (*GROUPS, "word")}
    for part in _PARTS.finditer(text.lower()):
        group, word = part.lastgroup, part[part.lastgroup]
        if word in COLOURS:
            group, word = "place", f"on {word}"
        elif f"in {word}" in LANDSCAPES:
            group, word = "place", f"in {word}"
        elif group == "word":
            group, word = "object", _object(word)
        found[group] += [word] if word else []
    style, size, place = (next(iter(found[group]), None) for group in ("style", "size", "place"))
    objects = tuple(dict.fromkeys(found["object"]))[:2] or ("fox",)
    allowed = POSITIONS if len(objects) == 1 else RELATIONS
    where = next((phrase for phrase in found["where"] if phrase in allowed), None)
    if len(objects) == 2:
        where, size = where or "left of", None
    return Spec(objects, place or "in meadow", where, size, style)


def _object(word: str) -> str | None:
    """The object that a word is nearest to."""
    singular = word.removesuffix("s")
    named = [name for name in OBJECTS if name.split()[-1] == singular]
    named = named or (len(word) > 4 and difflib.get_close_matches(word, OBJECTS, 1, 0.75)) or by_meaning(singular)
    return named[0] if named else None


def with_word(text: str, word: str, rng: np.random.RandomState) -> str:
    """The sentence nearest to a text, with a word of `GROUPS` in its place; a style, size or position that it has
    already is taken out. A relation needs a second object: any. An object takes the place of the last."""
    spec = nearest(text)
    first, *second = spec.objects
    one = replace(spec, objects=(first,), where=None if second else spec.where)
    if word in PLACES:
        spec = replace(spec, place=word)
    elif word in STYLES:
        spec = replace(spec, style=None if word == spec.style else word)
    elif word in SIZES:
        spec = replace(one, size=None if word == spec.size else word)
    elif word in POSITIONS:
        spec = replace(one, where=None if word == spec.where else word)
    elif word in RELATIONS:
        second = second or [rng.choice([name for name in OBJECTS if name != first])]
        spec = replace(spec, objects=(first, str(second[0])), where=word, size=None)
    elif not second:
        spec = replace(spec, objects=(word,))
    elif word != first:
        spec = replace(spec, objects=(first, word))
    return str(spec)


def unknown(text: str, taught: Collection[str]) -> dict:
    """{"words": each word that was never taught, and those near it, "instead": a sentence that it can read}; both are
    empty where nothing is wrong. A word that is still being typed is not unknown yet."""
    words = dict.fromkeys(re.findall(r"[^\W\d_]+", text.lower()))
    if text and text[-1].isalpha() and words:
        typed = next(reversed(words))
        words = [word for word in words if word != typed or not any(each.startswith(word) for each in taught)]
    near = {
        word: {"Like it": by_meaning(word), "Spelled like it": difflib.get_close_matches(word, taught, 3, 0.7)}
        for word in words
        if word not in taught
    }
    return {"words": near, "instead": "" if not text.strip() or _is_sentence(text) else str(nearest(text))}


def by_meaning(word: str) -> list[str]:
    """At most three objects that Unicode, which sorts pictures by what they show, has beside the one of that name."""
    codes = _named().get(word, ())
    far = {name: min((abs(int(code, 16) - each) for each in codes), default=99) for name, code in OBJECTS.items()}
    return sorted((name for name in OBJECTS if far[name] <= 6), key=far.get)[:3]


@cache
def _named() -> dict[str, list[int]]:
    """Word -> code points of the drawings of OpenMoji in whose name of one or two words it is."""
    out = {}
    for file in data._SVG.iterdir():
        if re.fullmatch(r"[0-9A-F]+\.svg", file.name):
            code = int(file.name.removesuffix(".svg"), 16)
            words = unicodedata.name(chr(code), "").lower().split()
            for word in words if len(words) <= 2 else ():
                out.setdefault(word, []).append(code)
    return out


def _is_sentence(text: str) -> bool:
    try:
        return bool(data.parse(text))
    except ValueError:
        return False


@cache
def tiles(size: int = 40) -> Image.Image:
    """Small pictures of all styles, places and objects, 16 in a row, in the order of `GROUPS`."""
    pictures = [data.drawing("house", size, style) for style in STYLES]
    places = [Image.fromarray(data.background(place, np.random.RandomState(0))) for place in PLACES]
    pictures += [np.asarray(place.resize((size, size)).convert("RGBA")) for place in places]
    pictures += [data.drawing(name, size) for name in OBJECTS]
    sheet = Image.new("RGBA", (16 * size, -(-len(pictures) // 16) * size))
    for i, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (i % 16 * size, i // 16 * size))
    return sheet.quantize(128)
