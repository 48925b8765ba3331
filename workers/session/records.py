"""What the engine writes to the log: one method an occasion, with the fields the catalogue wants. Sans-I/O."""

from __future__ import annotations

from typing import Protocol

from workers.contract.slots import CLOSE_WORDS, CloseReason, DropReason
from workers.session.session import Grant, Session

SECOND_NS = 1_000_000_000
REJECTIONS_A_SECOND = 1024
"""Rejected clients that get a record in the stats log, at most; the ACL record of each stays."""

_FAILED = {DropReason.NO_PLUG_TO, DropReason.NO_TARGET}
_ABORTED = {
    CloseReason.DGRAMS_OUT,
    CloseReason.DGRAMS_IN,
    CloseReason.BYTES_OUT,
    CloseReason.BYTES_IN,
    CloseReason.ONE_WAY_REPLY,
}


class Journal(Protocol):
    """Where events go (workers.journal).

    taking: whether records of sessions are written at present; where they are not, they are counted in skipped.
    level: the log's.
    """

    taking: bool
    skipped: int
    level: int

    def takes(self, event: str, *, stranger: bool = False) -> bool:
        """Tell whether an event is written now: put must follow; otherwise it is not wanted, or shed and counted.

        stranger: it is about a client that is not accepted.
        """
        ...

    def put(self, event: str, track: int, *fields: str | int | bytes | None) -> None:
        """Log an event that takes has allowed."""
        ...

    def note(self, event: str, track: int, *fields: str | int | bytes | None) -> None:
        """Log one event of the catalogue, if it is taken."""
        ...


class Records:
    """One worker's session records. journal: where they go."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._table_full_ns = -SECOND_NS
        self._rejected: set[bytes] = set()
        self._rejected_ns = -SECOND_NS

    def searched(self, source: bytes, destination: bytes, grant: Grant, *, transparent: bool = False) -> None:
        """An ACL search: which rule decided, and how."""
        rule = grant.rule
        if self.journal.takes("acl", stranger=grant.refusal is not None):
            verdict = "REJECTED" if rule is None or not rule.accept else "ACCEPTED"
            name = None if rule is None else rule.name
            self.journal.put("acl", 0, source, destination, int(transparent), grant.user, name, verdict)

    def traced(self, grant: Grant, items: tuple[str | None, str | None, str | None]) -> None:
        """What decided a search: of the rule that was found, the items that let client, destination and server in."""
        rule = grant.rule
        if self.journal.takes("acl-items", stranger=grant.refusal is not None):
            verdict = "REJECTED" if rule is None or not rule.accept else "ACCEPTED"
            self.journal.put("acl-items", 0, None if rule is None else rule.name, verdict, *items)

    def refused(self, source: bytes, destination: bytes, grant: Grant, size: int, now_ns: int) -> None:
        """A client that may not have a session; size: payload bytes it sent. In the stats log at most once a second."""
        if grant.refusal is DropReason.NO_PLUG_TO:
            self.journal.note("no-plug-to", 0, source, None if grant.rule is None else grant.rule.name)
        elif grant.refusal is DropReason.NO_TARGET:
            self.journal.note("session-failed", 0, source, destination, "target", "its name has no address")
        elif grant.refusal is DropReason.NO_SOURCE:
            self.journal.note(
                "session-failed", 0, source, grant.target or destination, "source-address", "none that may be used fits"
            )
        self._rejection(source, destination, grant, size, now_ns)

    def _rejection(self, source: bytes, destination: bytes, grant: Grant, size: int, now_ns: int) -> None:
        if now_ns - self._rejected_ns >= SECOND_NS:
            self._rejected.clear()
            self._rejected_ns = now_ns
        if source not in self._rejected and len(self._rejected) < REJECTIONS_A_SECOND:
            self._rejected.add(source)
            name = None if grant.rule is None else grant.rule.name
            failed = grant.refusal is None or grant.refusal in _FAILED
            status, result = ("ACCEPTED", "FAILED") if failed else ("REJECTED", "OK")
            hosts = (grant.client_name or source, destination)
            self.journal.note(
                "rejected", 0, source, destination, grant.user, status, result, name, 0, size, 0, 0, *hosts, 0
            )

    def forbidden(self, session: Session, size: int, now_ns: int) -> None:
        """A broadcast session that could not tell its own datagrams from its client's."""
        self.journal.note("same-interface", session.track, session.client, session.destination)
        self._rejection(session.client, session.destination, session.grant, size, now_ns)

    def table_full(
        self, source: bytes, destination: bytes, grant: Grant, size: int, sessions: int, now_ns: int
    ) -> None:
        """A client that the rules accept and that found no free session. sessions: those of the whole proxy.

        A warning a second at most; in the stats log, as others that were refused.
        """
        if now_ns - self._table_full_ns >= SECOND_NS:
            self._table_full_ns = now_ns
            self.journal.note("table-full", 0, sessions, source)
        self._rejection(source, destination, grant, size, now_ns)

    def started(self, session: Session) -> None:
        """A session that begins."""
        if self.journal.takes("session-start"):
            kind = session.terms.rule.kind.value
            transparent, user = int(session.transparent), session.grant.user
            self.journal.put("session-start", session.track, session.client, session.target, transparent, user, kind)

    def failed(self, session: Session, step: str, reason: str) -> None:
        """A session that could not have its socket."""
        self.journal.note("session-failed", session.track, session.client, session.target, step, reason)

    def wrong_source(self, session: Session, source: bytes) -> None:
        """A datagram from somebody who is not the session's server."""
        self.journal.note("wrong-source", session.track, source, session.target)

    def ended(self, session: Session, reason: CloseReason, now_ns: int) -> None:
        """A session that is over, with all its counts."""
        if not self.journal.takes("session-end"):
            return
        failed = reason is CloseReason.FAILURE
        result = "FAILED" if failed else "ABORTED" if reason in _ABORTED else "OK"
        self.journal.put(
            "session-end",
            session.track,
            session.client,
            session.target,
            int(session.transparent),
            session.grant.user,
            CLOSE_WORDS[reason],
            "FAILED" if failed else "ACCEPTED",
            "ACCEPTED",
            result,
            session.terms.rule.name,
            session.bytes_in,
            session.bytes_out + session.wasted_out,
            session.bytes_in + session.wasted_in,
            session.bytes_out,
            session.grant.client_name or session.client,
            session.grant.server_name or session.target,
            now_ns - session.opened_ns,
        )
