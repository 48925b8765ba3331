"""Workers that are killed: their sessions go on in their replacements, with the same ports, limits and times."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.kit.installed import Proxy, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAIT_S, WAYS, Way

PORT = 7000

pytestmark = requires_installed


def kill_workers(proxy: Proxy) -> None:
    """Kill every worker, and wait until others serve in their places and have taken over what there was."""
    begun, victims = len(proxy.log.lines), proxy.workers
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    for victim in victims:
        proxy.wait_for(rf"UDPS-711-W Child worker \d \(process {victim}\) ended unexpectedly: killed by SIGKILL", begun)
    while set(proxy.workers) & set(victims):
        proxy.wait_for("UDPS-710-K", begun)
        begun = len(proxy.log.lines)


def exchange(client: socket.socket, server: socket.socket, payload: bytes) -> tuple[str, int]:
    """Let a client ask and the server answer; return whom the server saw."""
    client.send(payload)
    asked, proxys = server.recvfrom(100)
    assert asked == payload
    server.sendto(payload + b" answered", proxys)
    assert client.recv(100) == payload + b" answered"
    return proxys[:2]


def sockets_of(proxy: Proxy) -> int:
    """Return how many sockets the parent has."""
    names = (str(entry.readlink()) for entry in Path(f"/proc/{proxy.pid}/fd").iterdir())
    return len([name for name in names if name.startswith("socket:")])


def wait_until_kept(proxy: Proxy, sockets: int) -> None:
    """Wait until the parent has so many sockets: those it had, and those of sessions that have lived for a moment."""
    deadline = time.monotonic() + WAIT_S
    while sockets_of(proxy) < sockets:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # nothing tells outsiders


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
def test_a_session_goes_on_by_the_same_port_when_its_worker_is_killed(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, kind: str
) -> None:
    rule = acl(f"[{way.server}] : {PORT}", f"session-type {kind}; timeout both 30;")
    proxy = serve(lab.proxy, tmp_path, Configuration(way.listen(PORT), rule, f"nodaemon; fast-path {fast_path};"))
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        without = sockets_of(proxy)
        before = exchange(client, server, b"one")
        wait_until_kept(proxy, without + 1)
        for payload in (b"two", b"three"):
            kill_workers(proxy)
            assert exchange(client, server, payload) == before
        proxy.wait_for("UDPS-712-K 1 sessions taken over")
        assert len([line for line in proxy.log.lines if "SESSION-START" in line]) == 1
    assert proxy.log.stop() == 0
