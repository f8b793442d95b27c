"""The parts of a pipeline: read from a folder, ours or diffusers', and written for diffusers.

What is read is what `StableDiffusion` is made of, by the names of its arguments.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from weakref import ref

import torch
from torch import nn

from minidiff import convert
from minidiff.arguments import named
from minidiff.clip import CLIP, CLIPText, CLIPTextProjected
from minidiff.convert import WeightsError, load
from minidiff.dit import Flux, MMDiT
from minidiff.prompts import WithGuidance, Words, WordsAndGuidance, WordsAndSizes, WordsOfThree
from minidiff.t5 import T5, T5Tokenizer
from minidiff.tokenizer import Tokenizer
from minidiff.unet import UNet
from minidiff.vae import VAE, TinyDecoder

WEIGHTS = Path(__file__).parent / "weights"
TEXTS = {"CLIPTextModel": CLIPText, "CLIPTextModelWithProjection": CLIPTextProjected, "T5EncoderModel": T5}
NETS = {"UNet2DConditionModel": UNet, "SD3Transformer2DModel": MMDiT, "FluxTransformer2DModel": Flux}
CONTEXT = {MMDiT: 256, Flux: 512}  # tokens that T5 reads for them, as in diffusers


def find_weights(name: str | Path) -> Path:
    """The folder of the shipped weights, "openmoji", or another one. WeightsError if it is not there."""
    folder = WEIGHTS if name == "openmoji" else Path(name)
    if not folder.is_dir():
        raise WeightsError(f"no weights {str(name)!r}: give 'openmoji', the shipped ones, or a folder with your own")
    return folder


def from_weights(folder: Path, device: torch.device, fast: bool = False) -> dict:
    """Those in a folder of ours, the student's U-Net if `fast`, the small decoder if it is there. The words that the
    text was taught are in clip.json, if they are known."""
    net = folder / f"{'student' if fast else 'unet'}.safetensors"
    files = {folder / "vae.safetensors": VAE, net: UNet, folder / "clip.safetensors": CLIP}
    vae, unet, clip = (load(model, file, device) for file, model in files.items())
    convert.check_fit(net, unet.config, vae.config, clip.text_model.config)
    card = folder / "clip.json"
    words = convert.read_json(card, "fetch or train clip again").get("words") if card.exists() else None
    if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise WeightsError(f'"words" in {card} are {named(words)}, expected a list of words: fetch it again')
    small = folder / "decoder.safetensors"
    decoder = _channels_last(load(TinyDecoder, small, device)) if small.exists() else None
    models = {"vae": _channels_last(vae), "unet": _channels_last(unet), "text": clip.text_model, "decoder": decoder}
    return models | {"tokenizer": Tokenizer.load(folder), "words": words}


def from_diffusers(
    folder: Path,
    device: torch.device,
    sampler: Callable | None = None,
    config: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    offload: bool = False,
) -> dict:
    """Those in a folder of diffusers, or in one file of which `config` is the folder: see the pipeline."""
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"dtype is {named(dtype)}, expected torch.float32, torch.float16 or torch.bfloat16")
    file = folder if folder.suffix == ".safetensors" and folder.is_file() else None
    if file is not None:
        folder = convert.config_folder(file, config)
    elif config is not None:
        raise WeightsError(f"{folder} is no .safetensors file, which config= is for: give a file, or no config")
    index, options = convert.read_index(folder), convert.read_options(folder)
    texts = [f"text_encoder{n}" for n in ("", "_2", "_3")]
    texts = {name: TEXTS[index[name][1]] for name in texts if index.get(name, (0, 0))[1]}
    of_net = "unet" if "unet" in index else "transformer"
    kind = NETS[index[of_net][1]]
    models = {"vae": VAE, of_net: kind, **texts}
    configs = {name: convert.find_part(model, folder / name, file)[0] for name, model in models.items()}
    convert.check_fit(
        folder / of_net, configs[of_net], configs["vae"], *(configs[name] for name in texts), sizes=options.sizes
    )
    scheduler, tokenizers = convert.read_scheduler(folder, sampler), []
    for name, model in texts.items():
        where, t5 = folder / name.replace("text_encoder", "tokenizer"), model is T5
        tokenizers.append(T5Tokenizer.load(where, CONTEXT[kind]) if t5 else Tokenizer.load(where))

    device = torch.empty(0, device=device).device  # "cuda:0" for "cuda", as tensors there say
    home = torch.device("cpu") if offload else device
    precisions = {name: torch.float32 if name == "vae" else dtype for name in models}  # half would overflow in a VAE
    vae, unet, *encoders = (m.from_diffusers(folder / name, home, file, precisions[name]) for name, m in models.items())
    if offload:
        one_at_a_time([vae, unet, *encoders], device)
    readers = list(zip(encoders, tokenizers, strict=True))
    if kind is MMDiT:
        read = WordsOfThree(readers[:2], readers[2] if readers[2:] else None, unet.config.joint_attention_dim)
    elif kind is Flux:
        read = WordsAndGuidance(*readers, unet.config.guidance_embeds)
    else:
        unet.config = replace(unet.config, sample_size=convert.read_sample_size(folder))
        read = WordsAndSizes(readers, options.zeros, options.sizes == 5) if options.sizes else Words(*readers[0])
        read = read if unet.config.time_cond_proj_dim is None else WithGuidance(read)
    parts = {"vae": _channels_last(vae), "unet": _channels_last(unet), "text": encoders[0], "tokenizer": tokenizers[0]}
    return parts | {
        "scheduler_config": scheduler, "sampler": sampler, "device": device if offload else None, "read": read
    }  # fmt: skip


def to_diffusers(pipe, folder: Path) -> None:
    """A folder from which diffusers' `StableDiffusionPipeline.from_pretrained` draws the same pictures as `pipe`."""
    if pipe.fast:
        raise WeightsError("a fast pipeline's sampler has no scheduler of diffusers: write the one without fast")
    if not isinstance(pipe.unet, UNet) or pipe.unet.config.addition_time_embed_dim is not None:
        kind = "SDXL" if isinstance(pipe.unet, UNet) else "SD 3 or FLUX"
        raise WeightsError(f"an {kind} pipeline is not written as a whole: take to_diffusers of its parts")
    pipe.vae.to_diffusers(folder / "vae")
    pipe.unet.to_diffusers(folder / "unet")
    pipe.text.to_diffusers(folder / "text_encoder")
    pipe.tokenizer.save(folder / "tokenizer")
    config = pipe.scheduler_config or convert.ddim_config(pipe.schedule, pipe.prediction)
    convert.write_json(folder / "scheduler" / "scheduler_config.json", config)
    lcm = config["_class_name"] == "LCMScheduler" and "_skipped" in config
    kind = "LatentConsistencyModel" if lcm else "StableDiffusion" + "Inpaint" * pipe.inpaints
    convert.write_index(folder, config, f"{kind}Pipeline")


_working: dict[torch.device, Callable[[], nn.Module | None]] = {}  # who is there, by `one_at_a_time`


def one_at_a_time(models: list[nn.Module], device: torch.device) -> None:
    """From now on each of them comes to `device` when it works, and goes back to the CPU when another comes."""

    def bring(model: nn.Module) -> None:
        there = _working.get(device, lambda: None)()
        if there is not model:
            if there is not None:
                there.to("cpu")
            _working[device] = ref(model.to(device))

    for model in models:
        for part in (model, *model.children()):  # these too, as a VAE works by `encode` and `decode`
            part.register_forward_pre_hook(lambda part, args, model=model: bring(model))


def _channels_last(model: nn.Module) -> nn.Module:
    """The model with its weights in channels-last order, in which convolutions are quicker."""
    return model.to(memory_format=torch.channels_last)
