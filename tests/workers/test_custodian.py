"""What a worker entrusts to its parent: in batches, ends before beginnings, and nothing lost where there is no room."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.kit.session_parts import SECOND, rule
from workers.contract.channel import ChannelClosedError
from workers.contract.custody import BATCH, Entrusted, Entry, Released, Word, hear, open_custody
from workers.custodian import RELEASE_NS, RETRY_NS, Custodian, hand_over
from workers.deadlines import NEVER
from workers.session.session import Session, Terms

T0 = 7 * SECOND
TERMS = Terms.of(rule())


class Desk:
    """A worker's custodian and the parent's end. heard: words up to now, with the sockets' numbers (inodes)."""

    def __init__(self) -> None:
        self.parent, self.worker = open_custody()
        self.custodian = Custodian(self.worker, lambda session: b"note %d" % session.slot)
        self.sockets: list[socket.socket] = []

    def session(self, slot: int) -> Session:
        made = Session(TERMS, T0 + slot, slot, 1)
        made.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets.append(made.sock)
        return made

    def heard(self) -> list[tuple[Word, list[int]]]:
        words: list[tuple[Word, list[int]]] = []
        while (found := hear(self.parent)) is not None:
            word, descriptors = found
            words.append((word, [os.fstat(descriptor).st_ino for descriptor in descriptors]))
            for descriptor in descriptors:
                os.close(descriptor)
        return words

    def fill(self) -> None:
        """Leave no room for another word."""
        while True:
            try:
                self.worker.send(bytes(10_000))
            except BlockingIOError:
                return

    def empty(self) -> None:
        """Take what fill has sent."""
        while True:
            try:
                self.parent.recv(20_000)
            except BlockingIOError:
                return

    def close(self) -> None:
        for sock in (self.parent, self.worker, *self.sockets):
            sock.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def entry(session: Session) -> Entry:
    return Entry(session.slot, session.opened_ns, b"note %d" % session.slot)


def test_sessions_are_entrusted_with_their_sockets_in_order(desk: Desk) -> None:
    sessions = [desk.session(slot) for slot in (4, 2, 9)]
    desk.custodian.entrust(sessions)
    assert desk.custodian.tend(T0) == NEVER
    numbers = [os.fstat(session.sock.fileno()).st_ino for session in sessions]
    assert desk.heard() == [(Entrusted([entry(session) for session in sessions]), numbers)]
    desk.custodian.tend(T0)
    assert desk.heard() == []


def test_a_message_holds_a_batch_at_most(desk: Desk) -> None:
    desk.custodian.entrust([desk.session(slot) for slot in range(BATCH + 1)])
    desk.custodian.tend(T0)
    assert [len(numbers) for _, numbers in desk.heard()] == [BATCH, 1]


def test_a_session_that_has_ended_meanwhile_is_never_mentioned(desk: Desk) -> None:
    ended, lasting = desk.session(1), desk.session(2)
    desk.custodian.entrust([ended, lasting])
    ended.sock = None
    desk.custodian.tend(T0)
    assert [word for word, _ in desk.heard()] == [Entrusted([entry(lasting)])]


def test_ends_wait_for_company(desk: Desk) -> None:
    desk.custodian.release([1])
    assert desk.custodian.tend(T0) == T0 + RELEASE_NS
    desk.custodian.release([2])
    assert desk.custodian.tend(T0 + 1) == T0 + RELEASE_NS
    assert desk.heard() == []
    assert desk.custodian.tend(T0 + RELEASE_NS) == NEVER
    assert desk.heard() == [(Released([1, 2]), [])]
    desk.custodian.release([3])
    assert desk.custodian.tend(T0 + 2 * SECOND) == T0 + 2 * SECOND + RELEASE_NS


def test_an_end_is_told_before_the_next_session_of_its_slot(desk: Desk) -> None:
    desk.custodian.release([3])
    later = desk.session(3)
    desk.custodian.entrust([later])
    desk.custodian.tend(T0)
    assert [word for word, _ in desk.heard()] == [Released([3]), Entrusted([entry(later)])]


def test_what_finds_no_room_is_tried_again_in_the_same_order(desk: Desk) -> None:
    desk.fill()
    sessions = [desk.session(slot) for slot in range(BATCH + 1)]
    desk.custodian.entrust(sessions)
    assert desk.custodian.tend(T0) == T0 + RETRY_NS
    desk.empty()
    assert desk.custodian.tend(T0 + RETRY_NS - 1) == T0 + RETRY_NS
    assert desk.heard() == []
    assert desk.custodian.tend(T0 + RETRY_NS) == NEVER
    entries = [word.entries for word, _ in desk.heard() if isinstance(word, Entrusted)]
    assert [found for part in entries for found in part] == [entry(session) for session in sessions]


def test_a_parent_that_is_deaf_for_long_costs_no_memory(desk: Desk) -> None:
    desk.fill()
    lasting = desk.session(5)
    desk.custodian.entrust([lasting])
    for turn in range(50):
        passing = [Session(TERMS, T0, slot, 1) for slot in range(200)]
        desk.custodian.entrust(passing)
        desk.custodian.release(range(200))
        desk.custodian.tend(T0 + turn * SECOND)
        # Of the test only: the list's, the loop's, and the call's own.
        assert max(sys.getrefcount(session) for session in passing) == 3
    desk.empty()
    desk.custodian.tend(T0 + 60 * SECOND)
    assert [word for word, _ in desk.heard()] == [Released(list(range(200))), Entrusted([entry(lasting)])]


def test_all_slots_of_a_large_worker_can_be_released_at_once(desk: Desk) -> None:
    slots = list(range(1 << 20, (1 << 20) + 10_000))
    desk.custodian.release(slots)
    assert hand_over(desk.custodian)
    words = [word for word, _ in desk.heard()]
    assert [slot for word in words if isinstance(word, Released) for slot in word.slots] == slots


def test_handing_over_gives_up_when_nobody_takes_anything(desk: Desk) -> None:
    desk.fill()
    desk.custodian.entrust([desk.session(1)])
    assert not hand_over(desk.custodian, 0)
    desk.empty()
    assert hand_over(desk.custodian, 0)


def test_a_parent_that_is_gone_is_an_error_of_the_contract(desk: Desk) -> None:
    desk.parent.close()
    desk.custodian.entrust([desk.session(1)])
    with pytest.raises(ChannelClosedError):
        desk.custodian.tend(T0)
