"""Pictures that follow the hand: what was asked last is drawn, what it overtook is not, and nothing waits in a line."""

import base64
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread

from PIL import Image

from minidiff.play.sketchpad import url
from minidiff.trace import Drawing


class Newest:
    """Works on what was asked last, in a thread that ends when there is nothing more.

    `work(asked)` is an iterator. Each item is a place where it may be left, if something was asked meanwhile.
    """

    def __init__(self, work: Callable[..., Iterator]):
        self._work, self._lock, self._thread = work, Lock(), None
        self._waiting = []  # one or none

    def ask(self, *asked) -> None:
        """What waited is forgotten."""
        with self._lock:
            self._waiting = [asked]
            if self._thread is None:
                self._thread = Thread(target=self._run, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Leave it all, and return when it is left."""
        with self._lock:
            self._waiting = [None] if self._thread else []
        self.wait()

    def wait(self, seconds: float | None = None) -> None:
        """Until there is nothing more to do, or so many seconds."""
        if thread := self._thread:
            thread.join(seconds)

    def _run(self) -> None:
        try:
            while (asked := self._next()) is not None:
                for _ in self._work(*asked):
                    if self._waiting:
                        break
        except BaseException:
            self._thread = None  # the next one begins anew
            raise

    def _next(self) -> tuple | None:
        with self._lock:
            asked = self._waiting.pop() if self._waiting else None
            if asked is None:
                self._thread = None
            return asked


def frames(drawing: Drawing) -> Iterator[str]:
    """Pictures as data URLs: after the first step a JPEG, which is quick to write, after the last one all of it.

    "" where there is none, as a place to leave it before the work of the next: the first picture is always given, or
    a hand that never rests would see nothing.
    """
    last = len(drawing.trace.times) - 1
    for i, (_, x0) in enumerate(drawing, 1):
        if i > 1:
            yield ""
        if i in (1, last):
            with noted():
                (picture,) = drawing.images() if i == last else drawing.images(x0)
            yield url(picture) if i == last else jpeg(picture)


def jpeg(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


@contextmanager
def noted() -> Iterator[list[str]]:
    """A list that then holds the warnings, for as short as can be: Python catches those of all threads at once."""
    notes = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += (str(each.message) for each in caught)
