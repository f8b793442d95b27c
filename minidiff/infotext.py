"""How a picture was drawn, written into its file as AUTOMATIC1111's web interface does, and read back:

    big red apple on blue
    Negative prompt: green apple
    Steps: 25, Sampler: DDIM, CFG scale: 4, Seed: 3, Size: 128x128, Model hash: 8a02f6d21c

A PNG keeps it in a text chunk, "parameters"; a grid has one for each picture, the others in "parameters 2" and so on.
Keys that are known there have their names, and a LoRA stands behind the prompt, as <lora:name:weight>. Of weights and
pictures the hash is kept, ten digits of SHA-256; of a LoRA's file, as there, twelve.
"""

import hashlib
import json
import re
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from minidiff.pictures import on_white, painted, read

# Their pattern of a setting, and their names of samplers; another sampler keeps its own.
SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SAMPLERS = {"ddim": "DDIM", "ddpm": "DDPM", "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun"}
SAMPLERS |= {"dpmpp_2m": "DPM++ 2M", "plms": "PLMS", "consistency": "LCM"}
NUMBER = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"


def texts(pipe, images: list[Image.Image], prompt, negative_prompt="", *, steps, guidance, seed, **more) -> list[str]:
    """One for each of the images that pipe(prompt, …) drew with these, as command line and studio give them."""
    prompts = [prompt] if isinstance(prompt, str) else prompt
    strength, margins, control = (more.get(key) for key in ("strength", "margins", "control"))
    sampler = more.get("sampler") or pipe.sampler
    sampler = getattr(sampler, "func", sampler)  # of partial(ddim, eta=1)
    name = sampler.__name__ if sampler else (pipe.scheduler_config or {"_class_name": "ddim"})["_class_name"]
    settings = {"Steps": steps, "Sampler": SAMPLERS.get(name, name), "CFG scale": _short(guidance), "Seed": seed}
    settings |= {"Size": f"{images[0].width}x{images[0].height}"} | hashes(pipe, **more)
    settings |= {"Fast": True} if pipe.fast else {}
    if more.get("image") is not None:
        settings |= {"Margins": " ".join(map(str, margins))} if margins else {"Denoising strength": _short(strength)}
    if control:
        settings["ControlNet weight"] = " ".join(_short(scale) for _, _, scale in _several(control))
    if more.get("ip_image") is not None:
        settings["IP-Adapter weight"] = _short(more["ip_scale"])
    tags = "".join(f" <lora:{name}:{_short(weight)}>" for name, (_, weight) in pipe.loras.items())
    return [
        write(text + tags, negative_prompt, settings | {"Seed": seed + i} if len(prompts) > 1 else settings)
        for i, text in enumerate(prompts)
    ]


def split_loras(settings: dict[str, str]) -> tuple[str, list[str]]:
    """(the prompt without its LoRAs, their weights) of settings that `texts` wrote."""
    n = len(settings["Lora hashes"].split(", ")) if settings.get("Lora hashes") else 0
    found = re.search(rf"(?: <lora:[^<>:]+:-?{NUMBER}>){{{n}}}$", settings["Prompt"])
    if found is None:
        return settings["Prompt"], []
    return settings["Prompt"][: found.start()], re.findall("([^:]*)>", found[0])


def of_model(pipe) -> str:
    """The hash of the pipeline's own weights, as they are without LoRAs."""
    models = (pipe.vae, pipe.unet, pipe.text)
    return of_weights(*(model.state_dict() | pipe.originals.get(model, {}) for model in models))


def hashes(pipe, image=None, mask=None, control=None, ip_image=None, model=None, **_) -> dict[str, str]:
    """Of the weights (`model`, if it is known), and of the pictures that were given, however their files keep them."""
    out = {"Model hash": model or of_model(pipe)}
    if image is not None:
        out["Image hash"] = _of(on_white("image", image))
    if mask is not None:
        out["Mask hash"] = _of(Image.fromarray(painted(mask)))
    if control:
        out["ControlNet hash"] = " ".join(of_weights(net.state_dict()) for net, _, _ in _several(control))
        out["Hint hash"] = " ".join(_of(on_white("the hint", hint)) for _, hint, _ in _several(control))
    if pipe.loras:
        out["Lora hashes"] = ", ".join(f"{name}: {lora.hash}" for name, (lora, _) in pipe.loras.items())
    if ip_image is not None:
        out["IP-Adapter hash"] = of_weights(*(model.state_dict() for model in pipe.ip_adapter))
        out["IP image hash"] = _of(on_white("ip_image", ip_image))
    return out


def of_weights(*states: dict) -> str:
    """The hash of models' parameters, of their `state_dict()`."""
    import torch

    digest = hashlib.sha256()
    for state in states:
        for name, tensor in sorted(state.items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:10]


def write(prompt: str, negative_prompt: str, settings: dict) -> str:
    """The text. A prompt that its lines do not give back, such as one with blank ends, is a setting too."""
    last = ", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items())
    text = "\n".join(filter(None, [prompt, negative_prompt and f"Negative prompt: {negative_prompt}", last]))
    found = parse(text)
    for key, given in (("Prompt", prompt), ("Negative prompt", negative_prompt)):
        if found[key] != given:
            text += f", {key}: {json.dumps(given, ensure_ascii=False)}"
    return text


def parse(text: str) -> dict[str, str]:
    """The settings, with "Prompt" and "Negative prompt" among them: what their web interface finds in it."""
    *lines, last = text.strip().split("\n")
    if len(SETTING.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompts = {"Prompt": [], "Negative prompt": []}
    key = "Prompt"
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            key, line = "Negative prompt", line.strip().removeprefix("Negative prompt:")
        prompts[key].append(line.strip())
    out = {key: "\n".join(part) for key, part in prompts.items()}
    return out | {key: _unquoted(value) for key, value in SETTING.findall(last)}


def chunks(texts: list[str]) -> PngInfo:
    """For `save(…, pnginfo=…)` of a picture, or of a grid of as many as there are texts."""
    info = PngInfo()
    for i, text in enumerate(texts, 1):
        info.add_text("parameters" if i == 1 else f"parameters {i}", text)
    return info


def of_file(name: str, path: Path) -> list[dict[str, str]]:
    """The settings of each picture in a PNG. ValueError, which calls it `name`, if it has none."""
    info = read(name, path).info
    keys = ["parameters"] + [f"parameters {i}" for i in range(2, len(info) + 2)]
    found = [parse(info[key]) for key in keys if isinstance(info.get(key), str)]
    if not found:
        raise ValueError(f"{name} is {path}, which does not say how it was drawn: give a PNG that minidiff wrote")
    return found


def _of(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()[:10]


def _several(control) -> list[tuple]:
    return control if isinstance(control, list) else [control]


def _short(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(float(number))


def _quoted(value) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search("[,:\n]", text) else text


def _unquoted(value: str) -> str:
    try:
        return json.loads(value) if re.fullmatch('".*"', value) else value
    except ValueError:
        return value
