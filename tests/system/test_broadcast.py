"""Broadcasts carried from one network to another: discovery that several hosts answer, and nothing goes in circles."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import delivery
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import BACK, FRONT, Lab
from tests.kit.place import Place
from tests.kit.proxy import Configuration
from tests.kit.readiness import is_readable
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAIT_S, WAY4

PORT = 5353
EVERYWHERE = f"transparent [0.0.0.0] port {PORT}; non-transparent [0.0.0.0] port {PORT};"
NEAR, FAR = FRONT.address4(255), BACK.address4(255)
SERVERS = {2: "server", 20: "second", 21: "third"}
QUIET_S = 0.5
"""How long nothing may come for a test to believe that nothing will: a storm's next round takes a millisecond."""

pytestmark = requires_installed
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])


def rule(items: str, name: str = "LAN2LAN") -> str:
    return f"session-acl {name} {{ {items} accept; session-type broadcast; timeout session 30 both 10; }}"


def discovery(lab: Lab, folder: Path, rules: str, fast_path: str = "on", workers: int = 3) -> Proxy:
    configuration = Configuration(EVERYWHERE, rules, f"nodaemon; fast-path {fast_path};", workers=workers)
    return serve(lab.proxy, folder, configuration)


def open_socket(place: Place, address: str, port: int) -> socket.socket:
    sock = place.socket()
    sock.settimeout(WAIT_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((address, port))
    return sock


@contextlib.contextmanager
def servers(lab: Lab) -> Iterator[dict[str, socket.socket]]:
    """Put three hosts on the servers' network, each with a socket that hears broadcasts."""
    with contextlib.ExitStack() as stack:
        found = {}
        for number, name in SERVERS.items():
            host = lab.hosts[name] if name in lab.hosts else lab.attach(name, BACK, number)
            found[host.address4] = stack.enter_context(open_socket(host.namespace, "0.0.0.0", PORT))
        yield found


def heard(sock: socket.socket) -> list[tuple[bytes, str]]:
    """Return what comes, with its sender, until it is quiet."""
    found = []
    while is_readable(sock, QUIET_S):
        payload, sender = sock.recvfrom(100)
        found.append((payload, sender[0]))
    return found


@requires_namespaces
@each_path
def test_all_hosts_of_a_far_network_answer_with_their_own_addresses_k43_k44_k57_k58(
    tmp_path: Path, lab: Lab, fast_path: str
) -> None:
    delivery.lead_through(lab)
    proxy = discovery(lab, tmp_path, rule(f"to {{ [{FAR}] }} port {PORT}; transparency transparent;"), fast_path)
    with servers(lab) as hosts, open_socket(lab.client, WAY4.client, 0) as client:
        for payload in (b"who is there", b"and again"):
            client.sendto(payload, (FAR, PORT))
            for address, sock in hosts.items():
                asked, sender = sock.recvfrom(100)
                assert (asked, sender[0]) == (payload, WAY4.back)
                sock.sendto(address.encode(), sender)
            answers = {client.recvfrom(100) for _ in hosts}
            assert answers == {(address.encode(), (address, PORT)) for address in hosts}
        assert [heard(sock) for sock in hosts.values()] == [[], [], []]
        assert "TRANSP=YES" in proxy.wait_for("SESSION-START .*TYPE=broadcast")
    assert_balanced(totals := proxy.totals())
    # Each worker has heard everything, and what was sent came back to all of them.
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 2, 6)
    assert totals["out_received"] == 12


@requires_namespaces
@each_path
@pytest.mark.parametrize("destination", [NEAR, "255.255.255.255"])
def test_a_broadcast_on_the_clients_network_goes_where_plug_to_says_k45_k56(
    tmp_path: Path, lab: Lab, destination: str, fast_path: str
) -> None:
    lab.client.configure(["route add 255.255.255.255 dev front"])
    proxy = discovery(lab, tmp_path, rule(f"plug-to [{FAR}] : {PORT};"), fast_path)
    with servers(lab) as hosts, open_socket(lab.client, WAY4.client, 0) as client:
        client.sendto(b"who is there", (destination, PORT))
        for address, sock in hosts.items():
            _, sender = sock.recvfrom(100)
            sock.sendto(address.encode(), sender)
        answers = {client.recvfrom(100) for _ in hosts}
        assert answers == {(address.encode(), (address, PORT)) for address in hosts}
        assert [heard(sock) for sock in hosts.values()] == [[], [], []]
        assert "TRANSP=NO" in proxy.wait_for("SESSION-START .*TYPE=broadcast")
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 3)


@requires_namespaces
@each_path
def test_two_proxies_between_two_networks_make_no_storm_k60(tmp_path: Path, lab: Lab, fast_path: str) -> None:
    lab.attach("twin", FRONT, 4)
    lab.attach("twin", BACK, 4)
    rules = rule(f"from {{ [{FRONT.address4(0)}/24] }}; plug-to [{FAR}] : {PORT};", "THERE")
    rules += rule(f"from {{ [{BACK.address4(0)}/24] }}; plug-to [{NEAR}] : {PORT};", "BACK")
    (tmp_path / "twin").mkdir()
    one = discovery(lab, tmp_path, rules, fast_path)
    configuration = Configuration(EVERYWHERE, rules, f"nodaemon; fast-path {fast_path};", workers=2)
    two = serve(lab.hosts["twin"].namespace, tmp_path / "twin", configuration)
    with servers(lab) as hosts, open_socket(lab.client, WAY4.client, PORT) as client:
        client.sendto(b"who is there", (NEAR, PORT))
        copies = [(b"who is there", BACK.address4(1)), (b"who is there", BACK.address4(4))]
        for sock in hosts.values():
            assert sorted(heard(sock)) == sorted(copies)
        assert heard(client) == []
    for proxy in (one, two):
        assert_balanced(totals := proxy.totals())
        assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 0)


@requires_namespaces
@requires_program("nft")
@each_path
def test_with_the_clients_own_address_and_port_a_broadcast_is_carried_once_k60_k61(
    tmp_path: Path, lab: Lab, fast_path: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver_answers(lab)
    items = f"to {{ [{FAR}] }}; transparency transparent; source-address client; source-port client;"
    proxy = discovery(lab, tmp_path, rule(items), fast_path)
    with servers(lab) as hosts, open_socket(lab.client, WAY4.client, 0) as client:
        sent = client.getsockname()
        client.sendto(b"who is there", (FAR, PORT))
        lab.hosts["second"].namespace.configure([f"route add {FRONT.address4(0)}/24 via {BACK.address4(1)}"])
        lab.hosts["third"].namespace.configure([f"route add {FRONT.address4(0)}/24 via {BACK.address4(1)}"])
        for address, sock in hosts.items():
            assert sock.recvfrom(100) == (b"who is there", sent)
            sock.sendto(address.encode(), sent)
        answers = {client.recvfrom(100) for _ in hosts}
        assert answers == {(address.encode(), (address, PORT)) for address in hosts}
        assert [heard(sock) for sock in hosts.values()] == [[], [], []]
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 3)


@requires_namespaces
def test_where_a_broadcast_would_look_like_its_own_client_the_session_is_rejected_k59(tmp_path: Path, lab: Lab) -> None:
    delivery.lead_through(lab)
    items = f"to {{ [{FAR}] }}; transparency transparent; plug-to [{NEAR}]; "
    items += "source-address client; source-port client;"
    proxy = discovery(lab, tmp_path, rule(items), workers=1)
    with open_socket(lab.client, WAY4.client, 0) as client:
        client.sendto(b"who is there", (FAR, PORT))
        assert "same interface" in proxy.wait_for("UDPP-740-W")
        assert heard(client) == []
    assert_balanced(totals := proxy.totals())
    assert (totals["sessions"], totals["out_forwarded"], totals["out_dropped"]) == (0, 0, 1)


@requires_namespaces
@each_path
def test_a_network_that_is_connected_later_is_known_at_once_k58_k60(tmp_path: Path, lab: Lab, fast_path: str) -> None:
    delivery.lead_through(lab)
    lab.client.configure([f"route add 10.99.0.0/24 via {WAY4.front}"])
    proxy = discovery(lab, tmp_path, rule(f"to {{ [10.99.0.255] }} port {PORT};"), fast_path)
    lab.proxy.configure(["addr add 10.99.0.1/24 brd + dev back"])
    lab.server.configure(["addr add 10.99.0.2/24 brd + dev back"])
    with (
        open_socket(lab.server, "0.0.0.0", PORT) as server,
        open_socket(lab.client, WAY4.client, 0) as client,
    ):
        client.sendto(b"who is there", ("10.99.0.255", PORT))
        asked, sender = server.recvfrom(100)
        assert (asked, sender[0]) == (b"who is there", "10.99.0.1")
        server.sendto(b"me", sender)
        assert client.recvfrom(100) == (b"me", ("10.99.0.2", PORT))
        assert heard(server) == []
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 1)
