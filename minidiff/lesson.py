"""How a lesson begins: where it computes, how much it does there, how long that takes, what of the whole it builds."""

import os
import sys
import warnings

import torch

from minidiff.pipeline import find_device

SCALES = ("laptop", "colab", "gpu", "test")

# The pipeline from words to pixels: what stands for each part, and the lessons that build it
PARTS = {
    "words": ("tokenizer, CLIP", {4}),
    "times": ("noise schedule", {1, 7}),
    "noise": ("from a seed", {11}),
    "a picture": ("VAE encoder, mask", {3, 9}),
    "U-Net": ("finds the noise", {2, 5, 8}),
    "control": ("ControlNet", {10}),
    "guidance": ("more of the words", {6}),
    "sampler": ("step by step", {2, 7}),
    "pixels": ("VAE decoder", {3, 11}),
}


def lesson(*, laptop: float, colab: float, gpu: float, read: float | None = None) -> tuple[torch.device, str]:
    """Begin a lesson, and say so in one line: device, scale, minutes that its cells run, minutes that it takes to read.

    Returns the device (CUDA, MPS or CPU, the first that is there) and the scale: how many pictures and steps the cells
    choose. It is "gpu" where there is CUDA, else "colab" there, else "laptop"; the environment's MINIDIFF_SCALE, which
    may also be "test" (as little as will run), goes before. torch's random numbers begin at seed 0, and warnings are
    printed as a line, "Note: ...".

    laptop, colab, gpu  minutes that the cells run at that scale
    read                minutes to read; None, as for exercises, says nothing of it

    ValueError for any other MINIDIFF_SCALE.
    """
    device = find_device()
    here = "gpu" if device.type == "cuda" else "colab" if "google.colab" in sys.modules else "laptop"
    scale = os.environ.get("MINIDIFF_SCALE", here)
    if scale not in SCALES:
        raise ValueError(f"got MINIDIFF_SCALE={scale}, expected one of {', '.join(SCALES)}")
    torch.manual_seed(0)
    warnings.formatwarning = lambda message, *_: f"Note: {message}\n"
    minutes = dict(zip(SCALES, (laptop, colab, gpu, 0.5), strict=True))[scale]
    reading = "" if read is None else f", and {read:g} min to read"
    print(f"device: {device} · scale: {scale} · about {minutes:g} min to run here{reading}")
    return device, scale


def overview(number: int) -> None:
    """Show the whole pipeline, from words to pixels, with the parts lit that the lesson of this number builds."""
    from IPython.display import display

    lit = [title for title, (_, lessons) in PARTS.items() if number in lessons]
    styles = {True: "background:#00734F;color:white", False: "background:#F3F3F3;color:black"}
    parts = [
        f'<div style="{styles[title in lit]};border-radius:4px;padding:3px 7px"><b>{title}</b><br>{what}</div>'
        for title, (what, _) in PARTS.items()
    ]
    text = f"{' → '.join(PARTS)}; this lesson builds: {', '.join(lit)}"
    display({"text/plain": text, "text/html": joined(parts)}, raw=True)


def joined(parts: list[str]) -> str:
    """Parts of the pipeline in HTML, with arrows between; on white, so that a dark page shows them, too."""
    style = "display:flex;flex-wrap:wrap;gap:9px;font:12px sans-serif;background:white;color:black;padding:9px"
    return f'<div style="{style}">{"<div>→</div>".join(parts)}</div>'
