"""Sessions carried by a real kernel, over the loopback of a namespace; and what becomes of them when it changes."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from proxyd.offload.carrier import Carrier
from proxyd.offload.errors import OffloadError
from proxyd.offload.flows import Ends, Offer
from tests.kit.lab import PREFIX
from tests.kit.place import Namespace
from tests.kit.requirement import requires_program
from tests.kit.session_parts import sock, sock6
from tests.proxyd.offload.frames import links, requires_tcx
from workers.contract.offload import (
    BYTES,
    BYTES_LIMIT,
    DATAGRAMS,
    DATAGRAMS_LIMIT,
    DIRECTION_BYTES,
    RECORD_BYTES,
    WORD_BYTES,
)

pytestmark = [requires_tcx, requires_program("ip")]
WORKERS, SLOTS, TTL = 2, 4, 33
LOCALHOST = {4: "127.0.0.1", 6: "::1"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
WAIT_MS = 60_000
REMOTE = Ends(sock(0x0A09_0002, 40_000), sock(0x0A09_0001, 5300), sock(0x0A09_0001, 50_000), sock(0x0A09_0003, 53), TTL)
"""A session whose peers are both on the network at `front`."""


@dataclass
class Line:
    """A client, the listener it writes to, our socket towards the server, and the server; on one address."""

    client: socket.socket
    listener: socket.socket
    local: socket.socket
    server: socket.socket

    def ends(self) -> Ends:
        client, listener, local, server = (raw(held) for held in (self.client, self.listener, self.local, self.server))
        return Ends(client, listener, local, server, TTL)

    def close(self) -> None:
        for held in (self.client, self.listener, self.local, self.server):
            held.close()


class Scene:
    """A machine with a carrier, and a network at `front`."""

    def __init__(self, workers: int = WORKERS, slots: int = SLOTS) -> None:
        self.place = Namespace(f"{PREFIX}-carrier-{os.getpid()}")
        self.place.make()
        self.place.configure(
            [
                "link add front type veth peer name far",
                "link set front addrgenmode none up",
                "link set far addrgenmode none up",
                "addr add 10.9.0.1/24 dev front",
            ]
        )
        self.carrier = self.place.call(lambda: Carrier(workers, slots))
        self.lines: list[Line] = []

    def line(self, version: int = 4) -> Line:
        """Return sockets of a session; the listener and the server are not connected."""
        held = [self.place.socket(FAMILIES[version]) for _ in range(4)]
        for each in held:
            each.bind((LOCALHOST[version], 0))
            each.setblocking(False)
        line = Line(*held)
        line.client.connect(line.listener.getsockname())
        line.local.connect(line.server.getsockname())
        self.lines.append(line)
        return line

    def carry(self, offer: Offer, ends: Ends | None) -> None:
        self.place.call(lambda: self.carrier.carry([offer], lambda _: ends))

    def permit(self, offer: Offer, datagrams: int = 100) -> None:
        """Do what a worker does."""
        words = self.carrier.records[offer.worker].words
        for direction in range(2):
            at = self._half(offer, direction)
            words[at + DATAGRAMS_LIMIT // WORD_BYTES] = datagrams
            words[at + BYTES_LIMIT // WORD_BYTES] = 1 << 40
        words[offer.slot * RECORD_BYTES // WORD_BYTES] = offer.epoch

    def counted(self, offer: Offer) -> list[int]:
        """Return datagrams and bytes, out and in."""
        words, halves = self.carrier.records[offer.worker].words, [self._half(offer, way) for way in range(2)]
        return [words[at + what // WORD_BYTES] for at in halves for what in (DATAGRAMS, BYTES)]

    def follow(self, *commands: str) -> None:
        """Change the machine, and have the carrier look at it."""
        self.place.configure(commands)
        news = select.poll()
        news.register(self.carrier.fileno(), select.POLLIN)
        assert news.poll(WAIT_MS)
        self.place.call(self.carrier.follow)

    def index(self, name: str) -> int:
        return self.place.call(lambda: socket.if_nametoindex(name))

    def close(self) -> None:
        for line in self.lines:
            line.close()
        for records in self.carrier.records:
            records.unmap()
        self.carrier.close()
        self.place.close()

    def _half(self, offer: Offer, direction: int) -> int:
        return (offer.slot * RECORD_BYTES + direction * DIRECTION_BYTES) // WORD_BYTES


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def raw(held: socket.socket) -> bytes:
    name = held.getsockname()
    packed = int.from_bytes(socket.inet_pton(held.family, name[0]), "big")
    return (sock if held.family == socket.AF_INET else sock6)(packed, name[1])


def hear(held: socket.socket) -> tuple[bytes, int]:
    """Return what comes to a socket, and from which port."""
    news = select.poll()
    news.register(held, select.POLLIN)
    assert news.poll(WAIT_MS), "nothing came"
    text, source = held.recvfrom(2048)
    return text, source[1]


def descriptors() -> set[str]:
    """Return what this process has open, by number."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the names


def port(held: socket.socket) -> int:
    return int(held.getsockname()[1])


def is_silent(held: socket.socket) -> bool:
    news = select.poll()
    news.register(held, select.POLLIN)
    return not news.poll(0)


OFFER = Offer(1, 2, 1 << 33)


@pytest.mark.parametrize("version", [4, 6])
def test_a_session_is_carried_both_ways_past_our_sockets_until_it_is_dropped(scene: Scene, version: int) -> None:
    line = scene.line(version)
    scene.carry(OFFER, line.ends())
    scene.permit(OFFER)
    line.client.send(b"question")
    assert hear(line.server) == (b"question", port(line.local))
    line.server.sendto(b"and answer", line.local.getsockname())
    assert hear(line.client) == (b"and answer", port(line.listener))
    assert scene.counted(OFFER) == [1, 8, 1, 10]
    assert is_silent(line.listener)
    assert is_silent(line.local)
    assert len(scene.carrier) == 1
    scene.carrier.drop(1, [0, 2, 2, 99])
    assert len(scene.carrier) == 0
    line.client.send(b"again")
    assert hear(line.listener) == (b"again", port(line.client))
    line.server.sendto(b"too", line.local.getsockname())
    assert hear(line.local) == (b"too", port(line.server))
    assert scene.counted(OFFER) == [1, 8, 1, 10]


def test_a_session_without_its_epoch_comes_to_our_sockets(scene: Scene) -> None:
    line = scene.line()
    scene.carry(OFFER, line.ends())
    scene.permit(OFFER._replace(epoch=OFFER.epoch + 1))
    line.client.send(b"question")
    assert hear(line.listener) == (b"question", port(line.client))


def test_a_session_whose_peers_are_not_found_stays_with_its_worker(scene: Scene) -> None:
    scene.carry(OFFER, None)
    assert len(scene.carrier) == 0


def test_a_session_offered_anew_takes_the_place_of_the_earlier_one_of_its_slot(scene: Scene) -> None:
    first, second = scene.line(), scene.line()
    scene.carry(OFFER, first.ends())
    later = OFFER._replace(epoch=OFFER.epoch + 1)
    scene.carry(later, second.ends())
    scene.permit(later)
    assert len(scene.carrier) == 1
    first.client.send(b"first")
    assert hear(first.listener)[0] == b"first"
    second.client.send(b"second")
    assert hear(second.server)[0] == b"second"
    scene.carry(later, None)
    assert len(scene.carrier) == 0


def test_no_session_takes_the_flows_of_another_one_nor_takes_them_along(scene: Scene) -> None:
    line, theirs = scene.line(), scene.line()
    scene.carry(OFFER, line.ends())
    scene.permit(OFFER)
    other = Offer(0, 1, 5)
    scene.permit(other)
    scene.carry(other, theirs.ends()._replace(client=line.ends().client, destination=line.ends().destination))
    scene.carry(other, theirs.ends()._replace(local=line.ends().local, server=line.ends().server))
    scene.carrier.forget(0)
    assert len(scene.carrier) == 1
    line.client.send(b"question")
    assert hear(line.server) == (b"question", port(line.local))
    line.server.sendto(b"answer", line.local.getsockname())
    assert hear(line.client) == (b"answer", port(line.listener))
    theirs.client.send(b"question")
    assert hear(theirs.listener)[0] == b"question"


def test_all_sessions_of_a_dead_worker_are_forgotten_and_no_others(scene: Scene) -> None:
    lines = [scene.line() for _ in range(3)]
    for offer, line in zip((OFFER, OFFER._replace(slot=0), OFFER._replace(worker=0)), lines, strict=True):
        scene.permit(offer)
        scene.carry(offer, line.ends())
    scene.carrier.forget(1)
    assert len(scene.carrier) == 1
    for line in lines:
        line.client.send(b"question")
    assert [hear(where)[0] for where in (lines[0].listener, lines[1].listener, lines[2].server)] == [b"question"] * 3


# --- changes ---------------------------------------------------------------------------------------------------------


def test_a_session_whose_way_is_gone_is_taken_out(scene: Scene) -> None:
    scene.carry(OFFER, REMOTE)
    assert len(scene.carrier) == 1
    scene.follow("addr del 10.9.0.1/24 dev front")
    assert len(scene.carrier) == 0


def test_a_session_with_another_way_is_entered_anew(scene: Scene) -> None:
    scene.carry(OFFER, REMOTE)
    scene.follow("link set front mtu 1300")
    assert len(scene.carrier) == 1
    scene.carrier.drop(1, [2])
    # What it left behind now would be in the way.
    scene.carry(Offer(0, 0, 1), REMOTE)
    assert len(scene.carrier) == 1


def test_a_session_whose_ways_are_the_same_is_left_where_it_is(scene: Scene) -> None:
    line = scene.line()
    scene.carry(OFFER, line.ends())
    scene.permit(OFFER)
    scene.follow("route add 10.99.0.0/16 via 10.9.0.2")
    line.client.send(b"question")
    assert hear(line.server)[0] == b"question"
    scene.place.call(scene.carrier.follow)
    assert len(scene.carrier) == 1


def test_the_programs_follow_the_interfaces(scene: Scene) -> None:
    before = sorted([1, scene.index("front"), scene.index("far")] * 2)
    assert links() == before
    scene.follow("link add more type veth peer name most")
    both = [scene.index("more"), scene.index("most")] * 2
    assert links() == sorted(before + both)
    scene.follow("link del more")
    until(scene, lambda: links() == before)


def until(scene: Scene, condition: Callable[[], bool]) -> None:
    """Follow until a condition holds: an interface goes in several steps, and each is told."""
    while not condition():
        scene.follow()


def test_what_is_closed_is_detached_and_nothing_stays_open() -> None:
    before = descriptors()
    scene = Scene()
    scene.close()
    assert links() == []
    assert descriptors() <= before


def test_a_carrier_that_cannot_be_made_leaves_nothing_open() -> None:
    before = descriptors()
    with pytest.raises(OffloadError, match="make a table"):
        Carrier(1, 0)
    assert descriptors() <= before
