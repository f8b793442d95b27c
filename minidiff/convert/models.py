"""Our models from and to the folders that diffusers and transformers write."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_origin, get_type_hints

import safetensors.torch
import torch
from torch import nn

from minidiff.convert.files import (
    Model,
    WeightsError,
    config_of,
    dataclass_from,
    fill,
    open_tensors,
    read_json,
    read_tensors,
    refuse_pickle,
    replacing,
    unfilled,
    write_json,
)
from minidiff.convert.single_file import check_single_file, original_part

# Ours -> theirs, applied to a parameter's name in this order, each to what the one before has left.
RULES = [
    # CLIP: transformers wraps the embeddings and the layers; "layrnorm" is how it spells that one.
    (r"\b(token|position|class|patch)_embedding\b", r"embeddings.\1_embedding"),
    (r"\blayers\.", "encoder.layers."),
    (r"\bpre_layernorm\b", "pre_layrnorm"),
    # U-Net, ControlNet and VAE: lists of one element, and modules that only wrap another.
    (r"\bblock\.", "transformer_blocks.0."),
    (r"\bmore\.(\d+)", lambda found: f"transformer_blocks.{int(found[1]) + 1}"),
    (r"\bto_out\.", "to_out.0."),
    (r"\bff\.proj\.", "ff.net.0.proj."),
    (r"\bff\.out\.", "ff.net.2."),
    (r"\b(down|up)sample\.", r"\1samplers.0.conv."),
    (r"\bmid_block\.attention\.", "mid_block.attentions.0."),
    # MMDiT and Flux: what makes temb, and the two streams of a block, of which the text has names of its own.
    (r"^(timestep|guidance|text)_embedder\.", r"time_text_embed.\1_embedder."),
    (r"\bimage\.", ""),
    (r"\btext\.(norm1|ff)\.", r"\1_context."),
    (r"\btext\.attn\.to_([qkv])\.", r"attn.add_\1_proj."),
    (r"\btext\.attn\.norm_", "attn.norm_added_"),
    (r"\btext\.attn\.to_out\.0\.", "attn.to_add_out."),
    # T5
    (r"^blocks\.(\d+)\.attention\.norm\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.attention\.", r"encoder.block.\1.layer.0.SelfAttention."),
    (r"^blocks\.(\d+)\.ff\.norm\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.ff\.", r"encoder.block.\1.layer.1.DenseReluDense."),
    (r"^(relative_attention_bias)\.", r"encoder.block.0.layer.0.SelfAttention.\1."),
    (r"^final_norm\.", "encoder.final_layer_norm."),
]
# Theirs in some files -> theirs in others: a prefix of the text encoder, the VAE's attention before 2023, and the one
# matrix that T5's encoder shares with a decoder.
OLD = [
    (r"^text_model\.", ""),
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.proj_attn\.", ".to_out.0."),
    (r"^encoder\.embed_tokens\.", "shared."),
]


def their_name(name: str, rules: list[tuple[str, str]] = RULES) -> str:
    """The name that diffusers or transformers gives the parameter which our model calls `name`."""
    for ours, theirs in rules:
        name = re.sub(ours, theirs, name)
    return name


def from_diffusers(
    cls: type[Model],
    folder: str | Path,
    device: torch.device | str | None = None,
    file: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """The model in a folder that diffusers or transformers wrote, in evaluation mode and the precision `dtype`.

    The folder is one component's, such as unet/ of a checkpoint: config.json, and safetensors of any precision, whole
    or in shards. With `file`, the weights are this part's of a single-file checkpoint, and the folder has config.json
    alone. Every name and shape must fit. WeightsError, in one line, if something is missing or not implemented.
    """
    folder = Path(folder)
    config, files = find_part(cls, folder, file)
    with unfilled():
        model = cls(config)
    tensors, rules, source, advice = {}, RULES, folder, "download or write it again"
    for path in files:
        tensors |= read_tensors(path)[0]
    if file is not None:
        tensors, original = original_part(tensors, name_of(cls), config)
        rules, source, advice = RULES + original, file, f"give the config of the same kind of model, not {folder}"
    # position_ids are a buffer of older files: 0, 1, 2 ...
    tensors = {their_name(name, OLD): t for name, t in tensors.items() if not name.endswith("embeddings.position_ids")}
    fill(model, tensors, source, advice, lambda name: their_name(name, rules), dtype)
    return model.to(device).eval()


def find_part(cls: type[nn.Module], folder: str | Path, file: str | Path | None = None) -> tuple[object, list[Path]]:
    """(config, files with the weights) of the model in a folder, or in `file`, read no further than their heads.

    WeightsError for what is missing, damaged or not implemented.
    """
    folder = Path(folder)
    check_folder(folder, f"with the config.json of a {cls.__name__}")
    part = "one of its parts, such as unet/" if (folder / "model_index.json").is_file() else "another folder"
    config = read_config(cls, read_json(folder / "config.json", f"give {part}"), folder / "config.json")
    try:
        with unfilled():
            cls(config)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise WeightsError(f"{folder / 'config.json'} makes no {cls.__name__} ({error}): download it again") from error
    if file is not None:
        check_single_file(Path(file), name_of(cls))
        return config, [Path(file)]
    files = _weight_files(folder, FORMATS[name_of(cls)].stem)
    for path in files:
        with open_tensors(path):
            pass
    return config, files


def to_diffusers(model: nn.Module, folder: str | Path) -> None:
    """Write `model` to `folder` as diffusers or transformers do: their `from_pretrained(folder)` reads it."""
    folder, known = Path(folder), FORMATS[name_of(type(model))]
    options = write_config(type(model), model.config)
    state = model.state_dict().items()
    rules = RULES + known.rules
    tensors = {their_name(name, rules): tensor.detach().cpu().contiguous() for name, tensor in state}
    folder.mkdir(parents=True, exist_ok=True)
    # beside what is there: the model may still be reading the file that this one replaces
    with replacing(folder / f"{known.stem}.safetensors") as part:
        safetensors.torch.save_file(tensors, part, {"format": "pt"})
    write_json(folder / "config.json", options)


def check_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        _refuse_pickle(folder)
        on_the_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)) and not folder.parent.exists()
        download = f"`hf download {folder} --local-dir FOLDER` gets it, then " if on_the_hub else ""
        raise WeightsError(f"no folder {folder}: {download}give the folder {what}")


def _weight_files(folder: Path, stem: str) -> list[Path]:
    """The files that hold the weights: one, or shards; half precision only if there is nothing else."""
    for variant in ("", ".fp16"):
        if (path := folder / f"{stem}{variant}.safetensors").is_file():
            return [path]
        if (index := folder / f"{stem}.safetensors.index{variant}.json").is_file():
            shards = read_json(index, "download it again").get("weight_map")
            if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
                raise WeightsError(f"{index} has no weight_map of names and files: download it again")
            return [folder / name for name in sorted(set(shards.values()))]
    for path in sorted(folder.iterdir()):
        _refuse_pickle(path)
    raise WeightsError(f"no {stem}.safetensors in {folder}: download it again")


def _refuse_pickle(path: Path) -> None:
    convert = f"from_pretrained({str(path.parent)!r}) and save_pretrained({str(path.parent)!r})"
    if path.suffix in (".ckpt", ".pt", ".pth"):
        convert = f"StableDiffusionPipeline.from_single_file({str(path)!r}) and save_pretrained(FOLDER)"
    refuse_pickle(path, convert)


def read_config(cls: type[nn.Module], options: dict, source: str | Path = "config.json"):
    """The config of our `cls`, one of FORMATS, that a config.json of diffusers or transformers means.

    What is missing has their default. WeightsError, by name, for an option or a value that our code does not implement.
    """
    known, config_class = FORMATS[name_of(cls)], config_of(cls)
    kinds, advice = get_type_hints(config_class), "use diffusers for it"

    def refuse(name, expected):
        raise WeightsError(f"{source} has {name} = {options[name]!r}, a {cls.__name__} takes {expected} only: {advice}")

    for name, value in known.kind.items():
        if options.get(name, value) != value:
            refuse(name, repr(value))
    for name in sorted(options.keys() - known.options.keys() - HARMLESS):
        raise WeightsError(f"{source} has {name} = {options[name]!r}, an option unknown to minidiff: {advice}")
    options = known.options | options
    fields = {name: options[name] for name in kinds if name in options} | known.read(options)
    for name, value in fields.items():
        kind = list if get_origin(kinds[name]) is tuple else int | float if kinds[name] is float else kinds[name]
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 1)):
            refuse(name, getattr(kind, "__name__", kind))
    try:
        config = dataclass_from(config_class, fields)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source} is no config of a {cls.__name__} ({error}): {advice}") from error
    for name, value in (known.options | write_config(cls, config)).items():  # what was not read must be as we have it
        if name not in HARMLESS and not _same(options[name], value):
            refuse(name, repr(value))
    return config


def write_config(cls: type[nn.Module], config) -> dict:
    """The options with which diffusers or transformers build the model that `config` means to our `cls`."""
    known = FORMATS[name_of(cls)]
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

    stem: str  # of the file with the weights, less .safetensors
    kind: dict  # the option that says which model it is
    defaults: dict  # the others that have an effect, and what they are where config.json is silent
    read: Callable[[dict], dict]  # options -> the fields of our config that have no option of their name
    write: Callable[[object], dict]  # our config -> the options that are no field of it
    rules: list = dataclasses.field(default_factory=list)  # on top of RULES; read away by OLD

    @property
    def options(self) -> dict:
        return self.kind | self.defaults


# Options that take no part in a result: about the file, about training, or read only with one that is refused.
HARMLESS = {
    "_diffusers_version", "_name_or_path", "architectures", "torch_dtype", "dtype", "transformers_version",
    "dropout", "attention_dropout", "initializer_factor", "initializer_range", "force_upcast", "upcast_attention",
    "addition_embed_type_num_heads", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    "mid_block_only_cross_attention", "bos_token_id", "pad_token_id", "projection_dim",
    # of T5: its decoder's, and what follows from feed_forward_proj
    "num_decoder_layers", "decoder_start_token_id", "is_encoder_decoder", "use_cache", "tie_word_embeddings",
    "scale_decoder_outputs", "dense_act_fn", "is_gated_act", "output_past", "dropout_rate", "classifier_dropout",
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
MMDIT = dict(
    sample_size=128, patch_size=2, in_channels=16, num_layers=18, attention_head_dim=64, num_attention_heads=18,
    joint_attention_dim=4096, caption_projection_dim=1152, pooled_projection_dim=2048, out_channels=16,
    pos_embed_max_size=96, dual_attention_layers=[], qk_norm=None,
)  # fmt: skip
FLUX = dict(
    patch_size=1, in_channels=64, out_channels=None, num_layers=19, num_single_layers=38, attention_head_dim=128,
    num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=False,
    axes_dims_rope=[16, 56, 56],
)  # fmt: skip
T5 = dict(
    vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, relative_attention_num_buckets=32,
    relative_attention_max_distance=128, layer_norm_epsilon=1e-6, feed_forward_proj="relu", eos_token_id=1,
    is_decoder=False,
)  # fmt: skip
VISION = dict(
    hidden_size=768, intermediate_size=3072, projection_dim=512, num_hidden_layers=12, num_attention_heads=12,
    num_channels=3, image_size=224, patch_size=32, hidden_act="quick_gelu", layer_norm_eps=1e-5,
)  # fmt: skip
# of the pictures that OpenAI trained on, as CLIPImageProcessor has them
CLIP_COLOURS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


ADDED = "addition_time_embed_dim", "projection_class_embeddings_input_dim"  # read in SDXL alone


def _read_encoder(options: dict) -> dict:
    heads = options["attention_head_dim"]  # the number of heads, whatever its name says
    layers, levels = options["transformer_layers_per_block"], len(options["block_out_channels"])
    layers = layers if isinstance(layers, list) else [layers] * levels
    no_attention = options["mid_block_type"] == "UNetMidBlock2D"
    return {
        "attention": [kind == "CrossAttnDownBlock2D" for kind in options["down_block_types"]],
        "heads": heads if isinstance(heads, list) else [heads] * levels,
        "transformer_layers": layers if set(map(type, layers)) == {int} and set(layers) != {1} else [],
        "cross_attention_dim": None if no_attention else options["cross_attention_dim"],
        **{name: options.get(name) if options["addition_embed_type"] == "text_time" else None for name in ADDED},
    }


def _read_unet(options: dict) -> dict:
    return _read_encoder(options) | {"mid_block": options["mid_block_type"] is not None}


def _write_encoder(config) -> dict:
    no_attention = config.cross_attention_dim is None
    return {
        "down_block_types": [
            "CrossAttnDownBlock2D" if level and not no_attention else "DownBlock2D" for level in config.attention
        ],
        "mid_block_type": "UNetMidBlock2D" if no_attention else "UNetMidBlock2DCrossAttn",
        "attention_head_dim": list(config.heads),
        "cross_attention_dim": 1280 if no_attention else config.cross_attention_dim,  # must be a number there
        "transformer_layers_per_block": list(config.transformer_layers) or 1,
        "addition_embed_type": None if config.addition_time_embed_dim is None else "text_time",
        **{name: getattr(config, name) for name in ADDED},
    }


def _write_unet(config) -> dict:
    options = _write_encoder(config)
    options["up_block_types"] = [kind.replace("Down", "Up") for kind in reversed(options["down_block_types"])]
    return options | ({} if config.mid_block else {"mid_block_type": None})


def _write_controlnet(config) -> dict:
    if not config.mid_block:
        raise WeightsError("diffusers has no ControlNet with mid_block_type = None: store it by convert.save")
    return _write_encoder(config)


def _write_vae(config) -> dict:
    levels = len(config.block_out_channels)
    return {
        "out_channels": config.in_channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_post_quant_conv": config.use_quant_conv,
    }


def _write_text(config) -> dict:
    # their own ids of start and padding lie outside a small vocabulary, of which transformers would warn
    return {"architectures": ["CLIPTextModel"], "bos_token_id": None, "pad_token_id": None}


def _write_projected(config) -> dict:
    return _write_text(config) | {"architectures": ["CLIPTextModelWithProjection"]}


def _read_mmdit(options: dict) -> dict:
    return {"qk_norm": options["qk_norm"] is not None}


def _write_mmdit(config) -> dict:
    width = config.attention_head_dim * config.num_attention_heads
    return {"caption_projection_dim": width, "qk_norm": "rms_norm" if config.qk_norm else None}


def _write_t5(config) -> dict:
    return {"architectures": ["T5EncoderModel"], "feed_forward_proj": "gated-gelu"}


FORMATS = {
    "UNet": Format("diffusion_pytorch_model", {"_class_name": "UNet2DConditionModel"}, UNET, _read_unet, _write_unet),
    "ControlNet": Format(
        "diffusion_pytorch_model", {"_class_name": "ControlNetModel"}, CONTROLNET, _read_encoder, _write_controlnet
    ),
    "VAE": Format("diffusion_pytorch_model", {"_class_name": "AutoencoderKL"}, VAE, lambda options: {}, _write_vae),
    "CLIPText": Format(
        "model", {"model_type": "clip_text_model"}, TEXT, lambda options: {}, _write_text, [(r"^", "text_model.")]
    ),
    "CLIPTextProjected": Format(
        "model",
        {"model_type": "clip_text_model"},
        TEXT | {"projection_dim": 512},
        lambda options: {},
        _write_projected,
        [(r"^(?!text_projection)", "text_model.")],
    ),
    "MMDiT": Format(
        "diffusion_pytorch_model", {"_class_name": "SD3Transformer2DModel"}, MMDIT, _read_mmdit, _write_mmdit
    ),
    "Flux": Format(
        "diffusion_pytorch_model", {"_class_name": "FluxTransformer2DModel"}, FLUX, lambda options: {}, lambda c: {}
    ),
    "T5": Format("model", {"model_type": "t5"}, T5, lambda options: {}, _write_t5),
    "CLIPImage": Format(
        "model", {"model_type": "clip_vision_model"}, VISION, lambda options: CLIP_COLOURS, lambda config: {}
    ),
}


def name_of(cls: type[nn.Module]) -> str:
    """Which of FORMATS: that of `cls`, or of the class that it extends."""
    return next(c.__name__ for c in cls.__mro__ if c.__name__ in FORMATS)
