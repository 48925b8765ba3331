"""The parts say what they are said to, and the diary refuses records that are not the catalogue's."""

from __future__ import annotations

import pytest

from tests.kit.session_parts import (
    LOCAL,
    PROXY,
    REMOTE,
    Diary,
    Pool,
    WrongRecordError,
    check_record,
    client,
    rule,
    server,
    sock,
    sock6,
)
from workers.contract.messages import LogRecord
from workers.contract.settings import Address
from workers.wire import sockaddr


def test_raw_addresses_are_the_systems() -> None:
    assert sock(REMOTE + 1, 53) == server() == sockaddr.encode(Address(4, REMOTE + 1), 53)
    assert client(3, 9) == sockaddr.encode(Address(4, LOCAL + 3), 9)
    assert sock6(77, 99) == sockaddr.encode(Address(6, 77), 99)


def test_a_rule_takes_limits_by_their_names() -> None:
    assert rule(max_dgrams_in=3).limits.max_dgrams_in == 3
    assert rule().sources == ()
    assert len(rule(clients=(1, 2)).sources[0].hosts.members) == 2


@pytest.mark.parametrize(
    "fields",
    [
        (PROXY, 1, "text"),
        ("text", "R"),
        (b"\2\0", "R"),
        (PROXY, 5),
    ],
)
def test_a_record_of_another_shape_is_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(WrongRecordError):
        check_record(LogRecord("no-plug-to", 0, fields))
    check_record(LogRecord("no-plug-to", 0, (PROXY, "R")))
    check_record(LogRecord("no-plug-to", 0, (None, None)))


def test_a_diary_gives_what_was_written_once() -> None:
    diary = Diary()
    diary.journal.note("no-plug-to", 0, PROXY, "R")
    diary.journal.note("level", 0, 6)
    assert [record.event for record in diary.take("level")] == ["level"]
    assert diary.take() == []


def test_looking_into_a_pool_takes_nothing() -> None:
    with Pool(3) as pool:
        permits, _ = pool.permits()
        permits.take()
        assert [pool.free(), pool.free()] == [2, 2]
