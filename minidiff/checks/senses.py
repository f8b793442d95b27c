"""What every check sees without being asked: arguments that make no difference, gradients, devices."""

import copy
import inspect
from dataclasses import replace

import torch

from minidiff.checks.attempt import Attempt, call, made, own_line, parameters, quiet, said
from minidiff.checks.compare import difference, unlike


def _mapped(change, value):
    """`value` with each tensor in it changed, through lists, tuples, dicts and torch modules; the rest is copied."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(change, item) for item in value)
    if type(value) is dict:
        return {key: _mapped(change, item) for key, item in value.items()}
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value)._apply(change)
    return copy.deepcopy(value)


def _with(case, change):
    return replace(case, made_with=_mapped(change, case.made_with), args=_mapped(change, case.args))


# ------------------------------------------------------------------------------------------ arguments without effect


def altered(value, by=1):
    """Another value of the same kind, whole numbers larger by `by`; None where it is not plain how."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.bool:
        return ~value
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        value = value.detach()  # a copy is made of it, which only leaves of a graph allow
        return 0.7 * value.flip(0) + 0.1 if value.ndim else 0.7 * value + 0.1
    if isinstance(value, torch.Tensor) and value.ndim and value.numel() > 1:
        return value.roll(1, 0)
    if isinstance(value, float):
        return 0.7 * value + 0.01
    if type(value) is int:
        return value + by
    if type(value) in (list, tuple) and value and all(altered(item) is not None for item in value):
        return type(value)(altered(item, by) for item in value)
    return None


def without_effect(answers, reference, cases) -> list[str]:
    """The arguments that the solution heeds, and these answers in no case."""
    case, names = cases[0], parameters(reference, cases[0])
    values, n = (*case.made_with, *case.args), len(case.made_with)
    ignored = []
    for i, name in enumerate(names):
        heeded = [_differs(reference, case, i) for case in cases[:3]]
        if any(heeded) and not any(_differs(answers, case, i) for case in cases):
            ignored.append(name)
    if ignored and any(_has_nan(call(answers, case, seed=0).value) for case in cases):
        return []  # whatever a nan is made of, it comes out the same
    return ignored if len(ignored) < len(values[n:]) else []


def _has_nan(value):
    found = []
    _mapped(lambda tensor: found.append(not tensor.is_meta and tensor.isnan().any().item()), value)
    return any(found)


def _differs(answers, case, i):
    """Whether another value of the i-th argument makes a difference; not if there is no other, or if that cannot be."""
    n = len(case.made_with)
    values = [*case.made_with, *case.args]
    if i >= len(values) or altered(values[i]) is None:  # a case may leave an argument to its default
        return False
    before, was = call(answers, case, seed=0), values[i]
    for by in (1, 2) if type(was) in (int, list, tuple) else (1,):  # what halves a number takes 8 and 9 for the same
        values[i] = altered(was, by)
        other = replace(case, made_with=tuple(values[:n]), args=tuple(values[n:]))
        after = call(answers, other, seed=0)
        if after.stopped or before.stopped or difference(after.value, before.value, 0, why=False):
            return True
    return False


# ------------------------------------------------------------------------------------------ gradients


def lost_gradient(answers, reference, case, learns) -> str:
    """What is wrong with the gradients of a result that is right otherwise, or ""."""
    names = parameters(reference, case)  # a reader's may differ
    if not set(learns) & set(names):
        return ""
    expected, got = (_gradients(each, case, learns, names) for each in (reference, answers))
    if isinstance(got, str):
        return got
    for name, gradient in expected.items():
        if gradient is None:
            continue
        if got[name] is None or not got[name].any() and gradient.any():
            return (
                f"the numbers are right, but no gradient reaches {name}: is there a detach, no_grad or item on the way?"
            )
        if gradient.isfinite().all() and not got[name].isfinite().all():
            return f"the numbers are right, but the gradient that reaches {name} is nan or infinite in places"
        if (got[name] - gradient).abs().max() > 1e-3 * gradient.abs().max():
            return f"the numbers are right, but the gradient that reaches {name} is not: is a part of it detached?"
    return ""


def _gradients(answers, case, learns, names):
    """{argument: its gradient, flat, or None}, of a fixed sum of all that comes out; or why there is none."""
    leaves = {}

    def leaf(tensor):
        if not tensor.is_floating_point():
            return tensor.clone()
        leaves[name].append(tensor.detach().clone().requires_grad_())
        return leaves[name][-1]

    values = []
    for name, value in zip(names, (*case.made_with, *case.args), strict=True):
        leaves[name] = []
        if isinstance(value, torch.nn.Module):
            value = copy.deepcopy(value)
            leaves[name] = list(value.parameters())
            values.append(value)
        else:
            values.append(_mapped(leaf, value) if name in learns else copy.deepcopy(value))
    n = len(case.made_with)
    try:
        with torch.enable_grad(), quiet():
            out = made(answers, case, values[:n], values[n:])
            flat = []
            _mapped(lambda tensor: flat.append(tensor) or tensor, list(out) if inspect.isgenerator(out) else out)
            flat = [tensor for tensor in flat if tensor.requires_grad]
            if not flat:
                return (
                    "the numbers are right, but no gradient comes back: is there a detach, no_grad or item on the way?"
                )
            weights = torch.Generator().manual_seed(0)
            total = sum((t.double() * torch.randn(t.shape, generator=weights).double()).sum() for t in flat)
            inputs = {name: [t for t in leaves[name] if t.requires_grad] for name in names if name in learns}
            found = torch.autograd.grad(total, [t for group in inputs.values() for t in group], allow_unused=True)
    except Exception as error:
        return f"with inputs that need a gradient it stopped with {said(error)}"
    found, gradients = iter(found), {}
    for name, group in inputs.items():
        parts = [(t, next(found)) for t in group]
        some = any(gradient is not None for _, gradient in parts)
        parts = [(t.detach() * 0 if gradient is None else gradient).flatten() for t, gradient in parts]
        gradients[name] = torch.cat(parts) if some else None
    return gradients


# ------------------------------------------------------------------------------------------ devices


FACTORIES = set(
    "arange as_tensor empty eye full linspace logspace ones rand randint randn randperm tensor zeros".split()
)


def leaves_device(answers, reference, case) -> str:
    """Where an answer would stop on a GPU, or ""; tried without one, on tensors that have a device and no numbers."""
    answer = answers[case.name.partition(".")[0]]
    parts = vars(answer).values() if inspect.isclass(answer) else [answer]
    named = {name for part in parts for name in getattr(getattr(part, "__code__", None), "co_names", ())}
    if not named & FACTORIES:  # the trial loads much of torch, which takes seconds
        return ""
    try:
        from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
    except ImportError:  # torch has made no promise about it
        return ""

    def stopped(answers):
        try:
            with FakeTensorMode(), quiet():
                fake = _with(case, lambda x: torch.empty(x.shape, dtype=x.dtype, device="cuda"))
                made(answers, fake, fake.made_with, fake.args)
        except Exception as error:  # numbers that it has to look at, most often
            return error
        return None

    if stopped(reference) is None and isinstance(error := stopped(answers), FakeTensorDeviceMismatchError):
        return (
            f"On a GPU it would stop, for it makes a tensor on the CPU: give device=, or use .to(...){own_line(error)}"
        )
    return ""


def randomness(first: Attempt, again: Attempt, atol: float) -> str:
    """What is wrong with two calls of the same input that began with other random numbers; or ""."""
    (before, after), (before_again, after_again) = first.states, again.states
    began, ended = zip(before, before_again, strict=True), zip(after, after_again, strict=True)
    if any(a != b and c == d for (a, b), (c, d) in zip(began, ended, strict=True)):  # torch's, NumPy's, Python's
        return "sets a seed of the whole notebook, so later cells would see other numbers: use a torch.Generator()"
    if not unlike(first.value, again.value) and difference(first.value, again.value, atol):
        if first.drew:
            return (
                "draws random numbers of its own, so it gives another result each time: only its arguments may matter"
            )
        return "gives another result when it is called again with the same input; only its arguments may matter"
    return ""
