"""What the monitor answers, by path. It reads shared memory and nothing else.

/ is a page for people; /metrics (OpenMetrics or Prometheus text, as the client accepts), /livez, /readyz (503 while
draining) and /api/v1/… are for programs.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from proxyd.monitor import api, groups
from proxyd.monitor.exposition import OPEN_METRICS, PLAIN, expose, wants_open_metrics
from proxyd.monitor.http import Answer, Request, is_local_name, refusal
from proxyd.monitor.metrics import collect
from proxyd.monitor.site import Site
from proxyd.monitor.view import View

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Monitor:
    """One proxy's pages. local: it is on a loopback address, and no name but local ones may lead to it."""

    def __init__(self, view: View, site: Site, *, local: bool = False) -> None:
        self._view = view
        self._site = site
        self._local = local
        self._pages: dict[str, Callable[[Request], Answer]] = {
            "/metrics": self._metrics,
            "/livez": self._live,
            "/readyz": self._ready,
            "/api/v1/status": self._whole(api.status),
            "/api/v1/sessions": lambda request: _json(api.sessions(view, request.query)),
            "/api/v1/listeners": self._whole(api.listeners),
            "/api/v1/acls": self._whole(api.acls),
            "/api/v1/groups": lambda request: _json(groups.groups(view, request.query)),
        }

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        host = request.headers.get("host")
        if self._local and host is not None and not is_local_name(host):
            return refusal(HTTPStatus.MISDIRECTED_REQUEST, "called by a name that is not this machine's own")
        page = self._pages.get(request.path)
        if page is None:
            return self._site.find(request.path) or refusal(HTTPStatus.NOT_FOUND, "not found")
        try:
            return page(request)
        except api.QueryError as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error))

    def _metrics(self, request: Request) -> Answer:
        modern = wants_open_metrics(request.headers.get("accept", ""))
        text = expose(collect(self._view), open_metrics=modern)
        return Answer(HTTPStatus.OK, OPEN_METRICS if modern else PLAIN, text.encode())

    def _whole(self, make: Callable[[View], dict[str, Any]]) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            api.refuse_others(request.query)
            return _json(make(self._view))

        return answer

    def _live(self, _request: Request) -> Answer:
        return Answer(HTTPStatus.OK, TEXT, b"ok\n")

    def _ready(self, _request: Request) -> Answer:
        if self._view.ready:
            return Answer(HTTPStatus.OK, TEXT, b"ok\n")
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, self._view.state)


def _json(found: dict[str, Any]) -> Answer:
    return Answer(HTTPStatus.OK, JSON, msgspec.json.encode(found) + b"\n")
