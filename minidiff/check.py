"""Checks a reader's answer to an exercise, and says what is wrong with it.

    check("1.2", snr_db)    in the cell after the answer; check("1.2") finds it by its name
    hint("1.2")             one hint more at each call
    passed("1.2")           whether the last check of it passed
    summary()               the exercises of this lesson, and what is still to do

An answer is called on fresh random inputs and compared with a reference. If it is wrong and equals one of the named
mistakes of `minidiff/checks/`, the message is that mistake's sentence; otherwise it says where and by how much the
answer differs. None of these functions raises; only a real Ctrl-C passes. `python -m minidiff.check` checks notebooks.
"""

import html
import importlib
import inspect
import itertools
import random
import sys
from dataclasses import dataclass

import torch

from minidiff.checks import Exercise
from minidiff.checks.attempt import CapturedOutput, Verdict, call, said, shown
from minidiff.checks.compare import difference, kind_of, unlike

_results, _hints_given = {}, {}


@dataclass(frozen=True)
class Result:
    """What a check found: `status` is "passed", "not right yet" or "to do". True if passed."""

    number: str
    status: str
    message: str

    def __bool__(self):
        return self.status == "passed"

    def __str__(self):
        return f"{self.number} {self.status}" + (f": {self.message}" if self.message else "")

    __repr__ = __str__

    def _ipython_display_(self):
        """Nothing: check has shown it already."""


def exercises(lesson: int) -> dict[str, Exercise]:
    """A lesson's exercises by number, in order. ValueError if it has none."""
    try:
        return importlib.import_module(f"minidiff.checks.lesson{int(lesson):02d}").EXERCISES
    except ImportError:
        raise ValueError(f"got lesson {lesson}, expected one that has exercises") from None


def check(number: str = "", *answers, seed: int | None = None) -> Result:
    """Check the answers to an exercise, show the result and return it. A `seed` gives the same inputs each time."""
    number, output = str(number), CapturedOutput()
    try:
        exercise = _exercise(number)
        generator = torch.Generator().manual_seed(random.SystemRandom().randrange(2**31) if seed is None else seed)
        with torch.device("cpu"):  # whatever the notebook's default is: the inputs are there
            _examine(exercise, _named(exercise, answers), generator, output)
        status, message = "passed", ""
    except Verdict as verdict:
        status, message = verdict.args
    except Exception as error:
        status, message = "not right yet", f"the check itself failed, which is not your fault: {said(error)}"
    if output.count and status != "to do":
        message += f"\nIt also printed {output.count:,} characters, which are not shown here."
    result = _results[number] = Result(number, status, message.strip())
    _show(status, str(result))
    return result


def passed(number: str) -> bool:
    """Whether the last check of this exercise, since the notebook was started, passed."""
    return bool(_results.get(str(number)))


def hint(number: str = "") -> None:
    """Show the next hint; after the last one, begin again."""
    number = str(number)
    try:
        hints = _exercise(number).hints
    except Verdict as verdict:
        _show(*verdict.args)
        return
    i = _hints_given[number] = _hints_given.get(number, 0) % len(hints) + 1
    _show("hint", f"{number} hint {i} of {len(hints)}: {hints[i - 1]}")


def summary() -> None:
    """List every exercise of the lessons checked so far, and whether it passed."""
    known = {}
    for lesson in sorted({number.split(".")[0] for number in _results if number.split(".")[0].isdigit()}, key=int):
        try:
            known |= exercises(lesson)
        except ValueError:  # there is no such lesson
            continue
    status = {number: _results[number].status if number in _results else "not checked" for number in known}
    done = list(status.values()).count("passed")
    lines = [f"{number}  {status[number]:13}  {exercise.title}" for number, exercise in known.items()]
    _show("passed" if known and done == len(known) else "to do", "\n".join([f"{done} of {len(known)} passed", *lines]))


def _exercise(number):
    try:
        of_lesson = exercises(number.split(".")[0])
        return of_lesson[number]
    except ValueError:
        raise Verdict("to do", f'got {number!r}, expected the number of an exercise in quotes, like "1.2"') from None
    except KeyError:
        raise Verdict("to do", f"got {number!r}, expected one of {', '.join(of_lesson)}") from None


def _named(exercise, answers):
    """The answers by the name of what was asked for."""
    names = list(exercise.reference)
    if not answers:
        answers = [vars(sys.modules["__main__"]).get(name) for name in names]
    if len(answers) != len(names):
        raise Verdict("to do", f"got {len(answers)} answers, expected {len(names)}: {', '.join(names)}")
    for name, answer in zip(names, answers, strict=True):
        if answer is None or answer is ...:
            raise Verdict("to do", f"{name} is not defined yet: write it, and run its cell")
        kind = "class" if inspect.isclass(exercise.reference[name]) else "function"
        if not callable(answer) or kind == "class" and not inspect.isclass(answer):
            raise Verdict("not right yet", f"got {kind_of(answer)}, expected the {kind} {name} itself, without ()")
    return dict(zip(names, answers, strict=True))


def _examine(exercise, answers, generator, output):
    """Raise Verdict unless the answers are right."""
    results = []
    for _, group in itertools.groupby(exercise.cases(generator), key=lambda case: case.name):
        cases = list(group)
        got = [call(answers, case, output) for case in cases]
        expected = [call(exercise.reference, case) for case in cases]
        if not unlike(got[0], expected[0]) and difference(call(answers, cases[0], output), got[0], exercise.atol):
            text = "gives another result when it is called again with the same input; only its arguments may matter"
            raise Verdict("not right yet", f"{shown(cases[0])} {text}")
        compare = unlike if exercise.properties else difference
        differences = [compare(*pair, exercise.atol) for pair in zip(got, expected, strict=True)]
        if any(differences):
            for mistake in exercise.mistakes:
                if _is(mistake, exercise, cases, got):
                    raise Verdict("not right yet", mistake.sentence)
            case, text = next(pair for pair in zip(cases, differences, strict=True) if pair[1])
            raise Verdict("not right yet", f"{shown(case)}: {text}")
        results += zip(cases, got, strict=True)
    for sentence, holds in exercise.properties:
        if not holds(results):
            raise Verdict("not right yet", sentence)


def _is(mistake, exercise, cases, got):
    """Whether these results are those of a named mistake."""
    answers = exercise.reference | mistake.answers
    try:
        return not any(difference(g, call(answers, case), exercise.atol) for g, case in zip(got, cases, strict=True))
    except Verdict:  # this mistake is another than a wrong result
        return False


_LOOK = {  # a sign, for who sees no colours, and one of the colours of Okabe and Ito, which most people tell apart
    "passed": ("✓", "#009E73"),
    "not right yet": ("✗", "#D55E00"),
    "to do": ("☐", "#0072B2"),
    "hint": ("?", "#E69F00"),
}


def _show(status, text):
    sign, colour = _LOOK[status]
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        style = f"border-left: 6px solid {colour}; padding: 2px 10px; white-space: pre-wrap; font-family: monospace"
        block = f'<div style="{style}"><b>{sign}</b> {html.escape(text)}</div>'
        sys.modules["IPython"].display.display({"text/plain": text, "text/html": block}, raw=True)
    else:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))


if __name__ == "__main__":
    from minidiff import cli
    from minidiff.checks import grading

    cli.run(grading.main)
