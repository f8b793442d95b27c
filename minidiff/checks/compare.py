"""How a result differs from the expected one, in words for a reader."""

import inspect
import math
import textwrap
from numbers import Integral, Real

import numpy as np
import torch

from minidiff.checks.changes import RTOL, changes, number, place, shapes


class Printed(dict):
    """What was read from a printed table: the numbers of each line, by the words that the line has to hold.

    within  how far its numbers may be off, by the same words
    """

    within = {}


def difference(got, expected, atol: float, why: bool = True) -> str:
    """How `got` differs from `expected`, or "". Exactly, if atol is 0. Only that it does, and faster, without `why`."""
    if text := unlike(got, expected, why):
        return text
    if isinstance(expected, torch.nn.Module):
        return difference(dict(got.state_dict()), dict(expected.state_dict()), atol, why)
    if isinstance(expected, Printed):
        return _printed(got, expected, atol)
    if isinstance(expected, (tuple, list, dict)):
        return _items(got, expected, atol, why)
    if isinstance(expected, Real) and not isinstance(expected, bool):
        same = math.isclose(got, expected, rel_tol=RTOL if atol else 0, abs_tol=atol)
        same = same or (math.isnan(got) and math.isnan(expected))
        return "" if same else _both(got, expected)
    if not isinstance(expected, torch.Tensor):
        same = np.array_equal(got, expected) if isinstance(expected, np.ndarray) else got == expected
        return "" if same else f"got {brief(got)}, expected {brief(expected)}"
    if got.is_meta or torch.equal(got, expected):  # most are, such as every weight of a model that a call left alone
        return ""
    if atol and expected.dtype != torch.float64:
        atol = max(atol, 1e-5)
    rtol = 1e-9 if expected.dtype == torch.float64 else RTOL
    if not why and expected.numel() and not expected.is_complex():  # most differ in the first entry already
        a, b = got.flatten()[0].item(), expected.flatten()[0].item()
        if abs(a - b) > atol + (rtol if atol else 0) * abs(b):
            return "they differ"
    return _entries(got.double().cpu(), expected.double().cpu(), atol, rtol, why)


def _items(got, expected, atol, why):
    """How two lists or two dicts differ: by what is true of a whole list of floats, else by the first item."""
    items = expected.items() if isinstance(expected, dict) else enumerate(expected)
    texts = ((i, difference(got[i], item, atol, why)) for i, item in items)
    i, text = next(((i, text) for i, text in texts if text), (None, ""))
    if not text or not why:
        return text
    if len(expected) > 2 and all(type(each) is float for each in (*got, *expected)):
        numbers = torch.tensor([list(got), list(expected)], dtype=torch.float64)
        for said, changed in changes(*numbers):
            if torch.allclose(numbers[0], changed, RTOL, atol):
                return said
    after = ", the first that differs" if i and isinstance(expected, (tuple, list)) else ""
    return f"item {i!r}{after}: {text}"


def unlike(got, expected, why: bool = True) -> str:
    """How `got` differs from `expected` in kind, dtype, device or shape, or ""."""
    if expected is None or got is None:
        return "" if got is expected else f"got {brief(got)}, expected {brief(expected)}"
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            if isinstance(got, Real) and not isinstance(got, np.generic):
                return f"got {kind_of(got)}, expected a torch tensor: without .item() or float(...), gradients flow on"
            advice = "use torch's functions" + (", not numpy's" if isinstance(got, (np.ndarray, np.generic)) else "")
            return f"got {kind_of(got)}, expected a torch tensor: {advice}, or end with torch.as_tensor(...)"
        if got.dtype != expected.dtype:
            advice = "give dtype= where it begins, or use .to(...)"
            if got.is_floating_point() != expected.is_floating_point():
                wanted = "floats" if expected.is_floating_point() else "whole numbers, such as indices,"
                advice = "these are yes or no" if expected.dtype == torch.bool else f"{wanted} are asked for"
            return f"got dtype {got.dtype}, expected {expected.dtype}: {advice}"
        if got.device != expected.device:
            return f"got a tensor on {got.device}, expected {expected.device}, where the input is"
        if got.shape != expected.shape:
            text = f"got shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
            return text + shapes(got, expected) * why
        return ""
    for kind, name, convert in ((bool, "a bool", bool), (Integral, "a whole number", int), (Real, "a float", float)):
        if isinstance(expected, kind):
            right = isinstance(got, kind) and (kind is bool or not isinstance(got, bool))
            return "" if right else f"got {kind_of(got)}, expected {name}: end with {convert.__name__}(...)"
    if isinstance(expected, (tuple, list)) and isinstance(got, (tuple, list)):
        return "" if len(got) == len(expected) else _lengths(got, expected, why)
    if isinstance(expected, dict) and isinstance(got, dict):
        if got.keys() == expected.keys():
            return ""
        missing, more = [key for key in expected if key not in got], [key for key in got if key not in expected]
        texts = [
            ", ".join(map(repr, keys[:3])) + ", ..." * (len(keys) > 3) + f" {word}"
            for keys, word in ((missing, "missing"), (more, "too many"))
            if keys
        ]
        return f"got {len(got)} keys, expected {len(expected)}: {'; '.join(texts)}"
    return "" if isinstance(got, type(expected)) else f"got {kind_of(got)}, expected {kind_of(expected)}"


def _lengths(got, expected, why):
    """How two lists of other lengths differ, and which one is missing or too many if the others are right."""
    text = f"got {len(got)} items, expected {len(expected)}"
    long, short = (got, expected) if len(got) > len(expected) else (expected, got)
    if why and len(long) - len(short) == 1:
        for i in range(len(long)):
            if not difference([*long[:i], *long[i + 1 :]], list(short), 1e-9, why=False):
                return f"{text}: item {i} is {'too many' if long is got else 'missing'}, the others are right"
    return text


def _entries(got, expected, atol, rtol, why):
    """How the entries of two float64 tensors of one shape differ, or ""."""

    def close(a, b):
        return torch.isclose(a, b, rtol if atol else 0, atol, equal_nan=True)

    bad = ~close(got, expected)
    if not bad.any() or not why:
        return "they differ" if bad.any() else ""
    odd = ~got.isfinite() & expected.isfinite()
    if odd.any():
        rest = "" if odd.all() or (bad & ~odd).any() else "; the others are right"
        return f"{int(odd.sum())} of {got.numel()} entries are nan or infinite, the first {_at(odd)}{rest}"
    if rtol < RTOL and torch.allclose(got, expected, 1e-6, 1e-7):
        return "right to some seven digits only: is a step of it done in float32, or is a small number added?"
    if got.numel() > 1:  # what is true of every entry says more than the first one
        for text, b in changes(got, expected):
            if b.shape == got.shape and close(got, b).all():
                return text
    values = _both(got[bad][0], expected[bad][0])
    if not got.ndim:
        return values
    most = (got - expected).abs()[bad].max().item()
    near = f", none by more than {most:.1g}" if most < 0.01 * expected.abs().max() else ""
    return f"{int(bad.sum())} of {got.numel()} entries differ{place(bad)}{near}, the first {_at(bad)}: {values}"


def _both(got, expected):
    """Two numbers that differ, in so many digits that one sees it; whole ones in all."""
    if isinstance(got, Integral) and isinstance(expected, Integral):
        by = f": too {'large' if got > expected else 'small'} by {abs(got - expected)}"
        if got and expected and min(got % expected, expected % got) == 0 and got * expected > 0:
            more, n = got > expected, max(got, expected) // min(got, expected)
            by = f": {f'{n} times as much' if more else f'one part in {n}'}"
        return f"got {got}, expected {expected}" + by * (max(abs(got), abs(expected)) >= 1000)
    digits = 4 if f"{got:.4g}" != f"{expected:.4g}" else 12
    return "got {}, expected {}".format(*(number(x) if digits == 4 else f"{x:.12g}" for x in (got, expected)))


def _printed(got, expected, atol):
    """How a printed table differs from the expected one."""
    for words, numbers in expected.items():
        found = got[words]
        if found is None or numbers is None:
            if found == numbers:
                continue
            return f"there is no line with {words!r}" + " and numbers" * bool(numbers)
        for i, wanted in enumerate(numbers):
            if i >= len(found):
                break
            near = abs(found[i] - wanted) <= max(atol, expected.within.get(words, 0))
            if not near and str(found[i]) != str(float(wanted)):
                return f"number {i + 1} in the line with {words!r}: got {found[i]:.10g}, expected {wanted:.6g}"
        if len(found) != len(numbers):
            return f"the line with {words!r} has {len(found)} numbers, expected {len(numbers)}"
    return ""


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
    if isinstance(value, dict):
        return textwrap.shorten("{" + ", ".join(f"{key!r}: {brief(item)}" for key, item in value.items()) + "}", 100)
    if inspect.isroutine(value):
        return value.__name__
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return type(value).__name__ if " at 0x" in text else textwrap.shorten(text, 100)
