"""Stable Diffusion in small parts, each built and trained in a lesson of the course: see README.md for the map."""


def studio(pipe=None, **first):
    """All that the pipeline can do, in one panel, for the end of a cell. See `minidiff.play.studio.Studio`."""
    from minidiff.play.studio import Studio  # torch and ipywidgets are imported when they are needed

    return Studio(pipe, **first)


def __getattr__(name):
    if name == "yours":  # minidiff.yours(): the pipeline, drawing with a reader's answers. See `minidiff.yours`
        import importlib

        return importlib.import_module("minidiff.yours")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
