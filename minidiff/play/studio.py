"""Draw from a panel with all that the pipeline can do: `Studio`. studio.js is its page's side."""

import base64
import io
import re
import tempfile
import time
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from threading import Event, Thread

import numpy as np
from PIL import Image, ImageOps

from minidiff import data, infotext, show
from minidiff.adapt import LoRA
from minidiff.arguments import FEW
from minidiff.controlnet import ControlNet
from minidiff.convert import load
from minidiff.pictures import on_white
from minidiff.pipeline import WEIGHTS, StableDiffusion
from minidiff.play import Panel, words
from minidiff.play.live import Newest, frames, noted
from minidiff.play.pipelines import Pipelines
from minidiff.play.recipe import EDITS, INKS, MODES, Drawn, caption, python, read
from minidiff.play.sketchpad import inked, opened, source, url
from minidiff.sample import SAMPLERS
from minidiff.trace import Drawing

START = {
    "fast": False,
    "mode": MODES[0],
    "negative_prompt": "",
    "strength": 0.8,
    "margins": [0, 0, 32, 0],
    "control_scale": 1,
    "ip_image": None,  # which picture of the strip
    "ip_scale": 1,
    "four_at_once": False,
    "new_each_time": False,
}
FAST = {"steps": 2, "guidance": 1, "sampler": "consistency", "negative_prompt": ""}  # where the switch begins
COLOURS = ["#2c2838", "#ffffff", "#ea5a47", "#fcea2b", "#5c9e31", "#61b2e4", "#a57939", "#8967aa"]  # OpenMoji's


class Studio(Panel):
    """Draw, redraw an image, what is painted of it or what is around it, follow a scribble: `MODES`.

    While it is fast, a picture follows whatever moves on the panel: see `play.live`. Draw keeps it.

    `drawn` are all pictures so far, `image` is what is redrawn; `widget.settings` is what the panel says. `message` is
    its last line.
    """

    def __init__(
        self,
        pipe: StableDiffusion | None = None,
        prompt: str = "cat left of umbrella on pink",
        *,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ):
        """Draws the first picture. Without a `pipe` it is the shipped one; steps and guidance are those of the pipe."""
        self.shipped, self.pipes = pipe is None, Pipelines(pipe)
        self.pipe = self.pipes.given
        # a pipeline of diffusers' has a sampler of its own
        its = self.pipe.scheduler_config is not None or (self.pipe.sampler and not self.pipe.fast)
        self.samplers = ({"its scheduler": None} if its else {}) | SAMPLERS
        self.loras = {name: lora for name, (lora, _) in self.pipe.loras.items()}  # that have a dial
        self.drawn, self.message, self._thread, self._stopping = [], "", None, Event()
        self.live = Newest(self._follow)
        settings = START | {"prompt": prompt, "seed": seed, "sampler": next(iter(self.samplers))}
        settings |= FAST | {"fast": True} if self.pipe.fast else {}
        settings["steps"] = self.pipe.steps if steps is None else steps
        settings["guidance"] = self.pipe.guidance if guidance is None else guidance
        self._own = {True: FAST, False: {name: settings[name] for name in FAST}}
        settings["loras"] = {name: weight for name, (_, weight) in self.pipe.loras.items()}
        options = self._options(settings)
        self._keep(self.pipe(**options, progress=False), settings, options)
        self.image = self.drawn[0].picture
        try:
            self._build(settings)
        except ModuleNotFoundError:  # no anywidget: the first picture remains
            pass

    def still(self) -> Image.Image:
        return show.grid([self.drawn[-1].picture], captions=[self.drawn[-1].caption], size=256)

    def __repr__(self) -> str:
        return f"studio: {self.drawn[-1].caption}"

    # ------------------------------------------------------------------------------------------ drawing

    def draw(self, **changes) -> None:
        """Begin to draw with what the panel says and these settings: a thread of its own goes on. See `wait`."""
        self._on_draw(self.widget.settings | changes, **{name: getattr(self.widget, name) for name in INKS})

    def wait(self, seconds: float | None = None) -> None:
        """Until nothing is being drawn, or so many seconds."""
        self.live.wait(seconds)
        if self._thread:
            self._thread.join(seconds)

    def _on_draw(self, settings: dict, **inks: str) -> None:
        if self._thread and self._thread.is_alive():
            return
        self._stopping.clear()
        self.live.stop()
        under = self.image if settings["mode"] in EDITS else None
        with noted() as notes:
            options = self._options(settings, **inks)
            drawing = self._ready(settings).draw(**options)
        work = (drawing, notes, settings, options, inks, under)
        self._thread = Thread(target=self._caught, args=(self._drawing, *work), daemon=True)
        self._thread.start()

    def _drawing(self, drawing: Drawing, notes: list[str], settings: dict, options: dict, inks: dict, under) -> None:
        widget, start = self.widget, time.perf_counter()
        widget.frames, widget.progress, widget.busy = [], 0.0, True
        try:
            self._say("")
            total, seen, cost = len(drawing.trace.times) - 1, start, 0.0
            for i, (_, x0) in enumerate(drawing, 1):
                if self._stopping.is_set():
                    return self._say(f"Stopped after step {i} of {total}.")
                widget.progress = i / total
                if i < total and (before := time.perf_counter()) - seen > 5 * cost:  # a sixth of the time, at most
                    widget.frames = [url(picture) for picture in drawing.images(x0)]
                    seen = time.perf_counter()
                    cost = seen - before
            with noted() as more:
                pictures = drawing.images()
            self._keep(pictures, settings, options, inks, under)
            self._send(self.drawn[-len(pictures) :])
            notes = [note for note in (*notes, *more) if "taught" not in note]  # those words are marked in the prompt
            self._say(" · ".join([f"{time.perf_counter() - start:.1f} s", *notes]))
        finally:
            widget.busy = False

    def _keep(self, pictures: list[Image.Image], settings: dict, options: dict, inks=None, under=None) -> None:
        """Add pictures to the strip, each with settings that draw it alone."""
        fast = settings["fast"]
        texts = infotext.texts(self.pipes[fast], pictures, **options, model=self.pipes.hash(fast))
        for i, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
            said = settings | {"seed": settings["seed"] + i, "four_at_once": False, "new_each_time": False}
            self.drawn.append(Drawn(picture, said, options, i, caption(said), inks or {}, under, text))

    def _options(self, settings: dict, paint: str = "", mask: str = "", lines: str = "") -> dict:
        """The pipeline's arguments. ValueError, in one line, where something is missing."""
        if not settings["prompt"].strip():
            raise ValueError("Say what to draw: type a sentence, click on words, or press the die.")
        mode, n = settings["mode"], 4 if settings["four_at_once"] else 1
        painted = {"inpaint": mask, "scribble": lines}.get(mode)
        if painted is not None and not inked(painted).any():
            raise ValueError("Nothing is painted yet: paint on the sheet, by mouse, or by arrow keys and Space.")
        options = {name: settings[name] for name in ("prompt", "negative_prompt", "steps", "guidance", "seed")}
        options["sampler"] = self.samplers[settings["sampler"]]
        if n > 1:
            options["prompt"] = [options["prompt"]] * n
        if mode in EDITS:
            options["image"] = self.image
        if mode in ("image to image", "inpaint"):
            options["strength"] = settings["strength"]
        if mode == "image to image" and paint:
            image = Image.alpha_composite(self.image.convert("RGBA"), opened(paint))
            options["image"] = image.convert("RGB")
        if mode == "inpaint":
            options["mask"] = inked(mask)
        if mode == "outpaint":
            options["margins"] = tuple(settings["margins"])
        if settings["ip_image"] is not None:
            pipe = self.pipes[settings["fast"]]
            if self.shipped and pipe.ip_adapter is None:
                pipe.load_ip_adapter(WEIGHTS / "ipadapter.safetensors", WEIGHTS / "clip.safetensors")
            options |= {"ip_image": self.drawn[settings["ip_image"]].picture, "ip_scale": settings["ip_scale"]}
        if mode == "scribble":
            hint = Image.fromarray(np.where(inked(lines), 0, 255).astype("uint8")).convert("RGB")
            options["control"] = (self.controlnet, hint, settings["control_scale"])
        return options

    def _ready(self, settings: dict) -> StableDiffusion:
        return self.pipes.with_loras(settings["fast"], self.loras, settings["loras"])

    @property
    def _side(self) -> tuple[int, int]:
        """Width and height of what is drawn from words alone."""
        return (self.pipe.factor * self.pipe.unet.config.sample_size,) * 2

    @cached_property
    def controlnet(self) -> ControlNet:
        """The one that reads line art, loaded when it is needed."""
        return load(ControlNet, WEIGHTS / "lines.safetensors", self.pipe.device)

    # ------------------------------------------------------------------------------------------ following the hand

    def _moved(self, _) -> None:
        """Something on the panel is no longer as it was."""
        settings = self.widget.settings
        if settings["fast"] and not (self._thread and self._thread.is_alive()):
            self.live.ask(settings | {"four_at_once": False}, {name: getattr(self.widget, name) for name in INKS})

    def _follow(self, settings: dict, inks: dict) -> Iterator[None]:
        start = time.perf_counter()
        try:
            with noted():
                drawing = self._ready(settings).draw(**self._options(settings, **inks))
        except ValueError:  # nothing is typed or painted yet, for example; what it is, Draw says
            return
        for frame in frames(drawing):
            if frame:
                self.widget.send({"live": frame, "seconds": time.perf_counter() - start})
                start = time.perf_counter()
            yield

    def _on_fast(self, settings: dict) -> None:
        """The switch: either network has steps, guidance and the like of its own."""
        fast = settings["fast"]
        self._own[not fast] = {name: settings[name] for name in FAST}
        self.widget.settings = settings | self._own[fast]

    # ------------------------------------------------------------------------------------------ what the page asks for

    def _asked(self, _, message: dict, __) -> None:
        asked, settings = message.pop("do"), message.pop("settings")
        self._caught(getattr(self, f"_on_{asked}"), settings, **message)

    def _caught(self, function, *args, **kwargs) -> None:
        """A line of what goes wrong, as a thread's or a callback's traceback would be lost in a log."""
        try:
            function(*args, **kwargs)
        except Exception as error:
            self._say(str(error) or type(error).__name__, "wrong")

    def _say(self, text: str, kind: str = "") -> None:
        self.message = " ".join(text.split())
        self.widget.send({"text": self.message, "kind": kind})

    def _on_hello(self, settings: dict) -> None:
        """A page that shows the panel begins, perhaps after a reload: it needs the strip."""
        self._send(self.drawn, all=True)

    def _send(self, added: list[Drawn], **more) -> None:
        last = [each for each in self.drawn if each.options is not None and each.options is self.drawn[-1].options]
        shown = [self.drawn.index(each) for each in last or self.drawn[-1:]]
        items = [self._item(each) for each in added]
        self.widget.send({"pictures": items, "show": shown, **more})

    def _item(self, each: Drawn) -> dict:
        name = re.sub(r"\W+", " ", each.settings["prompt"]).strip()[:60] or "minidiff"
        file = f"{name}, seed {each.settings['seed']}.png"
        address = url(each.picture, pnginfo=infotext.chunks([each.text] if each.text else []))
        code = python(each, self.drawn, self.shipped) if each.options else ""
        return {"id": self.drawn.index(each), "url": address, "caption": each.caption, "code": code, "file": file}

    def _on_stop(self, settings: dict) -> None:
        self._stopping.set()

    def _on_recall(self, settings: dict, id: int) -> None:
        """Set all as it was when a picture was drawn."""
        each = self.drawn[id]
        with self.widget.hold_sync():
            if each.under is not None:
                self._use(each.under)
            for name in INKS:
                setattr(self.widget, name, each.inks.get(name, ""))
            dials = dict.fromkeys(self.loras, 0)
            self.widget.settings = each.settings | {"loras": dials | each.settings["loras"]}

    def _on_edit(self, settings: dict, id: int) -> None:
        """Redraw a picture of the strip."""
        with self.widget.hold_sync():
            self._use(self.drawn[id].picture)
            self.widget.paint = self.widget.mask = ""
            begin = {} if settings["mode"] in EDITS else {"mode": EDITS[0], "strength": START["strength"]}
            self.widget.settings = settings | begin

    def _use(self, image: Image.Image) -> None:
        self.image, self.widget.image = image, url(image)

    def _on_word(self, settings: dict, word: str) -> None:
        self.widget.settings = settings | {"prompt": words.with_word(settings["prompt"], word, self._chance)}

    def _on_sentence(self, settings: dict) -> None:
        scene = data.scene(self._chance.randint(2**31), data.FULL)
        self.widget.settings = settings | {"prompt": scene.caption}

    def _on_open(self, settings: dict, name: str, content: str) -> None:
        """A LoRA; or a picture, into the strip: one of ours with its settings, any other to be edited."""
        if name.endswith(".safetensors"):
            return self._open_lora(settings, name, base64.b64decode(content))
        file = io.BytesIO(base64.b64decode(content))
        try:
            picture = on_white(name, file)
        except ValueError:
            raise ValueError(f"{name} cannot be read as a picture: open a PNG, a JPEG or the like.") from None
        file.seek(0)
        text = Image.open(file).info.get("parameters", "")
        known, whole = read(text, self.samplers, self.pipes.hash, self.loras)
        said = settings | known | {"four_at_once": False, "new_each_time": False}
        self.drawn.append(Drawn(picture, said, caption=f"opened: {name}", text=text, under=picture))
        if known:
            self._say("Its settings are back." + " What it was made of is not in its file." * (not whole))
        elif picture.size != self._side:
            self.drawn[-1].picture = self.drawn[-1].under = ImageOps.fit(picture, self._side)
            size, scaled = (f"{width} × {height}" for width, height in (picture.size, self._side))
            self._say(f"{size} pixels: the middle of it, scaled to {scaled}.")
        if whole:
            self.drawn[-1].options = self._options(said)
        if known and said["mode"] not in EDITS:
            self.widget.settings = said
        else:
            self._on_edit(said, -1)
            self.drawn[-1].settings = self.widget.settings
        self._send(self.drawn[-1:])

    def _open_lora(self, settings: dict, name: str, content: bytes) -> None:
        """Give a LoRA a dial, at 1."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            try:
                lora = LoRA.load(path, {"unet": self.pipe.unet, "text_encoder": self.pipe.text})
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), name)) from None
        name = re.sub(r"[^\w\-. ]", "_", path.stem)
        if name in self.loras and self.loras[name].hash != lora.hash:
            raise ValueError(f"Another {name} is open: give this file another name.")
        self.loras[name] = lora
        self.widget.settings = settings | {"loras": settings["loras"] | {name: 1}}
        self._say(f"{name} is open, {len(lora.layers)} layers: its dial is among the settings.")

    def _typed(self, change) -> None:
        """Which words of the prompt it does not know."""
        if self.pipe.words and change.new["prompt"] != change.old.get("prompt"):
            self.widget.unknown = words.unknown(change.new["prompt"], self.pipe.words)

    # ------------------------------------------------------------------------------------------ building

    def _build(self, settings: dict) -> None:
        knows = bool(self.pipe.words) and set(data.WORDS) <= set(self.pipe.words)
        self._chance = np.random.RandomState()
        self.widget = _panel()(
            settings=settings,
            image=url(self.image),
            side=list(self._side),
            samplers=list(self.samplers),
            switch=self.pipes.both,
            few_steps=FEW,
            most_steps=self.pipe.schedule.T if self.pipe.scheduler_config is None else 1000,
            words=words.GROUPS if knows else {},
            tiles=url(words.tiles()) if knows else "",
            examples=words.EXAMPLES if knows else [],
            colours=COLOURS,
        )
        self.widget.observe(self._typed, "settings")
        self.widget.observe(self._moved, ["settings", *INKS])
        self.widget.on_msg(self._asked)


Playground = Studio  # lessons 06 and 07 know it by this name


@cache
def _panel() -> type:
    import anywidget
    from traitlets import Bool, Dict, Float, Int, List, Unicode

    class Page(anywidget.AnyWidget):
        _esm, _css = source("studio.js"), source("studio.css")
        settings = Dict().tag(sync=True)
        unknown = Dict().tag(sync=True)
        image, paint, mask, lines = (Unicode().tag(sync=True) for _ in range(4))  # PNGs as data URLs
        busy = Bool().tag(sync=True)
        progress = Float().tag(sync=True)
        frames = List().tag(sync=True)  # the estimates of x_0, while it draws
        # what does not change
        side, samplers, examples, colours = (List().tag(sync=True) for _ in range(4))
        words, tiles, switch = Dict().tag(sync=True), Unicode().tag(sync=True), Bool().tag(sync=True)
        most_steps, few_steps = (Int().tag(sync=True) for _ in range(2))

    return Page
