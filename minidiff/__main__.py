"""The command line: pictures from prompts, and from pictures."""

import argparse
import io
import os
import re
import sys
import time
from pathlib import Path

from PIL import Image

from minidiff import infotext
from minidiff.cli import CONTROLS, Parser, number, run
from minidiff.infotext import NUMBER
from minidiff.pictures import read

EXAMPLES = """examples:
  python -m minidiff "big red apple on blue" --out apple.png
  python -m minidiff "fox above rocket on green" --seed 3 --steps 25 --guidance 4 --sampler ddim
  python -m minidiff "cat in snow" "sketch of owl on white" "car left of tree in meadow" --out grid.png
  python -m minidiff "big pear on blue" --image apple.png --strength 0.7
  python -m minidiff "bee above apple on blue" --image apple.png --mask mask.png
  python -m minidiff "red apple on blue" --image apple.png --margins 32 0 32 0
  python -m minidiff "green pear on blue" --control lines scribble.png
  python -m minidiff "fox on green" --lora lighthouse.safetensors:0.8 --ip-image apple.png
  python -m minidiff "fox on green" --fast
  python -m minidiff "fox on green" --preview 5
  python -m minidiff --again apple.png --seed 4

The model knows these sentences (objects, styles and places: DATA_CARD.md):
  [sketch|silhouette|pixel art of] [small|big] OBJECT [at left|at right|at top|at bottom] PLACE
  [sketch|silhouette|pixel art of] OBJECT left of|right of|above|below OBJECT PLACE

Samplers: {samplers}
"""
# What may be written in a picture's file -> the option that says the same, or that has to give the file of that hash
OPTIONS = {"Steps": "--steps", "CFG scale": "--guidance", "Seed": "--seed", "Denoising strength": "--strength"}
OPTIONS |= {"Negative prompt": "--negative"}
FORMS = {"Steps": r"\d+", "CFG scale": NUMBER, "Seed": r"\d+", "Size": r"\d+x\d+", "Model hash": r"\w+"}
FORMS |= {"Denoising strength": NUMBER, "Margins": r"\d+( \d+){3}", "ControlNet weight": rf"{NUMBER}( {NUMBER})*"}
FORMS |= {"Fast": "True"}
FORMS |= {"IP-Adapter weight": rf"-?{NUMBER}", "Lora hashes": r"[^:,]+: \w+(, [^:,]+: \w+)*"}
FILES = {"Model hash": "--weights", "Image hash": "--image", "Mask hash": "--mask"}
FILES |= {"ControlNet hash": "--control", "Hint hash": "--control", "Lora hashes": "--lora"}
FILES |= {"IP image hash": "--ip-image", "IP-Adapter hash": "--weights"}


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        "python -m minidiff",
        description="Draw pictures from prompts; several prompts make a grid.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", nargs="*", help="what to draw")
    parser.add_argument("--out", type=Path, default=Path("minidiff.png"), help="picture file to write (%(default)s)")
    parser.add_argument(
        "--seed", type=number(int, 0, 2**63 - 1), default=0, help="same seed, same picture (%(default)s)"
    )
    parser.add_argument(
        "--fast", action="store_true", help="by a network that learned to need 2 steps (1 to 8) and no guidance"
    )
    parser.add_argument("--steps", type=number(int, 1, 1000), help="denoising steps (25; with --fast 2)")
    parser.add_argument("--guidance", type=number(float, 0, 100), help="1 is none (4; with --fast 1)")
    parser.add_argument("--sampler", metavar="NAME", help="one of those below (ddim; with --fast consistency)")
    parser.add_argument("--negative", default="", metavar="PROMPT", help="what to keep away from")
    for side in ("height", "width"):
        parser.add_argument(
            f"--{side}", type=number(int, 1), metavar="PIXELS", help="a multiple of 8; what was trained, if not given"
        )
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="redraw this picture, instead of drawing from nothing"
    )
    parser.add_argument(
        "--strength", type=number(float, 0, 1), default=0.8, help="of the image, how much is redrawn (%(default)s)"
    )
    parser.add_argument("--mask", type=Path, metavar="FILE", help="of the image, white is redrawn, the rest is kept")
    parser.add_argument(
        "--margins",
        type=number(int, 0),
        nargs=4,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="pixels to draw around the image",
    )
    parser.add_argument(
        "--control",
        nargs=2,
        action="append",
        default=[],
        metavar=("KIND", "FILE"),
        help="steer by a picture of the same size: lines (black on white, such as a scribble) or boxes; several add up",
    )
    parser.add_argument(
        "--control-scale", type=number(float, 0, 10), default=1.0, help="how strongly, 0 is not (%(default)s)"
    )
    parser.add_argument(
        "--lora",
        type=lora,
        action="append",
        default=[],
        metavar="FILE[:WEIGHT]",
        help="a LoRA to add to the weights, 1 time if not given; several add up",
    )
    parser.add_argument("--ip-image", type=Path, metavar="FILE", help="draw what this picture shows, too")
    parser.add_argument(
        "--ip-scale", type=number(float, -10, 10), default=1.0, help="how much of it, 0 is nothing (%(default)s)"
    )
    parser.add_argument(
        "--preview", type=number(int, 1), metavar="N", help="write the picture as it forms, too, after every N steps"
    )
    parser.add_argument(
        "--weights", default="openmoji", metavar="FOLDER", help="your own weights, not the shipped ones"
    )
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is, if not given")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="PNG",
        help="draw this picture of minidiff's again; options beside it change how, but its files must be the same",
    )
    args = parser.parse_args(argv)
    before = infotext.of_file("--again", args.again) if args.again else []
    weights = []
    if before:
        prompts, (weights, *_) = zip(*map(infotext.split_loras, before), strict=True)
        parser.set_defaults(prompt=list(prompts))
        args = parser.parse_args([*options_of(args.again, before, args.image), *argv])
    args.before = before[0] if before else {}
    if before and args.fast != ("Fast" in args.before):
        parser.error(f"argument --fast: {args.again} was drawn without it: give its prompt instead of --again")
    for i, (file, weight) in enumerate(args.lora):  # if not given, as it was
        was = float(weights[i]) if i < len(weights) else 1.0
        args.lora[i] = file, was if weight is None else weight
    if not args.prompt:
        parser.error("the following arguments are required: prompt")
    for kind, _ in args.control:
        if kind not in CONTROLS:
            parser.error(f"argument --control: got {kind}, expected {' or '.join(CONTROLS)}, and a picture file")
    return args


def lora(text: str) -> tuple[Path, float | None]:
    """An argparse type: FILE:WEIGHT, or FILE, whose weight is None."""
    file, _, weight = text.rpartition(":")
    try:
        float(weight)
    except ValueError:  # a colon of the file's own, or none
        return Path(text), None
    return Path(file), number(float, -10, 10)(weight)


def options_of(path: Path, drawn: list[dict[str, str]], image: Path | None) -> list[str]:
    """The options that drew these pictures, all at once, but for the files. The size is that of an image, if given."""
    first = drawn[0]
    for key in ("Steps", "Seed", "Model hash", *(FORMS.keys() & first.keys())):
        if not re.fullmatch(FORMS[key], first.get(key, "")):
            got = repr(first[key]) if key in first else "missing"
            raise ValueError(f"--again is {path}, whose {key} is {got}: give one that minidiff wrote")
    for i, settings in enumerate(drawn):
        own = {"Prompt": first["Prompt"], "Seed": first["Seed"]}
        if settings | own != first or settings.get("Seed") != str(int(first["Seed"]) + i):
            raise ValueError(f"--again is {path}, whose pictures were not drawn at once: give one that minidiff wrote")
    options = [f"{option}={first[key]}" for key, option in OPTIONS.items() if first.get(key)]
    options += ["--fast"] * ("Fast" in first)
    if "Sampler" in first:
        names = {theirs: own for own, theirs in infotext.SAMPLERS.items()}
        options += [f"--sampler={names.get(first['Sampler'], first['Sampler'])}"]
    if "Size" in first and image is None and "Image hash" not in first:
        width, _, height = first["Size"].partition("x")
        options += [f"--width={width}", f"--height={height}"]
    if "Margins" in first:
        options += ["--margins", *first["Margins"].split()]
    if "ControlNet weight" in first:
        options += [f"--control-scale={first['ControlNet weight'].split()[0]}"]
    if "IP-Adapter weight" in first:
        options += [f"--ip-scale={first['IP-Adapter weight']}"]
    return options


def check_writable(path: Path) -> None:
    """Before minutes are spent drawing: can a picture be written there?"""
    try:
        Image.new("RGB", (8, 8)).save(io.BytesIO(), Image.registered_extensions().get(path.suffix.lower()))
    except Exception as error:  # Pillow can only read some formats, or writes no colours, and says so in many ways
        raise ValueError(f"--out is {path}, expected a picture file: name it .png or .jpg") from error
    try:
        if path.exists() and (path.is_dir() or not os.access(path, os.W_OK)):
            raise PermissionError
        part_of(path).touch()
        part_of(path).unlink()
    except OSError as error:
        what = "which cannot be written: give a file in a folder that exists and is yours"
        raise ValueError(f"--out is {path}, {what}") from error


def part_of(path: Path) -> Path:
    """Where a picture is written, to take its place when it is whole."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def main(argv: list[str] | None = None) -> None:
    start = time.perf_counter()
    args = arguments(sys.argv[1:] if argv is None else argv)
    check_writable(args.out)
    image = read("--image", args.image) if args.image else None
    mask = read("--mask", args.mask) if args.mask else None
    hints = [read("--control", Path(file)) for _, file in args.control]
    ip_image = read("--ip-image", args.ip_image) if args.ip_image else None

    # torch takes seconds to import: not before the arguments are known to be right
    from tqdm.auto import tqdm

    from minidiff.controlnet import ControlNet
    from minidiff.convert import load
    from minidiff.parts import find_weights
    from minidiff.pipeline import StableDiffusion
    from minidiff.sample import SAMPLERS
    from minidiff.show import grid

    if args.sampler not in (None, *SAMPLERS):
        raise ValueError(f"--sampler is {args.sampler}, expected one of {', '.join(SAMPLERS)}")
    pipe = StableDiffusion.from_pretrained(args.weights, device=args.device, fast=args.fast)
    folder = find_weights(args.weights)
    for file, weight in args.lora:
        pipe.load_lora(file, weight)
    if ip_image is not None:
        pipe.load_ip_adapter(folder / "ipadapter.safetensors", folder / "clip.safetensors")
    files = [folder / f"{kind}.safetensors" for kind, _ in args.control]
    controlnets = [load(ControlNet, file, pipe.device) for file in files]
    options = dict(
        prompt=args.prompt,
        negative_prompt=args.negative,
        steps=pipe.steps if args.steps is None else args.steps,
        guidance=pipe.guidance if args.guidance is None else args.guidance,
        sampler=SAMPLERS.get(args.sampler, pipe.sampler),
        seed=args.seed,
        height=args.height,
        width=args.width,
        image=image,
        strength=args.strength,
        mask=mask,
        margins=args.margins,
        ip_image=ip_image,
        ip_scale=args.ip_scale,
        control=[(*pair, args.control_scale) for pair in zip(controlnets, hints, strict=True)],
    )
    found = infotext.hashes(pipe, **options) if args.before else {}
    for key, option in FILES.items():
        if key in args.before and found.get(key) != args.before[key]:
            was = f"was drawn with a file of {key.lower()} {args.before[key]}"
            raise ValueError(f"--again is {args.again}, which {was}: give it by {option}")
    out = args.out.resolve()  # of a link, the file that it leads to
    part = part_of(out)

    def write(images: list[Image.Image], about=None) -> None:
        picture = images[0] if len(images) == 1 else grid(images, captions=args.prompt)
        try:
            picture.save(part, pnginfo=about)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    drawing, hidden = pipe.draw(**options), sys.stderr is None or not sys.stderr.isatty()
    steps = tqdm(drawing, "drawing", len(drawing.trace.times) - 1, disable=hidden, leave=False)
    for i, (_, x0) in enumerate(steps, 1):
        if args.preview and i % args.preview == 0 and i < steps.total:
            write(drawing.images(x0))
    images = drawing.images()
    write(images, infotext.chunks(infotext.texts(pipe, images, **options)))
    print(f"{args.out}  {len(images)} picture{'s' * (len(images) > 1)} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    run(main)
