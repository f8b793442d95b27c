"""One call of a reader's answer, which may do anything: raise, print, run for ever, change what it is given."""

import contextlib
import copy
import io
import random
import signal
import sysconfig
import textwrap
import threading
import traceback
from pathlib import Path

import numpy as np
import torch

from minidiff.checks.compare import brief, difference

SECONDS = 5  # what one call may take
MUTATES = "changes its input in place: make a new tensor instead (x * 2, not x *= 2; x.sqrt(), not x.sqrt_())"


class Verdict(Exception):
    """Ends a check, with a status and a message."""


class _TooLong(BaseException):  # no Exception, so that an answer's own `except Exception` does not swallow it
    pass


def call(answers, case, output=None):
    """What one call returns, or what is read from its printing; `output` counts that.

    Raises Verdict if the answer is unfinished or does what none may do, and KeyboardInterrupt; nothing else.
    """
    head, _, method = case.name.partition(".")
    made_with, args, mine = *copy.deepcopy((case.made_with, case.args)), CapturedOutput()
    try:
        with _watched_randomness() as touched, contextlib.redirect_stdout(mine), contextlib.redirect_stderr(mine):
            with _limit():
                value = getattr(answers[head](*made_with), method)(*args) if method else answers[head](*args)
                value = case.read(value) if case.read and value is not None else value
    except _TooLong:
        text = f"{shown(case)} takes longer than {SECONDS} seconds: is there a loop that never ends?"
        raise Verdict("not right yet", text) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: exit() in an answer must not end the notebook
        if isinstance(error, NotImplementedError) and not error.args:  # torch's own has a text
            raise Verdict("to do", f"{case.name} is not written yet") from None
        raise Verdict("not right yet", f"{shown(case)} stopped with {said(error)}") from None
    finally:
        if output and not case.printed:
            output.count += mine.count
    if value is None or value is ... or value is NotImplemented:
        if not mine.count:
            raise Verdict("to do", f"{case.name} gives nothing yet: it is unfinished, or a `return` is missing")
        if not case.printed:
            raise Verdict("not right yet", f"{case.name} prints something and returns nothing: return it instead")
    if touched():
        text = "draws from the random numbers of the whole notebook or sets a seed, so later cells would see other ones"
        raise Verdict("not right yet", f"{case.name} {text}")
    if difference((made_with, args), (case.made_with, case.args), 0):
        raise Verdict("not right yet", f"{case.name} {MUTATES}")
    return case.printed(mine.getvalue()) if case.printed else _kept(value)


def _kept(value):
    """A copy of a result, which later calls cannot change."""
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor).clone()
    if type(value) is dict:
        return {key: _kept(item) for key, item in value.items()}
    return type(value)(map(_kept, value)) if type(value) in (tuple, list) else value


class CapturedOutput(io.StringIO):
    """Where an answer prints: the first characters are kept, all are counted."""

    count = 0

    def write(self, text):
        self.count += len(text)
        super().write(text[: max(0, 10_000 - self.tell())])
        return len(text)


@contextlib.contextmanager
def _limit():
    """Raises _TooLong after SECONDS; no limit on Windows and outside the main thread, which have no such signal."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise _TooLong

    handler = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _watched_randomness():
    """Gives a function that says whether the global random states were used; puts them back as they were."""

    def states():
        return torch.get_rng_state(), np.random.get_state(), random.getstate()

    before, end = states(), []
    fresh = random.SystemRandom().randrange(2**31)  # else an answer that sets the seed already in force goes unseen
    torch.default_generator.manual_seed(fresh)  # torch.manual_seed would reach into the GPU's states too
    np.random.seed(fresh)
    random.seed(fresh)
    start = states()

    def touched():
        same = torch.equal(start[0], end[0]) and all(map(np.array_equal, start[1], end[1])) and start[2] == end[2]
        return not same

    try:
        yield touched
    finally:
        end += states()
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def shown(case):
    """A call as a reader would write it, with tensors by their shapes."""
    head, dot, method = case.name.partition(".")
    made = f"({', '.join(map(brief, case.made_with))})" if case.made_with else ""
    return f"{head}{made}{dot}{method}({', '.join(map(brief, case.args))})"


_NOT_THEIRS = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))


def said(error):
    """An error in one or two lines: what it says, and the last line of the reader's own code, not of a library."""
    try:
        text = textwrap.shorten(f"{type(error).__name__}: {error}".rstrip(": "), 300)
    except Exception:  # an error whose own text fails
        text = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*_NOT_THEIRS, "<frozen"))]
    return text + (f"\nin line {own[-1].lineno} of {own[-1].name}: {own[-1].line}" if own else "")
