"""Rows of rules and listeners in a header: found again by their key, whatever the configuration has become."""

from __future__ import annotations

from workers.contract.settings import Address, HostName, Sock
from workers.contract.slots import HEADER_BYTES, Counter
from workers.contract.tallies import (
    FIRST_WORD,
    LAG_BOUNDS_NS,
    LINES,
    OTHERS_KEY,
    RULES,
    TARGETS,
    Area,
    Rows,
    line_key,
    rule_key,
    target_key,
)

SMALL = Area(FIRST_WORD, 4, 3)


def words() -> memoryview:
    return memoryview(bytearray(HEADER_BYTES)).cast("Q")


def test_the_rows_lie_behind_the_counters_and_before_the_slots() -> None:
    assert max(Counter) < RULES.first < RULES.end == LINES.first < LINES.end == TARGETS.first
    assert TARGETS.end * 8 == HEADER_BYTES
    assert Counter.LAG + len(LAG_BOUNDS_NS) < Counter.LAG_NS < Counter.UFTP_DROPS


def test_a_row_is_found_again_by_its_key() -> None:
    header = words()
    starts = Rows(header, SMALL).claim([7, 8])
    header[starts[8] + 2] = 5
    assert Rows(header, SMALL).claim([8, 9])[8] == starts[8]
    assert Rows(header, SMALL).read() == {7: (7, 0, 0), 8: (8, 0, 5), 9: (9, 0, 0)}


def test_what_nobody_wants_any_more_makes_room_and_is_forgotten() -> None:
    header = words()
    starts = Rows(header, SMALL).claim([7, 8, 9])
    for start in starts.values():
        header[start + 1] = 1
    again = Rows(header, SMALL).claim([10, 8, 11])
    assert again[8] == starts[8]
    assert Rows(header, SMALL).read() == {8: (8, 1, 0), 10: (10, 0, 0), 11: (11, 0, 0)}


def test_keys_that_find_no_row_have_one_together() -> None:
    header = words()
    starts = Rows(header, SMALL).claim([1, 2, 3, 4, 5])
    assert set(starts) == {1, 2, 3, OTHERS_KEY}
    assert list(Rows(header, SMALL).read()) == [1, 2, 3, OTHERS_KEY]
    assert Rows(header, SMALL).claim([1, 2, 3, 5]) == starts


def test_a_key_wanted_twice_has_one_row() -> None:
    header = words()
    assert len(Rows(header, SMALL).claim([4, 4])) == 1
    assert list(Rows(header, SMALL).read()) == [4]


def test_keys_tell_apart_what_is_not_the_same() -> None:
    address = bytes(16)
    keys = {
        rule_key("A", "normal"),
        rule_key("A", "one-way"),
        rule_key("", ""),
        line_key(address, None, transparent=False),
        line_key(address, None, transparent=True),
        line_key(address, "eth0", transparent=False),
        OTHERS_KEY,
    }
    keys |= {
        target_key(Sock(Address(4, 1), 53)),
        target_key(Sock(Address(6, 1), 53)),
        target_key(Sock(Address(4, 1), 54)),
    }
    keys |= {target_key(Sock(HostName("ns.example"), 53)), target_key(Sock(HostName("ns.example"), None))}
    assert len(keys) == 12
    assert 0 not in keys
