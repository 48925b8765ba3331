"""What every command owes whoever started it: one line, not a traceback, where its output or its start is cut short."""

from __future__ import annotations

import functools
import io
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
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def guarded(program: str) -> Callable[[Main], Main]:
    """Return a decorator for a main: what it prints is out when it returns, or its status says that it is not."""

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def run(argv: Sequence[str] | None = None) -> int:
            _complete_streams()
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


def _complete_streams() -> None:
    """Open what whoever started us has closed: another file in such a place would be taken for output or input."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we live
    if isinstance(sys.stdout, io.TextIOWrapper):  # What a terminal's encoding has not is shown as elsewhere, escaped.
        sys.stdout.reconfigure(errors="backslashreplace")


def _give_up(program: str, error: OSError) -> None:
    """Say so, unless nobody reads, and let nothing be written any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not isinstance(error, BrokenPipeError):
        sys.stderr.write(f"{program}: cannot write the output: {error.strerror}\n")
