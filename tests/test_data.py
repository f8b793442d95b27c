"""Scenes: what the captions promise is in the picture, and a seed means the same everywhere."""

from collections import Counter

import numpy as np
import pytest

from minidiff import data
from minidiff.data import EVAL_SEED, FULL, HELD_OUT, OBJECTS, SMALL, Scene, World, parse, scene
from minidiff.tokenizer import Tokenizer


def test_grammar():
    assert len(data.OBJECTS) == len(set(data.OBJECTS.values())) == 128
    assert all(len(name.split()) <= 2 for name in data.OBJECTS)
    for seed in range(500):
        spec = scene(seed).spec
        assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    "caption",
    ["", "fox", "fox on red", "big fox above rocket on green", "fox at left of sun on blue", "fox horse in sea"],
)
def test_what_is_not_of_the_grammar(caption):
    with pytest.raises(ValueError, match="is not of the grammar"):
        parse(caption)


def test_a_seed_means_the_same_everywhere():
    """Recorded once; captions and boxes are promised to be equal on every machine."""
    shown = [(s.caption, s.noisy_caption(), s.boxes) for s in map(scene, (0, 1, 4, 14, EVAL_SEED))]
    assert shown == GOLDEN


def test_pixels_are_a_function_of_the_seed():
    first, again, other = scene(7).image, scene(7).image, Scene(scene(7).spec, seed=8).image
    assert first.shape == (128, 128, 3) and first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any(), "another seed shows the same spec in another way"


def test_held_out_combinations_are_never_trained_on():
    shown = [scene(seed).spec for seed in range(4000)]
    assert not any(spec.held_out for spec in shown)
    assert all(scene(seed, held_out=True).spec.held_out for seed in range(30))
    assert parse("green apple right of red apple on blue").held_out, "the same pair, told the other way round"
    for phrase in HELD_OUT:
        assert parse(phrase if data._GRAMMAR.fullmatch(phrase) else f"{phrase} on white").held_out, phrase
    for kind in (FULL.objects, SMALL.objects):
        assert any(p.split(" on ")[0] in kind for p in HELD_OUT if " on " in p)


@pytest.mark.parametrize("world", [FULL, World(style=0.4, position=0.7, size=0.8, pair=0.2)])
def test_a_world_says_how_often(world):
    specs = [scene(seed, world).spec for seed in range(4000)]
    singles = [spec for spec in specs if len(spec.objects) == 1]
    shares = {
        "style": np.mean([spec.style is not None for spec in specs]),
        "pair": 1 - len(singles) / len(specs),
        "position": np.mean([spec.where is not None for spec in singles]),
        "size": np.mean([spec.size is not None for spec in singles]),
    }
    for name, share in shares.items():
        assert abs(share - getattr(world, name)) < 0.035, name  #  three standard errors, and what held-out ones lack


def test_a_world_draws_some_things_twice_as_often():
    specs = [scene(seed, World(style=1.0, often=("fox", "pixel art"))).spec for seed in range(4000)]
    styles = Counter(spec.style for spec in specs)
    assert abs(styles["pixel art"] / len(specs) - 1 / 2) < 0.025  # three standard errors
    objects = Counter(name for spec in specs for name in spec.objects)
    assert abs(objects["fox"] / objects.total() - 2 / (len(OBJECTS) + 1)) < 0.006


@pytest.mark.slow
def test_noise_in_captions_is_as_stated():
    shown = [scene(seed) for seed in range(4000)]
    noisy = [s.noisy_caption() for s in shown]
    words = [(set(s.caption.split()), set(n.split())) for s, n in zip(shown, noisy, strict=True)]
    right = np.mean([s.caption == n for s, n in zip(shown, noisy, strict=True)])
    foreign = np.mean([not theirs <= own for own, theirs in words])
    three_errors = 3 * np.sqrt(0.25 * 0.75 / len(shown))
    assert abs(right - 0.75) < three_errors
    assert abs(foreign - 0.10) < three_errors


def test_small_world():
    for seed in range(200):
        spec = scene(seed, SMALL).spec
        assert spec.objects[0] in SMALL.objects and len(spec.objects) == 1
        assert spec.style is None and spec.where is None and spec.place.startswith("on ")
        assert scene(seed, SMALL).noisy_caption(SMALL).split()[-1:] != ["sea"]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_masks_and_lines_are_where_the_objects_are(seed):
    shown = scene(seed)
    bare = Scene(parse(f"fox {shown.spec.place}"), shown.seed)
    background = data.background(bare.spec.place, np.random.RandomState([bare.seed, 2]))
    changed = (shown.image != background).any(-1)
    for mask, (left, top, right, bottom) in zip(shown.masks, shown.boxes, strict=True):
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        assert mask.any() and not (mask & ~inside).any()
        assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()
    everywhere = np.zeros_like(changed)
    for x, y, size in shown.placements:
        everywhere[y : y + size, x : x + size] = True
    assert not (changed & ~everywhere).any(), "nothing is drawn outside the objects' squares"
    assert shown.lines.shape == (128, 128) and (shown.lines[~everywhere] == 255).all() and (shown.lines < 64).any()


@pytest.mark.parametrize(
    "where, axis, sign", [("left of", 0, 1), ("right of", 0, -1), ("above", 1, 1), ("below", 1, -1)]
)
def test_relations_hold_in_the_picture(where, axis, sign):
    for seed in range(20):
        first, second = Scene(parse(f"fox {where} rocket on green"), seed).boxes
        assert sign * (second[axis] - first[axis + 2]) > -8, "boxes barely touch, in the right order"


@pytest.mark.parametrize("where, test", [
    ("at left", lambda x, y: x < 60), ("at right", lambda x, y: x > 68),
    ("at top", lambda x, y: y < 60), ("at bottom", lambda x, y: y > 68),
])  # fmt: skip
@pytest.mark.parametrize("size", ["small ", "", "big "])
def test_positions_hold_in_the_picture(where, test, size):
    for seed in range(10):
        ((x, y, side),) = Scene(parse(f"{size}sun {where} on green"), seed).placements
        assert test(x + side / 2, y + side / 2)


def test_styles():
    fox = data.drawing("fox", 60)
    assert fox.shape == (60, 60, 4) and fox.dtype == np.uint8
    sketch, silhouette, pixels = (data.drawing("fox", 60, style) for style in data.STYLES)
    ink = sketch[sketch[..., 3] > 200]
    assert ink[:, :3].max() < 60 and (sketch[..., 3] > 0).mean() < 0.7 * (fox[..., 3] > 0).mean()
    assert (silhouette[..., :3] == silhouette[0, 0, :3]).all() and (silhouette[..., 3] == fox[..., 3]).all()
    blocks = pixels.reshape(20, 3, 20, 3, 4)
    assert (blocks == blocks[:, :1, :, :1]).all(), "20 by 20 pixels, each 3 by 3"


def test_errors_name_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match="unknown object 'foks'; the nearest of the 128 known ones: fox"):
        data.drawing("foks", 32)
    monkeypatch.setitem(data.OBJECTS, "nothing", "FFFFF")
    with pytest.raises(FileNotFoundError, match="no drawing of 'nothing'.*reinstall it: pip install"):
        data.drawing("nothing", 32)


def test_every_word_is_one_token():
    tokenizer = Tokenizer.train(data.WORDS)
    for word in data.WORDS:
        assert tokenizer.tokens(word)[1] == f"{word}</w>"
    assert max(len(scene(seed).caption.split()) for seed in range(2000)) <= tokenizer.context - 2


def test_batch():
    x = data.batch([scene(0), scene(1)])
    assert x.shape == (2, 3, 128, 128) and x.min() >= -1 and x.max() <= 1
    assert (((x[1].permute(1, 2, 0) + 1) * 127.5).round().numpy() == scene(1).image).all()


GOLDEN = [
    ("silhouette of big tree at right on yellow", "silhouette of big tree at right on yellow", [(43, 17, 103, 107)]),
    (
        "sketch of eggplant above pig in snow",
        "sketch of eggplant above pig in snow",
        [(57, 14, 92, 49), (48, 77, 86, 109)],
    ),
    ("small eggplant in snow", "eggplant in snow", [(58, 50, 82, 74)]),
    ("pixel art of small cat at top in space", "pixel art", [(47, 13, 71, 37)]),
    ("ice cream below doughnut on gray", "ice cream below doughnut on gray", [(51, 74, 75, 114), (36, 13, 80, 57)]),
]
