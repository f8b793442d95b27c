"""Weights: our own files, and the folders that diffusers and transformers write for the same models."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, get_origin, get_type_hints

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from minidiff.denoise import EPS, FLOW, X0, Prediction, V
from minidiff.sample import ddim, ddpm, dpmpp_2m, euler, euler_ancestral, heun, plms
from minidiff.schedule import (
    Discrete,
    Flow,
    Schedule,
    cosine_betas,
    karras,
    leading,
    linear_betas,
    linspace,
    scaled_linear_betas,
    trailing,
    zero_terminal_snr,
)

Model = TypeVar("Model", bound=nn.Module)


class WeightsError(ValueError):
    """A weight file that cannot be used, or weights that cannot be stored: one line for the reader."""


def save(model: nn.Module, path: str | Path, **card) -> None:
    """Write `model` to `path`: safetensors, half precision, its class and config inside; `card` to a .json beside it.

    `model.config` is a dataclass. A kill at any moment leaves the old file or the new one. WeightsError for weights
    that are not finite in half precision (beyond 65504, or NaN).
    """
    path, about = Path(path), {"class": type(model).__name__, "config": dataclasses.asdict(model.config)}
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors[name] = tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else None).contiguous()
        if not tensors[name].isfinite().all():
            raise WeightsError(f"{name} has values beyond 65504 or NaN, which half precision cannot hold: not saved")

    contents = {
        path: safetensors.torch.save(tensors, {"minidiff": json.dumps(about)}),
        path.with_suffix(".json"): (json.dumps(about | card, indent=2) + "\n").encode(),
    }
    parts = {file: file.with_name(file.name + ".part") for file in contents}
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for file, part in parts.items():
            part.write_bytes(contents[file])
        for file, part in parts.items():
            os.replace(part, file)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def load(cls: type[Model], path: str | Path, device: torch.device | str | None = None) -> Model:
    """The `cls` that `save` wrote to `path`, in single precision and evaluation mode. Every name and shape must fit.

    WeightsError, in one line, if the file is missing, damaged, of another program or holds another class.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weight file {path}: give the path of a .safetensors file that minidiff wrote")
    tensors, metadata = _read(path)
    about = json.loads(metadata.get("minidiff", "null"))
    if about is None:
        raise WeightsError(f"{path} was not written by minidiff: give a file that `minidiff.convert.save` wrote")
    if about["class"] != cls.__name__:
        raise WeightsError(f"{path} holds a {about['class']}, expected a {cls.__name__}: give another file")

    try:
        with torch.device("meta"):  #  no memory, no time for initial values
            model = cls(dataclass_from(get_type_hints(cls.__init__)["config"], about["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a config of another version of minidiff ({error}): train it again") from error
    _fill(model, tensors, path, "train it again")
    return model.to(device).eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, by name, and its metadata."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}): fetch or train it again") from error


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path, advice: str, rename=lambda name: name) -> None:
    """`tensors` become the parameters, whose names in the file are rename(name): every name and shape must fit."""
    ours = {rename(name): name for name in model.state_dict()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {rename(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if wrong := sorted(name for name in got | expected if got.get(name) != expected.get(name)):
        shapes = f"got {got.get(wrong[0], 'nothing')} for {wrong[0]}, expected {expected.get(wrong[0], 'nothing')}"
        raise WeightsError(f"{path} does not fit its config in {len(wrong)} parameters: {shapes}; {advice}")
    single = {ours[name]: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    model.load_state_dict(single, assign=True)  #  so the model may be on the meta device, and never has two copies


def dataclass_from(cls: type, values: dict):
    """The dataclass that `dataclasses.asdict` and JSON made `values` of: lists were tuples, dicts dataclasses."""
    types, fields = get_type_hints(cls), {}
    for name, value in values.items():
        if isinstance(value, dict):
            value = dataclass_from(types[name], value)
        fields[name] = tuple(value) if isinstance(value, list) else value
    return cls(**fields)


# ---------------------------------------------------------------------------------------------- diffusers, transformers

# Ours -> theirs, applied to a parameter's name in this order, each to what the one before has left.
RULES = [
    # CLIP: transformers wraps the embeddings and the layers; "layrnorm" is how it spells that one.
    (r"\b(token|position|class|patch)_embedding\b", r"embeddings.\1_embedding"),
    (r"\blayers\.", "encoder.layers."),
    (r"\bpre_layernorm\b", "pre_layrnorm"),
    # U-Net, ControlNet and VAE: lists of one element, and modules that only wrap another.
    (r"\bblock\.", "transformer_blocks.0."),
    (r"\bto_out\.", "to_out.0."),
    (r"\bff\.proj\.", "ff.net.0.proj."),
    (r"\bff\.out\.", "ff.net.2."),
    (r"\b(down|up)sample\.", r"\1samplers.0.conv."),
    (r"\bmid_block\.attention\.", "mid_block.attentions.0."),
]
# Theirs in some files -> theirs in others: a prefix of the text encoder, and the VAE's attention before 2023.
OLD = [
    (r"^text_model\.", ""),
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.proj_attn\.", ".to_out.0."),
]


def their_name(name: str, rules: list[tuple[str, str]] = RULES) -> str:
    """The name that diffusers or transformers gives the parameter which our model calls `name`."""
    for ours, theirs in rules:
        name = re.sub(ours, theirs, name)
    return name


def from_diffusers(cls: type[Model], folder: str | Path, device: torch.device | str | None = None) -> Model:
    """The model in a folder that diffusers or transformers wrote, in single precision and evaluation mode.

    The folder is one component's, such as unet/ of a checkpoint: config.json, and safetensors of any precision, whole
    or in shards. Every name and shape must fit. WeightsError, in one line, if something is missing or not implemented.
    """
    folder, stem = Path(folder), FORMATS[cls.__name__].stem
    if not folder.is_dir():
        _refuse_pickle(folder)
        on_the_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder))
        download = f"`hf download {folder} --local-dir FOLDER` gets it, then " if on_the_hub else ""
        raise WeightsError(f"no folder {folder}: {download}give the folder with the config.json of a {cls.__name__}")
    part = "one of its parts, such as unet/" if (folder / "model_index.json").is_file() else "another folder"
    options = _json(folder / "config.json", f"give {part}")
    with torch.device("meta"):
        model = cls(read_config(cls, options, folder / "config.json"))
    tensors = {}
    for path in _weight_files(folder, stem):
        tensors |= {their_name(name, OLD): tensor for name, tensor in _read(path)[0].items()}
    tensors.pop("embeddings.position_ids", None)  #  a buffer of older files: 0, 1, 2 ...
    _fill(model, tensors, folder, "download or write it again", their_name)
    return model.to(device).eval()


def to_diffusers(model: nn.Module, folder: str | Path) -> None:
    """Write `model` to `folder` as diffusers or transformers do: their `from_pretrained(folder)` reads it."""
    folder, known = Path(folder), FORMATS[type(model).__name__]
    options = write_config(type(model), model.config)
    state = model.state_dict().items()
    tensors = {known.prefix + their_name(name): tensor.detach().cpu().contiguous() for name, tensor in state}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{known.stem}.safetensors.part"  #  the model may still be reading the file that this one replaces
    safetensors.torch.save_file(tensors, part, {"format": "pt"})
    os.replace(part, folder / f"{known.stem}.safetensors")
    (folder / "config.json").write_text(json.dumps(options, indent=2) + "\n", "utf-8")


def _weight_files(folder: Path, stem: str) -> list[Path]:
    """The files that hold the weights: one, or shards; half precision only if there is nothing else."""
    for variant in ("", ".fp16"):
        if (path := folder / f"{stem}{variant}.safetensors").is_file():
            return [path]
        if (index := folder / f"{stem}.safetensors.index{variant}.json").is_file():
            shards = _json(index, "download it again").get("weight_map", {})
            return [folder / name for name in sorted(set(shards.values()))]
    for path in sorted(folder.iterdir()):
        _refuse_pickle(path)
    raise WeightsError(f"no {stem}.safetensors in {folder}: download it again")


def _refuse_pickle(path: Path) -> None:
    convert = f"from_pretrained({str(path.parent)!r}) and save_pretrained({str(path.parent)!r})"
    if path.suffix in (".ckpt", ".pt", ".pth"):
        convert = f"StableDiffusionPipeline.from_single_file({str(path)!r}) and save_pretrained(FOLDER)"
    if path.suffix in (".bin", ".ckpt", ".pt", ".pth"):
        raise WeightsError(f"{path} is a pickle, which can run any program: let diffusers convert it, {convert}")


def _json(path: Path, advice: str) -> dict:
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"got a {type(values).__name__}, expected an object")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): {advice}") from error
    return values


def read_config(cls: type[nn.Module], options: dict, source: str | Path = "config.json"):
    """The config of our `cls` (UNet, VAE, CLIPText, ControlNet) that a config.json of diffusers or transformers means.

    What is missing has their default. WeightsError, by name, for an option or a value that our code does not implement.
    """
    known, config_class = FORMATS[cls.__name__], get_type_hints(cls.__init__)["config"]
    kinds, advice = get_type_hints(config_class), "use diffusers for it"

    def refuse(name, expected):
        raise WeightsError(f"{source} has {name} = {options[name]!r}, a {cls.__name__} takes {expected} only: {advice}")

    for name, value in known.kind.items():
        if options.get(name, value) != value:
            refuse(name, repr(value))
    for name in sorted(options.keys() - known.options.keys() - HARMLESS):
        raise WeightsError(f"{source} has {name} = {options[name]!r}, an option unknown to minidiff: {advice}")
    options = known.options | options
    fields = {name: options[name] for name in kinds if name in options}
    for name, value in fields.items():
        kind = list if get_origin(kinds[name]) is tuple else int | float if kinds[name] is float else kinds[name]
        if not isinstance(value, kind):
            refuse(name, getattr(kind, "__name__", kind))
    try:
        config = dataclass_from(config_class, fields | known.read(options))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source} is no config of a {cls.__name__} ({error}): {advice}") from error
    for name, value in (known.options | write_config(cls, config)).items():  #  what was not read must be as we have it
        if name not in HARMLESS and not _same(options[name], value):
            refuse(name, repr(value))
    return config


def write_config(cls: type[nn.Module], config) -> dict:
    """The options with which diffusers or transformers build the model that `config` means to our `cls`."""
    known = FORMATS[cls.__name__]
    options = {name: value for name, value in dataclasses.asdict(config).items() if name in known.options}
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return known.kind | options | known.write(config)


def _same(a, b) -> bool:
    """Equal; one value may stand for a list of it, one for each level, as in diffusers."""
    if isinstance(a, list) != isinstance(b, list):
        values, value = (a, b) if isinstance(a, list) else (b, a)
        return all(each == value for each in values)
    return a == b


@dataclasses.dataclass(frozen=True)
class Format:
    """How diffusers or transformers stores one of our models."""

    stem: str  #                              of the file with the weights, less .safetensors
    kind: dict  #                             the option that says which model it is
    defaults: (
        dict  #                         the others that have an effect, and what they are where config.json is silent
    )
    read: Callable[[dict], dict]  #           options -> the fields of our config that have no option of their name
    write: Callable[[object], dict]  #        our config -> the options that are no field of it
    prefix: str = ""  #                       before the name of every parameter

    @property
    def options(self) -> dict:
        return self.kind | self.defaults


# Options that take no part in a result: about the file, about training, or read only with one that is refused.
HARMLESS = {
    "_diffusers_version", "_name_or_path", "architectures", "torch_dtype", "dtype", "transformers_version",
    "dropout", "attention_dropout", "initializer_factor", "initializer_range", "force_upcast", "upcast_attention",
    "addition_embed_type_num_heads", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    "mid_block_only_cross_attention", "bos_token_id", "pad_token_id", "projection_dim",
}  # fmt: skip

# All other options of diffusers 0.42 and transformers 5.23, with their defaults. Where our config has no such field,
# and `write` does not give the option, the default is the one value that our code implements.
ENCODER = dict(
    in_channels=4, block_out_channels=[320, 640, 1280, 1280], layers_per_block=2, norm_num_groups=32, norm_eps=1e-5,
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], mid_block_type="UNetMidBlock2DCrossAttn",
    attention_head_dim=8, num_attention_heads=None, cross_attention_dim=1280, use_linear_projection=False,
    only_cross_attention=False, transformer_layers_per_block=1, flip_sin_to_cos=True, freq_shift=0, act_fn="silu",
    downsample_padding=1, mid_block_scale_factor=1, encoder_hid_dim=None, encoder_hid_dim_type=None,
    class_embed_type=None, num_class_embeds=None, addition_embed_type=None, resnet_time_scale_shift="default",
)  # fmt: skip
UNET = ENCODER | dict(
    sample_size=None, out_channels=4, up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    center_input_sample=False, reverse_transformer_layers_per_block=None, dual_cross_attention=False,
    cross_attention_norm=None, attention_type="default", resnet_skip_time_act=False, resnet_out_scale_factor=1.0,
    time_embedding_type="positional", time_embedding_dim=None, time_embedding_act_fn=None, timestep_post_act=None,
    time_cond_proj_dim=None, conv_in_kernel=3, conv_out_kernel=3, class_embeddings_concat=False,
)  # fmt: skip
CONTROLNET = ENCODER | dict(
    conditioning_channels=3, conditioning_embedding_out_channels=[16, 32, 96, 256],
    controlnet_conditioning_channel_order="rgb", global_pool_conditions=False,
)  # fmt: skip
VAE = dict(
    in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"],
    block_out_channels=[64], layers_per_block=1, act_fn="silu", latent_channels=4, norm_num_groups=32, sample_size=32,
    scaling_factor=0.18215, shift_factor=None, latents_mean=None, latents_std=None, use_quant_conv=True,
    use_post_quant_conv=True, mid_block_add_attention=True,
)  # fmt: skip
TEXT = dict(
    vocab_size=49408, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
    max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5, eos_token_id=49407,
)  # fmt: skip


def _read_encoder(options: dict) -> dict:
    heads = options["attention_head_dim"]  #  the number of heads, whatever its name says
    no_attention = options["mid_block_type"] == "UNetMidBlock2D"
    return {
        "attention": [kind == "CrossAttnDownBlock2D" for kind in options["down_block_types"]],
        "heads": heads if isinstance(heads, list) else [heads] * len(options["block_out_channels"]),
        "cross_attention_dim": None if no_attention else options["cross_attention_dim"],
    }


def _write_encoder(config) -> dict:
    no_attention = config.cross_attention_dim is None
    return {
        "down_block_types": [
            "CrossAttnDownBlock2D" if level and not no_attention else "DownBlock2D" for level in config.attention
        ],
        "mid_block_type": "UNetMidBlock2D" if no_attention else "UNetMidBlock2DCrossAttn",
        "attention_head_dim": list(config.heads),
        "cross_attention_dim": 1280 if no_attention else config.cross_attention_dim,  #  must be a number there
    }


def _write_unet(config) -> dict:
    options = _write_encoder(config)
    return options | {"up_block_types": [kind.replace("Down", "Up") for kind in reversed(options["down_block_types"])]}


def _write_vae(config) -> dict:
    levels = len(config.block_out_channels)
    return {
        "out_channels": config.in_channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _write_text(config) -> dict:
    # their own ids of start and padding lie outside a small vocabulary, of which transformers would warn
    return {"architectures": ["CLIPTextModel"], "bos_token_id": None, "pad_token_id": None}


FORMATS = {
    "UNet": Format(
        "diffusion_pytorch_model", {"_class_name": "UNet2DConditionModel"}, UNET, _read_encoder, _write_unet
    ),
    "ControlNet": Format(
        "diffusion_pytorch_model", {"_class_name": "ControlNetModel"}, CONTROLNET, _read_encoder, _write_encoder
    ),
    "VAE": Format("diffusion_pytorch_model", {"_class_name": "AutoencoderKL"}, VAE, lambda options: {}, _write_vae),
    "CLIPText": Format(
        "model", {"model_type": "clip_text_model"}, TEXT, lambda options: {}, _write_text, prefix="text_model."
    ),
}


# ---------------------------------------------------------------------------------------------- schedulers

BETAS = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,
    "squaredcos_cap_v2": lambda T, *_: cosine_betas(T),
}
PREDICTIONS = {"epsilon": EPS, "v_prediction": V, "sample": X0}

# The options with an effect on each of diffusers' schedulers, with its own defaults.
_BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_BETAS |= {"trained_betas": None, "prediction_type": "epsilon", "steps_offset": 0}
_WHOLE = dict(_BETAS, timestep_spacing="leading")  #  times are whole numbers
_CLIP = {"clip_sample": True, "thresholding": False, "rescale_betas_zero_snr": False}
_SPACED = dict(_BETAS, timestep_spacing="linspace")
_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_ENDS = {"rescale_betas_zero_snr": False, "final_sigmas_type": "zero"}
_DPM = {"solver_order": 2, "solver_type": "midpoint", "algorithm_type": "dpmsolver++", "lambda_min_clipped": -math.inf}
_DPM |= {"use_lu_lambdas": False, "use_flow_sigmas": False, "use_dynamic_shifting": False}
_DPM |= {"thresholding": False, "variance_type": None}
_EULER = {"interpolation_type": "linear", "timestep_type": "discrete", "sigma_min": None, "sigma_max": None}
_HEUN = {"beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
_FLOW = {"num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": False, "shift_terminal": None}
_FLOW |= {"invert_sigmas": False, "stochastic_sampling": False}
SCHEDULERS = {
    "DDPMScheduler": (ddpm, _WHOLE | _CLIP | {"variance_type": "fixed_small"}),
    "DDIMScheduler": (ddim, _WHOLE | _CLIP | {"set_alpha_to_one": True}),
    "PNDMScheduler": (plms, _WHOLE | {"set_alpha_to_one": False, "skip_prk_steps": False}),
    "EulerDiscreteScheduler": (euler, _SPACED | _SIGMAS | _ENDS | _EULER),
    "EulerAncestralDiscreteScheduler": (euler_ancestral, _SPACED | {"rescale_betas_zero_snr": False}),
    "HeunDiscreteScheduler": (heun, _SPACED | _SIGMAS | _HEUN),
    "DPMSolverMultistepScheduler": (dpmpp_2m, _SPACED | _SIGMAS | _ENDS | _DPM),
    "FlowMatchEulerDiscreteScheduler": (euler, _SIGMAS | _FLOW),
}
_OVER_ALPHA = {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"}
_NUMBERS = {"num_train_timesteps", "beta_start", "beta_end", "trained_betas", "steps_offset", "shift"}
# What an option that is no number may be, if not its default alone; (class, option) for one class.
_MAY_BE = {
    "beta_schedule": [*BETAS],
    "prediction_type": [*PREDICTIONS],
    ("PNDMScheduler", "prediction_type"): ["epsilon"],  #  theirs mixes the v of several times as if of one
    ("EulerAncestralDiscreteScheduler", "prediction_type"): ["epsilon", "v_prediction"],
    "timestep_spacing": ["leading", "trailing", "linspace"],
    "rescale_betas_zero_snr": [False, True],
    "set_alpha_to_one": [True, False],
    "use_karras_sigmas": [False, True],
    ("FlowMatchEulerDiscreteScheduler", "use_karras_sigmas"): [False],
    "clip_sample": [False],
    "skip_prk_steps": [True],
    "variance_type": [None, "fixed_small", "fixed_small_log"],  #  in DDPM all the same, in DPM-Solver++ unused
}
# These have an effect only together with options that are refused.
_HARMLESS = {"clip_sample_range", "dynamic_thresholding_ratio", "sample_max_value", "lower_order_final"}
_HARMLESS |= {"euler_at_final", "flow_shift", "time_shift_type"}
_HARMLESS |= {"base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"}


def scheduler(config: dict | str | Path, steps: int) -> tuple[Schedule, Prediction, Callable, Tensor, Callable]:
    """The (schedule, prediction, sample, times, network_time) that make the states of a scheduler of diffusers:

        *states, x0 = sample(denoiser(net, schedule, prediction), x, schedule, times)

    `config` is its config, or a folder with scheduler_config.json. `network_time(t)`, which is the schedule's own, is
    what the network is told at t. All states are alpha x_0 + sigma eps; those of diffusers' Euler and Heun are over
    alpha. `init_noise_sigma` tells where it starts.

    As in diffusers, a missing option has its class' default, and one of other classes is ignored. ValueError that
    names the option for all else that our samplers do not do exactly.
    """
    name, option = _scheduler_options(config)
    T, spacing, zero = (option.get(o) for o in ("num_train_timesteps", "timestep_spacing", "rescale_betas_zero_snr"))
    if not isinstance(steps, int) or not 1 <= steps <= T:
        raise ValueError(f"steps is {steps!r}, expected a whole number from 1 to {T}")

    def refuse(key, why):
        raise ValueError(f"{key} of {name} is {option[key]!r}, with {steps} steps: {why}")

    if name == "FlowMatchEulerDiscreteScheduler":
        schedule, prediction, shift = Flow(), FLOW, option["shift"]
        times = torch.linspace(1, shift / (T + shift - 1), steps, dtype=torch.float64)  #  the last is shifted twice
        times = nn.functional.pad(shift * times / (1 + (shift - 1) * times), (0, 1))
        schedule.network_time = lambda t: torch.as_tensor(t, dtype=torch.float64) * T
        return schedule, prediction, euler, times, schedule.network_time

    # In single precision, as theirs: its rounding shows in the states, most where alpha_bar is almost 1.
    betas = BETAS[option["beta_schedule"]](T, option["beta_start"], option["beta_end"]).float()
    if option["trained_betas"] is not None:
        betas = torch.tensor(option["trained_betas"], dtype=torch.float32)
        if len(betas) != T:
            raise ValueError(f"trained_betas are {len(betas)}, expected num_train_timesteps, {T}, of them")
    schedule, prediction = Discrete(zero_terminal_snr(betas) if zero else betas), PREDICTIONS[option["prediction_type"]]
    schedule.alpha_bar[1:] = (1 - schedule.betas.float()).cumprod(0)
    if zero and name not in ("DDPMScheduler", "DDIMScheduler"):
        schedule.alpha_bar[-1] = 2**-24  #  so that theirs can divide by alpha

    if spacing == "trailing" and math.ceil(T / (T / steps)) > steps:
        refuse("timestep_spacing", "theirs rounds to a time too many; take another number of steps")
    grid = {"trailing": trailing, "linspace": linspace, "leading": partial(leading, offset=option["steps_offset"])}
    dpm = name == "DPMSolverMultistepScheduler"  #  whose grid has one step more, the last of which it leaves out
    times = grid[spacing](T, steps + (dpm and spacing != "trailing"))[: steps + 1]
    if spacing == "linspace" and name not in _OVER_ALPHA:  #  by numpy, so that ties between two times fall as theirs
        times[:-1] = torch.from_numpy(np.linspace(0, T - 1, steps + dpm).round()[::-1][:steps] + 1)
    times[-1] = 0 if option.get("set_alpha_to_one", True) else 1

    if times[0] > T or times[-2] < 1:
        refuse("steps_offset", f"its times leave 1 to {T}; take 0 or 1")
    jumps = -times[:-1].diff()
    if name in ("DDIMScheduler", "PNDMScheduler") and ((jumps != T // steps).any() or times[-2] > T // steps):
        why = f"theirs steps by {T // steps}, which is not to the next of its times"
        refuse("timestep_spacing", f'{why}; take "leading", or "trailing" with a divisor of {T}')
    if times[-2] == times[-1]:
        refuse("set_alpha_to_one", "its last step would be from time 1 to time 1; take steps_offset 1")
    snr = schedule.snr(times)
    if prediction is EPS and snr[0] == 0:
        refuse("rescale_betas_zero_snr", "epsilon says nothing of x_0 where all is noise; theirs is not finite")
    if not (snr.diff() > 0).all():
        refuse("rescale_betas_zero_snr", "theirs ends at 2^-24, above the level before; take fewer steps")

    if option.get("use_karras_sigmas"):
        if (schedule.alpha_bar.diff() > 0).any():
            refuse("use_karras_sigmas", "with rescale_betas_zero_snr theirs ends at 2^-24, above the level before")
        if dpm and option["beta_schedule"] == "squaredcos_cap_v2":
            refuse("use_karras_sigmas", 'by "squaredcos_cap_v2" rounding decides what the network is told; take False')
        _spread(schedule, times, whole=dpm)
        if dpm and steps > 1 and schedule.network_time(times[:2]).unique().numel() == 1:
            refuse("use_karras_sigmas", "the first two times round to one, so that theirs skips a step; take fewer")
    return schedule, prediction, SCHEDULERS[name][0], times, schedule.network_time


def init_noise_sigma(config: dict | str | Path, steps: int) -> float:
    """c of the first state c eps, eps ~ N(0, I), of diffusers' pipelines: 1, or sigma, which Euler and Heun take.

    (They take 1 for "leading", which never begins at pure noise, and sigma for the others, which nearly do.)
    """
    name, option = _scheduler_options(config)
    schedule, _, _, times, _ = scheduler(config, steps)
    return schedule(times[0])[1].item() if name in _OVER_ALPHA and option["timestep_spacing"] != "leading" else 1.0


def _spread(schedule: Discrete, times: Tensor, whole: bool) -> None:
    """Put all `times` but the last even in r^(1/7), r = sigma / alpha, over their own range; if `whole`, over all r.

    The network is told times even in log r between whole ones, or the nearest whole one.
    """
    T = schedule.T
    alpha, sigma = schedule(torch.arange(T + 1))
    r = (sigma / alpha).numpy()
    low, high = np.interp([1, T] if whole else times[[-2, 0]], np.arange(T + 1), r)
    times[:-1] = torch.from_numpy(np.interp(karras(low, high, len(times) - 1)[:-1], r, np.arange(T + 1)))

    def network_time(t):
        alpha, sigma = schedule(t)
        told = np.interp((sigma / alpha).log(), np.log(r[1:]), np.arange(T))
        return torch.as_tensor(told.round() if whole else told)

    schedule.network_time = network_time


def _scheduler_options(config: dict | str | Path) -> tuple[str, dict]:
    """(class, all its options that have an effect). ValueError for an option that is unknown or not supported."""
    if not isinstance(config, dict):
        path = Path(config) / "scheduler_config.json"
        try:
            config = dict(json.loads(path.read_text("utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise WeightsError(f"no scheduler config {path} ({error}): give its folder, or a dict") from error
    name = config.get("_class_name")
    if name not in SCHEDULERS:
        raise ValueError(f"_class_name is {name!r}, expected {', '.join(SCHEDULERS)}: take one of these")
    known = _HARMLESS.union(*(options for _, options in SCHEDULERS.values()))
    if unknown := [key for key in config if key not in known and not key.startswith("_")]:
        raise ValueError(f"unknown option {unknown[0]} of {name}: remove it if it has no effect")
    options = SCHEDULERS[name][1] | {key: value for key, value in config.items() if key in SCHEDULERS[name][1]}
    for key, value in options.items():
        expected = _MAY_BE.get((name, key), _MAY_BE.get(key, [SCHEDULERS[name][1][key]]))
        if key not in _NUMBERS and value not in expected:
            got = f"{value!r}" if key in config else f"{value!r} by default"
            expected = " or ".join(map(repr, expected))
            raise ValueError(f"{key} of {name} is {got}, expected {expected}: set it so, or take another scheduler")
    return name, options
