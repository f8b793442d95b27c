"""Draw from a panel: `Playground`, from words to pictures; `Studio`, all that the pipeline can do."""

import io
import time
import warnings
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image, ImageOps

from minidiff import infotext, show
from minidiff.controlnet import ControlNet
from minidiff.convert import load
from minidiff.pictures import on_white
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.play import Panel, labelled, picture, png, say
from minidiff.play.sketchpad import Sketchpad
from minidiff.sample import SAMPLERS

MODES = {  # -> what its button says
    "text to image": "Draw",
    "image to image": "Redraw the image",
    "inpaint": "Redraw what is painted",
    "outpaint": "Draw around the image",
    "scribble": "Draw along the lines",
}
SIDES = ("left", "top", "right", "bottom")


class Playground(Panel):
    """Prompt, negative prompt, guidance, steps, sampler, seed, and a button; the new picture beside the last one.

    `controls` holds what can be set, by name; `draw()` is what the button does. `pictures` are at most two, the last
    and the new one, `captions` what they were drawn with.
    """

    def __init__(
        self,
        pipe: StableDiffusion | None = None,
        prompt: str = "cat left of umbrella on pink",
        *,
        steps: int = 25,
        guidance: float = 4.0,
        seed: int = 0,
    ):
        """Draws the first picture. `pipe` is the shipped one if none is given."""
        self.pipe = pipe or StableDiffusion.from_pretrained()
        first = {"prompt": prompt, "guidance": guidance, "steps": steps, "seed": seed}
        self.pictures, self.captions, self.drawn_with = self.pipe(**first), [caption(**first)], first
        try:
            self._build(**first)
        except ModuleNotFoundError:  # no ipywidgets: the first picture remains
            pass

    def still(self) -> Image.Image:
        return show.grid(self.pictures, len(self.pictures), self.captions, size=256)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lower()}: {self.captions[-1]}"

    def draw(self, _=None) -> None:
        """Draw with what the controls say. An error, or a warning, becomes a line of text; the pictures stay."""
        self.button.disabled, start = True, time.perf_counter()
        say(self.message, "drawing …")
        hook = self.pipe.unet.register_forward_pre_hook(self._progress)
        try:
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always", UserWarning)
                options = self._options()
                self.pictures = [self.pictures[-1], *self.pipe(**options, progress=False)]
        except KeyboardInterrupt:
            say(self.message, "Stopped.")
        except Exception as error:  # a callback's traceback would be lost in the log
            say(self.message, f"Not drawn: {error}")
        else:
            self.captions, self.drawn_with = [self.captions[-1], caption(**options)], options
            say(self.message, " · ".join([f"{time.perf_counter() - start:.1f} s", *(str(n.message) for n in notes)]))
            self._show()
        finally:
            hook.remove()
            self.button.disabled, self.bar.value = False, 0

    def _progress(self, unet, args) -> None:
        self.bar.value = 1 - torch.as_tensor(args[1]).max().item() / self.pipe.schedule.T

    def _options(self) -> dict:
        """The pipeline's arguments."""
        names = ("prompt", "negative_prompt", "guidance", "steps", "sampler", "seed")
        return {name: self.controls[name].value for name in names}

    def _build(self, prompt: str, guidance: float, steps: int, seed: int) -> None:
        from ipywidgets import HTML, BoundedIntText, Button, Dropdown, FloatProgress, FloatSlider, IntSlider, Text, VBox

        # a pipeline of diffusers' has a sampler of its own
        samplers = [("its scheduler", None)] * (self.pipe.scheduler_config is not None)
        samplers += SAMPLERS.items()
        self.controls = {
            "prompt": Text(prompt),
            "negative_prompt": Text(placeholder="what to keep away from"),
            "guidance": FloatSlider(guidance, min=0, max=15, step=0.5),
            "steps": IntSlider(steps, min=1, max=100),
            "sampler": Dropdown(options=samplers),
            "seed": BoundedIntText(seed, min=0, max=2**31),
        }
        for name, control in self.controls.items():
            labelled(control, name.replace("_", " "))
        self.button = Button(description=MODES["text to image"], button_style="primary").add_class("minidiff-draw")
        self.button.on_click(self.draw)
        self.bar = FloatProgress(0, max=1, tooltip="progress").add_class("minidiff-progress")
        self.message = HTML().add_class("minidiff-message")
        self.views = [picture(self.pictures[-1], name) for name in ("last picture", "new picture")]
        self.under = [HTML(), HTML()]
        self.boxes = [VBox(pair, layout={"width": "272px"}) for pair in zip(self.views, self.under, strict=True)]
        self._show()
        self.widget = self._layout()

    def _layout(self):
        from ipywidgets import HBox, VBox

        self.button.layout.width = "max-content"
        prompt, negative, *others = self.controls.values()
        for text in (prompt, negative):
            text.layout.width = "min(560px, 98%)"
        for view in self.views:
            view.layout.width = "256px"
        rows = [HBox(others[:2]), HBox(others[2:]), HBox([self.button, self.bar]), self.message, HBox(self.boxes)]
        for row in rows:
            row.layout.flex_flow = "row wrap"
        return VBox([prompt, negative, *rows]).add_class("minidiff-playground")

    def _show(self) -> None:
        self.boxes[0].layout.display = "none" if len(self.pictures) == 1 else ""
        for i in range(-len(self.pictures), 0):
            self.views[i].value = png(self.pictures[i])
            say(self.under[i], self.captions[i])


class Studio(Playground):
    """A playground that also redraws an image, what is painted of it or what is around it, and follows a scribble.

    `image` is what is redrawn, at first the first picture; `mask` and `scribble` are the sketchpads.
    """

    def _build(self, **first) -> None:
        from ipywidgets import Button, FileUpload, FloatSlider, IntSlider, ToggleButtons

        self.mask, self.scribble = Sketchpad(self.pictures[-1], label="mask"), Sketchpad(brush=3, label="scribble")
        self.mode = labelled(ToggleButtons(options=list(MODES)), "mode")
        self.strength = labelled(FloatSlider(0.8, min=0.05, max=1, step=0.05), "strength")
        self.margins = [labelled(IntSlider(32 * (side == "right"), max=64, step=8), side) for side in SIDES]
        self.scale = labelled(FloatSlider(1, min=0, max=2, step=0.1), "control scale")
        self.view = picture(self.pictures[-1], "image")
        self.upload = FileUpload(accept="image/*", description="Open an image").add_class("minidiff-open")
        self.use = Button(description="Use as image").add_class("minidiff-use")
        self.save = Button(description="Save").add_class("minidiff-save")
        super()._build(**first)
        self.mode.observe(self._choose, "value")
        self.upload.observe(self._open, "value")
        self.use.on_click(self._use)
        self.save.on_click(self._save)
        self._choose()

    @property
    def image(self) -> Image.Image:
        return self.mask.picture

    @image.setter
    def image(self, image: Image.Image) -> None:
        self.mask.picture, self.view.value = image, png(image)

    @cached_property
    def controlnet(self) -> ControlNet:
        """The one that reads line art, loaded when it is needed."""
        return load(ControlNet, WEIGHTS / "lines.safetensors", self.pipe.device)

    def _options(self) -> dict:
        options, mode = super()._options(), self.mode.value
        if mode in ("image to image", "inpaint", "outpaint"):
            options["image"] = self.image
        if mode in ("image to image", "inpaint"):
            options["strength"] = self.strength.value
        pad = {"inpaint": self.mask, "scribble": self.scribble}.get(mode)
        if pad and not pad.mask.any():
            raise ValueError("nothing is painted: paint on the sheet above, by mouse, or by arrow keys and Space")
        if mode == "inpaint":
            options["mask"] = self.mask.mask
        if mode == "outpaint":
            options["margins"] = tuple(margin.value for margin in self.margins)
        if mode == "scribble":
            options["control"] = (self.controlnet, self.scribble.scribble, self.scale.value)
        return options

    def _layout(self):
        from ipywidgets import HTML, HBox

        for button in (self.upload, self.use, self.save):
            button.layout.width = "max-content"
        self.view.layout.width = "256px"
        missing = "To paint here, install anywidget: <code>pip install anywidget</code>"
        pads = [pad.widget or HTML(missing) for pad in (self.mask, self.scribble)]
        margins = HBox(self.margins, layout={"flex_flow": "row wrap"})
        self.needs = {  # what is seen in which modes
            self.upload: ("image to image", "inpaint", "outpaint"),
            self.view: ("image to image", "outpaint"),
            self.strength: ("image to image", "inpaint"),
            margins: ("outpaint",),
            self.scale: ("scribble",),
            pads[0]: ("inpaint",),
            pads[1]: ("scribble",),
        }
        playground = super()._layout()
        playground.children = [self.mode, *self.needs, *playground.children, HBox([self.use, self.save])]
        return playground.add_class("minidiff-studio")

    def _choose(self, _=None) -> None:
        for control, modes in self.needs.items():
            control.layout.display = "" if self.mode.value in modes else "none"
        self.button.description = MODES[self.mode.value]
        say(self.message, "")

    def _open(self, change) -> None:
        if not change.new:
            return
        side = self.pipe.factor * self.pipe.unet.config.sample_size
        try:
            opened = on_white("the image", io.BytesIO(change.new[0].content))
        except ValueError as error:
            say(self.message, f"Not opened: {error}")
        else:
            self.image = ImageOps.fit(opened, (side, side))

    def _use(self, _) -> None:
        self.image = self.pictures[-1]
        say(self.message, "The new picture is the image now: redraw it, or what you paint of it, or around it.")

    def _save(self, _) -> None:
        path = next(path for n in range(1, 10**6) if not (path := Path(f"minidiff-{n}.png")).exists())
        texts = infotext.texts(self.pipe, self.pictures[-1:], **self.drawn_with)
        try:
            self.pictures[-1].save(path, pnginfo=infotext.chunks(texts))
        except OSError as error:
            say(self.message, f"Not saved: {error}")
        else:
            say(self.message, f"Saved as {path.resolve()}")


def caption(prompt: str, negative_prompt: str = "", *, guidance, steps, seed, sampler=None, **more) -> str:
    """What a picture was drawn with, in one line, from the pipeline's arguments."""
    said = [prompt, f"not {negative_prompt}" * bool(negative_prompt), f"guidance {guidance:g}"]
    said += [f"{steps} steps" + (f" of {sampler.__name__}" if sampler else ""), f"seed {seed}"]
    said += [f"{name} {more[name]}" for name in ("strength", "margins") if name in more]
    return ", ".join(filter(None, said))
