"""Draw the gallery of the README into docs/: python tools/gallery.py

Nothing is picked but the failures: the prompts and seeds are those written here, and the last sheet is 64 prompts drawn
at random.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from minidiff import data
from minidiff.pipeline import StableDiffusion
from minidiff.show import grid

DOCS = Path(__file__).resolve().parent.parent / "docs"

PROMPTS = (
    "fox above rocket on green", "big red apple on blue", "cat left of umbrella on pink", "sailboat in sea",
    "sketch of owl on white", "pixel art of house in meadow", "silhouette of bicycle on orange",
    "penguin at right in snow", "small key at top on purple", "giraffe in desert", "robot right of cake on yellow",
    "lion below crown on green", "pixel art of sunflower above bee on blue", "big volcano in space",
    "sketch of guitar left of trumpet on gray", "snowman below star in snow", "small bus at bottom in meadow",
    "octopus left of shark in sea",
)  # fmt: skip

ONE_PROMPT = ("dinosaur in desert", "sketch of dog left of cat on yellow")

CHANGES = (
    "house on blue", "house in meadow", "house in snow", "big house in snow", "pixel art of big house in snow",
    "pixel art of big castle in snow",
)  # fmt: skip

# (prompt, seed, what is wrong with it), found by eye
FAILURES = (
    ("fox above rocket on green", 0, "the wrong way round"),
    ("cat left of broccoli on yellow", 9, "the wrong way round"),
    ("pig below heart in space", 49, "two hearts"),
    ("big bicycle at bottom on yellow", 32, "no bicycle"),
    ("sketch of dog left of cat on yellow", 0, "no dog, no cat"),
    ("pixel art of big castle in snow", 7, "a blur"),
)


def main():
    pipe = StableDiffusion.from_pretrained("openmoji")

    def draw(name, prompts, seeds, captions, columns):
        sheet = grid(pipe(prompts, seed=seeds), columns, captions)
        sheet.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)  #  a third of the bytes
        print(DOCS / name)

    draw("gallery.png", PROMPTS, 0, PROMPTS, columns=6)
    many = [prompt for prompt in ONE_PROMPT for _ in range(6)]
    draw("seeds.png", many, [*range(6)] * 2, [f"seed {i}" for i in range(6)] * 2, columns=6)
    draw("changes.png", CHANGES, [7] * len(CHANGES), CHANGES, columns=6)
    prompts, seeds, _ = zip(*FAILURES, strict=True)
    draw("failures.png", prompts, seeds, [f"{prompt}: {wrong}" for prompt, _, wrong in FAILURES], columns=6)
    specs = np.random.RandomState(0)
    prompts = [str(data.random_spec(specs, held_out=i % 8 == 7)) for i in range(64)]
    draw("random.png", prompts, 0, prompts, columns=8)


if __name__ == "__main__":
    main()
