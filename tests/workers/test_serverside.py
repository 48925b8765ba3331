"""Server-side sockets with something special to them: forged, forced, shared, marked, and those of broadcasts."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.kit.requirement import requires_namespaces
from tests.kit.session_parts import PROXY
from tests.kit.traffic import address, forward_to, network_of_its_own
from tests.workers.net.rig import Rig
from workers.contract.settings import (
    AclSettings,
    QueueSettings,
    SessionKind,
    Settings,
    SourceAddress,
    SourcePort,
    SourcePortMode,
)
from workers.net.interfaces import Interfaces
from workers.net.mmsg import MmsgTransport
from workers.net.upstream import Upstreams
from workers.origin import echo_of
from workers.serverside import SameInterfaceError, ServerSides
from workers.session.session import Session, Terms
from workers.session.trails import Trails
from workers.wire import sockaddr

NETWORK = (
    "link add front type veth peer name back",
    "link set front up",
    "link set back up",
    "addr add 10.1.1.1/24 brd + dev front",
    "addr add 10.2.2.1/24 brd + dev back",
    "route add 10.3.0.0/16 via 10.2.2.9 dev back",
    "route add 255.255.255.255 dev back",
)
CLIENT = ("10.1.1.2", 4000)
SERVER = ("10.2.2.2", 53)
SO_MARK = 36
SOURCE = SourceAddress(client=True)
CLIENTS_PORT = SourcePort(SourcePortMode.CLIENT)
QUEUE = QueueSettings("q", mark=9, priority=3)


def raw(where: tuple[str, int]) -> bytes:
    return sockaddr.encode(address(where[0]), where[1])


@dataclass
class Dock:
    """Server sides of one worker in a network of two interfaces."""

    sides: ServerSides
    trails: Trails
    known: Interfaces

    def open(
        self, rule: AclSettings, target: tuple[str, int] = SERVER, client: tuple[str, int] = CLIENT, **facts: object
    ) -> tuple[Session, socket.SocketType, int]:
        session = Session(Terms.of(rule), 0, 0, 1)
        session.listener, session.key, session.client, session.destination = 0, 1, raw(client), PROXY
        if "destination" in facts:
            session.destination = raw(facts["destination"])
        session.target, session.transparent = raw(target), bool(facts.get("transparent"))
        sock, fd = self.sides.open(session, int(facts.get("interface", 0)), 0)
        return session, sock, fd

    def index(self, host: str) -> int:
        return self.known.table.interface_of(socket.inet_aton(host))


@contextlib.contextmanager
def dock(*rules: AclSettings) -> Iterator[Dock]:
    settings = Settings("T", (), 9, 1, rules, queues=(QUEUE,))
    with select.epoll() as poll, contextlib.closing(Interfaces()) as known:
        trails = Trails(({},))
        upstreams = Upstreams(poll, Rig(MmsgTransport).transport, reuse=True)
        yield Dock(ServerSides(settings, upstreams, trails, known), trails, known)


def inside(look) -> None:
    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@requires_namespaces
def test_the_clients_address_is_the_sockets_own_and_its_port_the_systems_k50a():
    rule = replace(forward_to(SERVER), source_address=SOURCE)

    def look() -> None:
        with dock(rule) as found:
            _, sock, _ = found.open(rule)
            assert sock.getsockname()[0] == CLIENT[0]
            assert sock.getsockname()[1] not in (0, CLIENT[1])
            assert sock.getpeername() == SERVER

    inside(look)


@requires_namespaces
def test_normal_sessions_with_one_forced_port_have_a_socket_each_k51():
    rule = replace(forward_to(SERVER), source_address=SOURCE, source_port=CLIENTS_PORT)

    def look() -> None:
        with dock(rule) as found:
            one, sock_one, _ = found.open(rule)
            two, sock_two, _ = found.open(rule, ("10.2.2.3", 53))
            assert sock_one.getsockname() == sock_two.getsockname() == CLIENT
            assert found.trails.find(raw(CLIENT), raw(SERVER)) is one
            assert found.trails.find(raw(CLIENT), raw(("10.2.2.3", 53))) is two
            assert not found.sides.shared

    inside(look)


@requires_namespaces
def test_other_sessions_with_one_forced_port_share_a_socket_until_the_last_has_ended_k51():
    rule = replace(forward_to(SERVER, SessionKind.ANY_PORT), source_address=SOURCE, source_port=CLIENTS_PORT)

    def look() -> None:
        with dock(rule) as found:
            one, sock, fd = found.open(rule)
            two, same, _ = found.open(rule, ("10.2.2.3", 53))
            other, another, _ = found.open(rule, client=("10.1.1.3", 4000))
            assert same is sock
            assert another is not sock
            found.sides.close(one, sock, fd)
            assert sock.fileno() == fd
            found.sides.close(two, sock, fd)
            assert sock.fileno() == -1
            assert list(found.sides.shared) == [another.fileno()]
            found.sides.close(other, another, another.fileno())
            assert not found.sides.shared

    inside(look)


@requires_namespaces
@pytest.mark.parametrize(("target", "near"), [("10.2.2.255", True), ("255.255.255.255", True), ("10.3.3.255", False)])
def test_a_broadcast_leaves_from_our_address_there_and_goes_no_further_than_its_network_k60(target, near):
    rule = forward_to((target, 5353), SessionKind.BROADCAST)

    def look() -> None:
        with dock(rule) as found:
            session, sock, _ = found.open(rule, (target, 5353))
            assert sock.getsockname()[0] == "10.2.2.1"
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
            assert (sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1) is near
            echo = echo_of(found.index("10.2.2.1"), raw(sock.getsockname()), session.target)
            assert found.trails.is_echo(echo)
            found.trails.forget(session)
            assert not found.trails.is_echo(echo)

    inside(look)


@requires_namespaces
def test_a_broadcast_without_a_way_fails_at_that_step():
    rule = forward_to(("10.99.0.255", 5353), SessionKind.BROADCAST)

    def look() -> None:
        with dock(rule) as found:
            with pytest.raises(OSError, match="unreachable") as failure:
                found.open(rule, ("10.99.0.255", 5353))
            assert (failure.value.filename, failure.value.errno) == ("route", errno.ENETUNREACH)

    inside(look)


@requires_namespaces
def test_a_broadcast_that_would_look_like_its_client_is_refused_and_only_that_one_k59():
    rule = replace(
        forward_to(("10.1.1.255", 5353), SessionKind.BROADCAST), source_address=SOURCE, source_port=CLIENTS_PORT
    )

    def look() -> None:
        with dock(rule) as found:
            front, back = found.index("10.1.1.1"), found.index("10.2.2.1")
            with pytest.raises(SameInterfaceError):
                found.open(rule, ("10.1.1.255", 5353), transparent=True, interface=front)
            found.open(rule, ("10.1.1.255", 5353), transparent=True, interface=back)
            found.open(rule, ("10.1.1.255", 5353), transparent=False, interface=front)
            with pytest.raises(SameInterfaceError):
                found.open(rule, ("10.1.1.255", 5353), interface=front, destination=("10.1.1.255", 5353))

    inside(look)


@requires_namespaces
def test_a_socket_carries_what_its_rule_says_k107_k108():
    rule = replace(forward_to(SERVER), queue_to_server="q", tos_to_server=0x10)

    def look() -> None:
        with dock(rule) as found:
            _, sock, _ = found.open(rule)
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x10
            assert sock.getsockopt(socket.SOL_SOCKET, SO_MARK) == 9
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3

    inside(look)
