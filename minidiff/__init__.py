"""Stable Diffusion in small parts, each built and trained in a lesson of the course: see README.md for the map."""

import atexit
import gc

atexit.register(gc.freeze)  # else Python looks through all objects once more before it ends: a second with torch's


def studio(pipe=None, **first):
    """All that the pipeline can do, in one panel, for the end of a cell. See `minidiff.play.studio.Studio`."""
    from minidiff.play.studio import Studio  # torch and ipywidgets are imported when they are needed

    return Studio(pipe, **first)


def yours(name="openmoji", device=None):
    """The pipeline of `StableDiffusion.from_pretrained`, drawing with a reader's answers. See `minidiff.equip`."""
    from minidiff.equip import Yours

    return Yours.from_pretrained(name, device)
