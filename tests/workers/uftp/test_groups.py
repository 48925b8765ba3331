"""Groups: phases, deadlines, sequence numbers, and the table of them."""

from __future__ import annotations

from dataclasses import replace

from tests.kit.uftp_bench import GRTT, GRTT_NS
from workers.deadlines import NEVER
from workers.uftp.actions import GroupKey
from workers.uftp.aggregate import Member, Pending, SlotKey, SlotKind
from workers.uftp.clients import ClientInput, Clients
from workers.uftp.groups import (
    MAX_PATIENCE_NS,
    MIN_PATIENCE_NS,
    TRANSITIONS,
    Group,
    Groups,
    Phase,
    PhaseInput,
    Terms,
    patience_ns,
)
from workers.uftp.quantise import encode_grtt

TERMS = Terms(0x5555, b"server", 20, 0, 1300, 0, b"public", b"private")
MS, SECOND = 1_000_000, 1_000_000_000


def group(**changes: object) -> Group:
    base = Group(GroupKey(1, 0), TERMS, GRTT, 0, 0, NEVER, Clients(10), Pending(10))
    return replace(base, **changes)


def test_every_phase_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_set_up_goes_on_once_and_never_back() -> None:
    one = group()
    assert not one.advance(PhaseInput.ALL_READY)
    assert one.advance(PhaseInput.KEYED)
    assert one.phase is Phase.READY
    assert one.advance(PhaseInput.DEADLINE)
    assert one.phase is Phase.RECEIVING
    assert not any(one.advance(step) for step in PhaseInput)


def test_patience_is_robust_round_trips_within_bounds() -> None:
    assert patience_ns(15, encode_grtt(211 * MS)) == 15 * group(grtt=encode_grtt(211 * MS)).grtt_ns
    assert patience_ns(20, encode_grtt(10 * MS)) == MIN_PATIENCE_NS
    assert patience_ns(255, 255) == MAX_PATIENCE_NS


def test_silence_does_not_end_a_group_while_something_waits() -> None:
    one = group(heard_ns=7)
    assert one.silence_ns == one.due_ns == 7 + 20 * GRTT_NS
    one.pending.slot(SlotKey(SlotKind.REGISTER), Member(1, 0), 50)
    assert one.silence_ns == NEVER
    assert one.due_ns == one.pending_ns == 50 + GRTT_NS


def test_a_new_round_trip_time_moves_what_waits() -> None:
    one = group()
    one.pending.slot(SlotKey(SlotKind.REGISTER), Member(1, 0), 50)
    assert one.hear(0, 9)
    assert one.pending_ns == 50 + 1_000
    assert not one.hear(0, 8)
    assert one.size == 8


def test_sequence_numbers_begin_with_0_and_wrap_at_16_bits() -> None:
    one = group()
    assert [one.next_sequence() for _ in range(3)] == [0, 1, 2]
    one.sequence = 65535
    assert [one.next_sequence(), one.next_sequence()] == [65535, 0]
    assert [one.next_down_sequence(), one.next_down_sequence()] == [0, 1]


def test_the_groups_key_is_sent_again_while_somebody_waits_and_not_forever() -> None:
    one = group()
    client = one.clients.add(1)
    assert client is not None
    one.keyinfo_again(0)
    assert one.keyinfo_ns == NEVER
    one.clients.advance(client, ClientInput.REGISTERED)
    one.clients.advance(client, ClientInput.CONFIRMED)
    one.keyinfo_again(5)
    assert one.keyinfo_ns == 5 + 2 * GRTT_NS
    client.keyinfos = TERMS.robust
    one.keyinfo_again(5)
    assert one.keyinfo_ns == NEVER


def test_a_round_trip_of_a_microsecond_does_not_repeat_the_key_without_pause() -> None:
    one = group(grtt=0)
    client = one.clients.add(1)
    assert client is not None
    one.clients.advance(client, ClientInput.REGISTERED)
    one.clients.advance(client, ClientInput.CONFIRMED)
    one.keyinfo_again(0)
    assert one.keyinfo_ns == 10 * MS


def test_a_message_lists_at_least_one_client_and_no_more_than_fit() -> None:
    assert TERMS.uids_max == 325
    assert replace(TERMS, block_bytes=16).uids_max == 4
    assert replace(TERMS, block_bytes=0).uids_max == 1
    assert replace(TERMS, block_bytes=65535).body_bytes == 8192


def test_no_group_is_taken_when_there_are_enough_or_the_doors_are_closed() -> None:
    assert Groups(0).full
    open_ones = Groups(1)
    assert not open_ones.full
    open_ones.closed = True
    assert open_ones.full


def test_groups_are_found_by_number_and_instance_and_going_is_told() -> None:
    groups = Groups(2)
    first, again = group(), group(key=GroupKey(1, 1))
    groups.add(first)
    assert not groups.full
    groups.add(again)
    assert groups.full
    assert groups.get(GroupKey(1, 0)) is first
    assert groups.get(GroupKey(1, 1)) is again
    assert list(groups) == [first, again]
    before = groups.generation
    groups.remove(first)
    assert groups.generation != before
    assert groups.get(GroupKey(1, 0)) is None
    assert len(groups) == 1
