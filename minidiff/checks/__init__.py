"""What minidiff.check needs to know of an exercise. One file an exercise: cases, named mistakes, hints, as data."""

import importlib
import pkgutil
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch

from minidiff.checks.solution import Solution


@dataclass(frozen=True)
class Case:
    """One call of an answer.

    name       of a function, or "Class.member": the class is made anew for each call. A member that is no method is
               what the class keeps, and is compared as it is
    args       its arguments; each call gets a copy. Numbers, tensors, torch modules, functions, and lists of them
    printed    if given, turns what the call prints into what is compared, instead of what it returns
    read       if given, turns what the call returns into what is compared, such as the gradient of a loss
    made_with  the arguments the class is made with
    """

    name: str
    args: tuple = ()
    printed: Callable[[str], object] | None = None
    read: Callable[[object], object] | None = None
    made_with: tuple = ()


@dataclass(frozen=True)
class Variant:
    """Another answer than the solution: an edit of its text, or a function in its place; see `Solution.variant`.

    sentence  what a tutor would say to it; "" if there is no more to say than what differs, or if it is right
    """

    edit: str
    sentence: str
    solution: Solution = field(repr=False, compare=False)
    known: dict = field(repr=False, compare=False)  # names of the exercise's file, for a function that stands there

    @cached_property
    def answers(self) -> dict[str, Callable]:
        return self.solution.variant(self.edit, self.known)


@dataclass(frozen=True)
class Exercise:
    """What an answer is compared with.

    reference   the solution's functions or classes by name, in the order in which the reader gives theirs
    cases       draws the calls; those of one name stand together
    hints       each says more than the one before it; none is the answer
    mistakes    named mistakes
    right       other right answers, and `wrong` other wrong ones: for the tests, which try them all
    equivalent  mutants of the solution that change nothing, from their edit to the reason
    properties  for an exercise with many right answers: (sentence, a test of [(case, result), ...]) and perhaps what
                tells the number reached and the number wanted, of the same. Then only kind, dtype and shape are
                compared with the reference, and the first sentence that fails is said
    learns      names of the arguments that a gradient has to reach, as it does in the solution
    atol        absolute tolerance for float64; other floats get at least 1e-5
    """

    number: str
    title: str
    solution: Solution
    cases: Callable[[torch.Generator], list[Case]]
    hints: tuple[str, ...]
    mistakes: tuple[Variant, ...]
    right: tuple[Variant, ...] = ()
    wrong: tuple[Variant, ...] = ()
    equivalent: tuple[Variant, ...] = ()
    properties: tuple[tuple, ...] = ()
    learns: tuple[str, ...] = ()
    atol: float = 1e-9

    @property
    def reference(self) -> dict[str, Callable]:
        return self.solution.answers


def exercises(lesson: int) -> dict[str, Exercise]:
    """A lesson's exercises by number, in order. ValueError if it has none."""
    try:
        package = importlib.import_module(f"minidiff.checks.lesson{int(lesson):02d}")
    except ImportError:
        raise ValueError(f"got lesson {lesson}, expected one that has exercises") from None
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name.startswith("ex")]
    found = [_exercise(importlib.import_module(f"{package.__name__}.{name}")) for name in names]
    return {exercise.number: exercise for exercise in sorted(found, key=lambda each: int(each.number.split(".")[1]))}


def _exercise(module):
    """The exercise that a file describes."""
    names = vars(module)
    number, _, title = module.__doc__.strip().splitlines()[0].rstrip(".").partition(" ")
    solution = Solution.of(number)

    def variants(name):
        return tuple(Variant(edit, sentence, solution, names) for edit, sentence in blocks(names.get(name, "")))

    return Exercise(
        number=number,
        title=title,
        solution=solution,
        cases=module.cases,
        hints=tuple(" ".join(hint.split()) for hint in re.split(r"\n\s*\n", module.HINTS.strip())),
        mistakes=variants("MISTAKES"),
        right=variants("RIGHT"),
        wrong=variants("WRONG"),
        equivalent=variants("EQUIVALENT"),
        properties=tuple(names.get("PROPERTIES", ())),
        learns=tuple(names.get("LEARNS", ())),
        atol=names.get("ATOL", 1e-9),
    )


def blocks(text: str) -> list[tuple[str, str]]:
    """Pairs (edit, sentence): each line that begins at the left is an edit, and what is indented below it its sentence.

    A line without a sentence below it has none.
    """
    found = []
    for line in filter(str.strip, textwrap.dedent(text).splitlines()):
        if line[0].isspace():
            edit, sentence = found[-1]
            found[-1] = edit, f"{sentence} {line.strip()}".strip()
        else:
            found.append((line.strip(), ""))
    return found
