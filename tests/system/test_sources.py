"""The address that servers see: the client's own, with its own or a forced port, and what becomes of answers to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit import delivery, peers
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import BACK, FRONT, PEER_HOST, PROXY_HOST, Lab
from tests.kit.proxy import Configuration
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAIT_S, WAY4, WAY6, WAYS, Way, connected, port_of

PORT, FORCED, TFTP = 7000, 7001, 69
FILE_BYTES = 500_000 + 77
TIMEOUT = "timeout both 30;"

pytestmark = requires_installed
each_version = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])


def forging(
    lab: Lab,
    folder: Path,
    way: Way,
    items: str,
    fast_path: str = "on",
    ports: tuple[int, ...] = (PORT,),
    *,
    singly: bool = False,
) -> Proxy:
    """Serve one rule transparently, on both sides of the proxy; answers to clients are led to it, too."""
    delivery.lead_through(lab)
    delivery.deliver(lab, "tproxy", ports)
    delivery.deliver_answers(lab)
    listen = "".join(
        f"transparent [{address}] port {port};" for address in (way.front, way.back) for port in (*ports, FORCED)
    )
    rule = f"session-acl ALL {{ accept; {items} {TIMEOUT} }}"
    proxy = f"nodaemon; fast-path {fast_path};" + ("singleproc;" if singly else "")
    return serve(lab.proxy, folder, Configuration(listen, rule, proxy))


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
def test_the_server_sees_the_clients_address_and_a_port_of_the_systems_k50a_k91(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, kind: str
) -> None:
    proxy = forging(lab, tmp_path, way, f"session-type {kind}; source-address client;", fast_path)
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.server, PORT) as client:
        for payload in (b"first", b"second"):
            client.send(payload)
            received, sender = server.recvfrom(100)
            assert (received, sender[0]) == (payload, way.client)
            assert sender[1] != port_of(client)
            server.sendto(payload.upper(), sender)
            assert client.recv(100) == payload.upper()
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["in_forwarded"]) == (1, 2)


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
@pytest.mark.parametrize("mode", ["client", "force"])
def test_the_server_sees_the_forced_port_and_its_answers_find_their_session_k50b_k51_k54(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, kind: str, mode: str
) -> None:
    port = "client" if mode == "client" else f"force {FORCED}"
    items = f"session-type {kind}; source-address client no-fallback; source-port {port};"
    proxy = forging(lab, tmp_path, way, items, fast_path)
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.server, PORT) as client:
        for payload in (b"first", b"second"):
            client.send(payload)
            received, sender = server.recvfrom(100)
            wanted = port_of(client) if mode == "client" else FORCED
            assert (received, sender[:2]) == (payload, (way.client, wanted))
            server.sendto(payload.upper(), sender)
            assert client.recv(100) == payload.upper()
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["in_forwarded"]) == (1, 2)


@requires_namespaces
@requires_program("nft")
@each_version
@each_path
@pytest.mark.parametrize("kind", ["normal", "any-port"])
def test_sessions_of_one_client_with_one_forced_port_are_told_apart_by_their_servers_k24_k51(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, kind: str
) -> None:
    items = f"session-type {kind}; source-address client; source-port force {FORCED};"
    proxy = forging(lab, tmp_path, way, items, fast_path)
    other, rest = (BACK.address4(77), "/24 dev back") if way.version == 4 else (BACK.address6(77), "/64 dev back nodad")
    lab.server.configure([f"addr add {other}{rest}"])
    with (
        way.server_socket(lab, PORT) as one,
        lab.server.socket(way.family) as two,
        connected(lab.client, way.client, way.server, PORT) as to_one,
        connected(lab.client, way.client, other, PORT) as to_two,
    ):
        two.settimeout(WAIT_S)
        two.bind((other, PORT))
        to_one.send(b"one")
        to_two.send(b"two")
        seen = [server.recvfrom(100) for server in (one, two)]
        assert [(payload, sender[:2]) for payload, sender in seen] == [
            (b"one", (way.client, FORCED)),
            (b"two", (way.client, FORCED)),
        ]
        two.sendto(b"from two", seen[1][1])
        one.sendto(b"from one", seen[0][1])
        assert (to_one.recv(100), to_two.recv(100)) == (b"from one", b"from two")
    assert_balanced(proxy.totals())


@requires_namespaces
@requires_program("tftp", "in.tftpd", "nft")
@each_path
@pytest.mark.parametrize("port", ["source-port client;", ""], ids=["client's port", "any port"])
def test_tftp_passes_with_the_clients_own_address(tmp_path: Path, lab: Lab, port: str, fast_path: str) -> None:
    store = tmp_path / "store"
    peers.tftpd(lab.server, store, WAY4.server, TFTP)
    items = f"session-type any-port; source-address client; {port}"
    proxy = forging(lab, tmp_path, WAY4, items, fast_path, (TFTP,))
    (store / "there").write_bytes(os.urandom(FILE_BYTES))
    lab.client.run(["tftp", "-m", "binary", WAY4.server, str(TFTP), "-c", "get", "there", tmp_path / "here"])
    assert (tmp_path / "here").read_bytes() == (store / "there").read_bytes()
    assert_balanced(proxy.totals())


@requires_namespaces
@requires_program("nft")
def test_where_the_clients_address_cannot_be_used_the_next_one_is_or_the_session_is_rejected_k54(
    tmp_path: Path, lab: Lab
) -> None:
    delivery.lead_through(lab)
    lab.proxy.configure([f"addr add {BACK.address4(50)}/24 dev back"])
    rules = "".join(
        f"session-acl R{number} {{ from {{ [{WAY6.client}] }}; to * port {PORT + number}; accept; {source}"
        f" plug-to [{WAY4.server}] : {PORT}; {TIMEOUT} }}"
        for number, source in enumerate(
            (
                f"source-address client addr4 [{BACK.address4(50)}] no-fallback;",
                "source-address client physical;",
                "source-address client no-fallback;",
            )
        )
    )
    listen = f"non-transparent [{WAY6.front}] port {PORT} to {PORT + 2};"
    proxy = serve(lab.proxy, tmp_path, Configuration(listen, rules))
    with WAY4.server_socket(lab, PORT) as server:
        for number, source in enumerate((BACK.address4(50), BACK.address4(PROXY_HOST))):
            with connected(lab.client, WAY6.client, WAY6.front, PORT + number) as client:
                client.send(b"x")
                assert server.recvfrom(100)[1][0] == source
        with connected(lab.client, WAY6.client, WAY6.front, PORT + 2) as client:
            client.send(b"x")
            line = proxy.wait_for(rf"PROXY-EVENT .*CLIENT-PORT={port_of(client)} ")
    assert "STATUS=REJECTED" in line
    assert "source-address" in proxy.wait_for("UDPP-731-E")


@requires_namespaces
@requires_program("nft")
@each_version
def test_a_client_on_the_other_side_of_a_non_transparent_listener_is_shown_too_k50a(
    tmp_path: Path, lab: Lab, way: Way
) -> None:
    delivery.lead_through(lab)
    delivery.deliver_answers(lab)
    rule = f"session-acl ALL {{ accept; plug-to [{way.server}] : {PORT}; source-address client; {TIMEOUT} }}"
    proxy = serve(lab.proxy, tmp_path, Configuration(way.listen(PORT), rule))
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.front, PORT) as client:
        client.send(b"question")
        _, sender = server.recvfrom(100)
        assert sender[0] == (FRONT.address4(PEER_HOST) if way.version == 4 else FRONT.address6(PEER_HOST))
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"
    assert_balanced(proxy.totals())


@requires_namespaces
@requires_program("nft")
@each_version
@pytest.mark.parametrize("kind", ["normal", "any-port", "any-sock"])
def test_one_process_alone_forges_addresses_too_k99(tmp_path: Path, lab: Lab, way: Way, kind: str) -> None:
    items = f"session-type {kind}; source-address client; source-port force {FORCED};"
    proxy = forging(lab, tmp_path, way, items, singly=True)
    with way.server_socket(lab, PORT) as server, connected(lab.client, way.client, way.server, PORT) as client:
        client.send(b"question")
        received, sender = server.recvfrom(100)
        assert (received, sender[:2]) == (b"question", (way.client, FORCED))
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"
    assert proxy.workers == []
