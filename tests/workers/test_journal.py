"""A worker's log: what it writes when, in what batches, and that everything it does not write is counted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.contract.messages import FromChild, LogBatch, ToChild
from workers.deadlines import NEVER
from workers.errors import MessageTooLongError
from workers.journal import (
    BATCH_RECORDS,
    BURST_RECORDS,
    DELAY_NS,
    RECORDS_A_SECOND,
    RESERVE_RECORDS,
    SECOND_NS,
    Journal,
)

T0 = 9 * SECOND_NS


class Wire:
    """A channel to nowhere that can be full. batches: what it took."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []
        self.full = False

    def fileno(self) -> int:
        return -1

    def send(self, message: FromChild) -> bool:
        if isinstance(message, LogBatch) and not self.full:
            self.batches.append(message)
        return not self.full

    def receive(self) -> ToChild | None:
        return None

    @property
    def records(self) -> list[tuple[str, int, tuple[object, ...]]]:
        return [(record.event, record.track, record.fields) for batch in self.batches for record in batch.records]

    @property
    def shed(self) -> int:
        return sum(batch.shed for batch in self.batches)


class Narrow(Wire):
    """A channel that takes so many bytes of texts in one message."""

    most = 1000

    def send(self, message: FromChild) -> bool:
        if isinstance(message, LogBatch) and sum(len(str(record.fields)) for record in message.records) > self.most:
            raise MessageTooLongError("too many bytes")
        return super().send(message)


def made(level: int = 6) -> tuple[Journal, Wire]:
    wire = Wire()
    return Journal(wire, level, T0), wire


def test_records_that_are_too_long_together_go_in_several_messages() -> None:
    wire = Narrow()
    journal = Journal(wire, 6, T0)
    for number in range(BATCH_RECORDS):
        journal.put("level", number, "x" * 300)
    journal.flush()
    assert [track for _, track, _ in wire.records] == list(range(BATCH_RECORDS))
    assert (journal.written, journal.shed) == (BATCH_RECORDS, 0)


def test_a_record_that_is_too_long_by_itself_is_shed_and_counted() -> None:
    wire = Narrow()
    journal = Journal(wire, 6, T0)
    for number, text in enumerate(("x", "x" * 2000, "y")):
        journal.put("level", number, text)
    journal.flush()
    assert [track for _, track, _ in wire.records] == [0, 2]
    assert (journal.written, journal.shed, wire.shed) == (2, 1, 1)


def test_those_behind_one_that_is_too_long_travel_together_again() -> None:
    wire = Narrow()
    journal = Journal(wire, 6, T0)
    for text in ("x" * 2000, *("y" * BATCH_RECORDS)):
        journal.put("level", 0, text)
    journal.flush()
    assert [len(batch.records) for batch in wire.batches] == [1, BATCH_RECORDS - 1]


def test_a_record_has_its_event_track_and_fields() -> None:
    journal, wire = made()
    journal.note("level", 7, 6)
    journal.flush()
    assert wire.records == [("level", 7, (6,))]
    assert (journal.written, journal.shed) == (1, 0)


@pytest.mark.parametrize(("level", "event", "taken"), [(6, "unsent", False), (7, "unsent", True), (3, "acl", True)])
def test_an_event_is_taken_if_its_level_is_written(level: int, event: str, taken: bool) -> None:
    journal, _ = made(level)
    assert journal.takes(event) is taken
    assert journal.shed == 0


def test_the_level_may_change() -> None:
    journal, wire = made(6)
    journal.note("unsent", 1, b"", 1, "x")
    journal.set_level(7)
    assert journal.level == 7
    journal.note("unsent", 2, b"", 1, "x")
    journal.set_level(6)
    journal.note("unsent", 3, b"", 1, "x")
    journal.flush()
    assert [track for _, track, _ in wire.records] == [2]


def test_nothing_to_do_is_never_due() -> None:
    journal, wire = made()
    assert journal.tend(T0) == NEVER
    journal.flush()
    assert wire.batches == []


def test_a_record_waits_for_company_but_not_long() -> None:
    journal, wire = made()
    journal.note("level", 0, 6)
    due_ns = journal.tend(T0)
    assert due_ns == T0 + DELAY_NS
    assert journal.tend(due_ns - 1) == due_ns
    assert wire.batches == []
    assert journal.tend(due_ns) == NEVER
    assert len(wire.records) == 1


def test_the_delay_counts_anew_for_the_next_record() -> None:
    journal, _ = made()
    journal.note("level", 0, 6)
    journal.tend(journal.tend(T0))
    journal.note("level", 0, 7)
    assert journal.tend(T0 + SECOND_NS // 2) == T0 + SECOND_NS // 2 + DELAY_NS


def test_a_full_batch_does_not_wait() -> None:
    journal, wire = made()
    for number in range(BATCH_RECORDS):
        journal.note("level", number, 6)
    assert journal.tend(T0) == NEVER
    assert [len(batch.records) for batch in wire.batches] == [BATCH_RECORDS]


def test_many_records_leave_in_order_in_batches_of_a_hundred() -> None:
    journal, wire = made()
    for number in range(2 * BATCH_RECORDS + 1):
        journal.note("level", number, 6)
    journal.flush()
    assert [len(batch.records) for batch in wire.batches] == [BATCH_RECORDS, BATCH_RECORDS, 1]
    assert [track for _, track, _ in wire.records] == list(range(2 * BATCH_RECORDS + 1))


def test_a_large_record_travels_alone() -> None:
    journal, wire = made(9)
    journal.note("level", 0, 6)
    journal.note_large("payload", 1, "in", b"", 1, bytes(10_000))
    journal.note("level", 2, 6)
    journal.flush()
    assert [[record.track for record in batch.records] for batch in wire.batches] == [[0], [1], [2]]


def test_more_than_a_burst_is_shed_and_counted_and_told() -> None:
    journal, wire = made()
    for number in range(BURST_RECORDS + 3):
        journal.note("level", number, 6)
    journal.flush()
    assert (journal.written, journal.shed, wire.shed) == (BURST_RECORDS, 3, 3)
    assert not journal.taking


def test_strangers_leave_half_of_the_budget_to_sessions_that_were_accepted() -> None:
    journal, _ = made()
    while journal.takes("rejected"):
        pass
    assert not journal.takes("acl", stranger=True)
    assert journal.taking
    accepted = 0
    while journal.takes("session-end"):
        accepted += 1
    assert accepted == RESERVE_RECORDS


def test_an_empty_budget_is_filled_though_nothing_else_is_due() -> None:
    journal, _ = made()
    while journal.takes("level"):
        pass
    journal.flush()
    assert journal.tend(T0) == T0 + SECOND_NS
    journal.tend(T0 + SECOND_NS)
    assert journal.taking


def test_a_second_later_there_is_budget_again() -> None:
    journal, _ = made()
    while journal.takes("level"):
        pass
    journal.tend(T0 + SECOND_NS - 1)
    assert not journal.takes("level")
    journal.tend(T0 + SECOND_NS)
    assert journal.taking
    taken = 0
    while journal.takes("level"):
        taken += 1
    assert taken == RECORDS_A_SECOND


def test_rest_does_not_save_up_more_than_a_burst() -> None:
    journal, _ = made()
    for second in range(1, 9):
        journal.tend(T0 + second * SECOND_NS)
    taken = 0
    while journal.takes("level"):
        taken += 1
    assert taken == BURST_RECORDS


def test_what_a_caller_skips_is_shed_too() -> None:
    journal, wire = made()
    journal.skipped += 4
    assert journal.tend(T0) == T0 + DELAY_NS
    journal.flush()
    assert (journal.shed, wire.shed, journal.skipped) == (4, 4, 0)


def test_what_a_full_channel_does_not_take_is_shed_and_told_later() -> None:
    journal, wire = made()
    wire.full = True
    for number in range(BATCH_RECORDS + 5):
        journal.note("level", number, 6)
    journal.flush()
    assert (journal.written, journal.shed) == (0, BATCH_RECORDS + 5)
    wire.full = False
    assert journal.tend(T0) == T0 + DELAY_NS
    journal.tend(T0 + DELAY_NS)
    assert wire.batches == [LogBatch([], BATCH_RECORDS + 5)]
    journal.flush()
    assert len(wire.batches) == 1


MOVES = st.lists(st.sampled_from(("note", "note", "note", "many", "skip", "tend", "full", "free")), max_size=40)


@given(MOVES)
def test_every_event_is_written_or_told_as_shed(moves: list[str]) -> None:
    journal, wire = made()
    now_ns, noted = T0, 0
    for move in moves:
        if move in ("note", "many"):
            for _ in range(1 if move == "note" else BURST_RECORDS // 2):
                journal.note("level", noted, 6)
                noted += 1
        elif move == "skip":
            journal.skipped += 1
            noted += 1
        elif move == "tend":
            now_ns += DELAY_NS
            journal.tend(now_ns)
        else:
            wire.full = move == "full"
    wire.full = False
    journal.flush()
    assert noted == journal.written + journal.shed
    assert (len(wire.records), wire.shed) == (journal.written, journal.shed)
    assert all(earlier < later for (_, earlier, _), (_, later, _) in pairwise(wire.records))
