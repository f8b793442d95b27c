"""What minidiff.check needs to know of an exercise. One module a lesson holds references and named mistakes as data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Case:
    """One call of an answer.

    name       of a function, or "Class.method": the class is made anew for each call
    args       its arguments; each call gets a copy. Numbers, tensors, torch modules, functions, and lists of them
    printed    if given, turns what the call prints into what is compared, instead of what it returns
    read       if given, turns what the call returns into what is compared, such as the gradient of a loss
    made_with  the arguments the class is made with
    """

    name: str
    args: tuple
    printed: Callable[[str], object] | None = None
    read: Callable[[object], object] | None = None
    made_with: tuple = ()


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer: functions or classes by name, and the sentence a tutor would say."""

    name: str
    sentence: str
    answers: dict[str, Callable]


@dataclass(frozen=True)
class Exercise:
    """What an answer is compared with.

    reference   the right functions or classes by name, in the order in which the reader gives theirs
    cases       draws the calls; those of one name stand together
    mistakes    named mistakes
    hints       each says more than the one before it; none is the answer
    properties  for an exercise with many right answers: pairs of a sentence and a test of [(case, result), ...]. Then
                only kind, dtype and shape are compared with the reference, and the first sentence that fails is said
    atol        absolute tolerance for float64; other floats get at least 1e-5
    """

    title: str
    reference: dict[str, Callable]
    cases: Callable[[torch.Generator], list[Case]]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    properties: tuple[tuple[str, Callable[[list], bool]], ...] = ()
    atol: float = 1e-8
