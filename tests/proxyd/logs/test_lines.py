"""The lines of events: heads, texts, JSON objects, and that no field can break out of its line."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.logs.fields import Field, FieldError
from proxyd.logs.lines import PLANS, Format, Happening, json_time, plan_event, text_time
from workers.contract.catalogue import EVENTS, Event, Kind, Line

NOW = 1_757_317_222.25
"""2025-09-08 07:40:22.250 UTC."""
CLIENT = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", 4711, bytes((10, 0, 0, 1)))
SERVER = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", 53, bytes((192, 0, 2, 1)))
FIELDS: dict[Kind, st.SearchStrategy[Field]] = {
    Kind.TEXT: st.text(st.characters(codec=None)) | st.none(),
    Kind.NUMBER: st.integers(-(2**63), 2**64 - 1),
    Kind.SOCK: st.sampled_from((CLIENT, SERVER, None)),
    Kind.HOST: st.sampled_from((CLIENT, SERVER)) | st.text(),
    Kind.SECONDS: st.integers(0, 2**63 - 1),
    Kind.FLAG: st.sampled_from((0, 1)),
    Kind.UID: st.integers(0, 2**32 - 1),
    Kind.UIDS: st.binary(max_size=200).map(lambda raw: raw[: len(raw) // 4 * 4]),
    Kind.DUMP: st.binary(max_size=64),
}


@pytest.fixture(autouse=True)
def prague(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def render(form: Format, event: str, *fields: Field, track: int = 17) -> list[str]:
    plan = PLANS[event]
    happening = Happening(plan, fields, plan.values(fields), NOW, 2018, track)
    return [form.head(line, happening) + form.body(line, happening) for line in plan.lines]


def session_end(user: str | None = None, client: Field = CLIENT, server: Field = SERVER) -> tuple[Field, ...]:
    words = ("dgrams-reached", "ACCEPTED", "ACCEPTED", "OK", "INTOK")
    return (CLIENT, SERVER, 0, user, *words, 100, 40, 101, 41, client, server, 1_500_000_000)


def test_a_line_of_a_file_has_time_host_and_track() -> None:
    lines = render(Format("udp-proxy", "fw"), "acl", CLIENT, SERVER, 0, None, None, "REJECTED")
    assert lines == [
        "Sep  8 09:40:22 fw udp-proxy[2018.17]: UDPP-821-N ACL PHASE=1 FROM=[10.0.0.1]:4711 TO=[192.0.2.1]:53 "
        "TRANSP=NO USER=<NULL> NAME=<NULL> REJECTED"
    ]


def test_a_line_for_syslog_has_its_priority_and_no_host() -> None:
    lines = render(Format("udp-proxy", "fw", facility=20), "too-many-deaths", track=0)
    assert lines == [
        "<162>Sep  8 09:40:22 udp-proxy[2018.0]: UDPS-510-C Too many terminated children, terminating proxy"
    ]


@pytest.mark.parametrize(("event", "severity"), [("table-full", 4), ("wrong-source", 7), ("payload", 7), ("bound", 6)])
def test_the_priority_follows_the_letter(event: str, severity: int) -> None:
    assert PLANS[event].lines[0].severity == severity


def test_the_end_of_a_session_becomes_a_reason_a_summary_and_a_statistics_record() -> None:
    reason, summary, record = render(Format("p", "h"), "session-end", *session_end())
    assert reason.endswith(": UDPP-712-N Session terminated: dgrams-reached")
    assert summary.endswith(
        ": UDPP-711-I SESSION-END CLIENT=[10.0.0.1]:4711 SERVER=[192.0.2.1]:53 TRANSP=NO USER=<NULL> CMDs=1 "
        "IN=100 OUT=41 TIME=1.500 ACCEPTED"
    )
    assert record.endswith(
        ": UDPP-888-I PROXY-EVENT PROTOCOL=UDP CLIENT=10.0.0.1 CLIENT-IP=10.0.0.1 CLIENT-PORT=4711 SERVER=192.0.2.1 "
        "SERVER-IP=192.0.2.1 SERVER-PORT=53 SERVER-PORT-NAME=domain USER=<NULL> BYTES-CIN=100 BYTES-COUT=40 "
        "BYTES-SIN=101 BYTES-SOUT=41 DURATION=1.500 STATUS=ACCEPTED RESULT=OK RULE=INTOK"
    )
    assert [line.stats for line in PLANS["session-end"].lines] == [False, False, True]


def test_the_statistics_record_has_the_names_of_hosts_where_they_are_known() -> None:
    *_, record = render(Format("p", "h"), "session-end", *session_end(None, "pc.example.com", 'ns "1" RULE=X'))
    assert " CLIENT=pc.example.com CLIENT-IP=10.0.0.1 CLIENT-PORT=4711 " in record
    assert r' SERVER="ns \x221\x22 RULE=X" SERVER-IP=192.0.2.1 ' in record


def test_a_user_with_blanks_is_quoted_in_every_line() -> None:
    lines = render(Format("p", "h"), "session-end", *session_end("jan STATUS=REJECTED"))
    assert all('USER="jan STATUS=REJECTED"' in line for line in lines[1:])


def test_a_sentence_is_not_quoted() -> None:
    (line,) = render(Format("p", "h"), "terminating", "signal 15 (SIGTERM)")
    assert line.endswith("UDPS-701-K Proxy terminating: signal 15 (SIGTERM)")


def test_a_json_line_has_the_text_and_the_fields() -> None:
    lines = render(Format("DNS", "fw", json=True), "session-end", *session_end("jan novak"))
    last = json.loads(lines[2])
    assert last["message"].startswith("PROXY-EVENT PROTOCOL=UDP CLIENT=10.0.0.1 ")
    assert last["fields"] == {
        "client": "[10.0.0.1]:4711",
        "server": "[192.0.2.1]:53",
        "transparent": False,
        "user": "jan novak",
        "reason": "dgrams-reached",
        "final": "ACCEPTED",
        "status": "ACCEPTED",
        "result": "OK",
        "rule": "INTOK",
        "bytes_cin": 100,
        "bytes_cout": 40,
        "bytes_sin": 101,
        "bytes_sout": 41,
        "client_host": "10.0.0.1",
        "server_host": "192.0.2.1",
        "duration": 1.5,
    }
    del last["message"], last["fields"]
    assert last == {
        "time": "2025-09-08T09:40:22.250+02:00",
        "host": "fw",
        "ident": "DNS",
        "pid": 2018,
        "track": 17,
        "id": "UDPP-888-I",
        "level": "I",
        "event": "session-end",
    }


def test_a_json_line_for_syslog_has_a_head() -> None:
    (line,) = render(Format("DNS", "fw", json=True, facility=21), "started", "0.1.0")
    head, _, body = line.partition(": ")
    assert head == "<174>Sep  8 09:40:22 DNS[2018.17]"
    assert json.loads(body)["message"] == "Proxy 0.1.0 started"


@pytest.mark.parametrize("event", ["acl", "session-end", "payload", "shed"])
def test_another_number_of_fields_is_refused(event: str) -> None:
    fields = (None,) * (len(EVENTS[event].fields) + 1)
    with pytest.raises(FieldError, match=f"{event}: .* fields, wants"):
        PLANS[event].values(fields)


def test_a_field_of_another_type_is_refused_with_its_event() -> None:
    with pytest.raises(FieldError, match="table-full: wants a number, got str"):
        PLANS["table-full"].values(("many", CLIENT))


def test_a_field_that_no_line_shows_is_checked_all_the_same() -> None:
    plan = plan_event(Event("x", (("hidden", Kind.NUMBER),), (Line("UDPP-999-D", "nothing"),)))
    with pytest.raises(FieldError):
        plan.values(("no number",))


def test_a_percent_sign_in_a_text_stays_one() -> None:
    plan = plan_event(Event("x", (("load", Kind.NUMBER),), (Line("UDPP-999-D", "at {load}% of 100%"),)))
    assert plan.lines[0].message(plan.values((7,))) == "at 7% of 100%"


def test_a_placeholder_of_no_field_is_a_mistake_of_the_catalogue() -> None:
    with pytest.raises(KeyError):
        plan_event(Event("x", (), (Line("UDPP-999-D", "{missing}"),)))


def test_only_what_the_level_lets_through_has_a_level() -> None:
    levels = {line.id[-1]: line.level for plan in PLANS.values() for line in plan.lines}
    letters = {"C": 0, "N": 0, "I": 0, "K": 0, "E": 3, "W": 4, "D": 7, "T": 8, "F": 9}
    assert {letter: level for letter, level in levels.items() if not letter.isdigit()} == letters


def test_a_line_of_the_stats_log_is_always_wanted() -> None:
    plan = plan_event(Event("x", (), (Line("UDPP-999-D", "debug"), Line("UDPP-998-D", "statistics", stats=True))))
    assert [line.level for line in plan.lines] == [7, 0]


def test_an_ident_with_a_line_end_is_escaped() -> None:
    (line,) = render(Format("a\nb", "h\r"), "unbound")
    assert line.startswith("Sep  8 09:40:22 h\\x0d a\\x0ab[2018.17]: UDPS-722-K ")


@pytest.mark.parametrize(
    ("now", "expected"),
    [(NOW, "2025-09-08T09:40:22.250+02:00"), (1_700_000_000.0, "2023-11-14T23:13:20.000+01:00")],
)
def test_the_json_time_has_the_offset_of_its_day(now: float, expected: str) -> None:
    assert json_time(now) == expected


def test_a_negative_offset_is_written_with_its_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "NST3:30")
    time.tzset()
    assert json_time(1_234_567_890.5) == "2009-02-13T20:01:30.500-03:30"


def test_the_day_of_a_text_time_is_padded() -> None:
    assert text_time(1_757_317_222) == "Sep  8 09:40:22"
    assert text_time(1_703_000_000) == "Dec 19 16:33:20"


@st.composite
def happenings(draw: st.DrawFn) -> Happening:
    plan = PLANS[draw(st.sampled_from(sorted(PLANS)))]
    fields = tuple(draw(FIELDS[kind]) for _name, kind in plan.event.fields)
    return Happening(plan, fields, plan.values(fields), NOW, 1, 2)


@given(happenings(), st.booleans(), st.sampled_from((None, 20)))
def test_no_line_ever_holds_what_does_not_print(happening: Happening, as_json: bool, facility: int | None) -> None:
    form = Format("udp-proxy", "fw", json=as_json, facility=facility)
    for line in happening.plan.lines:
        whole = form.head(line, happening) + form.body(line, happening)
        assert whole.isprintable()
        whole.encode()


@given(st.text(), st.text())
def test_a_statistics_record_always_has_its_seventeen_keys_in_order(user: str, rule: str) -> None:
    fields = (CLIENT, SERVER, user, "REJECTED", "OK", rule, 0, 0, 0, 0, CLIENT, SERVER, 0)
    (line,) = render(Format("p", "h"), "rejected", *fields)
    unquoted = re.sub(r'"[^"]*"', "Q", line)
    keys = [word.partition("=")[0] for word in unquoted.split("PROXY-EVENT ")[1].split(" ")]
    assert " ".join(keys) == (
        "PROTOCOL CLIENT CLIENT-IP CLIENT-PORT SERVER SERVER-IP SERVER-PORT SERVER-PORT-NAME USER "
        "BYTES-CIN BYTES-COUT BYTES-SIN BYTES-SOUT DURATION STATUS RESULT RULE"
    )
