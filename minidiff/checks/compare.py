"""How a result differs from the expected one, in words for a reader."""

import inspect
import math
import textwrap
from numbers import Integral, Real

import numpy as np
import torch

RTOL = 1e-5


def difference(got, expected, atol: float) -> str:
    """How `got` differs from `expected`, or "". Exactly, if atol is 0."""
    if text := unlike(got, expected):
        return text
    if isinstance(expected, torch.nn.Module):
        return difference(dict(got.state_dict()), dict(expected.state_dict()), atol)
    if isinstance(expected, (tuple, list, dict)):
        items = expected.items() if isinstance(expected, dict) else enumerate(expected)
        texts = ((i, difference(got[i], e, atol)) for i, e in items)
        return next((f"item {i!r}: {text}" for i, text in texts if text), "")
    if isinstance(expected, Real) and not isinstance(expected, bool):
        same = math.isclose(got, expected, rel_tol=RTOL if atol else 0, abs_tol=atol)
        same = same or (math.isnan(got) and math.isnan(expected))
        return "" if same else f"got {got:.6g}, expected {expected:.6g}"
    if not isinstance(expected, torch.Tensor):
        return "" if got == expected else f"got {brief(got)}, expected {brief(expected)}"
    if torch.equal(got, expected):  # most are, such as every weight of a model that a call left alone
        return ""
    if atol and expected.dtype != torch.float64:
        atol = max(atol, 1e-5)
    return _entries(got.double().cpu(), expected.double().cpu(), atol)


def unlike(got, expected, atol=None) -> str:
    """How `got` differs from `expected` in kind, dtype, device or shape, or ""."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            advice = "use torch's functions" + (", not numpy's" if isinstance(got, (np.ndarray, np.generic)) else "")
            return f"got {kind_of(got)}, expected a torch tensor: {advice}, or end with torch.as_tensor(...)"
        if got.dtype != expected.dtype:
            return f"got dtype {got.dtype}, expected {expected.dtype}: give dtype= where it begins, or use .to(...)"
        if got.device != expected.device:
            return f"got a tensor on {got.device}, expected {expected.device}, where the input is"
        if got.shape != expected.shape:
            text = f"got shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
            return text + (", with the same number of entries" if got.numel() == expected.numel() else "")
        return ""
    for kind, name, convert in ((bool, "a bool", bool), (Integral, "a whole number", int), (Real, "a float", float)):
        if isinstance(expected, kind):
            right = isinstance(got, kind) and (kind is bool or not isinstance(got, bool))
            return "" if right else f"got {kind_of(got)}, expected {name}: end with {convert.__name__}(...)"
    if isinstance(expected, (tuple, list)) and isinstance(got, (tuple, list)):
        return "" if len(got) == len(expected) else f"got {len(got)} items, expected {len(expected)}"
    if isinstance(expected, dict) and isinstance(got, dict):
        return "" if got.keys() == expected.keys() else f"got the keys {list(got)}, expected {list(expected)}"
    return "" if isinstance(got, type(expected)) else f"got {kind_of(got)}, expected {kind_of(expected)}"


def _entries(got, expected, atol):
    """How the entries of two float64 tensors of one shape differ, or ""."""

    def close(a, b):
        return torch.isclose(a, b, RTOL if atol else 0, atol, equal_nan=True)

    bad = ~close(got, expected)
    if not bad.any():
        return ""
    odd = ~got.isfinite() & expected.isfinite()
    if odd.any():
        return f"{int(odd.sum())} of {got.numel()} entries are nan or infinite, the first {_at(odd)}"
    if got.numel() > 1:  # what is true of every entry says more than the first one
        factor, shift = (got * expected).sum() / (expected * expected).sum(), (got - expected).mean()
        for text, b in (
            ("every entry is 0", 0 * expected),
            ("every entry has the wrong sign", -expected),
            (f"every entry is {factor:.4g} times what it should be", factor * expected),
            (f"every entry is too {'large' if shift > 0 else 'small'} by {abs(shift):.4g}", expected + shift),
            ("the entries are right, but in reverse order", expected.flip(0) if expected.ndim else expected),
        ):
            if close(got, b).all():
                return text
    values = f"got {got[bad][0]:.6g}, expected {expected[bad][0]:.6g}"
    return f"{int(bad.sum())} of {got.numel()} entries differ, the first {_at(bad)}: {values}" if got.ndim else values


def _at(mask):
    index = mask.nonzero()[0].tolist()
    return f"at index {index[0] if len(index) == 1 else index}"


def kind_of(value) -> str:
    """A value's type, with an article."""
    return f"a {type(value).__name__}"


def brief(value) -> str:
    """An argument in a few characters: a tensor by its dtype and shape, a module or a function by its name."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
    if isinstance(value, torch.nn.Module):
        return type(value).__name__
    if isinstance(value, (list, tuple)):
        return textwrap.shorten(f"[{', '.join(map(brief, value))}]", 100)
    if inspect.isroutine(value):
        return value.__name__
    return f"{value:.4g}" if isinstance(value, float) else textwrap.shorten(repr(value), 100)
