"""What the commands, `python -m minidiff`, `minidiff.train` and `minidiff.judge`, have in common: one-line errors."""

import argparse
import sys
import warnings
from collections.abc import Callable

CONTROLS = ("lines", "boxes")  # of minidiff.weights


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line and exits with code 2.

    "{samplers}" in its epilog becomes their names.
    """

    def error(self, message: str):
        self.exit(2, f"error: {' '.join(message.split())}; see {self.prog} --help\n")

    def format_help(self) -> str:
        from minidiff.sample import SAMPLERS  # imports torch, which takes seconds: for --help, but not for an error

        self.epilog = self.epilog and self.epilog.format(samplers=", ".join(SAMPLERS))
        return super().format_help()


def number(kind: type, low: float = -float("inf"), high: float = float("inf")) -> Callable[[str], float]:
    """An argparse type: an int or float from `low` to `high`."""

    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            word = "a whole number" if kind is int else "a number"
            to = "" if high == float("inf") else f" to {high:g}"
            raise argparse.ArgumentTypeError(f"got {text}, expected {word} from {low:g}{to}")
        return value

    return parse


def run(main: Callable[[], None], interrupted: str = "stopped") -> None:
    """Call main; what a person can put right becomes one line and exit code 2, without a traceback."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    for stream in filter(None, (sys.stdout, sys.stderr)):  # a file's name may be no valid Unicode
        stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
