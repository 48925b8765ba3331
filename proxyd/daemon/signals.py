"""Signals as input of a loop: a handler does nothing, the kernel's number comes out of a pipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGRTMIN + 1,
    signal.SIGCHLD,
)
"""What the parent answers."""
_READ_BYTES = 4096
_NO_SIGNAL = 0


class SignalPipe:
    """Takes over this process's signals from its making to its close."""

    def __init__(self, handled: Iterable[int] = HANDLED) -> None:
        self._readable, self._writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers = {number: signal.signal(number, _note_nothing) for number in handled}
        self._wakeup = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        # Whoever started us may have kept them from himself, and a blocked signal would never come. One that has been
        # sent already comes now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a signal came."""
        return self._readable

    def read(self) -> list[int]:
        """Return the signals that came, in their order, each once."""
        try:
            came = os.read(self._readable, _READ_BYTES)
        except BlockingIOError:
            return []
        return [number for number in dict.fromkeys(came) if number != _NO_SIGNAL]

    def wake(self) -> None:
        """Make it readable once, without a signal."""
        os.write(self._writable, bytes((_NO_SIGNAL,)))

    def end(self) -> None:
        """Close for good: signals from now on wait for ever, because the process is undoing what it did, and ends."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._handlers)
        self.close()

    def close(self) -> None:
        """Give the signals back to whoever had them."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._readable)
        os.close(self._writable)


def _note_nothing(_number: int, _frame: object) -> None:
    """Do nothing: the wakeup descriptor has the number already."""
