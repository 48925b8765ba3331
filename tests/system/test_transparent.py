"""Transparent sessions: clients write to servers, with the proxy on the way; each way of udp-proxy-transparent(7)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.kit import delivery, peers
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAIT_S, WAYS, Way, connected, port_of

PORT, TFTP = 7000, 69
FILE_BYTES = 2_000_000 + 77

pytestmark = requires_installed
each_version = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])
each_delivery = pytest.mark.parametrize("means", delivery.WAYS)


def transparent(
    lab: Lab, folder: Path, way: Way, items: str, *, port: int = PORT, fast_path: str = "on", means: str = "tproxy"
) -> Proxy:
    """Serve one rule on the interface where clients are, and lead them there."""
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [port])
    listen = f"transparent [{way.front}] port {port};"
    rule = f"session-acl ALL {{ accept; {items} timeout both 30; }}"
    return serve(lab.proxy, folder, Configuration(listen, rule, f"nodaemon; fast-path {fast_path};"))


def another_address(lab: Lab, way: Way) -> str:
    """Give the server one address more."""
    address, bits = ("10.77.2.77", 24) if way.version == 4 else ("fd77:2::77", 64)
    lab.server.configure([f"addr add {address}/{bits} dev back" + (" nodad" if way.version == 6 else "")])
    return address


def bound(lab: Lab, way: Way, address: str, port: int) -> socket.socket:
    """Return a socket of the server on one of its addresses."""
    sock = lab.server.socket(way.family)
    sock.settimeout(WAIT_S)
    sock.bind((address, port))
    return sock


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
@each_delivery
def test_a_client_writes_to_a_server_and_is_answered_by_it_k49_k88_k92(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, means: str
) -> None:
    proxy = transparent(lab, tmp_path, way, "", fast_path=fast_path, means=means)
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.server, PORT) as client:
        for payload in (b"first", b"second"):
            client.send(payload)
            received, sender = server.recvfrom(100)
            assert (received, sender[0]) == (payload, way.back)
            server.sendto(payload.upper(), sender)
            assert client.recv(100) == payload.upper()
        line = proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(client)} ")
    assert "TRANSP=YES" in line
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 2, 2)


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
def test_one_client_socket_talks_to_two_servers_in_two_sessions_k23(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    other = another_address(lab, way)
    proxy = transparent(lab, tmp_path, way, "", fast_path=fast_path)
    with (
        way.server_socket(lab, PORT) as one,
        bound(lab, way, other, PORT) as two,
        lab.client.socket(way.family) as client,
    ):
        client.settimeout(WAIT_S)
        client.bind((way.client, 0))
        for server, address in ((one, way.server), (two, other)):
            client.sendto(b"question", (address, PORT))
            _, sender = server.recvfrom(100)
            server.sendto(address.encode(), sender)
            answer, (seen, seen_port, *_) = client.recvfrom(100)
            assert (answer.decode(), seen, seen_port) == (address, address, PORT)
    assert proxy.totals()["opened"] == 2


@requires_namespaces
@requires_program("nft")
@each_version
def test_plug_to_stands_above_the_destination_that_the_client_wrote_to_k49(tmp_path: Path, lab: Lab, way: Way) -> None:
    other = another_address(lab, way)
    transparent(lab, tmp_path, way, f"plug-to [{way.server}] : {PORT + 1};")
    with way.server_socket(lab, PORT + 1) as server, connected(lab.client, way.client, other, PORT) as client:
        client.send(b"question")
        _, sender = server.recvfrom(100)
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"


@requires_namespaces
@requires_program("nft")
@each_version
def test_to_the_proxys_own_address_a_session_is_not_transparent_k48_k93(tmp_path: Path, lab: Lab, way: Way) -> None:
    proxy = transparent(lab, tmp_path, way, "", means="rule")
    with connected(lab.client, way.client, way.front, PORT) as client:
        client.send(b"question")
        assert f"CLIENT=[{way.client}]:{port_of(client)} ACL=ALL" in proxy.wait_for("UDPP-730-E")
        assert "TRANSP=NO" in proxy.wait_for("UDPP-821-N")


@requires_namespaces
@requires_program("tftp", "in.tftpd", "nft")
@each_path
@pytest.mark.parametrize("what", ["get", "put"])
@each_version
def test_tftp_passes_although_the_server_answers_from_another_port_k35_k37(
    tmp_path: Path, lab: Lab, way: Way, what: str, fast_path: str
) -> None:
    content, store = os.urandom(FILE_BYTES), tmp_path / "store"
    peers.tftpd(lab.server, store, way.server, TFTP)
    proxy = transparent(lab, tmp_path, way, "session-type any-port;", port=TFTP, fast_path=fast_path)
    sent, received = (store / "there", tmp_path / "here") if what == "get" else (tmp_path / "here", store / "there")
    sent.write_bytes(content)
    names = ("there", tmp_path / "here") if what == "get" else (tmp_path / "here", "there")
    lab.client.run(["tftp", "-m", "binary", way.server, str(TFTP), "-c", what, *names])
    assert received.read_bytes() == content
    assert_balanced(proxy.totals())


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
def test_the_client_sees_who_really_answers_and_may_answer_there_k39_k40_k41(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    other = another_address(lab, way)
    proxy = transparent(lab, tmp_path, way, "session-type any-sock;", fast_path=fast_path)
    with (
        way.server_socket(lab, PORT) as asked,
        bound(lab, way, other, 40_123) as answering,
        lab.client.socket(way.family) as client,
    ):
        client.settimeout(WAIT_S)
        client.bind((way.client, 0))
        client.sendto(b"question", (way.server, PORT))
        _, proxys = asked.recvfrom(100)
        answering.sendto(b"answer", proxys)
        answer, (seen, seen_port, *_) = client.recvfrom(100)
        assert (answer, seen, seen_port) == (b"answer", other, PORT)
        asked.sendto(b"too late", proxys)
        for target in (other, way.server):
            client.sendto(b"more", (target, PORT))
            assert answering.recvfrom(100) == (b"more", proxys)
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["in_forwarded"]) == (1, 1)
