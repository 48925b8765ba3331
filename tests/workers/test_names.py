"""Names of addresses: known for a while, asked for once, and nobody waits for ever."""

from __future__ import annotations

import pytest

from workers.contract.settings import Address
from workers.deadlines import NEVER, TICK_NS
from workers.names import (
    ANSWER_NS,
    LONGEST_S,
    MAX_KEPT,
    MAX_KEPT_BYTES,
    MAX_KNOWN,
    SECOND_NS,
    SHORTEST_S,
    UNANSWERED_S,
    ReverseNames,
)
from workers.policy.hostset import UNASKED

TIMEOUT_NS = SECOND_NS
LATE_NS = TIMEOUT_NS + ANSWER_NS + TICK_NS
HOST, OTHER = Address(4, 0x0A000001), Address(6, 1)
START_NS = 77 * SECOND_NS


@pytest.fixture
def names() -> ReverseNames[str]:
    return ReverseNames(TIMEOUT_NS)


def client(number: int) -> bytes:
    return number.to_bytes(16)


def test_nobody_has_asked_at_first(names: ReverseNames[str]) -> None:
    assert names.find(HOST) == UNASKED
    assert names.next_deadline_ns() >= NEVER
    assert not names.questions


def test_an_answer_brings_back_everybody_who_waited_for_it(names: ReverseNames[str]) -> None:
    assert names.keep(client(1), HOST, "first", 100, START_NS)
    assert names.keep(client(2), HOST, "second", 100, START_NS)
    assert names.keep(client(3), OTHER, "third", 100, START_NS)
    assert list(names.questions) == [HOST, OTHER]
    assert [kept.datagram for kept in names.learn(HOST, "a.test", 300, START_NS + 5)] == ["first", "second"]
    assert names.find(HOST) == "a.test"
    assert (names.waits(client(1)), names.waits(client(3))) == (False, True)


def test_an_answer_that_came_in_time_stands_when_the_time_is_up(names: ReverseNames[str]) -> None:
    names.keep(client(1), HOST, "first", 100, START_NS)
    names.learn(HOST, "a.test", 300, START_NS + 5)
    assert names.expire(START_NS + LATE_NS) == []
    assert names.find(HOST) == "a.test"


def test_of_a_client_that_waits_one_datagram_is_kept(names: ReverseNames[str]) -> None:
    assert names.keep(client(1), HOST, "first", 100, START_NS)
    assert names.waits(client(1))
    assert not names.keep(client(1), OTHER, "second", 100, START_NS)
    assert list(names.questions) == [HOST]


def test_an_answer_that_does_not_come_counts_as_no_name(names: ReverseNames[str]) -> None:
    names.keep(client(1), HOST, "first", 100, START_NS)
    assert names.expire(START_NS + TIMEOUT_NS) == []
    assert names.next_deadline_ns() <= START_NS + LATE_NS
    (kept,) = names.expire(START_NS + LATE_NS)
    assert (kept.datagram, kept.since_ns) == ("first", START_NS)
    assert names.find(HOST) is None
    assert names.learn(HOST, "late.test", 300, START_NS + LATE_NS) == []
    assert names.find(HOST) == "late.test"


def test_a_client_waits_twice_the_time_at_most_whatever_it_needs(names: ReverseNames[str]) -> None:
    names.keep(client(1), HOST, "first", 100, START_NS)
    (kept,) = names.expire(START_NS + LATE_NS)
    assert names.keep_on(kept, OTHER, START_NS + LATE_NS)
    (kept,) = names.learn(OTHER, "b.test", 60, START_NS + LATE_NS + 1)
    third = Address(4, 7)
    assert not names.keep_on(kept, third, START_NS + 2 * (TIMEOUT_NS + ANSWER_NS))
    assert names.find(third) is None
    assert not names.waits(client(1))


@pytest.mark.parametrize(("ttl_s", "life_s"), [(1, SHORTEST_S), (300, 300), (10**6, LONGEST_S)])
def test_a_name_is_known_for_its_time_within_bounds(names: ReverseNames[str], ttl_s: int, life_s: int) -> None:
    names.learn(HOST, "a.test", ttl_s, START_NS)
    end_ns = START_NS + life_s * SECOND_NS
    names.expire(end_ns - 1)
    assert names.find(HOST) == "a.test"
    names.expire(end_ns + TICK_NS)
    assert names.find(HOST) == UNASKED
    assert names.next_deadline_ns() >= NEVER


def test_what_nobody_could_be_asked_about_is_asked_again_soon(names: ReverseNames[str]) -> None:
    names.learn(HOST, None, 0, START_NS)
    names.keep(client(1), OTHER, "x", 1, START_NS)
    assert names.find(HOST) is None
    names.expire(START_NS + LATE_NS)
    names.expire(START_NS + UNANSWERED_S * SECOND_NS + LATE_NS + TICK_NS)
    assert (names.find(HOST), names.find(OTHER)) == (UNASKED, UNASKED)


def test_no_name_is_known_too_and_a_newer_answer_takes_the_old_ones_place(names: ReverseNames[str]) -> None:
    names.learn(HOST, None, 1, START_NS)
    assert names.find(HOST) is None
    names.learn(HOST, "a.test", LONGEST_S, START_NS)
    names.expire(START_NS + SHORTEST_S * SECOND_NS + TICK_NS)
    assert names.find(HOST) == "a.test"


def test_so_many_clients_wait_and_no_more(names: ReverseNames[str]) -> None:
    assert all(names.keep(client(number), HOST, "x", 1, START_NS) for number in range(MAX_KEPT))
    assert not names.keep(client(MAX_KEPT), HOST, "x", 1, START_NS)
    assert len(names.learn(HOST, None, 60, START_NS)) == MAX_KEPT
    assert names.keep(client(MAX_KEPT), OTHER, "x", 1, START_NS)


def test_so_many_bytes_wait_and_no_more(names: ReverseNames[str]) -> None:
    count = MAX_KEPT_BYTES // 65_000
    assert all(names.keep(client(number), HOST, "x", 65_000, START_NS) for number in range(count))
    assert not names.keep(client(count), HOST, "x", 65_000, START_NS)
    names.learn(HOST, None, 60, START_NS)
    assert names.keep(client(count), OTHER, "x", 65_000, START_NS)


def test_so_many_addresses_are_known_and_the_oldest_goes_first(names: ReverseNames[str]) -> None:
    for number in range(MAX_KNOWN + 1):
        names.learn(Address(4, number), None, 60, START_NS)
    assert names.find(Address(4, 0)) == UNASKED
    assert names.find(Address(4, 1)) is None
    assert names.find(Address(4, MAX_KNOWN)) is None


def test_who_waits_at_the_end_is_told_by_size(names: ReverseNames[str]) -> None:
    names.keep(client(1), HOST, "x", 10, START_NS)
    names.keep(client(2), OTHER, "x", 20, START_NS)
    assert names.drop_all() == [10, 20]
    assert not names.questions
    assert names.expire(START_NS + LATE_NS) == []
    assert not names.waits(client(1))
