"""A reload as who asks for it sees it: what was wrong, or what it would change. Source: proxyctl(8), RELOAD."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxyd.control.client import Connection, RefusedError
from proxyd.control.protocol import AskReload, Change, Changes, Judgements, Mistakes, Notes, Step
from proxyd.control.sessions import session_id
from proxyd.control.tables import count, counted, table


class Judgement(msgspec.Struct, frozen=True):
    """A live session, and whether a configuration would let it in: by which rule, and why or why not.

    names: host names that are not resolved yet, by whose addresses it may be otherwise.
    """

    id: str
    client: str
    destination: str
    accepted: bool
    acl: str | None
    reason: str
    names: list[str]


class Answer(msgspec.Struct, frozen=True):
    """What came of a reload. mistakes: why it was not done, none where it was. notes: what may not be as it was meant,
    or waits for the next start.
    """

    mistakes: list[str]
    notes: list[str]


class Rehearsal(msgspec.Struct, frozen=True):
    """What a reload would change. mistakes: why it would not be taken; then there is nothing else. notes: as above."""

    mistakes: list[str]
    notes: list[str]
    changes: list[Change]
    sessions: list[Judgement]

    @property
    def refused(self) -> list[Judgement]:
        """The live sessions that the configuration would not let in, whatever addresses its names have."""
        return [session for session in self.sessions if not (session.accepted or session.names)]

    @property
    def doubtful(self) -> list[Judgement]:
        """The live sessions of which it cannot be said."""
        return [session for session in self.sessions if session.names]


def order_reload(connection: Connection, tell: Callable[[str], None]) -> Answer:
    """Have the proxy reload, and wait until it has.

    tell: is told how it goes. Raises UnreachableError.
    """
    found = Answer([], [])
    try:
        for reply in connection.ask(AskReload()):
            match reply:
                case Mistakes(lines):
                    found.mistakes.extend(lines)
                case Notes(lines):
                    found.notes.extend(lines)
                case Step(text):
                    tell(text)
    except RefusedError as error:
        if not found.mistakes:
            found.mistakes.append(str(error))
    return found


def ask_rehearsal(connection: Connection) -> Rehearsal:
    """Return what a reload would change. Raises UnreachableError."""
    found = Rehearsal([], [], [], [])
    try:
        for reply in connection.ask(AskReload(dry_run=True)):
            match reply:
                case Mistakes(lines):
                    found.mistakes.extend(lines)
                case Notes(lines):
                    found.notes.extend(lines)
                case Changes(changes):
                    found.changes.extend(changes)
                case Judgements(worker, sessions):
                    found.sessions.extend(
                        Judgement(
                            session_id(worker, session.slot, session.began_ns),
                            session.client,
                            session.destination,
                            session.accepted,
                            session.rule,
                            session.reason,
                            session.names,
                        )
                        for session in sessions
                    )
    except RefusedError as error:
        if not found.mistakes:
            found.mistakes.append(str(error))
    return found


def rehearsal_text(found: Rehearsal) -> str:
    """Return what a reload would change, for people."""
    if found.mistakes:
        return "\n".join(("the configuration would not be taken:", *found.mistakes)) + "\n"
    if found.changes:
        head = table(
            ("WHAT", "", "NAME", ""), [(item.what, item.how, item.name, item.detail) for item in found.changes]
        )
    else:
        head = "nothing would change\n"
    notes = "".join(f"{note}\n" for note in found.notes)
    return "\n".join(filter(None, (head, notes, _sessions_text(found))))


def _sessions_text(found: Rehearsal) -> str:
    refused, doubtful = found.refused, found.doubtful
    kept = counted(len(found.sessions), "session")
    text = f"{kept} would be kept; {count(len(refused))} of them would not be let in anew\n"
    if refused:
        rows = [(item.id, item.client, item.destination, item.acl or "-", item.reason) for item in refused]
        text += table(("SESSION", "CLIENT", "DESTINATION", "ACL", "WHY NOT"), rows)
    if doubtful:
        names = sorted({name for session in doubtful for name in session.names})
        text += f"of {count(len(doubtful))} it cannot be said before these names are resolved: {', '.join(names)}\n"
    return text
