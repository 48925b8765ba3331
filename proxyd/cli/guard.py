"""What every command owes whoever started it: one line, not a traceback, where its output or its start is cut short."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol


class Main(Protocol):
    """A command's main: takes its arguments, the process's own by default; returns its exit status."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the command."""
        ...


CANNOT_WRITE = 1
INTERRUPTED = 130
"""As a shell tells of a program that SIGINT has ended."""


def guarded(program: str) -> Callable[[Main], Main]:
    """Return a decorator for a main: what it prints is out when it returns, or its status says that it is not."""

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def run(argv: Sequence[str] | None = None) -> int:
            if sys.stdout is None:  # closed by whoever started us
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as we live
            try:
                status = main(argv)
                sys.stdout.flush()
            except KeyboardInterrupt:
                return INTERRUPTED
            except OSError as error:
                _give_up(program, error)
                return CANNOT_WRITE
            return status

        return run

    return decorate


def _give_up(program: str, error: OSError) -> None:
    """Say so, unless nobody reads, and let nothing be written any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not isinstance(error, BrokenPipeError):
        sys.stderr.write(f"{program}: cannot write the output: {error.strerror}\n")
