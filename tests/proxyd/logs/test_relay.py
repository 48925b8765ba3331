"""What children log: written when it keeps the contract, refused when not, and shed records told in time."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.logs.relay import (
    BURST_RECORDS,
    CHILD_EVENTS,
    MAX_TRACK,
    SECOND_NS,
    SHED_NOTE_NS,
    MisbehavedError,
    Relay,
)
from proxyd.logs.setup import Logs, open_logs
from workers.contract.catalogue import EVENTS
from workers.contract.messages import MAX_BATCH_RECORDS, LogBatch, LogRecord
from workers.contract.settings import LogSettings, Settings

CLIENT = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", 4711, bytes((10, 0, 0, 1)))
GOOD = LogRecord("table-full", 17, (100, CLIENT))
BLANK = Settings(name="DNS", listeners=(), max_sessions=1, workers=1, acls=())


class Desk:
    """A relay and the file it writes to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "debug"
        debug = LogSettings(file=str(self.path), level=9)
        self.logs: Logs = open_logs(replace(BLANK, debug_log=debug, stats_log=debug), False, "DNS")
        self.relay = Relay(self.logs)

    def lines(self) -> list[str]:
        """Return the lines written, from their ident on."""
        self.logs.flush()
        return [line[line.index("DNS[") :] for line in self.path.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.logs.close()


def test_records_are_written_in_order_with_process_and_track(desk: Desk) -> None:
    other = LogRecord("no-plug-to", 18, (CLIENT, "INTOK"))
    desk.relay.deliver(LogBatch([GOOD, other], 0), 2018, 0)
    assert desk.lines() == [
        "DNS[2018.17]: UDPP-720-W Session table full (100), datagram from [10.0.0.1]:4711 dropped",
        "DNS[2018.18]: UDPP-730-E No plug-to for non-transparent session, CLIENT=[10.0.0.1]:4711 ACL=INTOK",
    ]


@pytest.mark.parametrize(("at_ns", "ago_s"), [(99_000_000_000, 1), (0, 0), (101_000_000_000, 0), (5, 60)])
def test_a_line_has_the_time_at_which_it_happened(tmp_path: Path, at_ns: int, ago_s: int) -> None:
    path = tmp_path / "debug"
    debug = LogSettings(file=str(path), level=9, json=True)
    logs = open_logs(replace(BLANK, debug_log=debug, stats_log=debug), False, "DNS")
    before = time.time()
    Relay(logs).deliver(LogBatch([LogRecord("table-full", 17, (100, CLIENT), at_ns)], 0), 2018, 100_000_000_000)
    after = time.time()
    logs.close()
    happened = datetime.fromisoformat(json.loads(path.read_text())["time"]).timestamp()
    assert before - ago_s - 0.001 <= happened <= after - ago_s


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (LogRecord("no-such-event", 0, ()), "event 'no-such-event' is not a child's"),
        (LogRecord("terminating", 0, ("I say so",)), "event 'terminating' is not a child's"),
        (LogRecord("child-misbehaved", 0, ("worker 1", "it")), "event 'child-misbehaved' is not a child's"),
        (LogRecord("shed", 0, (1,)), "event 'shed' is not a child's"),
        (LogRecord("table-full", 0, (1,)), "table-full: 1 fields, wants 2"),
        (LogRecord("table-full", 0, ("many", CLIENT)), "table-full: wants a number, got str"),
        (LogRecord("table-full", 0, (1, b"?")), "table-full: no socket address has 1 bytes"),
        (LogRecord("table-full", -1, (1, CLIENT)), "table-full: track -1"),
        (LogRecord("table-full", MAX_TRACK + 1, (1, CLIENT)), "table-full: track 100000"),
    ],
)
def test_a_record_that_breaks_the_contract_ends_the_batch(desk: Desk, record: LogRecord, reason: str) -> None:
    with pytest.raises(MisbehavedError, match=f"^{re.escape(reason)}$"):
        desk.relay.deliver(LogBatch([GOOD, record, GOOD], 0), 2018, 0)
    assert len(desk.lines()) == 1


def test_too_many_records_are_refused_unread(desk: Desk) -> None:
    desk.relay.deliver(LogBatch([GOOD] * MAX_BATCH_RECORDS, 0), 2018, 0)
    assert len(desk.lines()) == MAX_BATCH_RECORDS
    with pytest.raises(MisbehavedError, match="a batch of 513 records"):
        desk.relay.deliver(LogBatch([GOOD] * (MAX_BATCH_RECORDS + 1), 0), 2018, 0)
    assert len(desk.lines()) == MAX_BATCH_RECORDS


@pytest.mark.parametrize("shed", [-1, 2**60])
def test_a_nonsensical_count_is_refused(desk: Desk, shed: int) -> None:
    with pytest.raises(MisbehavedError, match="records shed"):
        desk.relay.deliver(LogBatch([], shed), 2018, 0)
    assert desk.relay.shed == 0


def test_a_child_may_log_its_traceback_and_all_of_the_sessions(desk: Desk) -> None:
    assert {"traceback", "acl", "session-start", "session-end", "rejected", "payload"} <= CHILD_EVENTS
    desk.relay.deliver(LogBatch([LogRecord("traceback", 0, ("worker 0", "a\n  b"))], 0), 2018, 0)
    assert desk.lines() == ["DNS[2018.0]: UDPS-513-C Unforeseen error in worker 0: a\\x0a  b"]


# --- shed records ------------------------------------------------------------------------------------------------


def test_shed_records_are_told_once_a_second_at_most(desk: Desk) -> None:
    for now_ns, shed in ((0, 5), (1, 6), (SHED_NOTE_NS - 1, 7)):
        desk.relay.deliver(LogBatch([], shed), 2018, now_ns)
    assert [line.split("UDPS-730-W ")[1] for line in desk.lines()] == ["5 log records shed: more than the log may take"]
    desk.relay.tell_shed(SHED_NOTE_NS)
    assert [line.split("UDPS-730-W ")[1].split()[0] for line in desk.lines()] == ["5", "13"]
    assert desk.relay.shed == 18


def test_what_was_shed_last_is_told_at_the_end_however_soon(desk: Desk) -> None:
    for now_ns, shed in ((0, 5), (1, 6)):
        desk.relay.deliver(LogBatch([], shed), 2018, now_ns)
    desk.relay.tell_rest(2)
    desk.relay.tell_rest(3)
    assert [line.split("UDPS-730-W ")[1].split()[0] for line in desk.lines()] == ["5", "6"]


def test_nothing_is_told_when_nothing_was_shed(desk: Desk) -> None:
    desk.relay.deliver(LogBatch([], 0), 2018, 0)
    desk.relay.tell_shed(10 * SHED_NOTE_NS)
    assert desk.lines() == []


FIELD = st.one_of(st.text(max_size=20), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=30), st.none())
RECORD = st.builds(
    LogRecord,
    st.sampled_from([*EVENTS, "", "\n"]),
    st.integers(-1, MAX_TRACK + 1),
    st.lists(FIELD, max_size=6).map(tuple),
)


@given(st.lists(RECORD, max_size=8), st.integers(-1, 3))
def test_any_batch_is_written_or_misbehaved(
    tmp_path_factory: pytest.TempPathFactory, records: list[LogRecord], shed: int
) -> None:
    desk = Desk(tmp_path_factory.mktemp("relay"))
    reason = ""
    try:
        desk.relay.deliver(LogBatch(records, shed), 2018, 0)
    except MisbehavedError as error:
        reason = str(error)
    desk.logs.close()
    assert all(line.isprintable() for line in [reason, *desk.path.read_text().split("\n")])


def test_a_process_that_logs_without_end_has_its_records_shed_and_counted(desk: Desk) -> None:
    batch = LogBatch([GOOD] * MAX_BATCH_RECORDS, 1)
    batches = BURST_RECORDS // MAX_BATCH_RECORDS + 2
    for _ in range(batches):
        desk.relay.deliver(batch, 2018, 0)
    assert desk.relay.shed == batches * (MAX_BATCH_RECORDS + 1) - BURST_RECORDS
    # Another process has a budget of its own, and a second later there is some again.
    desk.relay.deliver(LogBatch([GOOD], 0), 2019, 0)
    desk.relay.deliver(LogBatch([GOOD] * 10, 0), 2018, SECOND_NS)
    assert sum("UDPP-720-W" in line for line in desk.lines()) == BURST_RECORDS + 11
    told = [int(found[1]) for line in desk.lines() if (found := re.search(r"UDPS-730-W (\d+) ", line))]
    assert sum(told) == desk.relay.shed


def test_at_the_end_everything_is_written(desk: Desk) -> None:
    desk.relay.lift()
    for _ in range(BURST_RECORDS // MAX_BATCH_RECORDS + 2):
        desk.relay.deliver(LogBatch([GOOD] * MAX_BATCH_RECORDS, 0), 2018, 0)
    assert desk.relay.shed == 0
    assert len(desk.lines()) > BURST_RECORDS
