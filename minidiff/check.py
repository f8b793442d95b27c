"""Checks a reader's answer to an exercise, and says what is wrong with it.

    check("1.2", snr_db)    in the cell after the answer; check("1.2") finds it by its name
    hint("1.2")             one hint more at each call
    passed("1.2")           whether the last check of it passed
    summary()               the exercises of this lesson, and what is still to do

An answer is called on fresh random inputs and compared with a reference. If it is wrong and equals one of the named
mistakes of `minidiff/checks/`, the message is that mistake's sentence; otherwise it says where and by how much the
answer differs. What passed is kept, and can draw: `minidiff.yours()`. None of these functions raises; only a real
Ctrl-C passes. `python -m minidiff.check` checks notebooks.
"""

import contextlib
import html
import inspect
import itertools
import random
import sys
from dataclasses import dataclass

import torch

from minidiff.answers import keep, kept, report
from minidiff.checks import exercises
from minidiff.checks.attempt import Verdict, call, said, shown
from minidiff.checks.compare import difference, kind_of, unlike
from minidiff.checks.likeness import alike
from minidiff.checks.senses import leaves_device, lost_gradient, randomness, without_effect

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


def check(number: str = "", *answers, seed: int | None = None) -> Result:
    """Check the answers to an exercise, show the result and return it. A `seed` gives the same inputs each time."""
    number, printed = str(number), []
    try:
        exercise = _exercise(number)
        generator = torch.Generator().manual_seed(random.SystemRandom().randrange(2**31) if seed is None else seed)
        with _on_cpu():
            answers = _named(exercise, answers)
            message = _examine(exercise, answers, generator, printed)
        status = "passed"
        keep(number, answers)
    except Verdict as verdict:
        status, message = verdict.args
    except Exception as error:
        status, message = "not right yet", f"the check itself failed, which is not your fault: {said(error)}"
    if sum(printed) and status != "to do":
        message += f"\nIt also printed {sum(printed):,} characters, which are not shown here."
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
    """List every exercise of the lessons checked so far, and whether it passed; then where what passed can draw."""
    known = {}
    for lesson in sorted({number.split(".")[0] for number in _results if number.split(".")[0].isdigit()}, key=int):
        try:
            known |= exercises(lesson)
        except ValueError:  # there is no such lesson
            continue
    status = {number: _results[number].status if number in _results else "not checked" for number in known}
    done = list(status.values()).count("passed")
    lines = [f"{number}  {status[number]:13}  {exercise.title}" for number, exercise in known.items()]
    lines += ["", report()] if kept() else []
    _show("passed" if known and done == len(known) else "to do", "\n".join([f"{done} of {len(known)} passed", *lines]))


def _exercise(number):
    try:
        of_lesson = exercises(number.split(".")[0])
        return of_lesson[number]
    except ValueError:
        raise Verdict("to do", f'got {number!r}, expected the number of an exercise in quotes, like "1.2"') from None
    except KeyError:
        raise Verdict("to do", f"got {number!r}, expected one of {', '.join(of_lesson)}") from None


def _on_cpu():
    """The inputs are on the CPU, whatever the notebook's default device is."""
    return contextlib.nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


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


def _examine(exercise, answers, generator, printed):
    """Raise Verdict unless the answers are right. Gives what a reader should know though they are.

    How many characters each call printed goes into the list `printed`.
    """
    results, right, first = [], [], []
    for _, group in itertools.groupby(exercise.cases(generator), key=lambda case: case.name):
        cases = list(group)
        got = []
        for case in cases:
            got.append(call(answers, case))
            if got[-1].stopped.startswith("takes longer"):  # to wait once is enough
                cases = cases[: len(got)]
                break
        expected = [call(exercise.reference, case) for case in cases]
        printed += [attempt.printed for attempt in got]
        if text := _wrong(exercise, answers, cases, got, expected, right):
            raise Verdict(*text)
        right += zip(cases, got, strict=True)
        results += [(case, attempt.value) for case, attempt in zip(cases, got, strict=True)]
        first.append(cases[0])
    for sentence, holds, *reached in exercise.properties:
        if not holds(results):
            raise Verdict("not right yet", "\n".join([sentence, *(text(results) for text in reached)]))
    return next(filter(None, (leaves_device(answers, exercise.reference, case) for case in first)), "")


def _wrong(exercise, answers, cases, got, expected, earlier):
    """What is wrong with these results: (status, message), or None. What is certain comes first.

    earlier  (case, attempt) of other functions, which are right: a mistake that spoils them is not this one
    """
    pairs = list(zip(cases, got, expected, strict=True))
    if unwritten := next((attempt for attempt in got if attempt.todo), None):
        return "to do", unwritten.stopped
    if all(map(_nothing, got)) and not all(map(_nothing, expected)):
        return _unfinished(cases[0], got[0])
    wrong = [pair for pair in pairs if _differs(exercise, *pair[1:], why=False)]
    if wrong:
        for mistake in exercise.mistakes:
            if _is(mistake, exercise, [*zip(cases, got, strict=True), *earlier]):
                return "not right yet", mistake.sentence
    for case, attempt in zip(cases, got, strict=True):
        if attempt.misdeed:
            return "not right yet", f"{case.name} {attempt.misdeed}"
    kind_is_right = not got[0].stopped and not unlike(got[0].value, expected[0].value)
    if kind_is_right and (text := randomness(got[0], call(answers, cases[0]), exercise.atol)):
        ignored = without_effect(answers, exercise.reference, cases) if wrong else []
        use = f". Use {' and '.join(ignored)}" if ignored else ""
        return "not right yet", f"{cases[0].name} {text}{use}"
    if wrong:
        case, attempt, right = wrong[0]
        text = _differs(exercise, attempt, right)
        ignored = without_effect(answers, exercise.reference, cases) if kind_is_right else []
        if ignored:
            text += f"\nIt comes out the same whatever {' and '.join(ignored)} {'are' if ignored[1:] else 'is'}."
        if not exercise.properties and not got[-1].stopped.startswith("takes longer"):
            text = f"{text}\n{alike(exercise, answers, cases, got, expected, ignored)}".rstrip()
        return "not right yet", f"{shown(case)}{'' if attempt.stopped else ':'} {text}"
    if exercise.learns and (text := lost_gradient(answers, exercise.reference, cases[0], exercise.learns)):
        return "not right yet", f"{shown(cases[0])}: {text}"
    return None


def _differs(exercise, attempt, right, why=True):
    """How an attempt differs from the right one, or "". Of an open exercise only the kind is compared."""
    if attempt.stopped or exercise.properties:
        return attempt.stopped or unlike(attempt.value, right.value)
    return difference(attempt.value, right.value, exercise.atol, why)


def _nothing(attempt):
    return not attempt.stopped and (attempt.value is None or attempt.value is ... or attempt.value is NotImplemented)


def _unfinished(case, attempt):
    if attempt.printed:
        return "not right yet", f"{case.name} prints something and returns nothing: return it instead"
    if case.printed:
        return "to do", f"{case.name} prints nothing yet: it is unfinished"
    return "to do", f"{case.name} gives nothing yet: it is unfinished, or a `return` is missing"


def _is(mistake, exercise, attempts):
    """Whether a named mistake gives the same in every case: the same values, the same errors."""
    for case, attempt in attempts:
        theirs = call(mistake.answers, case)
        if theirs.stopped.partition("\n")[0] != attempt.stopped.partition("\n")[0]:
            return False
        if not attempt.stopped and difference(attempt.value, theirs.value, exercise.atol, why=False):
            return False
    return True


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
