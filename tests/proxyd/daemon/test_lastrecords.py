"""What is recorded of sessions that end with the program though their workers have left them to others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxyd.daemon.lastrecords import records
from tests.kit.session_parts import PROXY, SECOND, client, rule, server
from workers.contract.catalogue import EVENTS
from workers.contract.custody import Kept
from workers.contract.settings import Settings
from workers.contract.slots import SLOT, TRACK, TRACK_OFFSET, Counter, Region
from workers.session.saved import Place, write_note
from workers.session.session import Grant, Session, Terms

T0 = 100 * SECOND
NOW = T0 + 9 * SECOND
TERMS = Terms.of(rule())
NOTE = Session(TERMS, T0, 0, 1)
NOTE.grant = Grant(TERMS.rule, None, TERMS, server(), "jane", "client.example", None)
GENERATIONS = {3: Settings("TEST", (), 10, 1, (rule(),))}


@pytest.fixture
def region() -> Iterator[Region]:
    region = Region.create("TEST", 5)
    region.words[Counter.TOP] = 4
    for slot in (0, 1, 3):
        seat(region, slot)
    yield region
    region.unmap()


def seat(region: Region, slot: int, generation: int = 3) -> None:
    start = region.offset(slot)
    counts = (7, 8, 70, 80, 71, 82)
    ends = (client(1), PROXY, server(), server(9))
    SLOT.pack_into(region.memory, start, 1, 1, 1, 4, 0, T0, T0, T0, NOW, *counts, 0, generation, *ends)
    TRACK.pack_into(region.memory, start + TRACK_OFFSET, 40 + slot)


def kept(slot: int, note: bytes = b"") -> Kept:
    return Kept(slot, T0, note, -1)


def test_everybody_has_a_record_whom_nobody_goes_on_with(region: Region) -> None:
    found = list(records(region, [kept(0), kept(1)], [kept(1)], GENERATIONS, NOW))
    assert [track for track, _ in found] == [40, 43]
    assert not list(records(region, [], [kept(0), kept(1), kept(3)], GENERATIONS, NOW))


def test_a_record_has_all_that_a_worker_would_have_written(region: Region) -> None:
    note = write_note(NOTE, Place(PROXY, transparent=False, device=None))
    (_, fields), *_ = records(region, [kept(0, note)], [], GENERATIONS, NOW)
    found = dict(zip((name for name, _ in EVENTS["session-end"].fields), fields, strict=True))
    assert str(found["client"]) == str(client(1).ljust(28, b"\0"))
    assert found["server"] == found["server_host"] == server().ljust(28, b"\0")
    assert (found["transparent"], found["user"], found["client_host"]) == (1, "jane", "client.example")
    assert (found["reason"], found["final"], found["status"], found["result"]) == (
        "shutdown",
        "ACCEPTED",
        "ACCEPTED",
        "OK",
    )
    assert found["rule"] == rule().name
    counts = [found[name] for name in ("bytes_cin", "bytes_cout", "bytes_sin", "bytes_sout")]
    assert counts == [70, 82, 71, 80]
    assert found["duration"] == 9 * SECOND


def test_a_note_that_cannot_be_read_and_a_rule_that_nobody_knows_leave_gaps(region: Region) -> None:
    seat(region, 0, generation=4)
    (_, fields), *_ = records(region, [kept(0, b"nonsense")], [], GENERATIONS, NOW)
    found = dict(zip((name for name, _ in EVENTS["session-end"].fields), fields, strict=True))
    assert (found["user"], found["rule"], found["client_host"]) == (None, None, found["client"])
