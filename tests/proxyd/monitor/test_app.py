"""What the monitor answers, page by page."""

from __future__ import annotations

from http import HTTPStatus
from random import Random

import pytest

from proxyd.monitor.app import Monitor
from proxyd.monitor.http import Answer, Request
from proxyd.monitor.site import Site
from tests.proxyd.monitor.views import a_view
from workers.contract.slots import HEADER_BYTES, SLOT_BYTES, Counter

PATHS = [
    "/",
    "/metrics",
    "/livez",
    "/readyz",
    "/api/v1/status",
    "/api/v1/sessions",
    "/api/v1/listeners",
    "/api/v1/acls",
    "/api/v1/groups",
]


def asked(monitor: Monitor, path: str, query: dict[str, str] | None = None, **headers: str) -> Answer:
    return monitor.answer(Request("GET", path, query or {}, headers, lasting=True))


@pytest.mark.parametrize("program", ["udp-proxy", "uftpproxyd"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_there_and_says_something(path: str, program: str) -> None:
    with a_view(program=program) as view:
        answer = asked(Monitor(view, Site.load()), path)
    assert answer.status is HTTPStatus.OK
    assert answer.body


@pytest.mark.parametrize("path", ["", "/metrics/", "/../etc/passwd", "/api/v1", "/index.html", "//", "/%2e"])
def test_any_other_path_is_not_found(path: str) -> None:
    with a_view() as view:
        assert asked(Monitor(view, Site.load()), path).status is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/groups"])
def test_a_parameter_that_is_none_is_named(path: str) -> None:
    with a_view() as view:
        answer = asked(Monitor(view, Site({})), path, {"sort": "age"})
    assert answer.status is HTTPStatus.BAD_REQUEST
    assert b"'sort'" in answer.body


def test_a_draining_proxy_lives_and_is_not_ready() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.DRAINING] = 1
        monitor = Monitor(view, Site({}))
        assert asked(monitor, "/livez").status is HTTPStatus.OK
        ready = asked(monitor, "/readyz")
    assert (ready.status, ready.body) == (HTTPStatus.SERVICE_UNAVAILABLE, b"draining\n")


def test_a_proxy_whose_workers_have_not_turned_is_starting() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.TURNS] = 0
        assert asked(Monitor(view, Site({})), "/readyz").body == b"starting\n"


def test_a_proxy_one_of_whose_workers_lets_datagrams_wait_is_not_ready() -> None:
    with a_view() as view:
        monitor = Monitor(view, Site({}))
        view.board.note_stuck(1)
        stuck = asked(monitor, "/readyz")
        assert (stuck.status, stuck.body) == (HTTPStatus.SERVICE_UNAVAILABLE, b"stuck\n")
        assert b"udp_proxy_ready 0" in asked(monitor, "/metrics").body
        view.board.note_stuck(0)
        assert asked(monitor, "/readyz").status is HTTPStatus.OK


def test_metrics_come_as_the_client_accepts_them() -> None:
    with a_view() as view:
        monitor = Monitor(view, Site({}))
        text = asked(monitor, "/metrics", accept="text/plain")
        openmetrics = asked(monitor, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert text.kind.startswith("text/plain")
    assert openmetrics.kind.startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("page", ["status", "acls", "listeners", "groups", "sessions"])
def test_a_parameter_that_there_is_not_is_refused_on_every_page(page: str) -> None:
    with a_view() as view:
        found = asked(Monitor(view, Site({})), f"/api/v1/{page}", {"colour": "red"})
    assert found.status is HTTPStatus.BAD_REQUEST
    assert b"there is no parameter 'colour'" in found.body


def test_on_a_loopback_address_no_name_of_others_leads_to_it() -> None:
    with a_view() as view:
        local, open_one = Monitor(view, Site({}), local=True), Monitor(view, Site({}))
        assert asked(local, "/livez", host="evil.example").status is HTTPStatus.MISDIRECTED_REQUEST
        assert asked(local, "/livez", host="localhost:9").status is HTTPStatus.OK
        assert asked(local, "/livez").status is HTTPStatus.OK
        assert asked(open_one, "/livez", host="proxy.example").status is HTTPStatus.OK


ODD = (
    "",
    "1",
    "0.3",
    "10.0.0.0/8",
    ":53",
    "[::1]:5",
    "x" * 50,
    "1e308",
    "inf",
    "\u20ac",
    "9" * 17,
    "[",
    "a:b:c",
    "::/0",
)
PARAMETERS = ("limit", "cursor", "client", "server", "acl", "type", "worker", "idle", "older", "id")


@pytest.mark.parametrize("program", ["udp-proxy", "uftpproxyd"])
def test_whatever_a_worker_has_written_and_whatever_is_asked_there_is_an_answer(program: str) -> None:
    chance = Random(5)
    with a_view(program=program, slots=6) as view:
        monitor = Monitor(view, Site({}), local=True)
        for _ in range(400):
            region = chance.choice(view.regions)
            start = region.offset(chance.randrange(6))
            region.memory[start : start + SLOT_BYTES] = chance.randbytes(SLOT_BYTES)
            for _ in range(20):
                region.words[chance.randrange(2, HEADER_BYTES // 8)] = chance.choice((chance.getrandbits(64), 0, 5))
            region.words[Counter.TOP] = chance.choice((6, 2**64 - 1))
            query = {chance.choice(PARAMETERS): chance.choice(ODD)} if chance.random() < 0.5 else {}
            assert asked(monitor, chance.choice(PATHS[1:]), query).body
