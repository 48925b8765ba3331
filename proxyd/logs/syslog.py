"""A log that goes to syslog: one datagram a line to the local socket, never waiting for the receiver.

The kernel queues few datagrams for a receiver (net.unix.max_dgram_qlen, often 10), and a receiver restarts: lines wait
here meanwhile, and the socket is connected again. Only when nothing was taken for GRACE_NS, or more waits than may,
syslog counts as failed, and the log's syslog-failure says what then:
  ignore  what exceeds the bound is shed and counted, the rest goes on waiting;
  file    what waits, and all that follows until syslog is back, goes to a file instead;
  stop    `failure` says why, and the proxy ends.
Source: RFC 3164 sections 4.1 and 5.4 for the framing; unix(7); udp-proxy.cfg(5), syslog-failure.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import deque
from collections.abc import Callable

from proxyd.logs.rolling import RollingFile
from proxyd.logs.sinks import CLOSE_WAIT_NS, MAX_WAITING_BYTES, Trouble, wait_for_room
from workers.contract.settings import SyslogFailure

SYSLOG_PATH = "/dev/log"
MAX_LINE_BYTES = 1000
"""A longer line is split: `\\` ends a part that goes on, `~` begins its continuation. JSON never is. RFC 3164: 1024."""
GRACE_NS = 5_000_000_000
_BUSY = frozenset((errno.EAGAIN, errno.ENOBUFS))
FALLBACK_BYTES = 10_000_000
FALLBACK_KEEP = 2
"""The file of `file` rolls like this."""


def split_line(head: str, body: str) -> list[bytes]:
    r"""Return the datagrams of one line, each at most MAX_LINE_BYTES long and beginning with head."""
    first, rest = head.encode(), body.encode()
    if len(first) + len(rest) <= MAX_LINE_BYTES:
        return [first + rest]
    room = max(MAX_LINE_BYTES - len(first) - 2, 16)
    parts: list[bytes] = []
    while len(rest) > room:
        cut = room
        while rest[cut] & 0xC0 == 0x80:  # never within a UTF-8 sequence
            cut -= 1
        parts.append(rest[:cut] + b"\\")
        rest = rest[cut:]
    parts.append(rest)
    return [first + (b"~" if number else b"") + part for number, part in enumerate(parts)]


class Syslog:
    """Lines to the syslog socket at path. fallback: the path of the file for the mode `file`."""

    def __init__(
        self,
        path: str,
        mode: SyslogFailure,
        *,
        fallback: str,
        split: bool = True,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Connect. Raises OSError when nobody listens and the mode is stop; otherwise that is tried again later."""
        self.name = f"syslog {path}"
        self.trouble = Trouble()
        self.failure: str | None = None
        self._path = path
        self._mode = mode
        self._split = split
        self._clock_ns = clock_ns
        self._fallback_path = fallback
        self._fallback: RollingFile | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._stuck_since_ns: int | None = None
        self._socket: socket.socket | None = None
        try:
            self._connect()
        except OSError:
            if mode is SyslogFailure.STOP:
                raise

    @property
    def waiting(self) -> bool:
        """Whether lines wait for syslog."""
        return bool(self._waiting)

    @property
    def healthy(self) -> bool:
        """Whether syslog took the last line it was given."""
        return self._stuck_since_ns is None

    def fileno(self) -> int:
        """Return the socket in use, -1 while there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def write(self, head: str, body: str) -> None:
        """Take one line."""
        datagrams = split_line(head, body) if self._split else [f"{head}{body}".encode()]
        size = sum(map(len, datagrams))
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            self._give_up("more waits than may")
            if self._waiting:
                self.trouble.note(self.trouble.reason or "more waits than may", 1)
                return
        self._waiting.extend(datagrams)
        self._waiting_bytes += size

    def flush(self) -> None:
        """Send what waits, as far as it is taken; connect again where that is needed, once."""
        if not self._waiting:
            return
        reconnected = False
        while self._waiting:
            try:
                if self._socket is None:
                    reconnected = True
                    self._connect()
                self._send_first()
            except OSError as error:
                if error.errno not in _BUSY:
                    self._disconnect()
                if error.errno in _BUSY or reconnected:
                    self._stuck(error.strerror or str(error))
                    return

    def _send_first(self) -> None:
        datagram = self._waiting[0]
        try:
            if self._socket is not None:
                self._socket.send(datagram)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self.trouble.note(f"a line of {len(datagram)} bytes is too long", 1)
        self._waiting.popleft()
        self._waiting_bytes -= len(datagram)
        self._stuck_since_ns = None

    # --- the connection ------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sender.connect(self._path)
        except OSError:
            sender.close()
            raise
        self._socket = sender

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- failure -------------------------------------------------------------------------------------------------

    def _stuck(self, reason: str) -> None:
        now_ns = self._clock_ns()
        if self._stuck_since_ns is None:
            self._stuck_since_ns = now_ns
        elif now_ns - self._stuck_since_ns >= GRACE_NS:
            self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        if self._mode is SyslogFailure.STOP:
            self.failure = self.failure or f"{self.name}: {reason}"
        elif self._mode is SyslogFailure.FILE:
            self._spill(reason)
        else:
            self.trouble.note(reason)

    def _spill(self, reason: str) -> None:
        """Put what waits into the fallback file."""
        self.trouble.note(f"{reason}, lines are in {self._fallback_path}")
        try:
            if self._fallback is None:
                self._fallback = RollingFile(self._fallback_path, FALLBACK_BYTES, FALLBACK_KEEP)
        except OSError as error:
            self.trouble.note(f"{reason}, and {self._fallback_path}: {error.strerror or error}")
            return
        for datagram in self._waiting:
            self._fallback.write("", datagram.partition(b">")[2].decode())
        self._waiting.clear()
        self._waiting_bytes = 0
        self._fallback.flush()

    # --- reopening and closing -----------------------------------------------------------------------------------

    def reopen(self) -> None:
        """Connect anew, and open the fallback file anew where one is in use."""
        self._disconnect()
        self.flush()
        if self._fallback is not None:
            self._fallback.reopen()

    def close(self) -> None:
        """Send what waits, giving a busy receiver half a second; the rest is for the file, or lost and counted."""
        self.flush()
        end_ns = time.monotonic_ns() + CLOSE_WAIT_NS
        while self._waiting and self._socket is not None and wait_for_room(self._socket.fileno(), end_ns):
            self.flush()
        if self._waiting and self._mode is SyslogFailure.FILE:
            self._spill("not taken before the end")
        if self._waiting:
            self.trouble.note("not taken before the end", len(self._waiting))
            self._waiting.clear()
        self._disconnect()
        if self._fallback is not None:
            self._fallback.close()
