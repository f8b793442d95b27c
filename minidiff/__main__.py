"""The command line: pictures from prompts, and from pictures."""

import argparse
import os
import sys
import time
from pathlib import Path

from PIL import Image

from minidiff.cli import CONTROLS, Parser, number, run

EXAMPLES = """examples:
  python -m minidiff "big red apple on blue" --out apple.png
  python -m minidiff "fox above rocket on green" --seed 3 --steps 25 --guidance 4 --sampler ddim
  python -m minidiff "cat in snow" "sketch of owl on white" "car left of tree in meadow" --out grid.png
  python -m minidiff "big pear on blue" --image apple.png --strength 0.7
  python -m minidiff "bee above apple on blue" --image apple.png --mask mask.png
  python -m minidiff "red apple on blue" --image apple.png --margins 32 0 32 0
  python -m minidiff "green pear on blue" --control lines scribble.png

The model knows these sentences (objects, styles and places: DATA_CARD.md):
  [sketch|silhouette|pixel art of] [small|big] OBJECT [at left|at right|at top|at bottom] PLACE
  [sketch|silhouette|pixel art of] OBJECT left of|right of|above|below OBJECT PLACE

Samplers: {samplers}
"""


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "python -m minidiff",
        description="Draw pictures from prompts; several prompts make a grid.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", nargs="+", help="what to draw")
    parser.add_argument("--out", type=Path, default=Path("minidiff.png"), help="picture file to write (%(default)s)")
    parser.add_argument(
        "--seed", type=number(int, 0, 2**63 - 1), default=0, help="same seed, same picture (%(default)s)"
    )
    parser.add_argument("--steps", type=number(int, 1, 1000), default=25, help="denoising steps (%(default)s)")
    parser.add_argument("--guidance", type=number(float, 0, 100), default=4.0, help="1 is none (%(default)s)")
    parser.add_argument("--sampler", metavar="NAME", default="ddim", help="one of those below (%(default)s)")
    parser.add_argument("--negative", default="", metavar="PROMPT", help="what to keep away from")
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
        "--weights", default="openmoji", metavar="FOLDER", help="your own weights, not the shipped ones"
    )
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is, if not given")
    args = parser.parse_args(argv)
    for kind, _ in args.control:
        if kind not in CONTROLS:
            parser.error(f"argument --control: got {kind}, expected {' or '.join(CONTROLS)}, and a picture file")
    return args


def check_writable(path: Path) -> None:
    """Before minutes are spent drawing: can a picture be written there?"""
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--out is {path}, expected a picture file: name it .png or .jpg")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"--out is {path}, which cannot be written: give a file in a folder that exists and is yours")


def read(option: str, path: Path | None) -> Image.Image | None:
    """The picture in a file. ValueError, naming the option, if there is none."""
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError as error:
        raise ValueError(f"{option} is {path}, and there is no such file") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  #  what Pillow raises for damaged files
        raise ValueError(f"{option} is {path}, which cannot be read as a picture: {error}") from error


def main(argv: list[str] | None = None) -> None:
    start = time.perf_counter()
    args = arguments(argv)
    check_writable(args.out)
    image, mask = read("--image", args.image), read("--mask", args.mask)
    hints = [read("--control", Path(file)) for _, file in args.control]

    # torch takes seconds to import: not before the arguments are known to be right
    from minidiff.controlnet import ControlNet
    from minidiff.convert import load
    from minidiff.pipeline import StableDiffusion, find_weights
    from minidiff.sample import SAMPLERS
    from minidiff.show import grid

    if args.sampler not in SAMPLERS:
        raise ValueError(f"--sampler is {args.sampler}, expected one of {', '.join(SAMPLERS)}")
    pipe = StableDiffusion.from_pretrained(args.weights, device=args.device)
    files = [find_weights(args.weights) / f"{kind}.safetensors" for kind, _ in args.control]
    controlnets = [load(ControlNet, file, pipe.device) for file in files]
    images = pipe(
        args.prompt,
        args.negative,
        steps=args.steps,
        guidance=args.guidance,
        sampler=SAMPLERS[args.sampler],
        seed=args.seed,
        image=image,
        strength=args.strength,
        mask=mask,
        margins=tuple(args.margins) if args.margins else None,
        control=[(*pair, args.control_scale) for pair in zip(controlnets, hints, strict=True)],
        progress=sys.stderr.isatty(),
    )
    picture = images[0] if len(images) == 1 else grid(images, captions=args.prompt)
    part = args.out.with_name(f".{args.out.stem}.part{args.out.suffix}")
    try:
        picture.save(part)
        part.replace(args.out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{args.out}  {len(images)} picture{'s' * (len(images) > 1)} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    run(main)
