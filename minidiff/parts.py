"""The parts of a pipeline: read from a folder, ours or diffusers', and written for diffusers.

What is read is what `StableDiffusion` is made of, by the names of its arguments.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from minidiff import convert
from minidiff.arguments import named
from minidiff.clip import CLIP, CLIPText
from minidiff.convert import WeightsError, load
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet
from minidiff.vae import VAE


def from_weights(folder: Path, device: torch.device) -> dict:
    """Those in a folder of ours. The words that the text was taught are in clip.json, if they are known."""
    vae, unet, clip = (load(m, folder / f"{m.__name__.lower()}.safetensors", device) for m in (VAE, UNet, CLIP))
    convert.check_fit(folder / "unet.safetensors", unet.config, vae.config, clip.text_model.config)
    card = folder / "clip.json"
    words = convert.read_json(card, "fetch or train clip again").get("words") if card.exists() else None
    if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise WeightsError(f'"words" in {card} are {named(words)}, expected a list of words: fetch it again')
    models = {"vae": _channels_last(vae), "unet": _channels_last(unet), "text": clip.text_model}
    return models | {"tokenizer": Tokenizer.load(folder), "words": words}


def from_diffusers(
    folder: Path, device: torch.device, sampler: Callable | None = None, config: str | Path | None = None
) -> dict:
    """Those in a folder of diffusers, or in one file of which `config` is the folder: see the pipeline."""
    file = folder if folder.suffix == ".safetensors" and folder.is_file() else None
    if file is not None:
        folder = convert.config_folder(file, config)
    elif config is not None:
        raise WeightsError(f"{folder} is no .safetensors file, which config= is for: give a file, or no config")
    convert.read_index(folder)
    models = {"vae": VAE, "unet": UNet, "text_encoder": CLIPText}
    configs = {name: convert.find_part(model, folder / name, file)[0] for name, model in models.items()}
    convert.check_fit(folder / "unet", configs["unet"], configs["vae"], configs["text_encoder"])
    scheduler = convert.read_scheduler(folder, sampler)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    vae, unet, text = (model.from_diffusers(folder / name, device, file) for name, model in models.items())
    unet.config = replace(unet.config, sample_size=convert.read_sample_size(folder))
    models = {"vae": _channels_last(vae), "unet": _channels_last(unet), "text": text}
    return models | {"tokenizer": tokenizer, "scheduler_config": scheduler, "sampler": sampler}


def to_diffusers(pipe, folder: Path) -> None:
    """A folder from which diffusers' `StableDiffusionPipeline.from_pretrained` draws the same pictures as `pipe`."""
    pipe.vae.to_diffusers(folder / "vae")
    pipe.unet.to_diffusers(folder / "unet")
    pipe.text.to_diffusers(folder / "text_encoder")
    pipe.tokenizer.save(folder / "tokenizer")
    config = pipe.scheduler_config or convert.ddim_config(pipe.schedule, pipe.prediction)
    convert.write_json(folder / "scheduler" / "scheduler_config.json", config)
    convert.write_index(folder, config, f"StableDiffusion{'Inpaint' * pipe.inpaints}Pipeline")


def _channels_last(model: nn.Module) -> nn.Module:
    """The model with its weights in channels-last order, in which convolutions are quicker."""
    return model.to(memory_format=torch.channels_last)
