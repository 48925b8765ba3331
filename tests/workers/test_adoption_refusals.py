"""What a dead worker left is not believed: what does not fit in a slot, a socket or a note costs that session only."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.kit.datapath import Estate
from tests.kit.traffic import forward_to, udp
from tests.workers.succession import NOW, T0, ask, line, place
from workers.contract.custody import Kept
from workers.contract.slots import SLOT_BYTES, SOCKADDR_BYTES, CloseReason, Counter
from workers.session.saved import OPEN


def write(at: int, data: bytes) -> Callable[[Estate], Estate]:
    """Return what spoils the first slot."""

    def spoil(estate: Estate) -> Estate:
        start = estate.region.offset(0) + at
        estate.region.memory[start : start + len(data)] = data
        return estate

    return spoil


def with_socket(make: Callable[[int], int]) -> Callable[[Estate], Estate]:
    """Return what puts another descriptor in the place of the first session's."""

    def spoil(estate: Estate) -> Estate:
        kept = estate.kept[0]
        other = make(kept.fd)
        os.close(kept.fd)
        return replace(estate, kept=(kept._replace(fd=other), *estate.kept[1:]))

    return spoil


def with_note(note: bytes) -> Callable[[Estate], Estate]:
    def spoil(estate: Estate) -> Estate:
        return replace(estate, kept=(estate.kept[0]._replace(note=note), *estate.kept[1:]))

    return spoil


def with_new(family: int, kind: int) -> Callable[[Estate], Estate]:
    return with_socket(lambda _: socket.socket(family, kind).detach())


def connected_elsewhere(_fd: int) -> int:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    return sock.detach()


def same_port_elsewhere(fd: int) -> int:
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.connect(("127.0.0.1", 9))
    return os.dup(fd)


SPOILERS: dict[str, tuple[str, Callable[[Estate], Estate]]] = {
    "closed": ("its slot is another session's", write(place("state"), b"\0")),
    "of another": ("its slot is another session's", write(place("opened_ns"), struct.pack("=q", T0 + 1))),
    "kind": ("its rule is of another kind", write(place("kind"), b"\2")),
    "rule": ("its rule is unknown", write(place("rule"), b"\1\0")),
    "generation": ("its rule is unknown", write(place("generation"), b"\7\0")),
    "times": ("its times cannot be", write(place("last_in_ns"), struct.pack("=q", NOW + 1))),
    "counts": ("its counts cannot be", write(place("received_in"), bytes(16))),
    "client": ("an address of it is none", write(place("client"), b"\xff")),
    "target": ("its socket has another server", write(place("target") + 2, b"\0\1")),
    "port": ("its socket has another port", write(place("local") + 2, b"\0\1")),
    "note": ("its note cannot be read", with_note(b"\xc1")),
    "pipe": ("what was kept for it is no socket", with_socket(lambda _: os.pipe2(os.O_CLOEXEC)[0])),
    "stream": ("its socket is of another kind", with_new(socket.AF_INET, socket.SOCK_STREAM)),
    "ipv6": ("its socket is of another kind", with_new(socket.AF_INET6, socket.SOCK_DGRAM)),
    "unix": ("its socket is of another kind", with_new(socket.AF_UNIX, socket.SOCK_DGRAM)),
    "fresh": ("its socket has another port", with_new(socket.AF_INET, socket.SOCK_DGRAM)),
    "other port": ("its socket has another port", with_socket(connected_elsewhere)),
    "other server": ("its socket has another server", with_socket(same_port_elsewhere)),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_what_does_not_fit_is_refused_and_everybody_else_goes_on(spoiler: str) -> None:
    reason, spoil = SPOILERS[spoiler]
    with udp() as server, udp() as client, udp() as other, line(forward_to(server.getsockname())) as workers:
        ask(workers.path, client, server)
        proxys = ask(workers.path, other, server, T0 + 1)
        path = workers.succeed(spoil(workers.die()))
        assert [record.fields for record in path.logged("sessions-refused")] == [(1, reason)]
        assert path.logged("sessions-taken-over")[0].fields == (1,)
        assert path.region.memory[path.region.offset(0)] != OPEN
        assert path.region.words[Counter.PERMITS] == 1
        assert path.closes == {CloseReason.FAILURE: 1}
        assert ask(path, other, server, NOW) == proxys
        ask(path, client, server, NOW)  # a new session, in the slot that was free
        assert sorted(session.slot for session in path.sessions) == [0, 1]


def test_two_sessions_of_one_client_are_one() -> None:
    with udp() as server, udp() as client, udp() as other, line(forward_to(server.getsockname())) as workers:
        ask(workers.path, client, server)
        ask(workers.path, other, server, T0 + 1)
        estate = workers.die()
        first, second = (estate.region.offset(slot) + place("client") for slot in (0, 1))
        estate.region.memory[second : second + SOCKADDR_BYTES] = estate.region.memory[first : first + SOCKADDR_BYTES]
        path = workers.succeed(estate)
        assert [record.fields for record in path.logged("sessions-refused")] == [(1, "its client has another one")]
        assert [session.slot for session in path.sessions] == [0]


def test_no_slot_of_a_hostile_worker_ends_the_next_one() -> None:
    hostile = [bytes([value]) * SLOT_BYTES for value in range(1, 256)]
    with udp() as server, udp() as client, line(forward_to(server.getsockname()), max_sessions=300) as workers:
        ask(workers.path, client, server)
        estate = workers.die()
        region, genuine = estate.region, estate.kept[0]
        kept: list[Kept] = [genuine]
        for slot, raw in enumerate(hostile, 1):
            start = region.offset(slot)
            region.memory[start : start + SLOT_BYTES] = raw
            opened_ns = int.from_bytes(raw[:8], "little", signed=True)
            kept.append(Kept(slot, opened_ns, genuine.note, os.dup(genuine.fd)))
        region.words[Counter.TOP] = len(kept)
        region.words[Counter.PERMITS] = len(kept)
        path = workers.succeed(replace(estate, kept=tuple(kept)))
        assert [session.slot for session in path.sessions] == [0]
        assert sum(record.fields[0] for record in path.logged("sessions-refused")) == len(hostile)
        ask(path, client, server, NOW)
