from __future__ import annotations

import socket
import struct

import pytest

from proxyd.control.protocol import NUMBER, ListenerState, RuleState, Slots
from proxyd.control.sessions import (
    Filter,
    Reader,
    Session,
    SessionError,
    parse_peer,
    select,
    session_id,
    split_port,
)
from workers.contract.slots import SLOT

S = 10**9
NOW = 1000 * S
RULES = [
    RuleState("A", True, "normal", None, None, None, None, 300 * S, None, None, 60 * S),
    RuleState("B", True, "one-way", None, None, None, None, None, None, None, None),
]
LISTENERS = [ListenerState("[127.0.0.1]:53", False, None)]


def sock4(address: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(address))


def sock6(address: str, port: int) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16sI", port, 0, packed, 0)


CLIENT = sock4("10.0.0.7", 40000)


def record(
    slot: int = 7, kind: int = 1, rule: int = 0, client: bytes = CLIENT, last_in: int = 0, last_out: int = 0
) -> bytes:
    fields = (
        *(1, kind, 1, 4, 0),
        *(NOW - 100 * S, last_in or NOW - 30 * S, last_out or NOW - 20 * S, 0),
        *(3, 4, 300, 400, 310, 400, rule, 1),
        client,
        sock4("127.0.0.1", 53),
        sock4("192.0.2.1", 53),
        sock4("127.0.0.1", 5555),
    )
    return NUMBER.pack(slot) + SLOT.pack(*fields)


def read(*records: bytes, worker: int = 2) -> list[Session]:
    return list(Reader(RULES, LISTENERS).read(Slots(worker, NOW, b"".join(records))))


def test_a_record_becomes_a_session_with_all_that_is_known() -> None:
    (session,) = read(record())
    assert (session.worker, session.slot, session.began_ns) == (2, 7, NOW - 100 * S)
    assert (session.client, session.destination) == ("[10.0.0.7]:40000", "[127.0.0.1]:53")
    assert (session.server, session.local) == ("[192.0.2.1]:53", "[127.0.0.1]:5555")
    assert (session.acl, session.type, session.listener, session.transparent) == ("A", "normal", "[127.0.0.1]:53", True)
    assert (session.age_s, session.idle_s, session.idle_in_s, session.idle_out_s) == (100, 20, 30, 20)
    assert (session.ends_in_s, session.ends_by) == (40, "timeout-both")
    assert (session.datagrams_in, session.datagrams_out) == (3, 4)
    assert (session.bytes_in, session.bytes_out, session.received_bytes_in) == (300, 400, 310)


def test_the_limit_that_comes_first_is_the_one_that_ends_it() -> None:
    (session,) = read(record(last_in=NOW, last_out=NOW))
    assert (session.ends_in_s, session.ends_by) == (60, "timeout-both")
    late = Reader([RuleState("A", True, "normal", None, None, None, None, 120 * S, 50 * S, None, 60 * S)], LISTENERS)
    (session,) = late.read(Slots(0, NOW, record(last_in=NOW - 40 * S, last_out=NOW)))
    assert (session.ends_in_s, session.ends_by) == (10, "timeout-in")


def test_a_rule_without_time_limits_never_ends_it_by_time() -> None:
    (session,) = read(record(rule=1))
    assert (session.acl, session.ends_in_s, session.ends_by) == ("B", None, None)


def test_addresses_of_version_6_and_none_at_all_are_shown() -> None:
    (session,) = read(record(client=sock6("2001:db8::1", 9)))
    assert session.client == "[2001:db8::1]:9"
    (session,) = read(record(client=bytes(28)))
    assert session.client == "-"


def test_what_is_being_written_is_left_out_and_the_rest_is_read() -> None:
    torn = record(client=b"\xff" * 28)
    assert [session.slot for session in read(record(1), torn, record(3), b"rest")] == [1, 3]


def test_numbers_beyond_the_tables_are_shown_as_they_are() -> None:
    (session,) = read(record(kind=200, rule=99))
    assert (session.acl, session.type, session.ends_in_s) == ("#99", "?", None)


def test_an_id_names_worker_and_slot_and_no_other_session_of_that_slot() -> None:
    first, second = session_id(2, 7, 123_456_789_000), session_id(2, 7, 123_456_790_000)
    assert first.rpartition(".")[0] == "2.7"
    assert first != second
    assert session_id(0, 1, 0) == "0.1.00000"


# --- choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.7", ("10.0.0.7", None)),
        ("10.0.0.7:53", ("10.0.0.7", 53)),
        ("[10.0.0.7]:53", ("10.0.0.7", 53)),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[::1]:53", ("::1", 53)),
        (":53", ("", 53)),
        ("10.0.0.0/8:53", ("10.0.0.0/8", 53)),
    ],
)
def test_an_address_is_split_from_its_port(text: str, found: tuple[str, int | None]) -> None:
    assert split_port(text) == found


@pytest.mark.parametrize("text", ["10.0.0.7:x", "10.0.0.7:70000", "10.0.0.7:", "[::1]:-1"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SessionError, match="wanted a number up to 65535"):
        split_port(text)


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.300", "10.0.0.0/33"])
def test_a_host_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SessionError, match="wanted an address"):
        parse_peer(text)


@pytest.mark.parametrize(
    ("wanted", "slots"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(client=parse_peer("10.0.0.0/8")), [1, 2]),
        (Filter(client=parse_peer("10.0.0.2")), [2]),
        (Filter(client=parse_peer("[2001:db8::]/32")), [3]),
        (Filter(client=parse_peer(":9")), [3]),
        (Filter(client=parse_peer("10.0.0.0/8:9")), []),
        (Filter(server=parse_peer("192.0.2.1:53")), [1, 2, 3]),
        (Filter(acl="B"), [2]),
        (Filter(type="one-way"), [2]),
        (Filter(worker=1), []),
        (Filter(idle_s=20), [1, 2, 3]),
        (Filter(idle_s=20.1), []),
        (Filter(older_s=100, acl="A"), [1, 3]),
        (Filter(ids=("2.1", "2.3")), [1, 3]),
        (Filter(ids=("2",)), []),
        (Filter(ids=(session_id(2, 2, NOW - 100 * S),)), [2]),
        (Filter(ids=(session_id(2, 2, NOW - 101 * S),)), []),
    ],
)
def test_a_filter_means_the_sessions_that_fit_all_it_says(wanted: Filter, slots: list[int]) -> None:
    found = read(
        record(1, client=sock4("10.0.0.1", 1)),
        record(2, kind=0, rule=1, client=sock4("10.0.0.2", 2)),
        record(3, client=sock6("2001:db8::1", 9)),
    )
    assert [session.slot for session in select(found, wanted, "client")] == slots


def test_only_a_filter_that_says_nothing_is_empty() -> None:
    assert Filter().empty
    assert not Filter(worker=0).empty
    assert not Filter(ids=("0.1",)).empty


def test_sessions_are_sorted_and_cut() -> None:
    found = read(
        record(1, last_out=NOW - 5 * S), record(2, last_out=NOW - 25 * S, last_in=NOW - 28 * S), record(3, rule=1)
    )
    assert [session.slot for session in select(found, Filter(), "idle")] == [2, 3, 1]
    assert [session.slot for session in select(found, Filter(), "ends", 2)] == [2, 1]
    assert select(found, Filter(), limit=0) == []
