"""Run a program and wait for what it says, by event: no test needs to sleep until a program is ready."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

DEFAULT_WAIT_S = 20.0
READER_WAIT_S = 0.3
"""How long to wait, once a program has ended, for one of its children that keeps the pipe open."""


class ProcessError(AssertionError):
    """A program did not do what a test waited for; the text ends with what it printed."""


class Process:
    """A running program whose output (standard output and error together) is read line by line as it comes.

    It leads a process group of its own, and the whole group is killed by stop, so that nothing outlives a test.
    As a context manager it stops the program at the end.
    """

    def __init__(
        self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.argv = [str(word) for word in argv]
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._stopped = False
        self._popen = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._popen.stdout,), daemon=True)
        self._reader.start()
        _unstopped.append(self)

    def _read(self, stream: IO[str]) -> None:
        """Collect lines until everybody has closed the pipe. In a thread of its own."""
        for line in stream:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def lines(self) -> list[str]:
        """Every line printed so far."""
        with self._news:
            return list(self._lines)

    @property
    def output(self) -> str:
        """Everything printed so far, as one text."""
        return "\n".join(self.lines)

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._popen.poll() is None

    def wait_for(self, pattern: str, start: int = 0, within_s: float = DEFAULT_WAIT_S) -> str:
        """Return the first line, from line number start on, in which the regular expression is found.

        Raises ProcessError when the program closes its output first, or within_s seconds pass.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + within_s
        with self._news:
            while True:
                for line in self._lines[start:]:
                    if wanted.search(line):
                        return line
                start = max(start, len(self._lines))
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"was silent about it for {within_s:g} s"
                    raise ProcessError(f"{self.argv} {why}; waited for {pattern!r}, got:\n" + "\n".join(self._lines))
                self._news.wait(left)

    def tell(self, line: str) -> None:
        """Write one line to the program's standard input."""
        if self._popen.stdin is None:
            raise ProcessError(f"{self.argv} takes no input")
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def ask(self, line: str, pattern: str, within_s: float = DEFAULT_WAIT_S) -> str:
        """Write a line and return the next output line in which the pattern is found."""
        start = len(self.lines)
        self.tell(line)
        return self.wait_for(pattern, start, within_s)

    def signal(self, number: signal.Signals | int) -> None:
        """Send a signal to the program, not to its children."""
        self._popen.send_signal(number)

    def wait(self, within_s: float = DEFAULT_WAIT_S) -> int:
        """Return the exit status, negative for a signal; all output has been read by then.

        Raises ProcessError when it has not ended within_s seconds later.
        """
        try:
            status = self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.argv} did not end within {within_s:g} s, printed:\n{self.output}") from None
        self._reader.join(READER_WAIT_S)
        return status

    def stop(self, within_s: float = DEFAULT_WAIT_S) -> int:
        """Ask the program to end (SIGTERM), insist if it does not, kill what is left of its group; its exit status."""
        if self._stopped:
            return self._popen.returncode
        self._stopped = True
        _unstopped.remove(self)
        try:
            if self.running:
                self.signal(signal.SIGTERM)
            return self.wait(within_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
            self._reader.join(READER_WAIT_S)
            if self._popen.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._popen.stdin.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_unstopped: list[Process] = []
"""Every program that was started and has not been stopped, in their order."""


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Stop, when the block ends, all that was started in it and has not been stopped, the last one first."""
    before = frozenset(_unstopped)
    try:
        yield
    finally:
        with contextlib.ExitStack() as stack:
            for process in _unstopped:
                if process not in before:
                    stack.callback(process.stop)
