"""One call of a reader's answer, which may do anything: raise, print, run for ever, change what it is given."""

import contextlib
import copy
import inspect
import io
import itertools
import random
import signal
import sysconfig
import textwrap
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minidiff.checks.compare import brief, difference, kind_of

SECONDS = 5  # what one call may take


class Verdict(Exception):
    """Ends a check, with a status and a message."""


class _TooLong(BaseException):  # no Exception, so that an answer's own `except Exception` does not swallow it
    pass


@dataclass
class Attempt:
    """What came of a call.

    value     what it returned, or what was read from that or from what it printed
    stopped   the error that ended it, in words, or that it is unfinished or took too long; "" if none
    misdeed   what it did beside, in words: it changed its input; "" if nothing
    printed   how many characters it printed, unless they were asked for
    states    the states of torch's, NumPy's and Python's random numbers, before and after
    """

    value: object = None
    stopped: str = ""
    todo: bool = False
    misdeed: str = ""
    printed: int = 0
    states: tuple = ()

    @property
    def drew(self) -> bool:
        """Whether it used the random numbers of the whole notebook."""
        before, after = self.states
        return before != after


def call(answers, case, seed=None) -> Attempt:
    """One call of one of the answers, in words if it fails. Nothing is raised but KeyboardInterrupt.

    With a `seed` the random numbers of the whole notebook are those of that seed; else they are new.
    """
    made_with, args, paper, attempt = *copy.deepcopy((case.made_with, case.args)), CapturedOutput(), Attempt()
    returned = None
    try:
        with _own_randomness(seed) as attempt.states, quiet(paper), _limit():
            returned = made(answers, case, made_with, args)
            attempt.value = kept(case.read(returned) if case.read and returned is not None else returned)
    except _TooLong:
        attempt.stopped = f"takes longer than {SECONDS} seconds: is there a loop that never ends?"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: exit() in an answer must not end the notebook
        attempt.todo = isinstance(error, NotImplementedError) and not error.args  # torch's own has a text
        attempt.stopped = f"stopped with {said(error)}"
        if attempt.todo:
            head, dot, _ = case.name.partition(".")
            attempt.stopped = f"{head}{dot}{_own_frames(error)[-1].name if dot else ''} is not written yet"
        elif returned is not None and not own_line(error):
            attempt.stopped = f"gave {kind_of(returned)}, and using that {attempt.stopped}"
    if case.printed:
        attempt.value = case.printed(paper.getvalue()) if paper.count else None
        if not paper.count and returned is not None:
            attempt.stopped = f"gives {kind_of(returned)} and prints nothing: print it instead"
    else:
        attempt.printed = paper.count
    if not attempt.stopped:
        attempt.misdeed = _changed(answers, case, (*made_with, *args))
    return attempt


def parameters(answers, case) -> list[str]:
    """What the arguments of a case are called: those that the class is made with, then those of the call."""
    head, _, member = case.name.partition(".")
    function = getattr(answers[head], member, None) if member else answers[head]
    names = _parameters(answers[head])[: len(case.made_with)] if member else []
    own = _parameters(function) if callable(function) else []
    return [*names, *own[bool(member) :][: len(case.args)]]


def _parameters(function):
    try:
        return list(inspect.signature(function).parameters)
    except ValueError:  # some of torch's own functions do not tell
        return []


def made(answers, case, made_with, args):
    """What the call of a case gives, with these arguments in place of its own."""
    head, _, member = case.name.partition(".")
    if not member:
        return answers[head](*args)
    member = getattr(answers[head](*made_with), member)
    return member(*args) if callable(member) else member


def _changed(answers, case, after):
    """Which of the arguments are others after the call, in words, or ""."""
    for i, (changed, was) in enumerate(zip(after, (*case.made_with, *case.args), strict=True)):
        learns = isinstance(was, torch.Tensor) and changed.requires_grad != was.requires_grad
        if learns or difference(changed, was, 0, why=False):
            name = dict(enumerate(parameters(answers, case))).get(i, "what")
            return f"changes {name}, which it is given: {_instead(was, changed, learns)}"
    return ""


def _instead(was, changed, learns):
    """What to do in place of changing an argument."""
    if learns:
        return "leave its requires_grad alone, and set that of a copy"
    inside = type(was) is list and len(was) == len(changed) and any(isinstance(x, torch.Tensor) for x in was)
    if isinstance(was, torch.Tensor) or inside:
        return "make a new tensor (x * 2, not x *= 2; x.sqrt(), not x.sqrt_())"
    copied = next((kind.__name__ for kind in (list, dict) if isinstance(was, kind)), "")
    return f"work on a copy, {copied}(...)" if copied else "leave it as it is"


def kept(value):
    """A copy of a result, which later calls cannot change."""
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor).clone()
    if type(value) is dict:
        return {key: kept(item) for key, item in value.items()}
    return type(value)(map(kept, value)) if type(value) in (tuple, list) else value


class CapturedOutput(io.StringIO):
    """Where an answer prints: the first characters are kept, all are counted."""

    count = 0

    def write(self, text):
        self.count += len(text)
        super().write(text[: max(0, 10_000 - self.tell())])
        return len(text)


@contextlib.contextmanager
def quiet(paper=None):
    """Inside, what is printed goes to `paper`, or nowhere."""
    paper = CapturedOutput() if paper is None else paper
    with contextlib.redirect_stdout(paper), contextlib.redirect_stderr(paper):
        yield


@contextlib.contextmanager
def _limit():
    """Raises _TooLong after SECONDS; after five times as many where it had the processor for less than half of them.

    Not in the middle of an import: half a module would stay behind for all that comes after. No limit on Windows and
    outside the main thread, which have no such signal.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    begun, worked = time.monotonic(), time.thread_time()

    def stop(_, frame):
        own = itertools.takewhile(lambda code: code is not call.__code__, _codes(frame))
        if any(code.co_filename == "<frozen importlib._bootstrap>" for code in own):
            signal.setitimer(signal.ITIMER_REAL, SECONDS / 5)
            return
        waits = time.thread_time() - worked < SECONDS / 2  # it sleeps, or others have the processor
        if not waits or time.monotonic() - begun > 4.5 * SECONDS:
            raise _TooLong
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    handler = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)


def _codes(frame):
    """What is running, from the innermost function outwards."""
    return (frame.f_code for frame, _ in traceback.walk_stack(frame))


def _states():
    """Of torch, NumPy and Python, in a form that can be compared."""
    numpy = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), (numpy[1].tobytes(), *numpy[2:]), random.getstate()


@contextlib.contextmanager
def _own_randomness(seed):
    """Inside, the global random states are fresh; afterwards they are as they were. Gives [before], then [, after]."""
    kept, states = (torch.get_rng_state(), np.random.get_state(), random.getstate()), []
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach into the GPU's states too
    np.random.seed(seed)
    random.seed(seed)
    states.append(_states())
    try:
        yield states
    finally:
        states.append(_states())
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])


def shown(case):
    """A call as a reader would write it, with tensors by their shapes."""
    head, dot, member = case.name.partition(".")
    made = f"({', '.join(map(brief, case.made_with))})" if dot else ""
    if dot and not case.args and not case.printed:  # a method without arguments looks like what a class keeps
        return f"{head}{made}.{member}"
    return f"{head}{made}{dot}{member}({', '.join(map(brief, case.args))})"


_NOT_THEIRS = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))


def said(error):
    """An error in one or two lines: what it says, and the last line of the reader's own code, not of a library."""
    try:
        text = textwrap.shorten(f"{type(error).__name__}: {error}".rstrip(": "), 300)
    except Exception:  # an error whose own text fails
        text = type(error).__name__
    return text + own_line(error)


def own_line(error):
    """Where in the reader's own code an error arose: a line of text, or "" if it was elsewhere."""
    own = _own_frames(error)
    return f"\nin line {own[-1].lineno} of {own[-1].name}: {own[-1].line}" if own else ""


def _own_frames(error):
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith((*_NOT_THEIRS, "<frozen"))]
