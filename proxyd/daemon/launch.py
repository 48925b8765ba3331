"""The program started anew, as it was started: with its own arguments, directory and environment, and a little more.

Where the parent runs in the background, what the new program writes is read here, because nobody else sees it; in the
foreground it writes where the parent does.
Source: execve(2), pidfd_open(2).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from proxyd.daemon import capabilities
from proxyd.errors import SetupError

MAX_WORDS = 4000
"""Bytes of what the new program writes that are kept."""
_OTHERS = ("WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
"""What a service manager has told this process alone."""
_CANNOT_START = 127
"""As a shell says it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How this program was started. argv: with what is executed first."""

    argv: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]

    def start(self, extra: Sequence[str], foreground: bool) -> Attempt:
        """Start it anew, with arguments that it has not been given already. Raises OSError."""
        argv = [*self.argv, *(word for word in extra if word not in self.argv)]
        readable, writable = os.pipe2(os.O_CLOEXEC)
        # Whatever comes for this process must not be answered by its child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            process = os.fork()
            if process == 0:
                self._become(argv, writable, foreground)
        except OSError:
            os.close(readable)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writable)
        os.set_blocking(readable, False)
        return Attempt(process, readable)

    def _become(self, argv: list[str], pipe: int, foreground: bool) -> NoReturn:
        """Become the new program, in a child of this process; never return."""
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream, number in ((null, 0), *(() if foreground else ((null, 1), (pipe, 2)))):
                os.dup2(stream, number)
            os.chdir(self.directory)
            environment = {name: value for name, value in self.environment.items() if name not in _OTHERS}
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals():
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            capabilities.pass_on()
            os.execve(argv[0], argv, environment)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        except SetupError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(_CANNOT_START)


class Attempt:
    """A program that was started. process: its number, until it is reaped here."""

    def __init__(self, process: int, pipe: int) -> None:
        self.process = process
        self.status: int | None = None
        """Its exit status, minus the signal that killed it; None as long as it runs."""
        self._pipe = pipe
        self._words = b""

    @property
    def words(self) -> str:
        """What it has written so far, in one line."""
        return " ".join(self.text.split())

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self._words.decode(errors="replace").strip()

    def tend(self) -> None:
        """Read what it has written, and look whether it has ended."""
        self._read()
        if self.status is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.status = os.waitstatus_to_exitcode(status)
                self._read()

    def end(self) -> None:
        """Have it end, if it runs still."""
        if self.status is None:
            os.kill(self.process, signal.SIGTERM)

    def close(self) -> None:
        """Let it run on by itself."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _read(self) -> None:
        while self._pipe >= 0:
            try:
                chunk = os.read(self._pipe, MAX_WORDS)
            except BlockingIOError:
                return
            self._words = (self._words + chunk)[-MAX_WORDS:]
            if not chunk:
                self.close()


def this_program() -> Launch:
    """Return how this process was started; to be called before it changes its directory."""
    script = Path(sys.argv[0]).absolute()
    executable = script.is_file() and os.access(script, os.X_OK)
    argv = (str(script), *sys.argv[1:]) if executable else (sys.executable, *sys.orig_argv[1:])
    return Launch(tuple(argv), str(Path.cwd()), dict(os.environ))
