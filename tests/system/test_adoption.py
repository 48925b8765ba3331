"""Workers that are killed: their sessions go on in their replacements, with the same ports, limits and times."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import delivery
from tests.kit.installed import Proxy, requires_installed, serve
from tests.kit.lab import BACK, FRONT, Lab
from tests.kit.place import Place
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAIT_S, WAYS, Way, connected

PORT = 7000

pytestmark = requires_installed


def kill_workers(proxy: Proxy) -> None:
    """Kill every worker, and wait until others serve in their places and have taken over what there was."""
    start, victims = len(proxy.log.lines), proxy.workers
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    for victim in victims:
        proxy.wait_for(rf"UDPS-711-W Child worker \d \(process {victim}\) ended unexpectedly: killed by SIGKILL", start)
    while set(proxy.workers) & set(victims):
        proxy.wait_for("UDPS-710-K", start)
        start = len(proxy.log.lines)


def begun(proxy: Proxy) -> int:
    """Return how many sessions have begun, as the log tells."""
    return len([line for line in proxy.log.lines if "SESSION-START" in line])


def exchange(client: socket.socket, server: socket.socket, payload: bytes) -> tuple[str, int]:
    """Let a client ask and the server answer; return whom the server saw."""
    client.send(payload)
    asked, proxys = server.recvfrom(100)
    assert asked == payload
    server.sendto(payload + b" answered", proxys)
    assert client.recv(100) == payload + b" answered"
    return proxys[:2]


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
        without = proxy.sockets
        before = exchange(client, server, b"one")
        proxy.wait_for_sockets(without + 1)
        for payload in (b"two", b"three"):
            kill_workers(proxy)
            assert exchange(client, server, payload) == before
        proxy.wait_for("UDPS-712-K 1 sessions taken over")
        assert begun(proxy) == 1
    assert proxy.log.stop() == 0


# --- by the client's and the server's own addresses ------------------------------------------------------------------


@requires_namespaces
@requires_program("nft")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
@pytest.mark.parametrize("items", ["", "source-address client;", "source-address client; source-port client;"])
def test_a_transparent_session_goes_on_when_its_worker_is_killed(
    tmp_path: Path, lab: Lab, way: Way, kind: str, items: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "tproxy", [PORT])
    delivery.deliver_answers(lab)
    listen = "".join(f"transparent [{address}] port {PORT};" for address in (way.front, way.back))
    rule = f"session-acl ALL {{ accept; session-type {kind}; {items} timeout both 30; }}"
    proxy = serve(lab.proxy, tmp_path, Configuration(listen, rule))
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.server, PORT) as client:
        without = proxy.sockets
        before = exchange(client, server, b"one")
        assert before[0] == (way.client if items else way.back)
        proxy.wait_for_sockets(without + 1)
        for payload in (b"two", b"three"):
            kill_workers(proxy)
            assert exchange(client, server, payload) == before
    assert begun(proxy) == 1


@requires_namespaces
@requires_program("nft")
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
def test_clients_with_one_forced_port_are_told_apart_as_before(tmp_path: Path, lab: Lab, kind: str) -> None:
    way = WAYS[4]
    delivery.lead_through(lab)
    delivery.deliver(lab, "tproxy", [PORT])
    delivery.deliver_answers(lab)
    listen = "".join(
        f"transparent [{address}] port {port};" for address in (way.front, way.back) for port in (PORT, PORT + 1)
    )
    other = "10.77.2.77"
    lab.server.configure([f"addr add {other}/24 dev back"])
    items = f"source-address client no-fallback; source-port force {PORT + 1};"
    rule = f"session-acl ALL {{ accept; session-type {kind}; {items} timeout both 30; }}"
    proxy = serve(lab.proxy, tmp_path, Configuration(listen, rule, workers=1))
    with (
        way.server_socket(lab, PORT) as one,
        lab.server.socket() as two,
        connected(lab.client, way.client, way.server, PORT) as asking_one,
        connected(lab.client, way.client, other, PORT) as asking_two,
    ):
        two.settimeout(WAIT_S)
        two.bind((other, PORT))
        without = proxy.sockets
        pairs = ((asking_one, one), (asking_two, two))
        for client, server in pairs:
            assert exchange(client, server, b"before") == (way.client, PORT + 1)
        proxy.wait_for_sockets(without + 2)
        for payload in (b"after", b"after that"):
            kill_workers(proxy)
            for client, server in pairs:
                assert exchange(client, server, payload) == (way.client, PORT + 1)
    assert begun(proxy) == 2


# --- under load ------------------------------------------------------------------------------------------------------


class Load:
    """Clients that keep writing, and a server that answers. ports: where the server saw each client come from."""

    def __init__(self, clients: list[socket.socket], server: socket.socket) -> None:
        self.ports: dict[int, set[int]] = {number: set() for number in range(len(clients))}
        self.sent = self.asked = self.answered = 0
        self._clients = clients
        self._server = server

    def turn(self) -> None:
        """Let every client write once, and take what has arrived."""
        for number, client in enumerate(self._clients):
            client.send(b"%d" % number)
        self.sent += len(self._clients)
        self.take(0.002)

    def take(self, within_s: float) -> None:
        """Take what arrives until nothing has for so long."""
        sockets = [self._server, *self._clients]
        while ready := select.select(sockets, [], [], within_s)[0]:
            for sock in ready:
                if sock is not self._server:
                    sock.recv(100)
                    self.answered += 1
                    continue
                payload, proxys = sock.recvfrom(100)
                self.ports[int(payload)].add(proxys[1])
                self.asked += 1
                sock.sendto(payload, proxys)


@requires_namespaces
@pytest.mark.parametrize("kills", [15, pytest.param(100, marks=pytest.mark.night)])
@pytest.mark.parametrize("kind", ["normal", "any-port"])
def test_no_session_is_lost_however_often_workers_are_killed_under_load(
    tmp_path: Path, lab: Lab, kind: str, kills: int
) -> None:
    way = WAYS[4]
    rule = acl(f"[{way.server}] : {PORT}", f"session-type {kind}; timeout both 30;")
    text = Configuration(way.listen(PORT), rule, workers=2).text.replace(
        "workers 2;", "workers 2; respawn-limit 1000 9;"
    )
    proxy = serve(lab.proxy, tmp_path, text)
    with ExitStack() as stack:
        server = stack.enter_context(way.server_socket(lab, PORT))
        clients = [stack.enter_context(way.client_socket(lab, PORT)) for _ in range(40)]
        load = Load(clients, server)
        without = proxy.sockets
        load.turn()
        proxy.wait_for_sockets(without + len(clients))
        load.turn()
        for number in range(kills):
            start, victim = len(proxy.log.lines), proxy.workers[number % 2]
            for turn in range(6):
                load.turn()
                if turn == number % 6:
                    os.kill(victim, signal.SIGKILL)
            proxy.wait_for("UDPS-710-K", start)
            load.take(0.05)
        load.take(0.5)
        assert [ports for ports in load.ports.values() if len(ports) != 1] == []
    assert begun(proxy) == len(clients)
    print(f"{kills} kills, {load.sent - load.asked} of {load.sent} datagrams lost to the server", end=", ")
    print(f"{load.asked - load.answered} of {load.asked} to clients")
    # A worker has a batch in its hands at most, in each direction, when it is killed.
    assert load.sent - load.asked <= kills * 2 * len(clients)
    assert proxy.log.stop() == 0


# --- to everybody ----------------------------------------------------------------------------------------------------


@requires_namespaces
@pytest.mark.parametrize("far", [True, False], ids=["far", "near"])
def test_a_broadcast_is_answered_by_all_hosts_after_a_kill_as_before_and_makes_no_storm(
    tmp_path: Path, lab: Lab, far: bool
) -> None:
    delivery.lead_through(lab)
    everywhere, to_all = (
        f"transparent [0.0.0.0] port {PORT}; non-transparent [0.0.0.0] port {PORT};",
        BACK.address4(255),
    )
    items = f"to {{ [{to_all}] }}; transparency transparent;" if far else f"plug-to [{to_all}] : {PORT};"
    rule = f"session-acl ALL {{ {items} accept; session-type broadcast; timeout session 60 both 30; }}"
    proxy = serve(lab.proxy, tmp_path, Configuration(everywhere, rule))
    with ExitStack() as stack:
        hosts = {}
        for number, name in {2: "server", 20: "second"}.items():
            host = lab.hosts[name] if name in lab.hosts else lab.attach(name, BACK, number)
            hosts[host.address4] = stack.enter_context(broadcasting(host.namespace, "0.0.0.0", PORT))
        client = stack.enter_context(broadcasting(lab.client, WAYS[4].client, 0))
        without = proxy.sockets
        seen = set()
        for payload in (b"who is there", b"and again", b"and once more"):
            client.sendto(payload, (to_all if far else FRONT.address4(255), PORT))
            for address, sock in hosts.items():
                asked, sender = sock.recvfrom(100)
                assert asked == payload
                seen.add(sender)
                sock.sendto(address.encode(), sender)
            answers = {client.recvfrom(100) for _ in hosts}
            assert answers == {(address.encode(), (address, PORT)) for address in hosts}
            proxy.wait_for_sockets(without + 1)
            kill_workers(proxy)
        assert len(seen) == 1
        assert not select.select([client, *hosts.values()], [], [], 0.5)[0]
    assert begun(proxy) == 1


def broadcasting(place: Place, address: str, port: int) -> socket.socket:
    """Return a socket of a place that may write to everybody."""
    sock = place.socket()
    sock.settimeout(WAIT_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((address, port))
    return sock
