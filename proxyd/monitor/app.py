"""What the monitor answers over HTTP: a WSGI application. It reads shared memory and nothing else.

/metrics (OpenMetrics or Prometheus text, as the client accepts), /livez, /readyz (503 while draining), /api/v1/status.
Source: PEP 3333.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from proxyd.monitor.metrics import ProxyCollector, View
from workers.contract.slots import Counter

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
METHODS = frozenset(("GET", "HEAD"))
_HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class Answer(NamedTuple):
    """One response."""

    status: HTTPStatus
    kind: str
    body: bytes


class Monitor:
    """The application's pages, by path."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ProxyCollector(view))
        self._pages: dict[str, Callable[[str], Answer]] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/livez": self._live,
            "/readyz": self._ready,
            "/api/v1/status": self._status,
        }

    def answer(self, method: str, path: str, accepts: str = "") -> Answer:
        """Answer a request. accepts: its Accept header."""
        page = self._pages.get(path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, TEXT, b"not found\n")
        if method not in METHODS:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"GET or HEAD\n")
        return page(accepts)

    def _index(self, _accepts: str) -> Answer:
        lines = (f"{self._view.program} {self._view.name}", *(path for path in self._pages if path != "/"))
        return Answer(HTTPStatus.OK, TEXT, "\n".join((*lines, "")).encode())

    def _metrics(self, accepts: str) -> Answer:
        encode, kind = choose_encoder(accepts)
        return Answer(HTTPStatus.OK, kind, encode(self._registry))

    def _live(self, _accepts: str) -> Answer:
        return Answer(HTTPStatus.OK, TEXT, b"ok\n")

    def _ready(self, _accepts: str) -> Answer:
        if self._view.ready:
            return Answer(HTTPStatus.OK, TEXT, b"ok\n")
        why = b"draining\n" if self._view.draining else b"starting\n"
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, why)

    def _status(self, _accepts: str) -> Answer:
        view = self._view
        found = {
            "program": view.program,
            "name": view.name,
            "version": view.version,
            "started_unix": view.started_unix,
            "generation": view.generation,
            "ready": view.ready,
            "draining": view.draining,
            "sessions": view.total(Counter.SESSIONS),
            "max_sessions": view.max_sessions,
            "sessions_opened": view.total(Counter.SESSIONS_OPENED),
            "sessions_closed": view.closes(),
            "out": self._way(Counter.RECEIVED_OUT, Counter.FORWARDED_OUT, Counter.BYTES_OUT, "out"),
            "in": self._way(Counter.RECEIVED_IN, Counter.FORWARDED_IN, Counter.BYTES_IN, "in"),
            "kernel_rx_overflow": view.total(Counter.QUEUE_OVERFLOW),
            "workers": [{"index": index, "sessions": region.sessions} for index, region in enumerate(view.regions)],
        }
        return Answer(HTTPStatus.OK, JSON, msgspec.json.encode(found) + b"\n")

    def _way(self, received: Counter, forwarded: Counter, octets: Counter, direction: str) -> dict[str, object]:
        return {
            "received": self._view.total(received),
            "forwarded": self._view.total(forwarded),
            "bytes": self._view.total(octets),
            "dropped": self._view.drops(direction),
        }


def make_app(view: View) -> WSGIApplication:
    """Return the application for a proxy."""
    monitor = Monitor(view)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = str(environ["REQUEST_METHOD"])
        answer = monitor.answer(method, str(environ.get("PATH_INFO", "")), str(environ.get("HTTP_ACCEPT", "")))
        headers = [("Content-Type", answer.kind), ("Content-Length", str(len(answer.body))), *_HEADERS]
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        return [] if method == "HEAD" else [answer.body]

    return app
