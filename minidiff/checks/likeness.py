"""What a wrong result is like, where nothing is known of the mistake: true of all cases, and said of the results alone.

The solution is called with other arguments, and the calls of functions that an answer is given are listened to.
"""

import itertools
import time
from dataclasses import replace
from numbers import Real

import torch

from minidiff.checks.attempt import call, kept, parameters
from minidiff.checks.changes import of_each
from minidiff.checks.compare import difference, unlike

SECONDS = 2  # what the search may take


def alike(exercise, answers, cases, got, expected) -> str:
    """A sentence that is true of all these wrong results, or "". `got` and `expected` are attempts."""
    pairs = [(case, a.value, e.value) for case, a, e in zip(cases, got, expected, strict=True)]
    if any(a.stopped for a in got) or any(unlike(a, e) for _, a, e in pairs):
        return _called(exercise, answers, cases)
    end = time.monotonic() + SECONDS
    return (
        _in_every_call(exercise, pairs)
        or _argument(exercise, pairs)
        or _as_if(exercise, pairs, end)
        or _called(exercise, answers, cases)
        or _two(exercise, pairs, end)
    )


# ------------------------------------------------------------------------------------------ single numbers


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


# ------------------------------------------------------------------------------------------ made of an argument


def _argument(exercise, pairs):
    """Whether it is an argument itself, or what it should be and a multiple of an argument."""
    for i, name in enumerate(parameters(exercise.reference, pairs[0][0])):
        multiples = []
        for case, got, expected in pairs:
            x = _arguments(case)[i] if i < len(_arguments(case)) else None
            if not isinstance(x, torch.Tensor) or not isinstance(got, torch.Tensor) or x.shape != got.shape:
                break
            if x.numel() < 3 or not x.is_floating_point():
                break
            x, got, expected = x.double(), got.double(), expected.double()
            factor = ((got - expected) * x).sum() / (x * x).sum()
            if torch.allclose(got, x, 1e-5, 1e-7):
                multiples.append(None)
            elif torch.allclose(got, expected + factor * x, 1e-5, 1e-6):
                multiples.append(factor.item())
            else:
                break
        else:
            if all(each is None for each in multiples):
                return f"What comes out is {name} itself."
            if None not in multiples and any(abs(each) > 1e-4 for each in multiples):
                most = max(multiples, key=abs)
                return f"It is what it should be {'plus' if most > 0 else 'minus'} {abs(most):.4g} times {name}."
    return ""


def _arguments(case):
    return (*case.made_with, *case.args)


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
        values, n = _arguments(case), len(case.made_with)
        try:
            values = [kept(change[i](values)) if i in change else value for i, value in enumerate(values)]
        except (AttributeError, IndexError, RuntimeError, TypeError):  # here it is missing, or of another kind
            return False
        theirs = call(exercise.reference, replace(case, made_with=tuple(values[:n]), args=tuple(values[n:])))
        if theirs.stopped or difference(got, theirs.value, exercise.atol, why=False):
            return False
    return True


# ------------------------------------------------------------------------------------------ calls of what it is given


class _Listener:
    """A function that keeps what it is called with."""

    def __init__(self, function, heard):
        self._function, self._heard = function, heard

    def __call__(self, *args, **kwargs):
        self._heard.append(kept((*args, *kwargs.values())))
        return self._function(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._function, name)

    def __deepcopy__(self, memo):
        return self


def _heard(answers, case):
    """{index of an argument that is a function: the arguments of each of its calls}."""
    heard, values = {}, list(_arguments(case))
    for i, value in enumerate(values):
        if isinstance(value, torch.nn.Module) or not callable(value) or isinstance(value, type):
            continue
        heard[i] = []
        values[i] = _Listener(value, heard[i])
    n = len(case.made_with)
    if heard:
        call(answers, replace(case, made_with=tuple(values[:n]), args=tuple(values[n:])), seed=0)
    return heard


def _called(exercise, answers, cases):
    """What is other in the calls of a function that the answer is given."""
    for case in cases:
        names = parameters(exercise.reference, case)
        theirs, ours = _heard(answers, case), _heard(exercise.reference, case)
        for i, wanted in ours.items():
            name, calls = names[i], theirs[i]
            if wanted and not calls:
                return f"It never calls {name}."
            for n, (a, b) in enumerate(zip(calls, wanted, strict=False), 1):
                if len(a) != len(b) or any(unlike(x, y) for x, y in zip(a, b, strict=True)):
                    return ""  # it may be called in another way, such as once for two
                for k, (x, y) in enumerate(zip(a, b, strict=True), 1):
                    if text := difference(x, y, exercise.atol):
                        text = "" if "entries differ" in text else f": {text}"
                        return f"In call {n} of {name}, argument {k} is not what it should be{text}."
            if len(calls) != len(wanted):
                return f"It calls {name} {len(calls)} times, expected {len(wanted)}."
    return ""


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
