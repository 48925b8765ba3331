"""What who asks for a reload is told: mistakes, that it goes on, what it would change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from proxyd.config.load import load_text
from proxyd.control import protocol
from proxyd.control.protocol import AskReload, Changes, Done, Judgements, Mistakes, Notes, Refused, Reply
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Outcome
from proxyd.daemon.reloading import LINES_A_MESSAGE, SESSIONS_A_MESSAGE, ReloadAnswers
from proxyd.daemon.spawn import Estate
from proxyd.errors import ConfigError, ConfigErrors, Position, ProxydError
from tests.proxyd.daemon.estates import an_estate
from workers.contract.messages import Names, Users
from workers.contract.settings import Address
from workers.contract.slots import SLOT, Counter
from workers.wire.sockaddr import encode

TEXT = """version KERNUN-2_3-RELEASE;
udp-proxy TEST {{
  listen-on {{ non-transparent [127.0.0.1] port 5300; }}
  udpserver {{ max-sessions 100; }}
  {acls}
}}
"""
KEEP = "session-acl KEEP { from [10.0.0.0/8]; accept; plug-to [127.0.0.9] : 53; }"


@dataclass
class Chief:
    """Says what came of reloads, and what a file would be."""

    outcome: Outcome | None = None
    waits: int = 0
    wanted: Reading | ProxydError | None = None
    names: Names | None = None
    single: bool = False

    def reload(self) -> int | None:
        return None if self.single else 5

    def reloaded(self, number: int) -> Outcome | None:
        assert number == 5
        self.waits -= 1
        return self.outcome if self.waits < 0 else None

    def examine(self) -> Reading:
        if isinstance(self.wanted, ProxydError):
            raise self.wanted
        assert self.wanted is not None
        return self.wanted


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    settings = load_text(TEXT.format(acls=KEEP), "f").settings
    with an_estate(tmp_path / "log", acls=settings.acls, max_sessions=100, workers=2) as estate:
        estate.settings = dataclasses.replace(estate.settings, listeners=settings.listeners)
        yield estate


def seat(estate: Estate, worker: int, slot: int, client: str) -> None:
    region = estate.shared.regions[worker]
    region.words[Counter.TOP] = max(region.words[Counter.TOP], slot + 1)
    ends = [encode(Address(4, int(IPv4Address(text))), port) for text, port in ((client, 9), ("127.0.0.1", 5300))]
    SLOT.pack_into(region.memory, region.offset(slot), 1, 1, 0, 4, 0, 70 + slot, *(0,) * 11, *ends, b"", b"")


def ask(estate: Estate, chief: Chief, *, dry_run: bool = False) -> list[Reply | None]:
    found = list(ReloadAnswers(estate, chief).answer(AskReload(dry_run)))
    for reply in found:
        assert reply is None or protocol.decode_reply(protocol.encode(reply)) == reply
    return found


def test_who_asks_is_answered_when_it_is_done(estate: Estate) -> None:
    found = ask(estate, Chief(Outcome(2, 0.0, (), ("f:1:1: a note",)), waits=3))
    assert found == [None, None, None, Notes(["f:1:1: a note"]), Done("generation 2 serves")]


def test_every_mistake_is_told(estate: Estate) -> None:
    lines = tuple(f"f:{line}:1: wrong" for line in range(LINES_A_MESSAGE + 1))
    found = ask(estate, Chief(Outcome(1, 0.0, lines)))
    assert found[:2] == [Mistakes(list(lines[:LINES_A_MESSAGE])), Mistakes([lines[-1]])]
    assert found[2] == Refused("nothing has changed, generation 1 goes on")


def test_one_process_that_does_everything_cannot_reload(estate: Estate) -> None:
    assert ask(estate, Chief(single=True)) == [Refused("one process does everything: that takes a restart")]


def test_a_rehearsal_of_a_broken_file_tells_its_mistakes(estate: Estate) -> None:
    errors = ConfigErrors([ConfigError(Position("f", 3, 4), "", "found x", "")])
    found = ask(estate, Chief(wanted=errors), dry_run=True)
    assert found[0] == Mistakes(["f:3:4: found x"])
    assert isinstance(found[-1], Refused)


def test_a_rehearsal_tells_what_would_change_and_who_would_not_be_let_in(estate: Estate) -> None:
    for slot in range(SESSIONS_A_MESSAGE + 1):
        seat(estate, 0, slot, f"10.0.0.{slot}")
    seat(estate, 1, 3, "10.9.0.1")
    deny = "session-acl DENY { from [10.9.0.0/16]; deny; }"
    settings = load_text(TEXT.format(acls=f"{deny} {KEEP}"), "f").settings
    wanted = Reading(dataclasses.replace(estate.settings, acls=settings.acls, max_sessions=50))
    changes, *judged, done = ask(estate, Chief(wanted=wanted), dry_run=True)
    assert changes == Changes(
        [
            protocol.Change("session-acl", "added", "DENY", ""),
            protocol.Change("setting", "changed", "max-sessions", "100 -> 50"),
        ]
    )
    assert [(part.worker, len(part.sessions)) for part in judged if isinstance(part, Judgements)] == [
        (0, 20),
        (0, 1),
        (1, 1),
    ]
    assert isinstance(judged[0], Judgements)
    assert isinstance(judged[2], Judgements)
    first, (last,) = judged[0].sessions[0], judged[2].sessions
    assert (first.client, first.destination, first.accepted, first.rule) == (
        "[10.0.0.0]:9",
        "[127.0.0.1]:5300",
        True,
        "KEEP",
    )
    assert (last.slot, last.began_ns, last.accepted, last.rule) == (3, 73, False, "DENY")
    assert done == Done()


def test_a_rehearsal_judges_by_who_sits_there_now(estate: Estate) -> None:
    seat(estate, 0, 0, "10.0.0.1")
    seat(estate, 0, 1, "10.0.0.2")
    rule = "session-acl USER { user jane; accept; plug-to [127.0.0.9] : 53; }"
    settings = load_text(TEXT.format(acls=rule), "f").settings

    class Present:
        parts = (Users(True, True, [(4, bytes((10, 0, 0, 2)), "jane", [])]),)

    estate.users = Present()  # type: ignore[assignment]
    wanted = Reading(dataclasses.replace(estate.settings, acls=settings.acls))
    (judged,) = [part for part in ask(estate, Chief(wanted=wanted), dry_run=True) if isinstance(part, Judgements)]
    assert [session.accepted for session in judged.sessions] == [False, True]


def test_a_rehearsal_tells_what_waits_and_whom_it_cannot_judge(estate: Estate) -> None:
    seat(estate, 0, 0, "10.0.0.1")
    rule = "session-acl HOME { from home.example; accept; plug-to [127.0.0.9] : 53; }"
    compiled = load_text(TEXT.format(acls=rule), "f")
    wanted = Reading(dataclasses.replace(estate.settings, acls=compiled.settings.acls), compiled.names, ("a note",))
    estate.names = ("home.example",)
    for names, unknown in ((None, ["home.example"]), (Names({}), [])):
        notes, *_, judged, _ = ask(estate, Chief(wanted=wanted, names=names), dry_run=True)
        assert notes == Notes(["a note"])
        assert isinstance(judged, Judgements)
        assert [(session.accepted, session.names) for session in judged.sessions] == [(False, unknown)]
