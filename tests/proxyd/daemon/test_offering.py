"""Whose peers a session has that a worker offers: what the parent believes, and what it finds out itself."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxyd.daemon.offering import Offering
from proxyd.daemon.sockets import raw_sockaddr
from proxyd.daemon.spawn import Estate
from proxyd.daemon.vault import Vault
from proxyd.offload.flows import Ends, Offer
from tests.kit.session_parts import client, sock, sock6
from tests.proxyd.daemon.estates import an_estate, own_listener
from workers.contract.custody import Entry
from workers.contract.messages import Offered, Withdrawn
from workers.contract.settings import Address, ListenerSettings
from workers.contract.slots import SLOT, Counter

SLOT_NUMBER, OPENED_NS, EPOCH = 3, 90, 1 << 41
CLIENT6 = sock6((0xFD << 120) + 5, 40_000)
TTL = 77


@dataclass
class Ledger:
    """In the place of the kernel: notes what is found of each offer."""

    found: list[tuple[Offer, Ends | None]] = field(default_factory=list)
    dropped: list[tuple[int, list[int]]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    def carry(self, offers: Iterable[Offer], find: Callable[[Offer], Ends | None]) -> None:
        self.found += [(offer, find(offer)) for offer in offers]

    def drop(self, worker: int, slots: Sequence[int]) -> None:
        self.dropped.append((worker, list(slots)))

    def forget(self, worker: int) -> None:
        self.forgotten.append(worker)


class Scene:
    """A proxy of one worker and one listener, which has a server on the loopback."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.epoll = select.epoll()
        self.vault = Vault(estate.shared, self.epoll)
        self.ledger = Ledger()
        self.offering = Offering(self.ledger, estate, self.vault)  # type: ignore[arg-type]
        self.held: list[socket.socket] = []

    @property
    def listener(self) -> bytes:
        return raw_sockaddr(self.estate.settings.listeners[0])

    def listen(self, *listeners: ListenerSettings) -> None:
        """Have others than the first listener; without sockets."""
        self.estate.settings = replace(self.estate.settings, listeners=listeners)

    def server_side(self, address: str = "127.0.0.1") -> socket.socket:
        """Return a socket that is connected to a server."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server, ours = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        self.held += [server, ours]
        server.bind((address, 0))
        ours.connect(server.getsockname())
        return ours

    def begin(self, who: bytes, wrote_to: bytes) -> None:
        """Write a session's slot, as a worker does."""
        region = self.estate.shared.regions[0]
        region.words[Counter.TOP] = 10
        record = (1, 1, 0, 4, 0, OPENED_NS, *(0,) * 11, who, wrote_to, b"", b"")
        SLOT.pack_into(region.memory, region.offset(SLOT_NUMBER), *record)

    def entrust(self, descriptor: int) -> None:
        self.vault.adopt(0, [Entry(SLOT_NUMBER, OPENED_NS, b"")], [os.dup(descriptor)])

    def peers(self) -> Ends | None:
        """Return who the peers are found to be."""
        self.ledger.found.clear()
        self.offering.handle(0, Offered([(SLOT_NUMBER, EPOCH)]))
        ((offer, ends),) = self.ledger.found
        assert offer == Offer(0, SLOT_NUMBER, EPOCH)
        return ends

    def close(self) -> None:
        for held in self.held:
            held.close()
        self.vault.move([[]])
        self.epoll.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with an_estate(tmp_path / "log") as estate:
        scene = Scene(estate)
        yield scene
        scene.close()


def raw(name: tuple[str, int]) -> bytes:
    return sock(int.from_bytes(socket.inet_aton(name[0]), "big"), name[1])


def test_the_server_side_is_that_of_the_socket_and_the_client_that_of_the_slot(scene: Scene) -> None:
    ours = scene.server_side()
    ours.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
    scene.begin(client(7), scene.listener)
    scene.entrust(ours.fileno())
    assert scene.peers() == Ends(client(7), scene.listener, raw(ours.getsockname()), raw(ours.getpeername()), TTL)


def test_a_session_of_ipv6_has_addresses_of_ipv6(scene: Scene) -> None:
    scene.listen(ListenerSettings(Address(6, 1), 5300))
    ours = scene.server_side("::1")
    ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
    scene.begin(CLIENT6, sock6(1, 5300))
    scene.entrust(ours.fileno())
    found = scene.peers()
    assert found == Ends(CLIENT6, sock6(1, 5300), sock6(1, ours.getsockname()[1]), sock6(1, ours.getpeername()[1]), TTL)


def test_a_listener_for_every_address_takes_what_is_written_to_any(scene: Scene) -> None:
    scene.listen(ListenerSettings(Address(4, 0), 5300))
    scene.begin(client(7), sock(0x7F01_0203, 5300))
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is not None


def test_a_listener_that_came_by_a_reload_counts(scene: Scene) -> None:
    extra = own_listener()
    scene.estate.extra = (extra,)
    scene.begin(client(7), raw_sockaddr(extra))
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is not None


# --- what is not carried ---------------------------------------------------------------------------------------------


def test_a_session_whose_socket_the_parent_does_not_have_is_not_carried(scene: Scene) -> None:
    scene.begin(client(7), scene.listener)
    assert scene.peers() is None


def test_a_session_that_is_over_is_not_carried(scene: Scene) -> None:
    scene.begin(client(7), scene.listener)
    region = scene.estate.shared.regions[0]
    region.memory[region.offset(SLOT_NUMBER)] = 0
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is None


@pytest.mark.parametrize("slot", [10_000, 2**40])
def test_a_slot_that_does_not_exist_is_nobodys(scene: Scene, slot: int) -> None:
    scene.offering.handle(0, Offered([(slot, EPOCH)]))
    assert scene.ledger.found == [(Offer(0, slot, EPOCH), None)]


OTHERS: dict[str, Callable[[ListenerSettings], bytes]] = {
    "another port": lambda own: sock(own.address.value, own.port + 1),
    "another address": lambda own: sock(own.address.value + 1, own.port),
    "nothing": lambda _: b"",
    "an address of IPv6": lambda own: sock6(own.address.value, own.port),
}


@pytest.mark.parametrize("wrote_to", OTHERS.values(), ids=OTHERS)
def test_a_session_whose_client_writes_to_nothing_of_ours_is_not_carried(
    scene: Scene, wrote_to: Callable[[ListenerSettings], bytes]
) -> None:
    scene.begin(client(7), wrote_to(scene.estate.settings.listeners[0]))
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is None


@pytest.mark.parametrize("changes", [{"transparent": True}, {"device": "eth0"}])
def test_a_session_of_a_listener_that_does_not_take_all_there_is_is_not_carried(
    scene: Scene, changes: dict[str, object]
) -> None:
    (listener,) = scene.estate.settings.listeners
    scene.listen(replace(listener, **changes))  # type: ignore[arg-type]
    scene.begin(client(7), scene.listener)
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is None


def test_a_session_between_the_ip_versions_is_not_carried(scene: Scene) -> None:
    scene.begin(CLIENT6, scene.listener)
    scene.entrust(scene.server_side().fileno())
    assert scene.peers() is None
    scene.begin(client(7), scene.listener)
    scene.entrust(scene.server_side("::1").fileno())
    assert scene.peers() is None


def test_a_session_with_a_link_local_client_is_not_carried(scene: Scene) -> None:
    scene.listen(ListenerSettings(Address(6, 1), 5300))
    scene.begin(CLIENT6[:24] + (2).to_bytes(4, "little"), sock6(1, 5300))
    scene.entrust(scene.server_side("::1").fileno())
    assert scene.peers() is None


def _pipe() -> list[int]:
    return list(os.pipe())


def _made(*kinds: int) -> list[int]:
    made = socket.socket(*kinds)
    with made:
        return [os.dup(made.fileno())]


def _tcp() -> list[int]:
    """A connection: nobody but the worker says that UDP of this port is its own."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        return [os.dup(ours.fileno()), os.dup(server.fileno())]


STRANGE: dict[str, Callable[[], list[int]]] = {
    "a pipe": _pipe,
    "a file": lambda: [os.open("/dev/null", os.O_RDONLY)],
    "a local socket": lambda: _made(socket.AF_UNIX, socket.SOCK_DGRAM),
    "two local sockets": lambda: [os.dup(each.fileno()) for each in socket.socketpair()],
    "a route socket": lambda: _made(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "a connection": _tcp,
    "a socket of no server": lambda: _made(socket.AF_INET, socket.SOCK_DGRAM),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
def test_whatever_else_a_worker_has_entrusted_is_not_carried_and_does_no_harm(
    scene: Scene, make: Callable[[], list[int]]
) -> None:
    scene.begin(client(7), scene.listener)
    made = make()
    try:
        scene.entrust(made[0])
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the names
        assert scene.peers() is None
        assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 - only the names
    finally:
        for descriptor in made:
            os.close(descriptor)


def test_what_is_withdrawn_is_dropped_and_a_dead_worker_forgotten(scene: Scene) -> None:
    scene.offering.handle(0, Withdrawn([4, 9]))
    scene.offering.forget(0)
    assert (scene.ledger.dropped, scene.ledger.forgotten) == ([(0, [4, 9])], [0])
