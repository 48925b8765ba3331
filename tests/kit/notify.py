"""Await a program that tells a service manager when it is ready. Source: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType

READY_WAIT_S = 20.0


class NotifySocket:
    """The service manager's end: give env to the program, then wait_ready."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(READY_WAIT_S)
        self._socket.bind(os.fspath(path))

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes a program speak to us."""
        return {"NOTIFY_SOCKET": os.fspath(self._path)}

    def wait_ready(self) -> None:
        """Return when the program says READY=1. Raises TimeoutError when it is silent for 20 seconds."""
        while b"READY=1" not in self._socket.recv(4096).splitlines():
            continue

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._path.unlink()
