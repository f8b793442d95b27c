"""Draw the gallery of the README into docs/: python tools/gallery.py

Nothing is picked but the failures: the prompts and seeds are those written here, and one sheet is of 64 prompts drawn
at random. The studio is photographed in a real JupyterLab and a real Chromium, where there is one.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import browser

from minidiff import data
from minidiff.controlnet import ControlNet, edges
from minidiff.convert import load
from minidiff.pipeline import WEIGHTS, StableDiffusion
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

FRUIT = ("red apple on white", "peach in snow")

# (prompt, seed, what is wrong with it), found by eye
FAILURES = (
    ("sketch of small pineapple on pink", 227, "a bottle"),
    ("sketch of snowman right of fish in snow", 194, "the snowman is in pieces"),
    ("sketch of maple leaf left of robot on gray", 225, "filled with white, so no sketches"),
    ("small bee in meadow", 21, "hardly a bee"),
    ("pixel art of candle above eggplant in space", 220, "two smears"),
    ("pixel art of small panda at top on green", 239, "blurred, and no pixels"),
)


def scene(prompt: str, seed: int) -> data.Scene:
    return data.Scene(data.parse(prompt), seed)


def editing(pipe: StableDiffusion) -> tuple[list[Image.Image], list[str]]:
    """Real scenes, and what becomes of them: image to image, inpainting, outpainting; pictures and their captions."""
    dog = scene("dog left of tree in meadow", 2)
    image, (left, top, right, bottom) = Image.fromarray(dog.image), dog.boxes[0]
    mask = Image.new("L", image.size)
    mask.paste(255, (left - 6, top - 6, right + 6, bottom + 6))

    def inpainting(prompt):
        return pipe(prompt, image=image, mask=mask, strength=1.0, seed=3)[0]

    cat, snowman = "cat left of tree in meadow", "snowman left of tree in meadow"
    shown = {
        f"a scene: {dog.caption}": image,
        f"image to image at 0.4: {cat}": pipe(cat, image=image, strength=0.4, seed=3)[0],
        f"image to image at 0.8: {cat}": pipe(cat, image=image, strength=0.8, seed=3)[0],
        "a mask: white is redrawn": mask,
        f"inpainting: {cat}": inpainting(cat),
        f"inpainting: {snowman}": inpainting(snowman),
    }
    for prompt, box in (
        ("sailboat in sea", (32, 0, 96, 128)),
        ("snowman in snow", (32, 0, 96, 128)),
        ("fox in desert", (24, 24, 104, 104)),
    ):
        piece = Image.fromarray(scene(prompt, 4).image).crop(box)
        margins = box[0], box[1], 128 - box[2], 128 - box[3]
        shown[f"a piece of a scene: {prompt}"] = piece
        shown[f"outpainting: {prompt}"] = pipe(prompt, image=piece, margins=margins, seed=3)[0]
    return list(shown.values()), list(shown)


def scribbles() -> dict[str, Image.Image]:
    """An apple, a house and a ball, as a person might draw them."""
    drawn = {name: Image.new("RGB", (128, 128), "white") for name in ("fruit", "house", "ball")}
    pen = {name: ImageDraw.Draw(picture) for name, picture in drawn.items()}
    pen["fruit"].ellipse((30, 40, 98, 104), outline="black", width=3)
    pen["fruit"].line([(64, 46), (66, 32), (74, 22)], fill="black", width=3)
    pen["fruit"].line([(67, 34), (84, 24), (92, 32), (68, 38)], fill="black", width=3)
    pen["house"].polygon([(24, 60), (64, 22), (104, 60)], outline="black", width=3)
    pen["house"].rectangle((34, 60, 94, 106), outline="black", width=3)
    pen["house"].rectangle((56, 78, 74, 106), outline="black", width=3)
    pen["ball"].ellipse((28, 28, 100, 100), outline="black", width=3)
    return drawn


def control(pipe: StableDiffusion) -> tuple[list[Image.Image], list[str]]:
    """Hints, each with what two prompts make of it; pictures and their captions."""
    lines, boxes = (load(ControlNet, WEIGHTS / f"{name}.safetensors", pipe.device) for name in ("lines", "boxes"))
    drawn = scribbles()
    pair, fox = scene("rocket left of tree on yellow", 6), scene("big fox in meadow", 2)
    hints = (
        ("a scribble", lines, drawn["fruit"], "red apple on white", "peach in snow"),
        ("a scribble", lines, drawn["house"], "house in meadow", "castle in desert"),
        ("a scribble", lines, drawn["ball"], "pizza on purple", "clock in space"),
        ("line art", lines, Image.fromarray(fox.lines), "big fox in meadow", "big cat in space"),
        ("edges of a scene", lines, edges(Image.fromarray(pair.image)), "rocket left of tree on blue", "tree in snow"),
        ("boxes", boxes, Image.fromarray(pair.layout), "rocket left of tree on yellow", "cat left of house in snow"),
    )
    pictures, captions = [], []
    for kind, controlnet, hint, *prompts in hints:
        pictures += [hint, *pipe(prompts, seed=[3, 3], control=(controlnet, hint, 1.0))]
        captions += [kind, *prompts]
    return pictures, captions


def moving(drawing, prompts: tuple[str, ...], path: Path, beside: Sequence[Image.Image] = ()) -> None:
    """Noise becoming drawings: the states, decoded, five a second; the pictures stay for three seconds.

    Each stands to the right of its scribble, if there are any. A WebP of 256 x 256 pixels a picture, which browsers
    play; a GIF would have to do with 256 colours.
    """
    captions = [caption for prompt in prompts for caption in [*["a scribble"] * bool(beside), prompt]]

    def sheet():
        columns = [beside, drawing.images()] if beside else [drawing.images()]
        return grid([picture for row in zip(*columns, strict=True) for picture in row], 4, captions, size=256)

    states = [sheet(), *(sheet() for _ in drawing)]
    hold = [200] * (len(states) - 1) + [3000]
    states[0].save(path, save_all=True, append_images=states[1:], duration=hold, loop=0, quality=70, method=6)
    print(path)


def studio(path: Path, prompts: tuple[str, ...]) -> None:
    """The studio after some prompts, and then a scribble that the last one follows, as it is seen in JupyterLab."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cells = [nbformat.v4.new_code_cell(f"import minidiff\n\nminidiff.studio(prompt={prompts[0]!r})")]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, Path(folder) / "studio.ipynb")
        chromium = playwright.chromium.launch(executable_path=browser.chromium(), args=browser.FLAGS)
        with browser.jupyterlab(Path(folder), Path(folder)) as (url, token):
            notebook = browser.Notebook(chromium.new_page(viewport={"width": 1280, "height": 1100}))
            notebook.open(url, token, "studio.ipynb")
            notebook.run()
            panel = notebook.output(0).locator(".minidiff-studio")
            prompt, thumbs = panel.get_by_label("prompt", exact=True), panel.locator(".minidiff-thumb")
            for n, text in enumerate(prompts[1:], 2):
                if n == len(prompts):
                    panel.get_by_role("button", name="scribble", exact=True).click()
                    draw_apple(notebook.page, panel.locator("canvas:visible"))
                prompt.fill(text)
                prompt.press("Enter")
                if not notebook.soon(lambda n=n: thumbs.count() == n and panel.locator("progress").is_hidden()):
                    raise RuntimeError(panel.locator(".minidiff-message").inner_text())
            panel.screenshot(path=path)
            notebook.close(stay=False)
    print(path)


def draw_apple(page, sheet) -> None:
    """An apple, with the mouse, on a sketchpad of the page."""
    sheet.scroll_into_view_if_needed()
    box, angles = sheet.bounding_box(), np.linspace(0, 2 * np.pi, 40)
    fruit = np.stack([64 + 36 * np.sin(angles), 72 - 33 * np.cos(angles)], 1)
    for stroke in (fruit, [(64, 42), (67, 30), (75, 20)], [(68, 32), (82, 22), (92, 28), (80, 36), (68, 33)]):
        places = [(box["x"] + x / 128 * box["width"], box["y"] + y / 128 * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places:
            page.mouse.move(*place)
        page.mouse.up()


def main():
    pipe = StableDiffusion.from_pretrained("openmoji")
    moving(pipe.draw(PROMPTS[:8]), PROMPTS[:8], DOCS / "moving.webp")
    lines, fruit = load(ControlNet, WEIGHTS / "lines.safetensors", pipe.device), scribbles()["fruit"]
    drawing = pipe.draw(FRUIT, seed=3, control=(lines, fruit, 1.0))
    moving(drawing, FRUIT, DOCS / "scribble.webp", [fruit] * len(FRUIT))

    def save(name, pictures, captions, columns, size=None):
        sheet = grid(pictures, columns, captions, size)
        sheet.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)  # a third of the bytes
        print(DOCS / name)

    def draw(name, prompts, seeds, captions, columns, size=None):
        save(name, pipe(prompts, seed=seeds), captions, columns, size)

    draw("gallery.png", PROMPTS, 0, PROMPTS, columns=6, size=256)
    many = [prompt for prompt in ONE_PROMPT for _ in range(6)]
    draw("seeds.png", many, [*range(6)] * 2, [f"seed {i}" for i in range(6)] * 2, columns=6)
    draw("changes.png", CHANGES, [7] * len(CHANGES), CHANGES, columns=6)
    prompts, seeds, _ = zip(*FAILURES, strict=True)
    draw("failures.png", prompts, seeds, [f"{prompt}: {wrong}" for prompt, _, wrong in FAILURES], columns=6)
    specs = np.random.RandomState(0)
    prompts = [str(data.random_spec(specs, held_out=i % 8 == 7)) for i in range(64)]
    draw("random.png", prompts, 0, prompts, columns=8)
    save("editing.png", *editing(pipe), columns=6)
    save("control.png", *control(pipe), columns=6)
    if browser.chromium():
        studio(DOCS / "studio.png", (*PROMPTS[:3], "sketch of owl on white", "red apple on blue"))


if __name__ == "__main__":
    main()
