"""A terminal for programs that draw: a pseudo-terminal, and what its screen would show."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte

from tests.kit.readiness import is_readable

WAIT_S = 20.0


class Terminal:
    """A program in a terminal of so many columns and lines. Use it as a context manager."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        columns: int = 80,
        lines: int = 24,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LINES": "", "COLUMNS": "", **(env or {})}
        for name in ("LINES", "COLUMNS"):
            environment.pop(name)
        self._process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def text(self) -> str:
        """What is on the screen, line by line."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, *words: str) -> str:
        """Return the screen once all the words are on it. Raises AssertionError when they do not come."""
        return self.wait_until(lambda screen: all(word in screen for word in words), str(words))

    def wait_for_loss(self, word: str) -> str:
        """Return the screen once the word is not on it any more. Raises AssertionError when it stays."""
        return self.wait_until(lambda screen: word not in screen, f"{word} to go")

    def wait_until(self, fits: Callable[[str], bool], what: str) -> str:
        """Return the screen once it fits; it is drawn piece by piece. Raises AssertionError, saying what, if never."""
        deadline = time.monotonic() + WAIT_S
        while not fits(self.text):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"waited for {what}, the screen shows:\n{self.text}")
        return self.text

    def press(self, keys: str | bytes) -> None:
        """Send keys."""
        os.write(self._ours, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal larger or smaller, as a window is dragged."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)
        self._process.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        """Return the program's exit status once it has ended."""
        while self._read(WAIT_S):
            pass
        return self._process.wait(WAIT_S)

    def _read(self, within_s: float) -> bool:
        """Take in what the program writes; False when it has nothing to say, or has ended."""
        if not is_readable(self._ours, within_s):
            return False
        try:
            data = os.read(self._ours, 65_536)
        except OSError:
            return False
        self._stream.feed(data)
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
