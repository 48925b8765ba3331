"""Each way brings foreign datagrams, whole, to a transparent socket of the proxy's machine, and back."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxyd.daemon.demands import Choice, Wishes
from proxyd.daemon.sockets import bind_listeners
from tests.kit import delivery
from tests.kit.lab import BACK, FRONT, PROXY_HOST, Lab
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way, port_of
from workers.contract.settings import Address, ListenerSettings

PORT = 6900
WAIT_S = 20.0
LARGEST = 65_507
NAMES = {4: "0.0.0.0", 6: "::"}
# Level, IP_TRANSPARENT, the option that asks for packet information. Source: ip(7), ipv6(7).
OPTIONS = {4: (socket.IPPROTO_IP, 19, 8), 6: (socket.IPPROTO_IPV6, 75, socket.IPV6_RECVPKTINFO)}

pytestmark = requires_program("nft")

both_versions = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def transparent(stack: ExitStack, lab: Lab, way: Way, name: str, port: int, device: str = "") -> socket.socket:
    """Return a transparent socket of the proxy's machine."""
    sock = stack.enter_context(lab.proxy.socket(way.family))
    level, forged, info = OPTIONS[way.version]
    sock.setsockopt(level, forged, 1)
    sock.setsockopt(level, info, 1)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, 25, device.encode())  # SO_BINDTODEVICE
    sock.bind((name, port))
    sock.settimeout(WAIT_S)
    return sock


def client_of(stack: ExitStack, lab: Lab, way: Way) -> socket.socket:
    """Return a socket of the client, connected to the server itself."""
    sock = stack.enter_context(lab.client.socket(way.family))
    sock.settimeout(WAIT_S)
    sock.connect((way.server, PORT))
    return sock


def echo(sock: socket.socket) -> bytes:
    """Answer one datagram from the address it was sent to; return it."""
    payload, control, _, source = sock.recvmsg(65_536, 500)
    sock.sendmsg([payload], [item for item in control if item[0] != socket.SOL_SOCKET], 0, source)
    return payload


@requires_namespaces
@both_versions
@pytest.mark.parametrize("device", ["", FRONT.name])
@pytest.mark.parametrize("means", delivery.WAYS)
def test_the_client_talks_to_the_server_and_the_proxys_machine_answers(
    lab: Lab, stack: ExitStack, way: Way, means: str, device: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    proxy = transparent(stack, lab, way, NAMES[way.version], PORT, device)
    client = client_of(stack, lab, way)
    # By a rule alone, fragments have no port to go by: what does not fit into one is lost.
    for size in (0, 10, 1400) if means == "rule" else (10, 1400, 20_000, 60_000):
        payload = bytes(size)
        client.send(payload)
        assert echo(proxy) == payload
        # A connected socket: the answer counts only if it comes from the server's address and port.
        assert client.recv(65_536) == payload


@requires_namespaces
@both_versions
@pytest.mark.parametrize("means", ["mark", "tproxy"])
def test_the_proxys_own_addresses_need_no_help_and_get_none(lab: Lab, stack: ExitStack, way: Way, means: str) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    proxy = transparent(stack, lab, way, NAMES[way.version], PORT)
    with way.client_socket(lab, PORT) as client:
        client.send(b"to the proxy itself")
        assert echo(proxy) == b"to the proxy itself"
        assert client.recv(100) == b"to the proxy itself"


@requires_namespaces
@both_versions
@pytest.mark.parametrize("means", delivery.WAYS)
def test_strict_checks_of_sources_do_not_stand_in_the_way(lab: Lab, stack: ExitStack, way: Way, means: str) -> None:
    for name in ("all", FRONT.name, BACK.name):
        for setting in ("rp_filter", "src_valid_mark"):
            lab.proxy.run(["sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{name}/{setting}"])
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    delivery.deliver_answers(lab)
    proxy = transparent(stack, lab, way, NAMES[way.version], PORT)
    pretender = transparent(stack, lab, way, way.client, 0)
    server = stack.enter_context(way.server_socket(lab, PORT))
    client = client_of(stack, lab, way)
    client.send(b"question")
    question, source = proxy.recvfrom(100)
    pretender.sendto(question, server.getsockname())
    server.sendto(b"answer", server.recvfrom(100)[1])
    assert pretender.recv(100) == b"answer"
    assert source[:2] == (way.client, port_of(client))


@requires_namespaces
@both_versions
@pytest.mark.parametrize("connected", [True, False])
def test_answers_to_a_client_come_to_the_socket_that_pretends_to_be_it(
    lab: Lab, stack: ExitStack, way: Way, connected: bool
) -> None:
    delivery.lead_through(lab)
    delivery.deliver_answers(lab)
    pretender = transparent(stack, lab, way, way.client, 0)
    server = stack.enter_context(way.server_socket(lab, PORT))
    if connected:
        pretender.connect((way.server, PORT))
    for size in (10, 30_000):
        pretender.sendmsg([bytes(size)], [], 0, *([] if connected else [(way.server, PORT)]))
        payload, source = server.recvfrom(65_536)
        assert (source[:2], len(payload)) == ((way.client, port_of(pretender)), size)
        server.sendto(payload, source)
        assert pretender.recv(65_536) == payload


@requires_namespaces
def test_a_broadcast_to_the_other_network_needs_no_help(lab: Lab, stack: ExitStack) -> None:
    delivery.lead_through(lab)
    proxy = transparent(stack, lab, WAY4, NAMES[4], PORT)
    client = stack.enter_context(lab.client.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    client.sendto(b"anybody?", (BACK.address4(255), PORT))
    payload, ((_, _, info),), _, source = proxy.recvmsg(100, 500)
    local, destination = info[4:8], info[8:12]
    assert (payload, source[0], socket.inet_ntoa(destination)) == (b"anybody?", WAY4.client, BACK.address4(255))
    assert socket.inet_ntoa(local) == FRONT.address4(PROXY_HOST)


@requires_namespaces
@both_versions
@pytest.mark.parametrize("means", delivery.WAYS)
def test_what_one_client_sends_to_anybody_meets_in_one_worker_by_each_way(
    lab: Lab, stack: ExitStack, way: Way, means: str
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, means, [PORT])
    listeners = [ListenerSettings(Address(way.version, 0), PORT, transparent=True, device=FRONT.name)]
    groups = lab.proxy.call(lambda: bind_listeners(listeners, 4, Wishes(transparent=Choice.CLIENT)))
    socks = [stack.enter_context(sock) for (sock,) in groups]
    busy = set()
    for _ in range(20):
        client = stack.enter_context(lab.client.socket(way.family))
        for host in range(2, 12):
            client.sendto(b"x", (BACK.address4(host) if way.version == 4 else BACK.address6(host), PORT))
        found = readers(socks, 10)
        assert len(found) == 1
        busy |= found
    assert len(busy) > 1


def readers(socks: list[socket.socket], count: int) -> set[int]:
    """Receive so many datagrams; return the numbers of the sockets that they came to."""
    found = set()
    for _ in range(count):
        readable, _, _ = select.select(socks, [], [], WAIT_S)
        assert readable, "a datagram is missing"
        readable[0].recv(100)
        found.add(socks.index(readable[0]))
    return found


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_manual_page_says_what_the_laboratory_does() -> None:
    page = (delivery.NFTABLES.parent / "man" / "udp-proxy-transparent.7").read_text()
    commands = {line for line in page.splitlines() if re.match(r"(ip -[46]|nft) ", line)}
    mark = f"fwmark {delivery.MARK:#x} lookup {delivery.TABLE}"
    for version in delivery.VERSIONS:
        assert f"ip {version} route add local default dev lo table {delivery.TABLE}" in commands
        assert f"ip {version} rule add iif eth0 ipproto udp dport 69 lookup {delivery.TABLE}" in commands
        assert {f"ip {version} rule add iif eth{number} {mark}" for number in (0, 1)} <= commands
    for file in delivery.NFTABLES.iterdir():
        assert f"nft -f nftables.d/{file.name}" in commands
        assert f"define local_mark = {delivery.MARK:#x}" in words(file.read_text())


@requires_namespaces
def test_all_of_it_can_be_taken_away_as_the_manual_page_says(lab: Lab) -> None:
    page = (delivery.NFTABLES.parent / "man" / "udp-proxy-transparent.7").read_text()
    delivery.deliver(lab, "mark", [PORT])
    delivery.deliver_answers(lab)
    (block,) = re.findall(r"Take everything away again:\n\.Bd[^\n]*\n(.*?)\n\.Ed", page, re.DOTALL)
    for command in block.splitlines():
        lab.proxy.run(command.split())
    for listing in ("ip -4 rule", "ip -6 rule", "nft list ruleset"):
        assert str(delivery.TABLE) not in lab.proxy.run(listing.split()).stdout
    assert lab.proxy.run(["nft", "list", "ruleset"]).stdout == ""
