"""A log file that rolls: past its size it becomes PATH.1, PATH.1 becomes PATH.2, and the last one goes.

Written once a flush, appended, so that a file moved away by others is picked up by reopen(). A disk that takes nothing
costs records, counted, never an exception; a roll that fails leaves the log in the file it is in.
Source: udp-proxy.cfg(5), log-debug; the rolling is that of uftpproxyd -g and -n.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from proxyd.logs.sinks import MAX_WAITING_BYTES, Trouble

FILE_MODE = 0o640
FLUSH_BYTES = 64 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Non-blocking for the sake of named pipes and devices; a plain file does not mind."""


class RollingFile:
    """One log file. limit_bytes: rolled after the line that exceeds it, None never; keep: how many old files stay."""

    failure: str | None = None

    def __init__(self, path: str, limit_bytes: int | None = None, keep: int = 0) -> None:
        """Open the file, made with mode 0640 where it is missing, whatever the umask. Raises OSError."""
        self.name = path
        self.trouble = Trouble()
        self._limit = limit_bytes
        self._keep = keep
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self.healthy = True
        self._fd = -1
        self._adopt(_open(path))

    def _adopt(self, fd: int) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        status = os.fstat(fd)
        rolls = self._limit is not None and stat.S_ISREG(status.st_mode)
        self._size = status.st_size
        self._roll_above = self._limit if rolls else None

    @property
    def waiting(self) -> bool:
        """Whether lines wait for flush()."""
        return bool(self._lines)

    def fileno(self) -> int:
        """Return the descriptor in use, -1 when closed."""
        return self._fd

    def write(self, head: str, body: str) -> None:
        """Take one line; it is shed when a full buffer cannot be written out."""
        if self._waiting_bytes >= FLUSH_BYTES:
            self.flush()
        line = f"{head}{body}\n".encode()
        if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
            self.trouble.note(self.trouble.reason or "too slow", 1)
            return
        self._lines.append(line)
        self._waiting_bytes += len(line)

    def flush(self) -> None:
        """Write what waits, rolling where the size asks for it."""
        while self._lines:
            self._roll_if_full()
            count = self._count_until_full()
            if not self._write_out(b"".join(self._lines[:count]), count):
                return
        self._roll_if_full()

    def _count_until_full(self) -> int:
        """Return how many lines go into the present file: up to the one that exceeds its size."""
        if self._roll_above is None or self._size + self._waiting_bytes <= self._roll_above:
            return len(self._lines)
        size = self._size
        for count, line in enumerate(self._lines, 1):
            size += len(line)
            if size > self._roll_above:
                return count
        return len(self._lines)

    def _write_out(self, chunk: bytes, count: int) -> bool:
        try:
            written = os.write(self._fd, chunk)
        except OSError as error:
            self.trouble.note(error.strerror or str(error))
            self.healthy = False
            return False
        self.healthy = True
        self._size += written
        self._waiting_bytes -= written
        if written == len(chunk):
            del self._lines[:count]
            return True
        self._lines[:count] = chunk[written:].splitlines(keepends=True)
        return True

    # --- rolling -------------------------------------------------------------------------------------------------

    def _roll_if_full(self) -> None:
        if self._roll_above is None or self._size <= self._roll_above:
            return
        try:
            self._roll()
        except OSError as error:
            self.trouble.note(f"rolling failed: {error.strerror or error}")
            self._roll_above = self._size + (self._limit or 0) // 8

    def _roll(self) -> None:
        """Move every file one number on and begin a new one, made first: where that fails, nothing has moved."""
        fresh = Path(f"{self.name}.new")
        fd = os.open(fresh, _FLAGS | os.O_TRUNC, FILE_MODE)
        try:
            os.fchmod(fd, FILE_MODE)
            for number in range(self._keep - 1, -1, -1):
                current = f"{self.name}.{number}" if number else self.name
                with contextlib.suppress(FileNotFoundError):
                    Path(current).rename(f"{self.name}.{number + 1}")
            fresh.rename(self.name)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        self._adopt(fd)

    def reopen(self) -> None:
        """Open the path anew; where that fails the log stays in the file it is in."""
        self.flush()
        try:
            self._adopt(_open(self.name))
        except OSError as error:
            self.trouble.note(f"cannot be reopened: {error.strerror or error}")

    def close(self) -> None:
        """Write what waits and close."""
        if self._fd < 0:
            return
        self.flush()
        if self._lines:
            self.trouble.note(self.trouble.reason or "not written before the end", len(self._lines))
            self._lines.clear()
        os.close(self._fd)
        self._fd = -1


def _open(path: str) -> int:
    """Open a log file; one that is new is for its owner's group to read. Raises OSError."""
    try:
        fd = os.open(path, _FLAGS | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return os.open(path, _FLAGS, FILE_MODE)
    try:
        os.fchmod(fd, FILE_MODE)
    except OSError:
        os.close(fd)
        raise
    return fd
