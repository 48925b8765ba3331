"""One datagram a socket, with Python's own calls."""

from __future__ import annotations

import errno

from tests.kit.traffic import let_arrive, receive, udp
from workers.net.arena import PAYLOAD_BYTES, Arena
from workers.net.singles import SIZES_KEPT, Cuts, send_singles, take_singles


def views(count: int = 4) -> list[memoryview]:
    arena = Arena()
    return [arena.payload(slot, PAYLOAD_BYTES) for slot in range(count)]


def pair():
    server, sock = udp(), udp()
    sock.connect(server.getsockname())
    sock.setblocking(False)
    return server, sock


def test_datagrams_lie_side_by_side_whatever_sockets_had_none():
    slots, errors = views(), {9: 9}
    (one, first), (_, second), (three, third) = pair(), pair(), pair()
    one.sendto(b"one", first.getsockname())
    three.sendto(b"three", third.getsockname())
    let_arrive()
    assert take_singles([first, second, third], slots, errors) == [3, 5]
    assert errors == {1: 0}
    assert (bytes(slots[0][:3]), bytes(slots[1][:5])) == (b"one", b"three")


def test_an_error_is_told_by_the_sockets_number():
    server, sock = pair()
    server.close()
    sock.send(b"refused")
    errors: dict[int, int] = {}
    let_arrive()
    assert take_singles([sock], views(), errors) == []
    assert errors == {0: errno.ECONNREFUSED}
    assert take_singles([sock], views(), errors) == []
    assert errors == {0: 0}


def test_slots_are_sent_from_a_number_on_and_failures_told_by_slot():
    slots = views()
    (server, sock), (closed, refused) = pair(), pair()
    closed.close()
    refused.send(b"refused")
    let_arrive()
    slots[1][:3], slots[2][:3], slots[3][:1] = b"one", b"two", b"x"
    cuts = [Cuts(view) for view in slots]
    assert send_singles([sock, refused, sock], [0, 2, 3, 0], cuts, 1) == [(2, errno.ECONNREFUSED)]
    assert receive(server, 2) == [b"on", b""]


def test_sockets_behind_one_that_had_an_error_are_received_from_all_the_same():
    slots, errors = views(), {}
    (one, first), (closed, refused), (three, third) = pair(), pair(), pair()
    closed.close()
    refused.send(b"refused")
    one.sendto(b"one", first.getsockname())
    three.sendto(b"three", third.getsockname())
    let_arrive()
    assert take_singles([refused, first, refused, third, first], slots, errors) == [3, 5]
    assert errors == {0: errno.ECONNREFUSED, 2: 0, 4: 0}
    assert (bytes(slots[0][:3]), bytes(slots[1][:5])) == (b"one", b"three")


def test_slots_behind_failures_are_sent_all_the_same():
    slots = views()
    (server, sock), *ends = pair(), pair(), pair()
    for closed, refused in ends:
        closed.close()
        refused.send(b"refused")
    let_arrive()
    (_, first), (_, second) = ends
    for number, slot in enumerate(slots):
        slot[0] = 65 + number
    cuts = [Cuts(view) for view in slots]
    assert send_singles([first, sock, second, sock], [1, 1, 1, 1], cuts, 0) == [
        (0, errno.ECONNREFUSED),
        (2, errno.ECONNREFUSED),
    ]
    assert receive(server, 2) == [b"B", b"D"]


def test_a_slot_is_cut_to_any_size_and_shows_what_lies_in_it_now():
    (view, *_) = views()
    cuts = Cuts(view)
    for size in (*range(2 * SIZES_KEPT), 5, PAYLOAD_BYTES):
        assert len(cuts[size]) == size
    view[:5] = b"first"
    assert bytes(cuts[5]) == b"first"
    view[:5] = b"later"
    assert bytes(cuts[5]) == b"later"


def test_of_a_slot_only_so_many_sizes_are_kept():
    (view, *_) = views()
    cuts = Cuts(view)
    for size in range(10 * SIZES_KEPT):
        assert len(cuts[size]) == size
        assert len(cuts) <= SIZES_KEPT
