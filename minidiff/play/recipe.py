"""What made a picture of the studio: said in one line, read from its file, written as Python."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from minidiff import infotext
from minidiff.adapt import LoRA
from minidiff.play import png

MODES = ("text to image", "image to image", "inpaint", "outpaint", "scribble")
EDITS = MODES[1:4]  # which have an image
INKS = ("paint", "mask", "lines")  # what is painted in three of the modes


@dataclass(eq=False)  # one is itself alone
class Drawn:
    """A picture of the strip, and all that made it."""

    picture: Image.Image
    settings: dict  # what the panel said
    options: dict | None = None  # the pipeline's arguments; None for a picture that was opened
    index: int = 0  # among the pictures of that call
    caption: str = ""
    inks: dict = field(default_factory=dict)  # of INKS, as the page has them
    under: Image.Image | None = None  # the image, without what is painted on it
    text: str = ""  # for the picture's file: see infotext


def caption(said: dict) -> str:
    """What a picture was drawn with, from the panel's settings."""
    mode, steps = said["mode"], said["steps"]
    parts = [said["prompt"], f"not {said['negative_prompt']}" * bool(said["negative_prompt"])]
    parts += [f"guidance {said['guidance']:g}", f"{steps} step{'s' * (steps != 1)} of {said['sampler']}"]
    parts += ["fast"] * said["fast"] + [f"seed {said['seed']}", mode * (mode != MODES[0])]
    parts += [f"strength {said['strength']:g}"] * (mode in ("image to image", "inpaint"))
    parts += [f"margins {' '.join(map(str, said['margins']))}"] * (mode == "outpaint")
    parts += [f"scale {said['control_scale']:g}"] * (mode == "scribble")
    parts += [f"{name} {weight:g}" for name, weight in said["loras"].items() if weight]
    parts += [f"after a picture, {said['ip_scale']:g}"] * (said["ip_image"] is not None)
    return ", ".join(filter(None, parts))


def read(text: str, samplers: dict, model: Callable[[bool], str], loras: dict[str, LoRA]) -> tuple[dict, bool]:
    """(the panel's settings, whether they are all that it was made of) of a picture's file, as `infotext` writes them.

    Without settings if another model drew it, or none: `model` gives the hash of the usual one, or of the fast one. Of
    its LoRAs, those that are open count.
    """
    found = infotext.parse(text)
    fast = "Fast" in found
    if "Model hash" not in found or found["Model hash"] != model(fast):
        return {}, False
    try:
        known = {"steps": int(found["Steps"]), "seed": int(found["Seed"]), "guidance": float(found["CFG scale"])}
    except (KeyError, ValueError):
        return {}, False
    names = {theirs: own for own, theirs in infotext.SAMPLERS.items()}
    sampler = names.get(found.get("Sampler"), next(iter(samplers)))
    prompt, weights = infotext.split_loras(found)
    hashes = [each.rpartition(": ") for each in found.get("Lora hashes", "").split(", ")]
    added = {name: float(weight) for (name, _, hash), weight in zip(hashes, weights, strict=False)
             if name in loras and loras[name].hash == hash}  # fmt: skip
    known |= {"prompt": prompt, "negative_prompt": found["Negative prompt"], "sampler": sampler}
    known |= {"fast": fast, "loras": dict.fromkeys(loras, 0) | added, "ip_image": None}
    if "Margins" in found:
        return known | {"mode": "outpaint", "margins": [int(each) for each in found["Margins"].split()]}, False
    if "Denoising strength" in found:
        mode = "inpaint" if "Mask hash" in found else "image to image"
        return known | {"mode": mode, "strength": float(found["Denoising strength"])}, False
    if "ControlNet weight" in found:
        return known | {"mode": "scribble", "control_scale": float(found["ControlNet weight"].split()[0])}, False
    return known | {"mode": MODES[0]}, "IP image hash" not in found and len(added) == len(weights)


def python(drawn: Drawn, strip: list[Drawn], shipped: bool) -> str:
    """The calls that draw a picture: those of the pictures that it was made of first."""
    imports, names, calls, added = set(), {}, [], {"pipe": {}, "fast": {}}

    def embedded(picture: Image.Image) -> str:
        imports.update(("import base64", "import io", "from PIL import Image"))
        return f'Image.open(io.BytesIO(base64.b64decode("{base64.b64encode(png(picture)).decode()}")))'

    def shown(name: str, value) -> str:
        if name == "sampler":
            imports.add("from minidiff import sample")
            return f"sample.{value.__name__}"
        if name in ("image", "ip_image"):
            source = next((each for each in strip if each.picture is value and each.options), None)
            return called(source) if source else embedded(value)
        if name == "mask":
            return embedded(Image.fromarray(value))
        if name == "control":
            imports.add("from minidiff.controlnet import ControlNet")
            imports.add("from minidiff.convert import load")
            imports.add("from minidiff.pipeline import WEIGHTS")
            return f'(load(ControlNet, WEIGHTS / "lines.safetensors"), {embedded(value[1].convert("1"))}, {value[2]})'
        if isinstance(value, list):
            return f"[{shown(name, value[0])}] * {len(value)}"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

    def called(each: Drawn) -> str:
        if id(each) not in names:
            options = {k: v for k, v in each.options.items() if v is not None and (k, v) != ("negative_prompt", "")}
            arguments = [(name, shown(name, value)) for name, value in options.items()]
            loras = {name: weight for name, weight in each.settings["loras"].items() if weight}
            pipe = pipe_of(each)
            for name in (added[pipe] | loras).keys():
                if added[pipe].get(name, 0) != loras.get(name, 0):
                    calls.append(f'{pipe}.load_lora("{name}.safetensors", {loras.get(name, 0)})')
            added[pipe] = loras
            lines = [f"    {value}," if name == "prompt" else f"    {name}={value}," for name, value in arguments]
            names[id(each)] = f"picture_{len(names) + 1}"
            calls.append("\n".join([f"{names[id(each)]} = {pipe}(", *lines, f")[{each.index}]"]))
        return names[id(each)]

    def pipe_of(each: Drawn) -> str:
        return "fast" if shipped and each.settings["fast"] else "pipe"

    last, start = called(drawn), []
    if not shipped:
        start = ["# pipe is the pipeline that the studio was given"]
    made_of = [each for each in strip if id(each) in names] if shipped else []
    for pipe in dict.fromkeys(map(pipe_of, made_of)):
        imports.add("from minidiff.pipeline import StableDiffusion")
        start.append(f'{pipe} = StableDiffusion.from_pretrained("openmoji"{", fast=True" * (pipe == "fast")})')
        if any("ip_image" in each.options for each in made_of if pipe_of(each) == pipe):
            imports.add("from minidiff.pipeline import WEIGHTS")
            start.append(f'{pipe}.load_ip_adapter(WEIGHTS / "ipadapter.safetensors", WEIGHTS / "clip.safetensors")')
    imports = sorted(imports, key=lambda line: (line.startswith("from"), line))
    return "\n".join([*imports, "", *start, *calls, last, ""])
