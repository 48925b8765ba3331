"""What the service manager is told: that the proxy serves, reloads, ends, is alive, and how it is.

Where nobody asks for it (NOTIFY_SOCKET is not set) nothing is done. What the manager has no room for waits its turn;
the proxy never waits for it, save where descriptors are laid up with it at the very end.
Source: sd_notify(3), sd_watchdog_enabled(3), unix(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections import deque
from collections.abc import Mapping, Sequence

MAX_WAITING = 64
"""Messages that wait; beyond it the oldest is forgotten: the newest says how it is."""
PATIENCE_S = 2.0
"""How long the manager may take for each message that brings descriptors."""
STATUS_NS = 1_000_000_000
"""The status is told this often at most."""
_STRANGER = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EDESTADDRREQ))
"""Whom we spoke to has gone; somebody else may be in its place."""
SHORTEST_BEAT_NS = 100_000_000


class Notifier:
    """The way to the service manager. address: its socket, as in NOTIFY_SOCKET, "" for none.

    beat_ns: how often it wants a sign of life, 0: never; that is half of what it waits.
    """

    def __init__(self, address: str = "", beat_ns: int = 0) -> None:
        self.beat_ns = max(beat_ns, SHORTEST_BEAT_NS) if beat_ns else 0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._status = ""
        self._status_ns = 0
        self._sock: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            # By now: where the root changes later, the path leads nowhere.
            self._connect()

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to be told."""
        return self._sock is not None

    def tell(self, *lines: str) -> None:
        """Tell the manager something, as soon as it has room for it."""
        if self._sock is not None:
            self._waiting.append("\n".join(lines).encode())
            self.flush()

    def ready(self, process: int) -> None:
        """Tell that every child of this process serves: for the first time, or again after reloading."""
        self.tell(f"MAINPID={process}", "READY=1")

    def reloading(self, now_ns: int) -> None:
        """Tell that a reload has begun, now by CLOCK_MONOTONIC; `ready` says when it is done."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={now_ns // 1000}")

    def stopping(self, why: str) -> None:
        """Tell that the end has begun."""
        self.tell("STOPPING=1", f"STATUS={_one_line(why)}")

    def status(self, text: str, now_ns: int) -> None:
        """Tell how the proxy is, where that has changed, once a second at most."""
        if self._sock is not None and text != self._status and now_ns >= self._status_ns:
            self._status, self._status_ns = text, now_ns + STATUS_NS
            self.tell(f"STATUS={_one_line(text)}")

    def alive(self) -> None:
        """Give a sign of life."""
        self.tell("WATCHDOG=1")

    def flush(self) -> None:
        """Send what waits, as far as the manager has room. Nobody there any more is nobody to be told."""
        while self._waiting and self._sock is not None:
            try:
                self._send(self._sock, self._waiting[0], ())
            except BlockingIOError:
                return
            except OSError:
                self._waiting.clear()
                return
            self._waiting.popleft()

    def lay_up(self, name: str, descriptors: Sequence[int]) -> None:
        """Give the manager descriptors (253 at most) to keep under a name. Raises OSError when it does not take them.

        It does not look whether they are ill: a socket with an error to tell is worth keeping.
        """
        self._hand((f"FDNAME={name}", "FDSTORE=1", "FDPOLL=0"), descriptors)

    def forget(self, name: str) -> None:
        """Have the manager close what it keeps under a name."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def barrier(self) -> int:
        """Return a descriptor, the caller's, that has news when the manager has done all that it was told so far.

        Raises OSError when it cannot be asked. Source: sd_notify(3), BARRIER (systemd 246).
        """
        self.flush()
        if self._waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            self._hand(("BARRIER=1",), (theirs,))
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ours

    def close(self) -> None:
        """Tell nothing any more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _hand(self, lines: Sequence[str], descriptors: Sequence[int]) -> None:
        if self._sock is None:
            raise FileNotFoundError(0, "there is no service manager")
        self._sock.settimeout(PATIENCE_S)
        try:
            self._send(self._sock, "\n".join(lines).encode(), descriptors)
        finally:
            self._sock.setblocking(False)

    def _send(self, sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(sock, [data], list(descriptors))
        except OSError as error:
            if error.errno not in _STRANGER:
                raise
            sock.connect(self._address)
            socket.send_fds(sock, [data], list(descriptors))

    def _connect(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.connect(self._address)


def from_environment(environment: Mapping[str, str]) -> Notifier:
    """Return the way to the manager that this process's environment tells of."""
    return Notifier(environment.get("NOTIFY_SOCKET", ""), _beat_ns(environment))


def _beat_ns(environment: Mapping[str, str]) -> int:
    """Return half of the time after which the manager thinks us dead, 0 where it does not."""
    text = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdigit()) or (meant and meant != str(os.getpid())):
        return 0
    return int(text) * 1000 // 2


def _one_line(text: str) -> str:
    return " ".join(text.split())
