"""proxyctl and a real proxy with real clients: what is listed is what there is, and what is ordered happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit import peers
from tests.kit.installed import Proxy, requires_installed, serve, wait_for_end
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4

PORT = 7000
PROXYCTL = (sys.executable, "-m", "proxyd.cli.proxyctl")

pytestmark = requires_installed


class Desk:
    """A proxy in the lab with an echo server behind it, and proxyctl before it."""

    def __init__(self, lab: Lab, folder: Path, name: str, items: str = "") -> None:
        self.lab = lab
        peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
        proxy = f'nodaemon; control {{ socket "{folder}/x.ctl"; }} {items}'
        rule = acl(f"[{WAY4.server}] : {PORT}", "timeout both 60;")
        text = Configuration(WAY4.listen(PORT), rule, proxy, name=name)
        self.proxy: Proxy = serve(lab.proxy, folder, text)
        self.path = folder / "x.ctl"

    def ctl(self, *words: str) -> tuple[int, str]:
        """Run the command; return its status and output."""
        done = self.lab.proxy.run([*PROXYCTL, "-s", self.path, *words], check=False)
        return done.returncode, done.stdout + done.stderr

    def asked(self, *words: str) -> Any:
        """Return what the command says in JSON."""
        status, text = self.ctl(*words, "--json")
        assert status == 0, text
        return json.loads(text)

    def listed(self, count: int) -> list[dict[str, Any]]:
        """Return the sessions once there are so many: a session is listed when it has lived for a moment."""
        found = self.asked("sessions", "--sort", "client")
        while len(found) != count:
            found = self.asked("sessions", "--sort", "client")
        return list(found)

    @contextmanager
    def clients(self, count: int) -> Iterator[list[socket.socket]]:
        """Clients that have each got an answer."""
        made = [WAY4.client_socket(self.lab, PORT) for _ in range(count)]
        try:
            for client in made:
                echo(client)
            yield made
        finally:
            for client in made:
                client.close()


def echo(client: socket.socket, payload: bytes = b"hello") -> None:
    client.send(payload)
    assert client.recv(100) == payload


@requires_namespaces
def test_every_session_is_listed_with_its_client_and_its_server(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(20) as clients:
        found = desk.listed(20)
        assert {session["client"] for session in found} == {
            f"[{host}]:{port}" for host, port in (client.getsockname() for client in clients)
        }
        assert {session["server"] for session in found} == {f"[{WAY4.server}]:{PORT}"}
        assert {(session["bytes_in"], session["bytes_out"]) for session in found} == {(5, 5)}
        assert len({session["id"] for session in found}) == 20
        state = desk.asked("status")
        assert (state["proxy"]["sessions"], state["proxy"]["state"]) == (20, "serving")
        assert state["proxy"]["totals"]["forwarded_in"] == 20


@requires_namespaces
def test_a_killed_session_ends_and_the_others_go_on(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(3) as clients:
        before = {session["client"]: session["id"] for session in desk.listed(3)}
        victim = "[{}]:{}".format(*clients[0].getsockname())
        assert desk.ctl("kill", before[victim]) == (0, "1 session ended\n")
        assert desk.proxy.end_of(clients[0].getsockname()[1])[0] == "killed"
        for client in clients:
            echo(client)
        after = {session["client"]: session["id"] for session in desk.listed(3)}
        assert [client for client in before if before[client] != after[client]] == [victim]
        assert desk.ctl("kill", "--client", f"{WAY4.client}")[1] == "3 sessions ended\n"


@requires_namespaces
def test_what_is_explained_is_what_happens(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    place = f"{WAY4.front}:{PORT}"
    assert desk.asked("explain", WAY4.client, place)["target"] == f"[{WAY4.server}]:{PORT}"
    assert desk.ctl("explain", WAY4.client, f"{WAY4.front}:{PORT + 1}")[0] == 2
    with desk.clients(1) as clients:
        (session,) = desk.listed(1)
        found = desk.asked("explain", "{}:{}".format(*clients[0].getsockname()), place)
        assert found["id"] == session["id"]


@requires_namespaces
def test_the_level_is_set_in_every_process(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    assert desk.ctl("loglevel", "8") == (0, "8\n")
    for pid in (desk.proxy.pid, *desk.proxy.workers):
        desk.proxy.wait_for(rf"\[{pid}\.0\]: UDPS-740-K Log level is 8")


@requires_namespaces
@pytest.mark.parametrize("way", ["signal", "command"])
def test_a_draining_proxy_serves_who_is_there_and_ends_with_the_last(
    tmp_path: Path, lab: Lab, name: str, way: str
) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(2) as clients, WAY4.client_socket(lab, PORT) as late:
        desk.listed(2)
        if way == "signal":
            desk.proxy.signal(signal.SIGQUIT)
        else:
            assert desk.ctl("drain") == (0, "draining, 2 sessions left\n")
        desk.proxy.wait_for("UDPS-744-K Draining: no session begins any more, 2 are left")
        while not all(worker["draining"] for worker in desk.asked("status")["workers"]):
            pass
        late.send(b"too late")
        for client in clients:
            echo(client)
        status, text = desk.ctl("explain", WAY4.client, f"{WAY4.front}:{PORT}")
        assert (status, text.splitlines()[0]) == (2, "dropped   the proxy is draining")
        desk.ctl("kill", "--all")
        wait_for_end(desk.proxy.pid)
        desk.proxy.wait_for("UDPS-701-K Proxy terminating: drained$")
        assert not desk.path.exists()


@requires_namespaces
@pytest.mark.parametrize("way", ["signal", "command"])
def test_one_process_that_does_everything_takes_orders_too(tmp_path: Path, lab: Lab, name: str, way: str) -> None:
    tmp_path.chmod(0o755)
    desk = Desk(lab, tmp_path, name, "singleproc;")
    with desk.clients(3) as clients:
        before = desk.listed(3)
        assert desk.asked("status")["proxy"]["children"] == [
            {"name": "worker 0", "pid": desk.proxy.pid, "state": "ready"}
        ]
        assert desk.ctl("kill", before[0]["id"]) == (0, "1 session ended\n")
        assert desk.ctl("loglevel", "7") == (0, "7\n")
        if way == "signal":
            desk.proxy.signal(signal.SIGQUIT)
        else:
            assert desk.ctl("drain") == (0, "draining, 2 sessions left\n")
        desk.proxy.wait_for("UDPS-744-K Draining: no session begins any more, 2 are left")
        survivor = next(one for one in clients if "[{}]:{}".format(*one.getsockname()) == before[1]["client"])
        echo(survivor)
        assert desk.ctl("kill", "--all") == (0, "2 sessions ended\n")
        wait_for_end(desk.proxy.pid)
    desk.proxy.wait_for("UDPS-701-K Proxy terminating: drained$")


@requires_namespaces
def test_a_proxy_that_is_not_drained_in_time_ends_all_the_same(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(1):
        desk.listed(1)
        assert desk.ctl("drain", "--timeout", "1", "--wait")[0] == 0
        wait_for_end(desk.proxy.pid)
    desk.proxy.wait_for("UDPS-701-K Proxy terminating: drained but for 1 sessions when the time was up")


@requires_namespaces
def test_garbage_and_clients_that_never_read_change_nothing_for_the_traffic(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    desk = Desk(lab, tmp_path, name)
    hostile = []
    with desk.clients(5) as clients:
        for number in range(60):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.setblocking(False)
            hostile.append(sock)
            try:
                sock.connect(str(desk.path))
                sock.send(os.urandom(1 + number * 500))
            except (BlockingIOError, BrokenPipeError):
                continue
        for _ in range(20):
            for client in clients:
                echo(client)
        for sock in hostile:
            sock.close()
        assert len(desk.listed(5)) == 5
    assert "UDPS-711-W" not in desk.proxy.log.output
