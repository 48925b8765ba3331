"""Transparent listeners: the client names the server, and talks to the proxy without knowing; by each way of delivery.

The rules, routes and nftables files are those of udp-proxy-transparent(7).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import delivery, peers
from tests.kit.installed import assert_balanced, requires_installed, serve, status_of
from tests.kit.lab import BACK, Lab
from tests.kit.proxy import Configuration
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way, connected, port_of

PORT, TFTP = 6900, 69
FILE_BYTES = 300_000 + 77
TIMEOUT = "timeout both 60;"
CAP_NET_RAW = 1 << 13

pytestmark = [requires_installed, requires_program("nft")]
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])
both_versions = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def everywhere(way: Way, port: int) -> str:
    return f"transparent [{'0.0.0.0' if way.version == 4 else '::'}] port {port};"


def on(address: str, port: int) -> str:
    return f"transparent [{address}] port {port};"


def rule(items: str, name: str = "ALL") -> str:
    return f"session-acl {name} {{ accept; {items} {TIMEOUT} }}"


def configuration(listen: str, acls: str, fast_path: str = "on", workers: int = 2) -> Configuration:
    return Configuration(listen, acls, f"nodaemon; fast-path {fast_path};", workers=workers)


def to_server(stack: ExitStack, lab: Lab, way: Way, port: int = PORT) -> socket.socket:
    """Return a socket of the client that takes answers from the server's own address and port alone."""
    return stack.enter_context(connected(lab.client, way.client, way.server, port))


def talk(client: socket.socket, server: socket.socket, words: bytes = b"question") -> tuple[str, int]:
    """Exchange a question and an answer; return who the server has seen."""
    client.send(words)
    payload, source = server.recvfrom(65_536)
    assert payload == words
    server.sendto(words[::-1], source)
    assert client.recv(65_536) == words[::-1]
    return source[0], source[1]


@requires_namespaces
@both_versions
@each_path
@pytest.mark.parametrize("means", delivery.WAYS)
def test_answers_come_from_the_server_that_the_client_has_asked_k13_k49_k88_k92(
    tmp_path: Path, lab: Lab, stack: ExitStack, means: str, way: Way, fast_path: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    proxy = serve(lab.proxy, tmp_path, configuration(everywhere(way, PORT), rule(""), fast_path))
    server = stack.enter_context(way.server_socket(lab, PORT))
    for _ in range(3):
        client = to_server(stack, lab, way)
        assert talk(client, server)[0] == talk(client, server)[0] == way.back
        line = proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(client)} ")
        assert f"SERVER=[{way.server}]:{PORT} TRANSP=YES" in line
    assert "CASE-200-W" not in proxy.log.output
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (3, 6, 6)


@requires_namespaces
@requires_program("tftp", "in.tftpd")
@both_versions
@pytest.mark.parametrize("means", delivery.WAYS)
@pytest.mark.parametrize("what", ["get", "put"])
def test_tftp_passes_though_the_client_knows_of_no_proxy_k36_k37_k90(
    tmp_path: Path, lab: Lab, means: str, way: Way, what: str
) -> None:
    content = os.urandom(FILE_BYTES)
    store = tmp_path / "store"
    peers.tftpd(lab.server, store, way.server, TFTP)
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [TFTP])
    proxy = serve(lab.proxy, tmp_path, configuration(on(way.front, TFTP), rule("session-type any-port;", "TFTP")))
    assert f"UDPS-723-K Listening transparently on [{'0.0.0.0' if way.version == 4 else '::'}]:69 of front" in (
        proxy.log.output
    )
    sent, received = (store / "there", tmp_path / "here") if what == "get" else (tmp_path / "here", store / "there")
    sent.write_bytes(content)
    names = ("there", tmp_path / "here") if what == "get" else (tmp_path / "here", "there")
    lab.client.run(["tftp", "-m", "binary", way.server, str(TFTP), "-c", what, *names])
    assert received.read_bytes() == content
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_dropped"], totals["in_dropped"]) == (1, 0, 0)


@requires_namespaces
@both_versions
def test_one_client_socket_has_a_session_with_each_server_it_names_k23(
    tmp_path: Path, lab: Lab, stack: ExitStack, way: Way
) -> None:
    other = BACK.address4(9) if way.version == 4 else BACK.address6(9)
    lab.server.run(
        [
            "ip",
            "addr",
            "add",
            f"{other}/{24 if way.version == 4 else 64}",
            "dev",
            "back",
            *(["nodad"] if way.version == 6 else []),
        ]
    )
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    proxy = serve(lab.proxy, tmp_path, configuration(everywhere(way, PORT), rule("")))
    first, second = (stack.enter_context(lab.server.socket(way.family)) for _ in range(2))
    client = stack.enter_context(lab.client.socket(way.family))
    for sock, address in ((first, way.server), (second, other)):
        sock.bind((address, PORT))
        sock.settimeout(20)
        client.sendto(address.encode(), (address, PORT))
    client.settimeout(20)
    sources = {sock: sock.recvfrom(100) for sock in (second, first)}
    for sock, (payload, source) in sources.items():
        sock.sendto(payload, source)
        said, answering = client.recvfrom(100)
        assert (said, answering[:2]) == (payload, (payload.decode(), PORT))
    assert proxy.totals()["opened"] == 2


@requires_namespaces
@both_versions
def test_what_is_sent_to_the_proxy_itself_is_not_transparent_k48_k93(
    tmp_path: Path, lab: Lab, stack: ExitStack, way: Way
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    acls = rule("transparency transparent;", "FOREIGN") + rule(f"plug-to [{way.server}] : 7;", "OWN")
    proxy = serve(lab.proxy, tmp_path, configuration(everywhere(way, PORT), acls))
    named, plugged = (stack.enter_context(way.server_socket(lab, port)) for port in (PORT, 7))
    client = to_server(stack, lab, way)
    talk(client, named)
    own = stack.enter_context(way.client_socket(lab, PORT))
    talk(own, plugged)
    assert "TRANSP=NO" in proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(own)} ")
    assert "TRANSP=YES" in proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(client)} ")


@requires_namespaces
def test_a_listener_of_one_interface_does_not_hear_the_other_k90(tmp_path: Path, lab: Lab, stack: ExitStack) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    acls = rule(f"plug-to [{WAY4.server}] : 7;")
    proxy = serve(lab.proxy, tmp_path, configuration(on(WAY4.front, PORT), acls))
    server = stack.enter_context(WAY4.server_socket(lab, 7))
    stranger = stack.enter_context(connected(lab.server, WAY4.server, WAY4.back, PORT))
    stranger.send(b"from the wrong side")
    with pytest.raises(ConnectionRefusedError):
        stranger.recv(100)
    talk(stack.enter_context(WAY4.client_socket(lab, PORT)), server)
    assert proxy.totals()["out_received"] == 1


@requires_namespaces
@both_versions
@each_path
@pytest.mark.parametrize("means", ["mark", "tproxy"])
def test_the_server_sees_the_clients_address_and_its_answers_come_back_k50a_k91(
    tmp_path: Path, lab: Lab, stack: ExitStack, means: str, way: Way, fast_path: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    delivery.deliver_answers(lab)
    acls = rule("source-address client no-fallback;")
    proxy = serve(lab.proxy, tmp_path, configuration(everywhere(way, PORT), acls, fast_path))
    assert "CASE-200-W" not in proxy.log.output
    server = stack.enter_context(way.server_socket(lab, PORT))
    for _ in range(3):
        client = to_server(stack, lab, way)
        assert talk(client, server)[0] == way.client
        assert talk(client, server, bytes(20_000))[0] == way.client
    assert proxy.totals()["opened"] == 3


@requires_namespaces
@both_versions
@pytest.mark.parametrize("forced", ["client", f"force {PORT}"])
def test_the_server_sees_the_clients_address_and_the_port_that_is_wanted_k50b_k51_k54(
    tmp_path: Path, lab: Lab, stack: ExitStack, way: Way, forced: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    delivery.deliver_answers(lab)
    acls = rule(f"source-address client no-fallback; source-port {forced};")
    listen = on(way.front, PORT) + on(way.back, PORT)
    proxy = serve(lab.proxy, tmp_path, configuration(listen, acls, workers=4))
    server = stack.enter_context(way.server_socket(lab, PORT))
    client = to_server(stack, lab, way)
    wanted = port_of(client) if forced == "client" else PORT
    for words in (b"first", b"second"):
        assert talk(client, server, words) == (way.client, wanted)
    assert proxy.totals()["opened"] == 1


@requires_namespaces
@pytest.mark.parametrize(
    "listen", ["transparent [0.0.0.0]", "non-transparent [0.0.0.0]", f"transparent [{WAY4.front}]"]
)
def test_every_server_of_the_other_network_answers_a_broadcast_with_its_own_address_k43_k44_k57_k58_k60(
    tmp_path: Path, lab: Lab, stack: ExitStack, listen: str
) -> None:
    delivery.lead_through(lab)
    acls = rule("session-type broadcast; transparency transparent;", "LAN2LAN")
    proxy = serve(lab.proxy, tmp_path, configuration(f"{listen} port {PORT};", acls))
    servers = {}
    for number in (20, 21, 22):
        host = lab.attach(f"server{number}", BACK, number)
        sock = stack.enter_context(host.namespace.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", PORT))
        sock.settimeout(20)
        servers[BACK.address4(number)] = sock
    client = stack.enter_context(lab.client.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    client.settimeout(20)
    client.sendto(b"anybody?", (BACK.address4(255), PORT))
    for address, sock in servers.items():
        payload, source = sock.recvfrom(100)
        assert (payload, source[0]) == (b"anybody?", WAY4.back)
        sock.sendto(address.encode(), source)
    answers = dict(client.recvfrom(100) for _ in servers)
    assert answers == {address.encode(): (address, PORT) for address in servers}
    totals = proxy.totals()
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 3)


@requires_namespaces
@both_versions
def test_what_routing_lacks_is_said_at_the_start_with_what_mends_it(tmp_path: Path, lab: Lab, way: Way) -> None:
    proxy = serve(lab.proxy, tmp_path, configuration(on(way.front, PORT), rule("")))
    line = proxy.wait_for("CASE-200-W .*no routing rule brings")
    command = f"ip -{way.version} rule add iif front ipproto udp dport {PORT} lookup 7570"
    route = f"ip -{way.version} route add local default dev lo table 7570"
    assert f"wanted, for example: '{command}' and '{route}'" in line
    proxy.log.stop()
    for words in (command, route):
        lab.proxy.run(words.split())
    delivery.lead_through(lab)
    again = serve(lab.proxy, tmp_path, configuration(on(way.front, PORT), rule("")))
    assert "CASE-200-W" not in again.log.output
    with ExitStack() as stack:
        talk(to_server(stack, lab, way), stack.enter_context(way.server_socket(lab, PORT)))


@requires_namespaces
def test_workers_have_the_one_capability_that_pretending_needs_and_otherwise_none(tmp_path: Path, lab: Lab) -> None:
    for items, held in (("source-address client;", CAP_NET_RAW), ("", 0)):
        proxy = serve(lab.proxy, tmp_path, configuration(everywhere(WAY4, PORT), rule(items)))
        for worker in proxy.workers:
            status = status_of(worker)
            assert [int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff")] == [held] * 2
            assert [int(status[f"Cap{name}"], 16) for name in ("Inh", "Bnd", "Amb")] == [0] * 3
            assert status["Uid"].split()[0] != "0"
        proxy.log.stop()
