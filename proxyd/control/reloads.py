"""A reload as who asks for it sees it: what was wrong, or what it would change. Source: proxyctl(8), RELOAD."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxyd.control.client import Connection, RefusedError
from proxyd.control.protocol import AskReload, Change, Changes, Judgements, Mistakes, Step
from proxyd.control.sessions import session_id
from proxyd.control.tables import count, table


class Judgement(msgspec.Struct, frozen=True):
    """A live session, and whether a configuration would let it in: by which rule, and why or why not."""

    id: str
    client: str
    destination: str
    accepted: bool
    acl: str | None
    reason: str


class Rehearsal(msgspec.Struct, frozen=True):
    """What a reload would change. mistakes: why it would not be taken; then there is nothing else."""

    mistakes: list[str]
    changes: list[Change]
    sessions: list[Judgement]

    @property
    def refused(self) -> list[Judgement]:
        """The live sessions that the configuration would not let in."""
        return [session for session in self.sessions if not session.accepted]


def order_reload(connection: Connection, tell: Callable[[str], None]) -> list[str]:
    """Have the proxy reload, and wait until it has; return what is wrong, nothing where it is done.

    tell: is told how it goes. Raises UnreachableError.
    """
    found: list[str] = []
    try:
        for reply in connection.ask(AskReload()):
            if isinstance(reply, Mistakes):
                found += reply.lines
            elif isinstance(reply, Step):
                tell(reply.text)
    except RefusedError as error:
        return found or [str(error)]
    return []


def ask_rehearsal(connection: Connection) -> Rehearsal:
    """Return what a reload would change. Raises UnreachableError."""
    found = Rehearsal([], [], [])
    try:
        for reply in connection.ask(AskReload(dry_run=True)):
            match reply:
                case Mistakes(lines):
                    found.mistakes.extend(lines)
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
    refused = found.refused
    tail = f"{count(len(found.sessions))} sessions go on; {count(len(refused))} of them would not be let in anew\n"
    rows = [(item.id, item.client, item.destination, item.acl or "-", item.reason) for item in refused]
    return f"{head}\n{tail}" + (table(("SESSION", "CLIENT", "DESTINATION", "ACL", "WHY NOT"), rows) if rows else "")
