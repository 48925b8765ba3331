"""A log on an open descriptor, standard error above all: a terminal, a pipe, a socket of the service manager.

Whoever reads it may be slow or gone: what it does not take is kept up to a bound, then shed. The descriptor is shared
with other programs (the shell, the starting script), so its own flags are never touched: a pipe or a terminal is opened
once more through /proc, which makes a description of our own, a socket is sent to with MSG_DONTWAIT.
Source: open(2), proc(5), /proc/PID/fd; send(2).
"""

from __future__ import annotations

import os
import socket
import stat
import time

from proxyd.logs.sinks import CLOSE_WAIT_NS, MAX_WAITING_BYTES, Trouble, wait_for_room

CHUNK_BYTES = 64 * 1024
GUARDED_CHUNK_BYTES = 512
"""What a descriptor that may block is given at a time: poll() says that there is room, never how much."""


class Stream:
    """Lines to a descriptor, which stays the caller's. name: for the administrator."""

    failure: str | None = None

    def __init__(self, fd: int, name: str = "standard error") -> None:
        self.name = name
        self.trouble = Trouble()
        self._waiting = bytearray()
        self._socket: socket.socket | None = None
        self._guarded = False
        self._fd = self._own(fd)

    def _own(self, fd: int) -> int:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            return self._socket.fileno()
        if not stat.S_ISREG(mode):
            try:
                return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            except OSError:
                self._guarded = True
        return os.dup(fd)

    @property
    def waiting(self) -> bool:
        """Whether something waits for the reader."""
        return bool(self._waiting)

    @property
    def healthy(self) -> bool:
        """Whether the reader keeps up."""
        return not self._waiting

    def fileno(self) -> int:
        """Return the descriptor in use, -1 when closed."""
        return self._fd

    def write(self, head: str, body: str) -> None:
        """Take one line; it is shed when the reader is too far behind."""
        line = f"{head}{body}\n".encode()
        if len(self._waiting) + len(line) > MAX_WAITING_BYTES:
            self.trouble.note("the reader is too slow", 1)
            return
        self._waiting += line

    def flush(self) -> None:
        """Pass on what the reader takes now; a reader that is gone costs all that waits."""
        try:
            while self._waiting:
                del self._waiting[: self._pass_on()]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _lose(self, reason: str) -> None:
        if self._waiting:
            self.trouble.note(reason, self._waiting.count(b"\n"))
            self._waiting.clear()

    def _pass_on(self) -> int:
        if self._socket is not None:
            return self._socket.send(self._waiting[:CHUNK_BYTES], socket.MSG_DONTWAIT)
        if not self._guarded:
            return os.write(self._fd, self._waiting[:CHUNK_BYTES])
        if not wait_for_room(self._fd, 0):
            raise BlockingIOError
        return os.write(self._fd, self._waiting[:GUARDED_CHUNK_BYTES])

    def reopen(self) -> None:
        """Do nothing: a descriptor has no name to go by."""

    def close(self) -> None:
        """Pass on what waits, giving a slow reader half a second, and close."""
        if self._fd < 0:
            return
        self.flush()
        end_ns = time.monotonic_ns() + CLOSE_WAIT_NS
        while self._waiting and wait_for_room(self._fd, end_ns):
            self.flush()
        self._lose("not taken before the end")
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)
        self._fd = -1
