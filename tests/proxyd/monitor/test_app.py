"""What the monitor answers, page by page."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import msgspec
import pytest

from proxyd.monitor.app import Monitor, make_app
from tests.proxyd.monitor.views import a_view
from workers.contract.slots import Counter, DropReason


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz", "/api/v1/status"])
def test_a_page_is_there_and_says_something(path: str) -> None:
    with a_view() as view:
        answer = Monitor(view).answer("GET", path)
    assert answer.status is HTTPStatus.OK
    assert answer.body


@pytest.mark.parametrize("path", ["", "/metrics/", "/../etc/passwd", "/api/v1"])
def test_any_other_path_is_not_found(path: str) -> None:
    with a_view() as view:
        assert Monitor(view).answer("GET", path).status is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "", "get"])
def test_other_methods_are_not_allowed(method: str) -> None:
    with a_view() as view:
        assert Monitor(view).answer(method, "/metrics").status is HTTPStatus.METHOD_NOT_ALLOWED


def test_a_draining_proxy_lives_and_is_not_ready() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.DRAINING] = 1
        assert Monitor(view).answer("GET", "/livez").status is HTTPStatus.OK
        ready = Monitor(view).answer("GET", "/readyz")
    assert (ready.status, ready.body) == (HTTPStatus.SERVICE_UNAVAILABLE, b"draining\n")


def test_a_proxy_whose_workers_have_not_turned_is_starting() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.TURNS] = 0
        assert Monitor(view).answer("GET", "/readyz").body == b"starting\n"


def test_metrics_come_as_the_client_accepts_them() -> None:
    with a_view() as view:
        monitor = Monitor(view)
        text = monitor.answer("GET", "/metrics", "text/plain")
        openmetrics = monitor.answer("GET", "/metrics", "application/openmetrics-text; version=1.0.0")
    assert text.kind.startswith("text/plain")
    assert openmetrics.kind.startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


def test_the_status_has_every_counter_by_name() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.RECEIVED_OUT] = 5
        view.regions[1].words[Counter.DROPS_OUT + DropReason.REJECTED] = 4
        found: dict[str, Any] = msgspec.json.decode(Monitor(view).answer("GET", "/api/v1/status").body)
    assert found["out"]["received"] == 5
    assert found["out"]["dropped"]["rejected"] == 4
    assert set(found["in"]["dropped"]) == {reason.name.lower().replace("_", "-") for reason in DropReason}
    assert (found["name"], found["max_sessions"], len(found["workers"])) == ("TEST", 100, 2)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_application_keeps_to_its_interface(method: str) -> None:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": "/livez", "QUERY_STRING": ""}
    begun: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        begun.append((status, dict(headers)))
        return lambda _data: None

    with a_view() as view:
        parts = validator(make_app(view))(environ, start)
        body = b"".join(parts)
        parts.close()  # type: ignore[attr-defined]
    ((status, headers),) = begun
    assert status == "200 OK"
    assert headers["Content-Length"] == "3"
    assert headers["Cache-Control"] == "no-store"
    assert body == (b"ok\n" if method == "GET" else b"")
