"""max-sessions: nobody above it, nobody thrown out for it, and every end makes room for one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, port_of

PORT = 7000
SESSIONS = 24

pytestmark = requires_installed


@pytest.fixture
def clients(lab: Lab) -> Iterator[list[socket.socket]]:
    """More clients than there may be sessions."""
    with ExitStack() as stack:
        yield [stack.enter_context(WAY4.client_socket(lab, PORT)) for _ in range(2 * SESSIONS)]


def ask(client: socket.socket, payload: bytes = b"hello") -> None:
    """Send, and get it back."""
    client.send(payload)
    assert client.recv(100) == payload


def refused(proxy: Proxy, client: socket.socket, count: int) -> None:
    """Send, and see that the count of those for whom there was no room comes to this."""
    client.send(b"too many")
    proxy.state_when(lambda state: state.get("dropped-out-table-full", 0) == count)
    assert proxy.totals()["sessions"] == SESSIONS


@requires_namespaces
@pytest.mark.parametrize(("workers", "fast_path"), [(1, "off"), (4, "on")])
def test_the_table_is_full_at_its_number_and_an_end_makes_room_for_one(
    tmp_path: Path, lab: Lab, clients: list[socket.socket], workers: int, fast_path: str
) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    # Datagrams to the server are limited, so that a client can end its own session when the test wants it.
    rule = acl(f"[{WAY4.server}] : {PORT}", "max-dgrams-out 3; timeout both 60;")
    items = f"nodaemon; fast-path {fast_path};"
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), rule, items, SESSIONS, workers))
    inside, outside = clients[:SESSIONS], clients[SESSIONS:]
    for client in inside:
        ask(client)
    refused(proxy, outside[0], count=1)
    assert proxy.wait_for("UDPP-720-W").endswith(f"datagram from [{WAY4.client}]:{port_of(outside[0])} dropped")
    for client in inside:
        ask(client)
    for number in range(6):
        ask(leaver := inside[number])
        leaver.send(b"one too many")
        assert proxy.end_of(port_of(leaver))[0] == "dgrams-out"
        ask(outside[number])
        refused(proxy, outside[number + 6], count=number + 2)
    assert_balanced(totals := proxy.totals())
    assert totals["sessions"] == SESSIONS
    assert totals["opened"] == SESSIONS + 6
    assert totals["out_dropped"] == 7 + 6


@requires_namespaces
def test_a_crowd_that_comes_at_once_gets_exactly_the_room_there_is(
    tmp_path: Path, lab: Lab, clients: list[socket.socket]
) -> None:
    server = peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    rule = acl(f"[{WAY4.server}] : {PORT}", "timeout both 60;")
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), rule, "nodaemon;", SESSIONS, workers=4))
    for client in clients:
        client.send(b"hello")
    state = proxy.state_when(lambda state: state.get("received-out") == len(clients))
    assert state["opened"] == state["sessions"] == state["forwarded-out"] == SESSIONS
    assert state["dropped-out-table-full"] == len(clients) - SESSIONS
    assert server.counts()["sources"] == SESSIONS
    # The workers' answers come after all they had to tell before.
    assert proxy.totals()["sessions"] == SESSIONS
    served = [line for line in proxy.log.lines if "SESSION-START" in line]
    assert len(served) == SESSIONS
    assert len({proxy.worker_of(port_of(client)) for client in clients if f":{port_of(client)} " in str(served)}) > 1
