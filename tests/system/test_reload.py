"""The configuration read again: sessions stay, rules and listeners change, and a broken file changes nothing."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.kit.installed import Proxy, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl, unique_name
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAYS

PORT = 7000
WAY = WAYS[4]

pytestmark = requires_installed


def exchange(client: socket.socket, server: socket.socket, payload: bytes) -> tuple[str, int]:
    """Let a client ask and the server answer; return whom the server saw."""
    client.send(payload)
    asked, proxys = server.recvfrom(100)
    assert asked == payload
    server.sendto(payload + b" answered", proxys)
    assert client.recv(100) == payload + b" answered"
    return proxys[:2]


def reload(proxy: Proxy, folder: Path, text: str | None = None) -> None:
    """Reload, with another configuration where one is given; wait until it is in force."""
    if text is not None:
        (folder / "udp-proxy.cfg").write_text(text)
    start = len(proxy.log.lines)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for("UDPS-77[12]", start)


@requires_namespaces
@pytest.mark.parametrize("workers", [1, 2])
def test_a_session_goes_on_through_reloads_under_the_rule_that_it_began_with(
    tmp_path: Path, lab: Lab, workers: int
) -> None:
    name = unique_name()
    rule = acl(f"[{WAY.server}] : {PORT}", "timeout both 30; max-dgrams-out 5;", "BEFORE")
    after = f"session-acl NEW {{ deny; }} {acl(f'[{WAY.server}] : {PORT}', 'timeout both 30;', 'AFTER')}"
    before = Configuration(WAY.listen(PORT), rule, name=name, workers=workers)
    proxy = serve(lab.proxy, tmp_path, before)
    with WAY.server_socket(lab, PORT) as server, WAY.client_socket(lab, PORT) as client:
        seen = exchange(client, server, b"1")
        reload(proxy, tmp_path, Configuration(WAY.listen(PORT), after, name=name, workers=workers).text)
        assert exchange(client, server, b"2") == seen
        reload(proxy, tmp_path)
        assert exchange(client, server, b"3") == seen
        with WAY.client_socket(lab, PORT) as other:
            other.send(b"new")
            proxy.wait_for("ACL PHASE=1 .* NAME=NEW")
    assert len([line for line in proxy.log.lines if "SESSION-START" in line]) == 1
    assert not [line for line in proxy.log.lines if "ended unexpectedly" in line]
    assert proxy.log.stop() == 0
