"""The answer to who asks for a reload over the control socket: what is wrong, how far it is, what it would change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from proxyd.control.protocol import (
    AskReload,
    Changes,
    Done,
    Judged,
    Judgements,
    Mistakes,
    Notes,
    Refused,
    Reply,
    Step,
)
from proxyd.daemon.asker import NOBODY, Asker
from proxyd.daemon.reading import Reading, mistakes
from proxyd.daemon.rehearsal import Judge, Seated, changes, seated
from proxyd.daemon.reload import Outcome
from proxyd.daemon.resettling import hindrance
from proxyd.daemon.spawn import Estate
from proxyd.errors import ProxydError
from workers.contract.messages import Names
from workers.contract.settings import Address

WITH_RULES = "udp-proxy"
SESSIONS_A_MESSAGE = 20
"""Judged at once: a few milliseconds."""
LINES_A_MESSAGE = 50
_MAX_CHARS = 1000
_MAX_NAMES = 5
"""Of the names on which a session's fate depends: so many say enough."""
STEP_NS = 3_000_000_000
"""How often who waits hears that it goes on."""


class Reloads(Protocol):
    """Who carries orders to the children."""

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not known yet."""
        ...

    def reload(self) -> int | None:
        """Read the configuration again; return the number by which `reloaded` knows it, None where that cannot be."""
        ...

    def reloaded(self, number: int) -> Outcome | None:
        """Return what came of a reload, None while it is under way."""
        ...

    def examine(self) -> Reading:
        """Read the configuration again and change nothing. Raises ProxydError where it would not be taken."""
        ...


class ReloadAnswers:
    """Answers for one proxy."""

    def __init__(self, estate: Estate, conductor: Reloads) -> None:
        self._estate = estate
        self._conductor = conductor

    def answer(self, request: AskReload, _asker: Asker = NOBODY) -> Iterator[Reply | None]:
        """Yield the answer; None: not there yet."""
        return self._rehearse() if request.dry_run else self._reload()

    def _reload(self) -> Iterator[Reply | None]:
        number = self._conductor.reload()
        if number is None:
            yield Refused("one process does everything: that takes a restart")
            return
        said_ns = time.monotonic_ns()
        while (outcome := self._conductor.reloaded(number)) is None:
            if time.monotonic_ns() - said_ns >= STEP_NS:
                said_ns = time.monotonic_ns()
                yield Step("children are being renewed")
            yield None
        yield from _in_parts(Mistakes, outcome.mistakes)
        if outcome.mistakes:
            yield Refused(f"nothing has changed, generation {outcome.generation} goes on")
        else:
            yield from _in_parts(Notes, outcome.notes)
            yield Done(f"generation {outcome.generation} serves")

    def _rehearse(self) -> Iterator[Reply | None]:
        try:
            reading = self._conductor.examine()
        except ProxydError as error:
            yield from _in_parts(Mistakes, mistakes(error))
            yield Refused("a reload would change nothing, for the configuration would not be taken")
            return
        yield from _in_parts(Notes, reading.warnings)
        found = changes(self._estate.settings, reading.settings, hindrance(self._estate, reading.settings))
        while part := list(islice(found, LINES_A_MESSAGE)):
            yield Changes(part)
        if self._estate.settings.program == WITH_RULES:
            yield from self._judge(reading)
        yield Done()

    def _judge(self, reading: Reading) -> Iterator[Reply | None]:
        names = self._conductor.names
        book = {
            name: frozenset(Address(version, int.from_bytes(value)) for version, value in addresses)
            for name, addresses in (names.addresses if names is not None else {}).items()
        }
        tried = () if names is None else self._estate.names
        judge = Judge(reading.settings, book, frozenset(reading.names) - frozenset(tried))
        users, when = self._users(), now()
        for worker, region in enumerate(self._estate.shared.regions):
            found = seated(region)
            while part := list(islice(found, SESSIONS_A_MESSAGE)):
                yield Judgements(worker, [_judged(judge, session, users, when) for session in part])

    def _users(self) -> dict[Address, tuple[str, frozenset[str]]]:
        users = self._estate.users
        return {
            Address(version, int.from_bytes(value)): (user, frozenset(groups))
            for part in (() if users is None else users.parts)
            for version, value, user, groups in part.entries
        }


def now() -> tuple[int, int, int, int]:
    """Return month, day, weekday (0 is Sunday) and minute of the day in local time."""
    present = time.localtime()
    return present.tm_mon, present.tm_mday, (present.tm_wday + 1) % 7, present.tm_hour * 60 + present.tm_min


def _judged(
    judge: Judge,
    session: Seated,
    users: dict[Address, tuple[str, frozenset[str]]],
    when: tuple[int, int, int, int],
) -> Judged:
    user, groups = users.get(session.client, (None, frozenset()))
    finding, names = judge.judge(session, user, groups, when)
    return Judged(
        slot=session.slot,
        began_ns=session.opened_ns,
        client=session.client_text,
        destination=session.destination_text,
        accepted=finding.accepted,
        rule=None if finding.rule is None else finding.rule.name,
        reason=finding.reason,
        names=list(names[:_MAX_NAMES]),
    )


def _in_parts(kind: type[Mistakes] | type[Notes], lines: tuple[str, ...]) -> Iterator[Mistakes | Notes]:
    for start in range(0, len(lines), LINES_A_MESSAGE):
        yield kind([line[:_MAX_CHARS] for line in lines[start : start + LINES_A_MESSAGE]])
