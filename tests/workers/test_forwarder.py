"""What passes through leaves byte for byte, in order, whatever comes between; the machine sees the rest."""

from __future__ import annotations

import random
import socket

import pytest

from tests.kit.uftp_process import datagram
from tests.kit.uftp_worker import Bench, Station, announce, fileseg
from workers.contract.uftp import Fact
from workers.forwarder import PLACES, Headers, Places, Share
from workers.net.ancillary import UDP_GRO
from workers.net.arena import Arena


def test_a_stream_passes_through_in_order() -> None:
    with Bench() as bench:
        sent = [announce(7), *(fileseg(7, number) for number in range(150))]
        assert bench.pass_through(sent) == sent
        assert bench.outbox.stats.received_out == bench.outbox.stats.forwarded_out == len(sent)


@pytest.mark.parametrize("seed", range(20))
def test_groups_and_sizes_that_are_mixed_keep_their_order(seed: int) -> None:
    chance = random.Random(seed)
    with Bench() as bench:
        bench.send(*(announce(group) for group in (1, 2, 3)))
        bench.turn()
        bench.downstream.received()
        sent = [
            fileseg(chance.choice((1, 1, 1, 2, 3)), number, chance.choice((1300, 1300, 1300, 700, 1)))
            for number in range(chance.randrange(1, 160))
        ]
        for number in range(0, len(sent), 40):
            sent.insert(number, datagram(10, 1, bytes(12), sequence=number))
        assert bench.pass_through(sent) == sent


def test_answers_go_back_to_the_server() -> None:
    with Bench() as bench:
        bench.send(announce(7))
        bench.turn()
        answer = datagram(11, 7, bytes(30), source_id=0x1111)
        bench.send(answer, answer, station=bench.downstream)
        bench.turn()
        assert bench.server.received() == [answer, answer]


def test_a_stranger_gets_nothing_passed_on() -> None:
    with Bench() as bench:
        bench.send(announce(7))
        bench.turn()
        stranger = Station("127.0.0.2")
        bench.send(datagram(11, 7, bytes(30)), station=stranger)
        bench.turn()
        stranger.sock.close()
        assert bench.server.received() == []
        assert sum(bench.machine.drops.values()) == 1


def test_what_is_too_short_is_never_passed_on_by_its_predecessors_header() -> None:
    with Bench() as bench:
        bench.send(announce(7), *[fileseg(7, 1)] * 3)
        bench.turn()
        bench.downstream.received()
        # The slots still hold whole headers from before.
        bench.send(fileseg(7, 2)[:19], b"", fileseg(7, 3)[:1])
        bench.turn()
        assert bench.downstream.received() == []
        assert sum(bench.machine.drops.values()) == 3


def test_a_group_whose_time_is_up_is_not_passed_on_any_more() -> None:
    with Bench() as bench:
        bench.send(announce(7), fileseg(7, 1))
        bench.turn()
        bench.machine.expire(bench.machine.next_deadline_ns() + 10**10)
        bench.outbox.carry_out(bench.machine, 0)
        assert bench.machine.facts[Fact.GROUPS] == 0
        bench.downstream.received()
        bench.send(fileseg(7, 2))
        bench.turn()
        assert bench.downstream.received() == []


def test_traffic_that_passes_through_keeps_its_group_alive() -> None:
    with Bench() as bench:
        bench.send(announce(7))
        bench.turn()
        first_ns = bench.machine.next_deadline_ns()
        bench.send(fileseg(7, 1))
        bench.turn()
        bench.machine.expire(first_ns)
        assert bench.machine.facts[Fact.GROUPS] == 1


def test_a_downstream_that_moves_gets_what_follows() -> None:
    with Bench() as bench:
        bench.send(announce(7), fileseg(7, 1))
        bench.turn()
        elsewhere = Station()
        bench.machine.move_downstream(elsewhere.raw)
        bench.send(fileseg(7, 2))
        bench.turn()
        assert elsewhere.received() == [fileseg(7, 2)]
        elsewhere.sock.close()


def test_a_downstream_that_cannot_be_reached_is_logged() -> None:
    with Bench() as bench:
        bench.send(announce(7))
        bench.turn()
        bench.machine.move_downstream(bytes((2, 0, 0, 0, 127, 0, 0, 1)) + bytes(8))  # port 0
        bench.send(*(fileseg(7, number) for number in range(3)))
        bench.turn()
        unsent = [record for record in bench.logged() if record.event == "uftp-unsent"]
        assert sum(int(record.fields[3]) for record in unsent) == 3


def test_a_train_passes_through_and_is_counted_by_its_datagrams() -> None:
    with Bench() as bench:
        bench.send(announce(7))
        sent = [fileseg(7, number) for number in range(20)]
        bench.send_train(*sent)
        bench.turn()
        assert bench.downstream.received() == [announce(7), *sent]
        assert bench.outbox.stats.received_out == bench.outbox.stats.forwarded_out == 21


@pytest.mark.parametrize("last", [datagram(10, 7, bytes(12)), announce(8), b"tail", fileseg(7, 99, 700)])
def test_a_train_that_ends_otherwise_is_taken_apart(last: bytes) -> None:
    with Bench() as bench:
        bench.send(announce(7))
        sent = [fileseg(7, number) for number in range(9)]
        bench.send_train(*sent, last)
        bench.send(fileseg(7, 10))
        bench.turn()
        wanted = [announce(7), *sent, last, fileseg(7, 10)]
        assert bench.downstream.received() == [payload for payload in wanted if payload != b"tail"]
        assert bench.outbox.stats.received_out == 12


def test_a_train_of_several_groups_keeps_its_order() -> None:
    with Bench() as bench:
        bench.send(announce(1), announce(2))
        bench.turn()
        sent = [fileseg(1 + number % 2, number) for number in range(30)]
        bench.downstream.received()
        bench.send_train(*sent)
        bench.turn()
        assert bench.downstream.received() == sent


def test_trains_that_mix_workers_are_not_asked_for_any_more() -> None:
    with Bench(share=Share(1, 2)) as bench:
        bench.send(announce(1), announce(3))
        bench.send_train(fileseg(1, 1), fileseg(3, 2))
        bench.turn()
        assert bench.sock.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 1
        bench.send_train(fileseg(1, 3), fileseg(2, 4))
        bench.turn()
        assert bench.sock.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 0


@pytest.mark.parametrize("segment", [1308, 1301, 20])
@pytest.mark.parametrize("last", [20, 0])
def test_a_train_is_one_as_long_as_its_headers_differ_in_the_sequence_number_alone(segment: int, last: int) -> None:
    arena = Arena()
    headers, slot, count = Headers(arena, 4), 5, 7
    size = segment * (count - 1) + (last or segment)
    view = arena.payload(slot, size)
    for number in range(count):
        view[number * segment : number * segment + 16] = fileseg(7, 0x1234 + number * 0x101)[:16]
    assert headers.alike(slot, size, segment)
    for at in range(16):
        view[(count - 1) * segment + at] ^= 1
        assert headers.alike(slot, size, segment) == (at in (2, 3))
        view[(count - 1) * segment + at] ^= 1


@pytest.mark.parametrize(("size", "most"), [(1308, 49), (1301, 49), (500, 64), (2100, 60)])
def test_of_a_stream_no_more_is_taken_at_once_than_leaves_in_full_trains(size: int, most: int) -> None:
    with Bench() as bench:
        bench.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        bench.send(announce(7))
        bench.turn()
        bench.send(*(fileseg(7, number, size - 24) for number in range(64)))
        bench.turn()
        assert bench.forwarder.most == most


def test_a_train_for_nobody_is_counted() -> None:
    with Bench() as bench:
        bench.send_train(fileseg(7, 1), fileseg(7, 2))
        bench.turn()
        assert sum(bench.machine.drops.values()) == 2


def test_addresses_have_a_place_each_as_far_as_there_is_room() -> None:
    places = Places()
    found = [places.offset(number.to_bytes(28)) for number in range(PLACES)]
    assert len(set(found)) == PLACES
    assert places.offset((5).to_bytes(28)) == found[5]
    assert places.offset((PLACES).to_bytes(28)) == -1
    places.forget()
    assert places.offset((PLACES).to_bytes(28)) == 0
