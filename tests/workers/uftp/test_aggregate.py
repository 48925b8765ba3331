"""Slots: what shares one, when one is full, whose timestamp is sent."""

from __future__ import annotations

import pytest

from workers.uftp.aggregate import MAX_SLOTS, Member, Pending, Report, SlotKey, SlotKind
from workers.uftp.extensions import TfmccAck
from workers.uftp.timestamp import Timestamp

SECOND = 1_000_000_000
REGISTER = SlotKey(SlotKind.REGISTER)
STATUS = SlotKey(SlotKind.STATUS, 1, 0)


def ack(uid: int, at_us: int = 0) -> TfmccAck:
    return TfmccAck(0, 1, 1, uid, Timestamp.from_us(at_us))


def test_contributions_to_one_thing_share_a_slot() -> None:
    pending = Pending(10)
    first, _ = pending.slot(REGISTER, Member(1, 0), 5)
    second, _ = pending.slot(REGISTER, Member(2, 1), 7)
    other, _ = pending.slot(SlotKey(SlotKind.COMPLETE, 1, 0), Member(1, 0), 8)
    assert first is second
    assert other is not first
    assert len(pending) == 2
    assert pending.since_ns == 5


@pytest.mark.parametrize(
    "other",
    [
        SlotKey(SlotKind.COMPLETE, 2, 0),
        SlotKey(SlotKind.COMPLETE, 1, 2),
        SlotKey(SlotKind.COMPLETE, 1, 0, 4096),
        SlotKey(SlotKind.FILEINFO_ACK, 1),
    ],
)
def test_another_file_status_space_or_kind_is_another_slot(other: SlotKey) -> None:
    pending = Pending(10)
    pending.slot(SlotKey(SlotKind.COMPLETE, 1, 0), Member(1, 0), 0)
    pending.slot(other, Member(1, 0), 0)
    assert len(pending) == 2


def test_one_client_may_wait_in_two_slots() -> None:
    pending = Pending(10)
    pending.slot(REGISTER, Member(1, 0), 0)
    pending.slot(SlotKey(SlotKind.FILEINFO_ACK, 1), Member(1, 0), 0)
    assert [slot.uids for slot in pending.take_all()] == [(1,), (1,)]
    assert not pending


def test_a_client_counts_once_in_a_slot() -> None:
    pending = Pending(2)
    slot, _ = pending.slot(REGISTER, Member(1, 0), 0)
    assert pending.take_full(slot, 0) == []
    pending.slot(REGISTER, Member(1, 0), 0)
    assert pending.take_full(slot, 0) == []
    pending.slot(REGISTER, Member(2, 1), 0)
    assert pending.take_full(slot, 3) == [slot]
    assert not pending


def test_what_remains_after_a_full_slot_waits_anew() -> None:
    pending = Pending(1)
    pending.slot(STATUS, Member(9, 0), 1)
    slot, _ = pending.slot(REGISTER, Member(1, 1), 2)
    assert pending.take_full(slot, 3) == [slot]
    assert pending.since_ns == 3
    assert len(pending) == 1


def test_a_map_of_what_is_missing_is_never_full() -> None:
    pending = Pending(1)
    for uid in range(5):
        slot, crowded = pending.slot(STATUS, Member(uid, uid), 0)
        assert pending.take_full(slot, 0) == crowded == []


def test_one_slot_too_many_sends_all_the_others_first() -> None:
    pending = Pending(10)
    for section in range(MAX_SLOTS):
        _, crowded = pending.slot(SlotKey(SlotKind.STATUS, 1, section), Member(1, 0), 1)
        assert crowded == []
    _, crowded = pending.slot(SlotKey(SlotKind.STATUS, 1, 99), Member(1, 0), 2)
    assert [slot.key.detail for slot in crowded] == list(range(MAX_SLOTS))
    assert len(pending) == 1
    assert pending.since_ns == 2


def test_the_client_with_the_longest_round_trip_comes_first_and_gives_the_timestamp() -> None:
    pending = Pending(10)
    # Three clients echo what the server sent at 1,000 us of its clock; the second one's way was the longest.
    for uid, order, arrival_ns in ((11, 0, 1_000_000), (12, 1, 9_000_000), (13, 2, 5_000_000)):
        slot, _ = pending.slot(REGISTER, Member(uid, order), arrival_ns)
        slot.add_echo(uid, 1_000, arrival_ns)
    assert slot.uids == (12, 11, 13)
    assert slot.timestamp_us(20_000_000) == 1_000 + (20_000 - 9_000)


def test_clients_without_timestamps_are_listed_by_first_appearance() -> None:
    pending = Pending(10)
    for uid, order in ((13, 2), (11, 0), (12, 1)):
        slot, _ = pending.slot(SlotKey(SlotKind.COMPLETE, 1, 0), Member(uid, order), 0)
    assert slot.uids == (11, 12, 13)


def test_the_most_limiting_report_is_kept_and_moved_by_the_time_it_was_held() -> None:
    slot, _ = Pending(10).slot(STATUS, Member(1, 0), 0)
    slot.add_report(Report((1, 500), ack(1), 0))
    slot.add_report(Report((1, 100), ack(2, 70), SECOND))
    slot.add_report(Report((1, 300), ack(3), 0))
    assert slot.report is not None
    assert slot.report.released(SECOND + 2_000) == ack(2, 72)
