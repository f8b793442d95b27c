"""Where to compute, and how a training step is fastest there. What was measured: docs/tried.md."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def find_device(device: torch.device | str | None = None) -> torch.device:
    """`device`, else CUDA, MPS or CPU, the first that is there. ValueError if it is not."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, available in there.items() if available))
    if not there.get(str(device).split(":")[0]):
        usable = ", ".join(name for name, available in there.items() if available)
        raise ValueError(f"device {str(device)!r} is not there, expected one of: {usable}")
    try:
        return torch.empty(0, device=device).device  # "cpu:x" is none, nor "cuda:7" where there is one
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {str(device)!r} is not there: {str(error).splitlines()[0]}") from error


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the hardware computes in bfloat16. Where it does not, torch converts: slower than float32."""
    return {
        "cpu": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "cuda": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
    }.get(torch.device(device).type, False)


@contextmanager
def autocast(device: torch.device | str, bf16: bool | None = None) -> Iterator[None]:
    """For the forward pass: `torch.autocast` to bfloat16 where the hardware has it, or as told, and the attention.

    That is torch's fused one, but plain on a CPU in bfloat16, where the fused one has a slow backward pass.
    """
    bf16 = has_bfloat16(device) if bf16 is None else bf16
    attention = sdpa_kernel(SDPBackend.MATH) if _plain(device, bf16) else nullcontext()
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16), attention:
        yield


def memory_format(device: torch.device | str, bf16: bool | None = None) -> torch.memory_format:
    """In which order a model's weights are quickest: channels last, but the default one on a CPU in bfloat16."""
    bf16 = has_bfloat16(device) if bf16 is None else bf16
    return torch.contiguous_format if _plain(device, bf16) else torch.channels_last


def _plain(device: torch.device | str, bf16: bool) -> bool:
    return torch.device(device).type == "cpu" and bf16
