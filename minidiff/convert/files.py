"""Weight files of our own, and what all readers of files share."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar, get_type_hints

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as both:  # neither takes its place before both are whole
        for part, content in [(both.enter_context(replacing(file)), content) for file, content in contents.items()]:
            part.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which then becomes `path`. A kill leaves the old file or the new one."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(cls: type[Model], path: str | Path, device: torch.device | str | None = None) -> Model:
    """The `cls` that `save` wrote to `path`, in single precision and evaluation mode. Every name and shape must fit.

    The file may be one of a class that `cls` extends; what was saved of an extension needs that class again.
    WeightsError, in one line, if the file is missing, damaged, of another program or holds another class.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weight file {path}: give the path of a .safetensors file that minidiff wrote")
    tensors, metadata = read_tensors(path)
    try:
        about = json.loads(metadata.get("minidiff", "null"))
    except ValueError:
        about = None
    if not isinstance(about, dict) or not about.keys() >= {"class", "config"}:  # as in the checkpoint of a training
        raise WeightsError(f"{path} was not written by minidiff: give a file that `minidiff.convert.save` wrote")
    if about["class"] not in (c.__name__ for c in cls.__mro__):
        raise WeightsError(f"{path} holds a {about['class']}, expected a {cls.__name__}: give another file")

    try:
        with unfilled():
            model = cls(dataclass_from(config_of(cls), about["config"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a config of another version of minidiff ({error}): train it again") from error
    fill(model, tensors, path, "train it again")
    return model.to(device).eval()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, by name, and its metadata."""
    with open_tensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextmanager
def open_tensors(path: Path):
    """A safetensors file, of which nothing but the head is read. WeightsError if it is none, or not whole."""
    try:
        refuse_pointer(path)
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing: fetch or train it again") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}): fetch or train it again") from error


def refuse_pointer(path: Path) -> None:
    """WeightsError for the three lines that stand for a file in a clone that was made without git-lfs."""
    with path.open("rb") as file:
        if file.read(23) == b"version https://git-lfs":
            raise WeightsError(f"{path} is a pointer of git-lfs, not the file itself: run `git lfs pull` in its folder")


def refuse_pickle(path: Path, convert: str) -> None:
    """WeightsError for a pickle, which diffusers can `convert`."""
    if path.suffix in (".bin", ".ckpt", ".pt", ".pth"):
        raise WeightsError(f"{path} is a pickle, which can run any program: let diffusers convert it, {convert}")


class _NoInit(TorchFunctionMode):
    """What is in torch.nn.init does nothing. On the meta device, `normal_` would load torch's compiler: a second."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return kwargs["tensor"] if getattr(func, "__module__", None) == "torch.nn.init" else func(*args, **kwargs)


@contextmanager
def unfilled():
    """Models made inside have neither memory nor initial values; `fill` them."""
    with torch.device("meta"), _NoInit():
        yield


def fill(
    model: nn.Module,
    tensors: dict[str, Tensor],
    path: Path,
    advice: str,
    rename=lambda name: name,
    dtype: torch.dtype = torch.float32,
) -> None:
    """`tensors` become the parameters, whose names in the file are rename(name): every name and shape must fit."""
    ours = {rename(name): name for name in model.state_dict()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {rename(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if wrong := sorted(name for name in got | expected if got.get(name) != expected.get(name)):
        shapes = f"got {got.get(wrong[0], 'nothing')} for {wrong[0]}, expected {expected.get(wrong[0], 'nothing')}"
        raise WeightsError(f"{path} does not fit its config in {len(wrong)} parameters: {shapes}; {advice}")
    own = {ours[name]: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    model.load_state_dict(own, assign=True)  # the model may be `unfilled`, and there are never two copies


def config_of(cls: type[nn.Module]) -> type:
    """The dataclass that says `cls`'s sizes: the type of `config` in its __init__, or in that of a class it extends."""
    return next(hints["config"] for c in cls.__mro__ if "config" in (hints := get_type_hints(c.__init__)))


def dataclass_from(cls: type, values: dict):
    """The dataclass that `dataclasses.asdict` and JSON made `values` of: lists were tuples, dicts dataclasses."""
    types, fields = get_type_hints(cls), {}
    for name, value in values.items():
        if isinstance(value, dict):
            value = dataclass_from(types[name], value)
        fields[name] = tuple(value) if isinstance(value, list) else value
    return cls(**fields)


def read_json(path: Path, advice: str) -> dict:
    try:
        refuse_pointer(path)
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"got a {type(values).__name__}, expected an object")
    except WeightsError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): {advice}") from error
    return values


def write_json(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
