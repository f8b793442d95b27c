"""Our models from and to the folders that diffusers and transformers write."""

import dataclasses
import re
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
from minidiff.convert.formats import FORMATS, HARMLESS, name_of
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
    (r"^decoder\.(\d+)\.", r"decoder.layers.\1."),
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
    unread = FORMATS[name_of(cls)].unread
    tensors = {their_name(name, OLD): t for name, t in tensors.items() if not re.search(unread, name)}
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
