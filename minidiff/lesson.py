"""How a lesson begins: where it computes, how much it does there, and how long that takes."""

import os
import sys
import warnings

import torch

from minidiff.pipeline import find_device

SCALES = ("laptop", "colab", "gpu", "test")


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
