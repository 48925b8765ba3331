"""What is known of datagrams that want sessions: whose they are, and where answers must seem to come from."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import address, forward_to, let_arrive, listen, network_of_its_own
from tests.workers.net.rig import Rig, each_transport
from workers.contract.settings import ListenerSettings, SessionKind, Settings
from workers.contract.slots import DropReason
from workers.listener import Listener
from workers.net import ancillary
from workers.net.interfaces import Interfaces
from workers.origin import Origin, Origins, echo_of, needs_addresses
from workers.session.session import PLAIN, Session, Terms, Traits
from workers.session.trails import Trails
from workers.wire import sockaddr

BROADCAST = forward_to(("192.0.2.1", 9), SessionKind.BROADCAST)
NETWORK = (
    "link add front type veth peer name back",
    "link set front up",
    "link set back up",
    "addr add 10.1.1.1/24 brd + dev front",
    "addr add fd00:1::1/64 dev front nodad",
    "addr add 10.2.2.1/24 brd + dev back",
    "route add local 10.9.0.0/16 dev lo",
    "route add local fd00:9::/64 dev lo",
)
"""What comes over loopback was sent by this machine itself; to it, all of 10.9.0.0/16 is its own as well."""


@dataclass
class Gate:
    """A transparent listener on every address, and what is known of what comes to it."""

    listener: Listener
    origins: Origins
    trails: Trails
    rig: Rig
    known: Interfaces

    def hear(self, source: str, target: str, *, ttl: int | None = None, tos: int = 0) -> Origin | DropReason:
        """Send a datagram, and return what its origin is."""
        version = 6 if ":" in target else 4
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if ttl is not None:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            if tos and version == 4:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            client.bind((source, 4000))
            client.sendto(b"x", (target, self.listener.port))
        let_arrive()
        assert len(self.rig.hear(self.listener.sock, version)) == 1
        return self.origins.of(self.listener, 0)

    def forge(self, source: str) -> None:
        """Have the datagram that was heard come from somebody else."""
        transport = self.rig.transport
        transport.restore(transport.store(0, 1)._replace(source=raw(source, 4000)))


@contextlib.contextmanager
def gate(kind, host: str = "0.0.0.0", *, transparent: bool = True, first_worker: bool = True) -> Iterator[Gate]:
    settings, (sock,) = listen([BROADCAST], [host], transparent=transparent)
    with contextlib.closing(sock), contextlib.closing(Interfaces()) as known:
        rig, trails = Rig(kind), Trails(({},))
        rig.adopt(sock)
        listener = Listener.of(0, sock, settings.listeners[0])
        yield Gate(listener, Origins(rig.transport, trails, known, first_worker=first_worker), trails, rig, known)


def raw(host: str, port: int) -> bytes:
    return sockaddr.encode(address(host), port)


@requires_namespaces
@each_transport
@pytest.mark.parametrize(
    ("source", "target", "transparent"),
    [
        ("10.1.1.1", "10.1.1.1", False),
        ("10.1.1.1", "10.2.2.1", False),
        ("10.1.1.1", "10.9.1.1", True),
        ("fd00:1::1", "fd00:1::1", False),
        ("fd00:1::1", "fd00:9::1", True),
    ],
)
def test_what_is_not_ours_is_transparent_and_answered_from_where_it_went_k92_k93(kind, source, target, transparent):
    def look() -> None:
        with gate(kind, "::" if ":" in target else "0.0.0.0") as found:
            origin = found.hear(source, target)
            assert isinstance(origin, Origin)
            assert origin.traits == Traits(transparent)
            assert (origin.source, origin.destination) == (raw(source, 4000), raw(target, found.listener.port))
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            wanted = ancillary.from_address(socket.inet_pton(family, target), origin.interface)
            assert origin.control == wanted

    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@requires_namespaces
@each_transport
def test_a_listener_that_is_not_transparent_takes_nothing_foreign(kind):
    def look() -> None:
        with gate(kind, transparent=False) as found:
            assert found.hear("10.1.1.1", "10.9.1.1") is DropReason.FOREIGN
            assert isinstance(found.hear("10.1.1.1", "10.2.2.1"), Origin)

    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@requires_namespaces
@each_transport
def test_broadcasts_are_the_first_workers_and_end_with_their_last_hop_k58_k60(kind):
    def look() -> None:
        with gate(kind) as found:
            origin = found.hear("10.1.1.1", "10.1.1.255")
            assert isinstance(origin, Origin)
            # This machine is the client, so what it sends to a network comes in by that network's interface.
            assert origin.traits is PLAIN
            assert origin.destination == raw("10.1.1.255", found.listener.port)
            assert found.hear("10.1.1.1", "10.1.1.255", ttl=1) is DropReason.LAST_HOP
        with gate(kind, first_worker=False) as found:
            assert found.hear("10.1.1.1", "10.1.1.255") is DropReason.NOT_OURS
            assert isinstance(found.hear("10.1.1.1", "10.1.1.1"), Origin)

    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@requires_namespaces
@each_transport
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("0.0.0.0", "255.255.255.255"),
        ("10.1.1.255", "10.1.1.1"),
        ("10.2.2.255", "10.1.1.1"),
        ("::", "fd00:1::1"),
        ("::ffff:10.1.1.1", "fd00:1::1"),
    ],
)
def test_nobody_has_a_session_whose_answers_would_come_back_to_us_or_go_to_everybody(kind, source, target):
    def look() -> None:
        with gate(kind, "::" if ":" in target else "0.0.0.0") as found:
            assert isinstance(found.hear("fd00:1::1" if ":" in target else "10.1.1.1", target), Origin)
            found.forge(source)
            assert found.origins.of(found.listener, 0) is DropReason.NO_HOST

    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@requires_namespaces
@each_transport
def test_what_a_session_has_sent_is_known_by_its_way_and_both_its_ends_k60_k61(kind):
    def look() -> None:
        with gate(kind) as found:
            session = Session(Terms.of(BROADCAST), 0, 0, 1)
            front = found.known.table.interface_of(socket.inet_aton("10.1.1.1"))
            ends = raw("10.1.1.1", 4000), raw("10.1.1.255", found.listener.port)
            found.trails.await_echo(session, echo_of(front, *ends))
            assert found.hear("10.1.1.1", "10.1.1.255") is DropReason.OWN
            assert found.origins.is_echo(found.listener, 0)
            assert isinstance(found.hear("10.2.2.1", "10.2.2.255"), Origin)
            assert not found.origins.is_echo(found.listener, 0)

    with network_of_its_own(*NETWORK) as place:
        place.call(look)


@pytest.mark.parametrize(
    ("rule", "transparent", "needed"),
    [
        (forward_to(("192.0.2.1", 9)), False, False),
        (forward_to(("192.0.2.1", 9)), True, True),
        (BROADCAST, False, True),
        (replace(BROADCAST, accept=False), False, False),
        (replace(forward_to(("192.0.2.1", 9)), transparent=False), False, True),
    ],
)
def test_addresses_are_needed_for_transparent_listeners_and_rules_that_ask(rule, transparent, needed):
    listener = ListenerSettings(address("0.0.0.0"), 5, transparent)
    assert needs_addresses(Settings("T", (listener,), 9, 1, (rule,))) is needed
