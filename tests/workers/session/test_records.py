"""What the engine writes: every occasion, in the fields the catalogue wants (the diary checks), and how often."""

from __future__ import annotations

import pytest

from tests.kit.session_parts import PROXY, SECOND, Diary, client, rule, server
from workers.contract.messages import LogRecord
from workers.contract.settings import AclSettings, SessionKind
from workers.contract.slots import CLOSE_WORDS, CloseReason, DropReason
from workers.session.records import REJECTIONS_A_SECOND, Records
from workers.session.session import Grant, Session, Terms

T0 = 3 * SECOND


def session(acl: AclSettings) -> Session:
    made = Session(Terms.of(acl), T0, 0, 42)
    made.listener, made.key, made.client, made.destination, made.target = 0, b"", client(1), PROXY, server()
    made.transparent, made.grant = False, Grant(acl, None)
    return made


def written(diary: Diary) -> LogRecord:
    (record,) = diary.take()
    return record


@pytest.mark.parametrize(
    ("acl", "name", "verdict"),
    [(None, None, "REJECTED"), (rule("NO", accept=False), "NO", "REJECTED"), (rule("YES"), "YES", "ACCEPTED")],
)
def test_a_search_tells_the_rule_and_its_verdict(acl: AclSettings | None, name: str | None, verdict: str) -> None:
    diary = Diary()
    Records(diary.journal).searched(client(1), PROXY, Grant(acl, None))
    assert written(diary) == LogRecord("acl", 0, (client(1), PROXY, 0, None, name, verdict))


def test_a_start_tells_who_and_what() -> None:
    diary = Diary()
    Records(diary.journal).started(session(rule(kind=SessionKind.ONE_WAY)))
    assert written(diary) == LogRecord("session-start", 42, (client(1), server(), 0, None, "one-way"))


RESULTS = {
    **dict.fromkeys(CloseReason, ("ACCEPTED", "ACCEPTED", "OK")),
    **dict.fromkeys(
        (CloseReason.DGRAMS_OUT, CloseReason.DGRAMS_IN, CloseReason.BYTES_OUT, CloseReason.BYTES_IN),
        ("ACCEPTED", "ACCEPTED", "ABORTED"),
    ),
    CloseReason.ONE_WAY_REPLY: ("ACCEPTED", "ACCEPTED", "ABORTED"),
    CloseReason.FAILURE: ("FAILED", "ACCEPTED", "FAILED"),
}


@pytest.mark.parametrize("reason", CloseReason)
def test_an_end_tells_its_reason_and_its_result(reason: CloseReason) -> None:
    diary = Diary()
    Records(diary.journal).ended(session(rule("X")), reason, T0 + SECOND)
    record = written(diary)
    assert record.fields[4:9] == (CLOSE_WORDS[reason], *RESULTS[reason], "X")
    assert record.fields[-1] == SECOND


def test_a_wrong_source_is_told_at_level_seven_only() -> None:
    for level, count in ((6, 0), (7, 1)):
        diary = Diary(level)
        Records(diary.journal).wrong_source(session(rule()), server(2))
        assert [record.fields for record in diary.take()] == [(server(2), server())] * count


def test_a_failed_session_tells_the_step() -> None:
    diary = Diary()
    Records(diary.journal).failed(session(rule()), "bind", "Address already in use")
    assert written(diary).fields == (client(1), server(), "bind", "Address already in use")


def test_a_full_table_is_told_once_a_second_k84() -> None:
    diary = Diary()
    records = Records(diary.journal)
    for now_ns in (0, SECOND - 1, SECOND, 2 * SECOND - 1):
        records.table_full(client(1), PROXY, Grant(rule("R"), None), 7, 5, now_ns)
    assert [record.fields for record in diary.take("table-full")] == [(5, client(1))] * 2


def test_a_client_that_finds_the_table_full_has_its_record() -> None:
    diary = Diary()
    records = Records(diary.journal)
    for _ in range(2):
        records.table_full(client(1), PROXY, Grant(rule("R"), None, user="jan", client_name="pc.test"), 7, 5, T0)
    (record,) = diary.take("rejected")
    hosts = ("pc.test", PROXY)
    assert record.fields == (client(1), PROXY, "jan", "ACCEPTED", "FAILED", "R", 0, 7, 0, 0, *hosts, 0)


def test_an_end_tells_the_names_of_both_sides_where_they_are_known() -> None:
    diary = Diary()
    ending = session(rule("X"))
    Records(diary.journal).ended(ending, CloseReason.SHUTDOWN, T0)
    assert written(diary).fields[-3:-1] == (client(1), server())
    ending.grant = Grant(rule("X"), None, client_name="pc.test", server_name="ns.test")
    Records(diary.journal).ended(ending, CloseReason.SHUTDOWN, T0)
    assert written(diary).fields[-3:-1] == ("pc.test", "ns.test")


@pytest.mark.parametrize(
    ("refusal", "status", "result", "other"),
    [
        (DropReason.REJECTED, "REJECTED", "OK", []),
        (DropReason.NO_PLUG_TO, "ACCEPTED", "FAILED", ["no-plug-to"]),
        (DropReason.NO_TARGET, "ACCEPTED", "FAILED", ["session-failed"]),
        (DropReason.NO_SOURCE, "REJECTED", "OK", ["session-failed"]),
    ],
)
def test_a_refusal_has_its_record_and_its_line(refusal: DropReason, status: str, result: str, other: list[str]) -> None:
    diary = Diary()
    Records(diary.journal).refused(client(1), PROXY, Grant(rule("R"), refusal), 12, T0)
    *lines, record = diary.take()
    assert [line.event for line in lines] == other
    assert record.fields == (client(1), PROXY, None, status, result, "R", 0, 12, 0, 0, client(1), PROXY, 0)


def test_a_session_without_a_source_names_the_server_it_was_for_k54() -> None:
    diary = Diary()
    grant = Grant(rule("R"), DropReason.NO_SOURCE, target=server(7))
    Records(diary.journal).refused(client(1), PROXY, grant, 12, T0)
    assert diary.take("session-failed")[0].fields[:3] == (client(1), server(7), "source-address")


def test_a_refused_client_has_one_record_a_second() -> None:
    diary = Diary()
    records = Records(diary.journal)
    for now_ns in (T0, T0 + SECOND - 1, T0 + SECOND):
        for number in (1, 2):
            records.refused(client(number), PROXY, Grant(None, DropReason.REJECTED), 1, now_ns)
    assert [record.fields[0] for record in diary.take()] == [client(1), client(2)] * 2


def test_a_flood_of_refused_clients_is_not_recorded_without_bounds() -> None:
    diary = Diary()
    records = Records(diary.journal)
    for number in range(REJECTIONS_A_SECOND + 10):
        records.refused(client(number), PROXY, Grant(None, DropReason.REJECTED), 1, T0)
    assert len(diary.take("rejected")) == REJECTIONS_A_SECOND


def test_what_decided_a_search_is_told_at_level_eight_only() -> None:
    for level, count in ((7, 0), (8, 1)):
        diary = Diary(level)
        Records(diary.journal).traced(Grant(rule("R"), None), ("#1:*", None, "#2:a.test"))
        assert [record.fields for record in diary.take("acl-items")] == [
            ("R", "ACCEPTED", "#1:*", None, "#2:a.test")
        ] * count
