"""What a proxy's monitor says, asked as a program asks it: over a Unix socket or a port."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

WAIT_S = 20.0
_AGAIN_S = 0.05
_OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(str(self._path))


class Watch:
    """Somebody who asks a monitor. place: a Unix socket's path, or a port of 127.0.0.1."""

    def __init__(self, place: Path | int) -> None:
        self._place = place

    def ask(self, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer. Raises OSError where nobody answers."""
        place = self._place
        connection = (
            http.client.HTTPConnection("127.0.0.1", place, timeout=WAIT_S)
            if isinstance(place, int)
            else _UnixConnection(place)
        )
        with contextlib.closing(connection):
            connection.request("GET", path, headers=_OPEN_METRICS)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def api(self, path: str) -> dict[str, Any]:
        """Return an answer of the API."""
        found: dict[str, Any] = json.loads(self.ask(f"/api/v1/{path}")[1])
        return found

    def metrics(self) -> dict[str, float]:
        """Return the samples of /metrics: the name, and its labels' values behind it with slashes between."""
        families = text_string_to_metric_families(self.ask("/metrics")[1].decode())
        return {
            "/".join((sample.name, *sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }

    def when(self, fits: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Return the first metrics that fit. Raises AssertionError after 20 seconds with the last ones."""
        deadline, found = time.monotonic() + WAIT_S, self.metrics()
        while not fits(found):
            if time.monotonic() > deadline:
                raise AssertionError(f"the metrics never fitted, they are {found}")
            time.sleep(_AGAIN_S)
            with contextlib.suppress(OSError, http.client.HTTPException):  # a reload replaces the monitor
                found = self.metrics()
        return found
