"""Weights: our own files, and the names that diffusers and transformers give the same parameters."""

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import TypeVar, get_type_hints

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

# Ours -> theirs, applied to a parameter's name in this order, each to what the one before has left.
RULES = [
    # CLIP: transformers wraps the embeddings and the layers; "layrnorm" is how it spells that one.
    (r"\b(token|position|class|patch)_embedding\b", r"embeddings.\1_embedding"),
    (r"\blayers\.", "encoder.layers."),
    (r"\bpre_layernorm\b", "pre_layrnorm"),
    # U-Net and VAE: lists of one element, and modules that only wrap another.
    (r"\bblock\.", "transformer_blocks.0."),
    (r"\bto_out\.", "to_out.0."),
    (r"\bff\.proj\.", "ff.net.0.proj."),
    (r"\bff\.out\.", "ff.net.2."),
    (r"\b(down|up)sample\.", r"\1samplers.0.conv."),
    (r"\bmid_block\.attention\.", "mid_block.attentions.0."),
]


def to_diffusers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of one of our models under the names of diffusers or transformers; the tensors stay the same."""
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in RULES:
            name = re.sub(ours, theirs, name)
        renamed[name] = tensor
    return renamed


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
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("minidiff", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}): fetch or train it again") from error
    if about is None:
        raise WeightsError(f"{path} was not written by minidiff: give a file that `minidiff.convert.save` wrote")
    if about["class"] != cls.__name__:
        raise WeightsError(f"{path} holds a {about['class']}, expected a {cls.__name__}: give another file")

    try:
        model = cls(dataclass_from(get_type_hints(cls.__init__)["config"], about["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a config of another version of minidiff ({error}): train it again") from error
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if wrong := sorted(name for name in got | expected if got.get(name) != expected.get(name)):
        shapes = f"got {got.get(wrong[0], 'nothing')} for {wrong[0]}, expected {expected.get(wrong[0], 'nothing')}"
        raise WeightsError(f"{path} does not fit its config in {len(wrong)} parameters: {shapes}; train it again")
    model.load_state_dict(tensors)
    return model.to(device).eval()


def dataclass_from(cls: type, values: dict):
    """The dataclass that `dataclasses.asdict` and JSON made `values` of: lists were tuples, dicts dataclasses."""
    types, fields = get_type_hints(cls), {}
    for name, value in values.items():
        if isinstance(value, dict):
            value = dataclass_from(types[name], value)
        fields[name] = tuple(value) if isinstance(value, list) else value
    return cls(**fields)
