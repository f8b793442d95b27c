"""The rows of the family's table, and where each of their figures stands; family.py looks them up and writes them.

A new row: one in ROWS, of a system in SYSTEMS. `Found` names a cell by its id and has a pattern with one group. A new
system's box and its arrows: family_tree.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """year: when it was first made public. lesson: where it is built. closed: its weights are not published."""

    year: int
    lesson: str
    paper: str = ""  # at arxiv.org, or a whole address
    closed: bool = False


SYSTEMS = {
    "Diffusion": System(2015, "01", "1503.03585"),
    "NCSN": System(2019, "13", "1907.05600"),
    "DDPM": System(2020, "02", "2006.11239"),
    "DDIM": System(2020, "07", "2010.02502"),
    "Score SDEs": System(2020, "13", "2011.13456"),
    "CLIP": System(2021, "04", "2103.00020"),
    "DALL-E 1": System(2021, "16", "2102.12092", closed=True),
    "Guidance": System(2021, "06", "2207.12598"),
    "Latent diffusion": System(2021, "08", "2112.10752"),
    "DALL-E 2": System(2022, "16", "2204.06125", closed=True),
    "Imagen": System(2022, "14", "2205.11487", closed=True),
    "Midjourney": System(2022, "14", closed=True),
    "SD 1.5": System(2022, "11", "2112.10752"),
    "DreamFusion": System(2022, "17", "2209.14988"),
    "Flow matching": System(2022, "13", "2210.02747"),
    "Magic3D": System(2022, "17", "2211.10440"),
    "SD 2.1": System(2022, "14", "2112.10752"),
    "DiT": System(2022, "15", "2212.09748"),
    "LoRA": System(2021, "12", "2106.09685"),
    "ControlNet": System(2023, "10", "2302.05543"),
    "Firefly": System(2023, "14", closed=True),
    "Consistency": System(2023, "18", "2303.01469"),
    "SDXL": System(2023, "14", "2307.01952"),
    "IP-Adapter": System(2023, "12", "2308.06721"),
    "DALL-E 3": System(2023, "15", "https://cdn.openai.com/papers/dall-e-3.pdf", closed=True),
    "LCM": System(2023, "18", "2310.04378"),
    "StreamDiffusion": System(2023, "18", "2312.12491"),
    "SD 3": System(2024, "15", "2403.03206"),
    "FLUX.1": System(2024, "15"),
}


@dataclass(frozen=True)
class Found:
    """A number that a cell printed. lesson: if it is not the row's; source: it stands in the cell's code instead;
    rate: it is how many a second."""

    cell: str
    pattern: str
    lesson: str = ""
    source: bool = False
    rate: bool = False


@dataclass(frozen=True)
class Card:
    """An entry of a card in minidiff/weights: "unet measures right"."""

    path: str


@dataclass(frozen=True)
class Right:
    """Which share of n pictures shows `what` was asked for, as the judge sees it; or, `counted`, how many of them."""

    what: str
    share: Found | Card
    n: Found | int
    more: str = ""
    counted: bool = False


@dataclass(frozen=True)
class Row:
    """A system's toy: where it is trained (a heading of its lesson), what it is, which pictures it draws, its figures.

    A figure is a Found, a Card, a list of those, which are added, or words: why there is none. Seconds are as printed,
    and written at a laptop's pace; but for those of a card, whose machines' pace was not kept. Notes go behind.
    """

    system: str
    section: str
    toy: str
    pictures: str
    size: object
    real: object  # parameters of the real one
    train: object
    draw: object
    right: Right | str
    units: tuple = (1, 1)  # seconds in what is printed of training and of drawing
    real_note: str = ""
    train_note: str = ""
    draw_note: str = ""


FULL, SMALL, EIGHT = "128 objects, all styles", "16 objects, plain", "8 objects, plain"
WHOLE = "less than"  # of training: no cell prints it, but it is a part of what all cells of the lesson take
ASKED = Found("cell-03", r'"laptop": \(768, 200, 250, 32, (\d+), ', source=True)  # lesson 16's captions

ROWS = [
    Row(
        "DDPM",
        "Training",
        "a U-Net on pixels",
        "faces, 32 pixels",
        size=Found("cell-20", r"^([\d,]+) parameters"),
        real=Found("cell-64", r"^DDPM, CIFAR-10: +([\d,]+)", "13"),
        train=Found("cell-25", r"^400 steps in (\d+) s"),
        draw=Found("cell-46", r"^40 steps: (\d+) ms"),
        right="draws no captions",
        units=(1, 1 / 1000),
        draw_note="40 steps",
    ),
    Row(
        "DDIM",
        "Measured: error against calls",
        "a sampler of the shipped model",
        FULL,
        size="a sampler",
        real="a sampler",
        train="nothing to train",
        draw=Found("cell-49", r"^U-Net +[\d,]+ +[\d.]+ +25 +([\d.]+)", "11"),
        right=Right(
            "object",
            Found("cell-59", r"^DDIM +5 calls: right object in +(\d+)%"),
            Found("cell-59", r"^DDIM .* of (\d+) pictures"),
        ),
        units=(1, 5 / 1000),
        draw_note="5 calls",
    ),
    Row(
        "Score SDEs",
        "One regression",
        "a little network, trained in four languages",
        "points of a plane",
        size=Found("cell-64", r"^this lesson's network: +([\d,]+)"),
        real="a theory",
        train=WHOLE,
        draw="2-D only",
        right="2-D only",
    ),
    Row(
        "Flow matching",
        "Straight lines that are not straight",
        "the same network, and its reflow",
        "points of a plane",
        size=Found("cell-64", r"^this lesson's network: +([\d,]+)"),
        real="a method",
        train=WHOLE,
        draw="2-D only",
        right="2-D only",
    ),
    Row(
        "Latent diffusion",
        "Your model learns",
        "a U-Net on latents",
        SMALL,
        size=Found("cell-07", r"^([\d,]+) parameters"),
        real="not counted",
        train=Found("cell-40", r"^640 steps of 32 in ([\d.]+) min"),
        draw=Found("cell-46", r"^guidance 4 .* ([\d.]+) s each"),
        right=Right(
            "object and place",
            Found("cell-48", r"^seen combinations.* both +(\d+)%"),
            Found("cell-48", r"^seen combinations, (\d+) pictures"),
        ),
        units=(60, 1),
        draw_note="20 steps",
    ),
    Row(
        "SD 1.5",
        "Where the parameters and the seconds are",
        "the shipped model",
        FULL,
        size=Found("cell-49", r"^U-Net +([\d,]+)"),
        real=Found("cell-59", r"^U-Net +([\d,]+)"),
        train=Card("unet minutes"),
        draw=Found("cell-49", r"^all +[\d,]+ +([\d.]+)"),
        right=Right("all", Card("unet measures right"), 64),
        units=(60, 1),
        train_note="several machines",
        draw_note="25 steps",
    ),
    Row(
        "LoRA",
        "Training it",
        "ten pictures of a koala",
        FULL,
        size=Found("cell-15", r"^rank +4: \d+ weights, +([\d,]+) numbers"),
        real=Found("cell-57", r"^LoRA of rank 4, attention +[\d,]+ +([\d,]+)"),
        real_note="attention alone",
        train=WHOLE,
        draw="as the model",
        right=Right(
            "old objects",
            Found("cell-24", r"^ten pictures +\d+% +[\d.]+ +(\d+)%"),
            Found("cell-05", r'"laptop": \(70, 4, 60, 256, (\d+)\)', source=True),
            "the judge knows no koala",
        ),
    ),
    Row(
        "IP-Adapter",
        "A picture as a prompt: IP-Adapter",
        "the shipped one, a picture its only prompt",
        FULL,
        size=Found("cell-57", r"^an IP-Adapter +([\d,]+)"),
        real=Found("cell-57", r"^an IP-Adapter +[\d,]+ +([\d,]+)"),
        train=Card("ipadapter minutes"),
        draw=Found("cell-43", r"^shipped, 8 steps: ([\d.]+) s"),
        right=Right("objects", Card("ipadapter measures objects"), 64),
        units=(60, 1),
        train_note="one core",
        draw_note="8 steps",
    ),
    Row(
        "ControlNet",
        "Train it",
        "line art beside the shipped model",
        FULL,
        size=[
            Found("cell-25", r"^its way down, copied +([\d,]+)"),
            Found("cell-25", r"^hint network +([\d,]+)"),
            Found("cell-25", r"^exits, all zeros +([\d,]+)"),
        ],
        real="not counted",
        train=WHOLE,
        draw=Found("cell-40", r"^lines, yours +12 steps: ([\d.]+) s"),
        right=Right(
            "all",
            Found("cell-41", r"^lines, yours +[\d.]+ +\d+% +(\d+)%"),
            Found("cell-41", r"^(\d+) pictures  "),
        ),
        draw_note="12 steps",
    ),
    Row(
        "SD 2.1",
        "Real sizes, without the memory",
        "its real sizes",
        "nothing",
        size="not trained",
        real=Found("cell-09", r"^SD 2\.1 +([\d,]+)"),
        train="not trained",
        draw="not trained",
        right="not trained",
    ),
    Row(
        "SDXL",
        "Two copies of one network",
        "the shipped model, told sizes and crops",
        EIGHT,
        size="as the model",
        real=Found("cell-09", r"^SDXL +([\d,]+)"),
        train=Found("cell-18", r"^told: \d+ steps in (\d+) s"),
        train_note="after the model's",
        draw="as the model, in 10 steps",
        right="cuts are counted, not words",
    ),
    Row(
        "Imagen",
        "The whole cascade",
        "32 pixels from words, enlarged to 128",
        EIGHT,
        size=[
            Found("cell-40", r"^base: ([\d,]+) parameters"),
            Found("cell-49", r"^wary: ([\d,]+) parameters"),
        ],
        real="2, 0.6 and 0.4 G",
        train=[
            Found("cell-40", r"^base: .* steps in (\d+) s"),
            Found("cell-49", r"^wary: .* steps in (\d+) s"),
        ],
        train_note="after the model's",
        draw=Found("cell-57", r"^words to 128 pixels: ([\d.]+) s"),
        right=Right(
            "object",
            Found("cell-57", r"^wary, 0\.1 +object +(\d+)%"),
            Found("cell-57", r"^of (\d+) pictures"),
        ),
    ),
    *(
        Row(name, "What is known of Midjourney and Firefly", "what is known of it", "nothing here", *["closed"] * 5)
        for name in ("Midjourney", "Firefly")
    ),
    Row(
        "SD 3",
        "A small world, and the rule",
        "an MMDiT by flow matching",
        EIGHT,
        size=Found("cell-31", r"^MMDiT: ([\d,]+) parameters"),
        real=Found("cell-62", r"^SD 3 medium +([\d,]+)"),
        train=Found("cell-31", r"^MMDiT: .* steps in (\d+) s"),
        draw=Found("cell-33", r"^MMDiT, longer +(\d+) ms"),
        right=Right(
            "object",
            Found("cell-33", r"^MMDiT, longer .* object +(\d+)%"),
            Found("cell-33", r"^share of (\d+) pictures"),
        ),
        units=(1, 1 / 1000),
        draw_note="12 steps",
    ),
    Row(
        "FLUX.1",
        "Positions that turn",
        "its parts, equal to diffusers",
        "nothing",
        size="not trained",
        real=Found("cell-62", r"^FLUX.1 dev +([\d,]+)"),
        train="not trained",
        draw="not trained",
        right="not trained",
    ),
    Row(
        "DALL-E 1",
        "Learning to write",
        "a dictionary and a writer, best of 8 by CLIP",
        EIGHT,
        size=[
            Found("cell-14", r"^([\d,]+) parameters"),
            Found("cell-26", r"^([\d,]+) parameters"),
        ],
        real=Found("cell-82", r"^DALL-E 1's sizes in Writer: +([\d,]+)"),
        train=Found("cell-69", r"^(\d+) s of training each"),
        draw=Found("cell-66", r"^a written candidate, ranked +(\d+) ms"),
        right=Right("object and ground", Found("cell-69", r"^writer, best of 8 +(\d+)%"), [ASKED, ASKED]),
        units=(1, 8 / 1000),
    ),
    Row(
        "DALL-E 2",
        "The decoder",
        "a prior and a decoder of CLIP's embeddings",
        EIGHT,
        size=[
            Found("cell-46", r"^([\d,]+) parameters"),
            Found("cell-51", r"^([\d,]+) parameters"),
        ],
        real=Found("cell-82", r"^Karlo's prior: +([\d,]+)"),
        real_note="Karlo's prior",
        train=Found("cell-69", r"^(\d+) s of training each"),
        draw=Found("cell-66", r"^unCLIP +(\d+) ms"),
        right=Right("object and ground", Found("cell-69", r"^unCLIP +(\d+)%"), [ASKED, ASKED]),
        units=(1, 1 / 1000),
    ),
    Row(
        "DALL-E 3",
        "What DALL-E 3 tells",
        "a U-Net, captions rewritten by CLIP",
        EIGHT,
        size=Found("cell-39", r"^U-Net, rewritten captions: ([\d,]+)"),
        real="not published",
        train=Found("cell-39", r"^U-Net, rewritten captions: .* steps in (\d+) s"),
        draw=Found("cell-33", r"^U-Net +(\d+) ms"),
        right=Right(
            "object",
            Found("cell-39", r"^guidance 3 +rewritten +object +(\d+)%"),
            Found("cell-33", r"^share of (\d+) pictures"),
        ),
        units=(1, 1 / 1000),
        draw_note="12 steps",
    ),
    Row(
        "DreamFusion",
        "Out of the fog",
        "an apple of fog, by score distillation",
        "a thing from all sides",
        size="a grid of 24³",
        real="a method",
        train=Found("cell-38", r"^300 steps in (\d+) s"),
        draw="is its training",
        right=Right(
            "an apple, from its sides",
            Found("cell-40", r"^step +300: an apple from (\d+) of"),
            Found("cell-40", r"^step +300: an apple from \d+ of (\d+)"),
            counted=True,
        ),
    ),
    Row(
        "Magic3D",
        "Looking at a mesh",
        "its mesh, painted through the VAE",
        "a thing from all sides",
        size="three a corner",
        real="a method",
        train=Found("cell-60", r"^60 steps in (\d+) s"),
        train_note="after the fog",
        draw="is its training",
        right=Right(
            "an apple, from its sides",
            Found("cell-60", r"^refined +: an apple from +(\d+) of"),
            Found("cell-60", r"^refined +: an apple from +\d+ of (\d+)"),
            counted=True,
        ),
    ),
    Row(
        "LCM",
        "One, two, four calls",
        "the student that you train, in 4 calls",
        FULL,
        size="as the model",
        real=Found("cell-59", r"^U-Net +([\d,]+)", "11"),
        train=Found("cell-29", r"^\d+ steps of \d+ in ([\d.]+) minutes"),
        draw=Found("cell-34", r"^your student, 4 .* ([\d.]+) s$"),
        right=Right(
            "all",
            Found("cell-34", r"^your student, 4 .*all right +(\d+)%"),
            Found("cell-34", r"^(\d+) pictures of"),
        ),
        units=(60, 1),
    ),
    Row(
        "StreamDiffusion",
        "A batch of different times",
        "the shipped student, two frames under way",
        "a moving disc",
        size="as the model",
        real="a method",
        train="nothing to train",
        draw=Found("cell-48", r"^([\d.]+) pictures a second", rate=True),
        right="follows a drawing",
    ),
]
