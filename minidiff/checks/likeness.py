"""What a wrong result is like, where nothing is known of the mistake: facts about these calls, found by trying.

The solution is called with other arguments, the answer is too, and the calls of what an answer is given are recorded.
"""

import copy
import itertools
import math
import time
from collections import Counter
from dataclasses import is_dataclass, replace
from numbers import Real
from types import SimpleNamespace

import torch

from minidiff.checks.attempt import call, kept, parameters, shown
from minidiff.checks.changes import of_each
from minidiff.checks.compare import brief, difference, unlike
from minidiff.checks.senses import altered

SECONDS = 2  # what the search may take


def alike(exercise, answers, cases, got, expected, ignored=()) -> str:
    """Up to two sentences, or "". `got` and `expected` are attempts, and some of them differ.

    ignored  names of arguments that are known to make no difference
    """
    pairs = [(case, a.value, e.value) for case, a, e in zip(cases, got, expected, strict=True)]
    right = [
        not a.stopped and not difference(a.value, e.value, exercise.atol, why=False)
        for a, e in zip(got, expected, strict=True)
    ]
    end = time.monotonic() + SECONDS
    if any(a.stopped for a in got) or any(unlike(a, e, False) for _, a, e in pairs):
        found = _called(exercise, answers, [case for case, a in zip(cases, got, strict=True) if not a.stopped], end)
    else:
        found = (
            _in_every_call(exercise, pairs)
            or _sizes(exercise, pairs)
            or _argument(exercise, pairs)
            or _rows(exercise, pairs[right.index(False)])
            or _as_if(exercise, pairs, end)
            or _unheeded(exercise, answers, cases[right.index(False)], ignored, end)
            or _called(exercise, answers, cases, end)
            or _two(exercise, pairs, end)
        )
    return "\n".join(filter(None, (found, _which_calls(exercise, cases, right))))


def _arguments(case):
    return (*case.made_with, *case.args)


def _with_arguments(case, values):
    n = len(case.made_with)
    return replace(case, made_with=tuple(values[:n]), args=tuple(values[n:]))


# ------------------------------------------------------------------------------------------ which calls are right


def _which_calls(exercise, cases, right):
    """What those calls have in common that come out right, if some do."""
    if not any(right):
        return ""
    features = [_features(exercise, case) for case in cases]
    for word, these in (("right", True), ("wrong", False)):
        common = set.intersection(*(f for f, r in zip(features, right, strict=True) if r is these))
        common -= set.union(*(f for f, r in zip(features, right, strict=True) if r is not these))
        if len(common) == 1 and right.count(these) > 1:  # of one call alone, anything may be the reason
            return f"It is {word} only in the calls where {common.pop()}."
    first, second = (shown(cases[right.index(word)]) for word in (True, False))
    return f"{right.count(True)} of {len(right)} calls come out right{f', such as {first}' if first != second else ''}."


def _features(exercise, case):
    """What can be said of the arguments of a call."""
    found = set()
    for name, x in zip(parameters(exercise.reference, case), _arguments(case), strict=False):
        if isinstance(x, torch.Tensor):
            found |= {f"{name} has {x.ndim} ax{'is' if x.ndim == 1 else 'es'}"}
            found |= {f"{name} holds only one"} if x.ndim and len(x) == 1 else set()
            found |= {f"{name} is as high as wide"} if x.ndim in (2, 4) and x.shape[-1] == x.shape[-2] else set()
        elif isinstance(x, Real | str | None):
            found |= {f"{name} is {brief(x)}"}
            if isinstance(x, Real) and not isinstance(x, bool):
                found |= {f"{name} is negative"} if x < 0 else {f"{name} is at most 1"} if x <= 1 else set()
        elif isinstance(x, list | tuple):
            found |= {f"{name} has {len(x)} item{'s' * (len(x) != 1)}"}
    return found


# ------------------------------------------------------------------------------------------ factors


def _in_every_call(exercise, pairs):
    """What is true of a single number in at least three calls."""
    numbers = [[float(x) for x in pair if _is_number(x)] for _, *pair in pairs]
    if len(pairs) < 3 or any(len(pair) < 2 for pair in numbers):
        return ""
    got, expected = torch.tensor(numbers, dtype=torch.float64).T
    for text, b in of_each(got, expected):
        if torch.allclose(got, b, 1e-5, exercise.atol):
            return f"In each of {len(pairs)} calls: {text.replace('every entry', 'it')}."
    return ""


def _is_number(x):
    return isinstance(x, Real) or isinstance(x, torch.Tensor) and not x.ndim


def _sizes(exercise, pairs):
    """Whether the factor is the size of some axes of an argument, in each of at least two calls."""
    found = None
    for case, got, expected in pairs:
        if not all(_is_number(x) or isinstance(x, torch.Tensor) for x in (got, expected)):
            return ""
        got, expected = (torch.as_tensor(x).double() for x in (got, expected))
        factor = ((got * expected).sum() / (expected * expected).sum()).item()
        if not math.isfinite(factor) or factor <= 0 or abs(factor - 1) < 1e-3:
            return ""
        if not torch.allclose(got, factor * expected, 1e-5, 1e-9):
            return ""
        these = set()
        for name, x in zip(parameters(exercise.reference, case), _arguments(case), strict=False):
            for n in range(1, x.ndim + 1) if isinstance(x, torch.Tensor) else ():
                for axes in itertools.combinations(range(x.ndim), n):
                    size = math.prod(x.shape[axis] for axis in axes)
                    these |= {(name, axes, "as large")} if abs(factor - size) < 1e-4 * size else set()
                    these |= {(name, axes, "as small")} if abs(factor * size - 1) < 1e-4 else set()
        found = these if found is None else found & these
    if len(pairs) < 2 or not found:
        return ""
    name, axes, how = min(found, key=lambda each: len(each[1]))
    axes = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    return f"It is so many times {how} as {axes} of {name} {'is' if ',' not in axes else 'are'} long: sum or mean?"


# ------------------------------------------------------------------------------------------ made of an argument


def _argument(exercise, pairs):
    """Whether it is an argument itself, or what it should be and a multiple of an argument."""
    for i, name in enumerate(parameters(exercise.reference, pairs[0][0])):
        multiples = [_multiple(*pair, i) for pair in pairs]
        if all(each == "itself" for each in multiples):
            return f"What comes out is {name} itself."
        if all(isinstance(each, float) for each in multiples) and any(abs(each) > 1e-4 for each in multiples):
            most = max(multiples, key=abs)
            return f"It is what it should be {'plus' if most > 0 else 'minus'} {abs(most):.4g} times {name}."
    return ""


def _multiple(case, got, expected, i):
    """How often the i-th argument was added to what should come out; "itself" if it is what came out; else None."""
    x = _arguments(case)[i] if i < len(_arguments(case)) else None
    if not isinstance(x, torch.Tensor) or not isinstance(got, torch.Tensor) or x.shape != got.shape:
        return None
    if x.numel() < 3 or not x.is_floating_point():
        return None
    x, got, expected = x.double(), got.double(), expected.double()
    factor = ((got - expected) * x).sum() / (x * x).sum()
    if torch.allclose(got, x, 1e-5, 1e-7):
        return "itself"
    return factor.item() if torch.allclose(got, expected + factor * x, 1e-5, 1e-6) else None


def _rows(exercise, pair):
    """Whether other rows of an argument were chosen than should have been."""
    case, got, expected = pair
    for name, x in zip(parameters(exercise.reference, case), _arguments(case), strict=False):
        tensors = all(isinstance(each, torch.Tensor) and each.ndim > 1 for each in (x, got, expected))
        if not tensors or not x.shape[-1] == got.shape[-1] == expected.shape[-1] > 1 or x.shape == got.shape:
            continue
        rows = [each.double().reshape(-1, x.shape[-1]) for each in (x, got, expected)]
        theirs, ours = (torch.cdist(chosen, rows[0]).min(1) for chosen in rows[1:])
        if theirs.values.any() or ours.values.any():
            continue
        i = (theirs.indices != ours.indices).nonzero()
        if len(i):
            places = [torch.unravel_index(each.indices[i[0, 0]], x.shape[:-1]) for each in (theirs, ours)]
            a, b = (f"{name}[{', '.join(str(k.item()) for k in place)}]" for place in places)
            return f"Row {i[0, 0].item()} of what comes out is {a}, expected {b}."
    return ""


# ------------------------------------------------------------------------------------------ other arguments


NUMBERS = {
    "0": lambda x: 0 * x,
    "1": lambda x: 0 * x + 1,
    "-{}": lambda x: -x,
    "1 - {}": lambda x: 1 - x,
    "{}**2": lambda x: x * x,
    "the root of {}": lambda x: x.sqrt(),
    "1 / {}": lambda x: 1 / x,
    "2 * {}": lambda x: 2 * x,
    "{} / 2": lambda x: x / 2,
}
WHOLE = {"{} + 1": lambda n: n + 1, "{} - 1": lambda n: n - 1, "2 * {}": lambda n: 2 * n}
YES_OR_NO = {"its opposite": lambda x: ~x if isinstance(x, torch.Tensor) else not x}
ROWS = {
    "{}[0] for every entry": lambda x: x[:1].expand_as(x).clone(),
    "{}[-1] for every entry": lambda x: x[-1:].expand_as(x).clone(),
    "{}.flip(0)": lambda x: x.flip(0),
}
LISTS = {"{}[::-1]": lambda x: x[::-1], "{}[1:]": lambda x: x[1:], "{}[:-1]": lambda x: x[:-1]}


def _others(value):
    """{words: what makes another value of the same kind}."""
    if isinstance(value, torch.Tensor):
        others = YES_OR_NO if value.dtype == torch.bool else NUMBERS if value.is_floating_point() else WHOLE
        square = value.ndim > 1 and value.shape[-1] == value.shape[-2]
        more = {"{}.mT": lambda x: x.mT.clone()} if square else {}
        return others | (ROWS if value.ndim and len(value) > 1 else {}) | more
    if isinstance(value, float):
        return {
            words: lambda x, make=make: make(torch.tensor(x, dtype=torch.float64)).item()
            for words, make in NUMBERS.items()
        }
    kinds = {bool: YES_OR_NO, int: WHOLE, list: LISTS, tuple: LISTS}
    return kinds.get(type(value), {})


def _as_if(exercise, pairs, end):
    """As if an argument had been another one, or two were exchanged."""
    values = _arguments(pairs[0][0])
    names = parameters(exercise.reference, pairs[0][0])[: len(values)]
    changes = [
        (f"{words.format(name)} in place of {name}", {i: lambda values, i=i, make=make: make(values[i])})
        for i, name in enumerate(names)
        for words, make in _others(values[i]).items()
    ]
    for i, j in itertools.combinations(range(len(names)), 2):
        if type(values[i]) is type(values[j]):
            exchange = {i: lambda values, j=j: values[j], j: lambda values, i=i: values[i]}
            changes.append((f"{names[i]} and {names[j]} exchanged", exchange))
    for words, change in changes:
        if time.monotonic() < end and _equal(exercise, pairs, change):
            return f"That is what comes out with {words}."
    return ""


def _equal(exercise, pairs, change):
    """Whether the solution gives these results with changed arguments."""
    for case, got, _ in pairs:
        values = _arguments(case)
        try:
            values = [kept(change[i](values)) if i in change else value for i, value in enumerate(values)]
        except (AttributeError, IndexError, RuntimeError, TypeError):  # here it is missing, or of another kind
            return False
        theirs = call(exercise.reference, _with_arguments(case, values))
        if theirs.stopped or difference(got, theirs.value, exercise.atol, why=False):
            return False
    return True


def _unheeded(exercise, answers, case, ignored, end):
    """Which part of an argument, or whether its sign, makes no difference in this call, though it should."""

    def same(answers, i, value):
        values = _arguments(case)
        a = call(answers, case, seed=0)
        b = call(answers, _with_arguments(case, (*values[:i], value, *values[i + 1 :])), seed=0)
        return not a.stopped and not b.stopped and not difference(b.value, a.value, 0, why=False)

    for i, (name, x) in enumerate(zip(parameters(exercise.reference, case), _arguments(case), strict=False)):
        if time.monotonic() > end or name in ignored or not isinstance(x, torch.Tensor) or not x.ndim:
            continue
        x, other = x.detach(), altered(x)
        if other is not None and 1 < len(x) < 17:
            alone = [torch.cat([x[:k], other[k : k + 1], x[k + 1 :]]) for k in range(len(x))]
            heedless = [same(answers, i, each) for each in alone]
            heedless = [k for k, each in enumerate(alone) if heedless[k] and not same(exercise.reference, i, each)]
            if 0 < len(heedless) < len(x):
                return f"In this call it makes no difference what {name}[{', '.join(map(str, heedless))}] is."
        signed = x.is_floating_point() and x.min() < 0 < x.max()
        if signed and same(answers, i, -x) and not same(exercise.reference, i, -x):
            return f"In this call it makes no difference which signs {name} has."
    return ""


# ------------------------------------------------------------------------------------------ calls of what it is given


class _Recorded:
    """A function that keeps what it is called with."""

    def __init__(self, function, name, record):
        self._function, self._name, self._record = function, name, record

    def __call__(self, *args, **kwargs):
        self._record.append((self._name, kept((*args, *kwargs.values()))))
        return self._function(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._function, name)

    def __deepcopy__(self, memo):
        return self


def _recorded(value, name, record):
    """The same argument; each call of it, or of a module or function in it, goes into `record` as (name, arguments)."""
    if isinstance(value, torch.nn.Module):
        value = copy.deepcopy(value)
        paths = {module: f"{name}.{path}".rstrip(".") for path, module in value.named_modules()}
        for module, path in paths.items():
            module.register_forward_pre_hook(
                lambda module, args, kwargs, path=path: record.append((path, kept((*args, *kwargs.values())))),
                with_kwargs=True,
            )
        return value
    if type(value) in (list, tuple):
        return type(value)(_recorded(item, f"{name}[{i}]", record) for i, item in enumerate(value))
    if isinstance(value, SimpleNamespace) or is_dataclass(value) and not isinstance(value, type):
        value = copy.copy(value)
        for key, item in vars(value).items():
            object.__setattr__(value, key, _recorded(item, f"{name}.{key}", record))
        return value
    return value if isinstance(value, type) or not callable(value) else _Recorded(copy.deepcopy(value), name, record)


def _record(answers, reference, case):
    """[(name, arguments)] of all calls that an answer makes of what it is given."""
    record, names = [], parameters(reference, case)
    values = [_recorded(value, name, record) for name, value in zip(names, _arguments(case), strict=False)]
    call(answers, _with_arguments(case, (*values, *_arguments(case)[len(values) :])), seed=0)
    return record


def _called(exercise, answers, cases, end):
    """What is first another call of what the answer is given, such as a network, than the solution's."""
    for case in cases:
        if time.monotonic() > end:
            break
        theirs, ours = (_record(each, exercise.reference, case) for each in (answers, exercise.reference))
        count, met = Counter(name for name, _ in theirs), Counter()
        for name, wanted in ours:
            n = met[name] = met[name] + 1
            if n > count[name]:
                if count[name]:
                    return f"It calls {name} {count[name]} times, expected {sum(name == other for other, _ in ours)}."
                return "" if case.read else f"It never calls {name}."  # what reads a result may call it, too
            args = [args for other, args in theirs if other == name][n - 1]
            if len(args) != len(wanted) or any(unlike(x, y, False) for x, y in zip(args, wanted, strict=True)):
                return ""  # it may be called in another way, such as once for two
            if any(name == other and _same_calls(exercise, args, each) for other, each in ours):
                continue  # right, if in another order
            for k, (x, y) in enumerate(zip(args, wanted, strict=True), 1):
                if not callable(y) and (text := difference(x, y, exercise.atol)):
                    text = "" if "entries differ" in text else f": {text}"
                    which = f"argument {k}" if len(args) > 1 else "what it is given"
                    return f"In call {n} of {name}, {which} is not what it should be{text}{'.' * (text[-1:] != '?')}"
        for name in count:
            if count[name] > met[name]:
                return f"It calls {name} {count[name]} times, expected {met[name]}."
    return ""


def _same_calls(exercise, args, wanted):
    return len(args) == len(wanted) and not any(
        difference(x, y, exercise.atol, why=False) for x, y in zip(args, wanted, strict=True) if not callable(y)
    )


# ------------------------------------------------------------------------------------------ two mistakes at once


def _two(exercise, pairs, end):
    """Two of the named mistakes at once."""
    for a, b in itertools.permutations([each for each in exercise.mistakes if " := " not in each.edit], 2):
        if time.monotonic() > end:
            break
        if a.sentence == b.sentence:
            continue
        try:
            both = a.solution.variant(f"{a.edit} && {b.edit}", {})
        except Exception:  # the second does not fit any more, after the first
            continue
        for case, got, _ in pairs:
            theirs = call(both, case)
            if theirs.stopped or difference(got, theirs.value, exercise.atol, why=False):
                break
        else:
            return f"That is what comes out if two things are wrong at once: {a.sentence} And: {b.sentence}"
    return ""
