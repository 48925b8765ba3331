"""Workers that are killed: replaced, their datagrams and sessions served; but not for ever."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import Proxy, children_of, requires_installed, serve, status_of, wait_for_end
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, port_of

PORT = 7000

pytestmark = requires_installed


def start(lab: Lab, folder: Path, items: str = "nodaemon;", limit: str = "30 60", sessions: int = 100) -> Proxy:
    """Start a proxy with two workers; limit: its respawn-limit."""
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    rule = acl(f"[{WAY4.server}] : {PORT}", "timeout both 60;")
    text = Configuration(WAY4.listen(PORT), rule, items, sessions, workers=2).text
    return serve(lab.proxy, folder, text.replace("workers 2;", f"workers 2; respawn-limit {limit};"))


def ask(client: socket.socket, payload: bytes = b"hello") -> None:
    """Send, and get it back."""
    client.send(payload)
    assert client.recv(100) == payload


def stop_for_a_moment(pid: int) -> None:
    """Halt a process; it is halted when this returns."""
    os.kill(pid, signal.SIGSTOP)
    # A child of another process cannot be waited for: its state is looked at until it has changed.
    while status_of(pid)["State"].split()[0] != "T":
        os.sched_yield()


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_a_killed_worker_is_replaced_and_the_datagrams_in_its_queue_are_served(
    tmp_path: Path, lab: Lab, fast_path: str
) -> None:
    proxy = start(lab, tmp_path, f"nodaemon; fast-path {fast_path};")
    with ExitStack() as stack:
        clients = [stack.enter_context(WAY4.client_socket(lab, PORT)) for _ in range(12)]
        without = proxy.sockets
        for client in clients:
            ask(client)
        proxy.wait_for_sockets(without + len(clients))
        owners = {client: proxy.worker_of(port_of(client)) for client in clients}
        victim = owners[clients[0]]
        (other,) = set(proxy.workers) - {victim}
        begun = len(proxy.log.lines)
        stop_for_a_moment(victim)
        for number in range(5):
            for client in clients:
                client.send(b"queued %d" % number)
        os.kill(victim, signal.SIGKILL)
        for client in clients:
            assert [client.recv(100) for _ in range(5)] == [b"queued %d" % number for number in range(5)]
        proxy.wait_for(rf"UDPS-711-W Child worker \d \(process {victim}\) ended unexpectedly: killed by SIGKILL")
        replacement = int(proxy.wait_for(r"UDPS-710-K Child worker \d started", begun).rpartition(" ")[2])
        assert sorted(proxy.workers) == sorted((other, replacement))
        # Nobody has noticed anything, whosever client he was.
        assert not [line for line in proxy.log.lines[begun:] if "SESSION-START" in line]
        assert set(owners.values()) <= {victim, other}
    assert proxy.totals()["sessions"] == 12
    assert proxy.log.stop() == 0


@requires_namespaces
def test_a_dead_workers_sessions_take_the_room_they_had_and_no_more(tmp_path: Path, lab: Lab) -> None:
    proxy = start(lab, tmp_path, sessions=6)
    with ExitStack() as stack:
        *clients, late = [stack.enter_context(WAY4.client_socket(lab, PORT)) for _ in range(7)]
        without = proxy.sockets
        for client in clients:
            ask(client)
        proxy.wait_for_sockets(without + len(clients))
        victim = proxy.worker_of(port_of(clients[0]))
        begun = len(proxy.log.lines)
        os.kill(victim, signal.SIGKILL)
        proxy.wait_for("UDPS-710-K Child worker", begun)
        for client in clients:
            ask(client, b"again")
        # All that the workers have logged comes before their answers.
        assert (totals := proxy.totals())["sessions"] == 6
        assert totals["out_dropped"] == 0
        assert not [line for line in proxy.log.lines[begun:] if "SESSION-START" in line]
        late.send(b"me too")
        proxy.wait_for(r"UDPP-720-W Session table full \(6\)", begun)


@requires_namespaces
def test_more_deaths_than_the_limit_end_the_proxy(tmp_path: Path, lab: Lab) -> None:
    proxy = start(lab, tmp_path, limit="3 60")
    with WAY4.client_socket(lab, PORT) as client:
        for count in range(1, 5):
            ask(client)
            begun = len(proxy.log.lines)
            os.kill(victim := proxy.workers[count % 2], signal.SIGKILL)
            proxy.wait_for(rf"UDPS-711-W .*\(process {victim}\)", begun)
            if count < 4:
                proxy.wait_for(rf"UDPS-710-K Child worker {count % 2} started", begun)
    assert proxy.log.wait() == 70
    found = [re.findall(r"UDPS-\d+-[A-Z]", line)[0] for line in proxy.log.lines if "UDPS-" in line]
    assert found[-3:] == ["UDPS-510-C", "UDPS-701-K", "UDPS-722-K"]


@requires_namespaces
def test_the_other_processes_end_with_a_proxy_that_gives_up(tmp_path: Path, lab: Lab) -> None:
    proxy = start(lab, tmp_path, limit="1 60")
    family = [proxy.pid, *children_of(proxy.pid)]
    for worker in family[1:]:
        os.kill(worker, signal.SIGKILL)
    assert proxy.log.wait() == 70
    assert "udp-proxy: too many terminated children" in proxy.log.lines
    assert "UDPS-510-C Too many terminated children, terminating proxy" in proxy.log.output
    for pid in family:
        wait_for_end(pid)
    with lab.proxy.socket() as free:
        free.bind((WAY4.front, PORT))
