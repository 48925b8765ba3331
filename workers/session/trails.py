"""Finds sessions by other things than their client: by an alias, by their server side, by their own echo. Sans-I/O.

Only sessions with a trail are here; plain ones cost nothing. Source: udp-proxy(8); K-41, K-50b, K-51, K-60 to K-62.
"""

from __future__ import annotations

from collections import Counter

from workers.session.kinds import Match
from workers.session.reach import can_answer
from workers.session.session import FlowKey, Session


def host_of(raw: bytes) -> bytes:
    """Return a raw socket address without its port."""
    return raw[:2] + raw[4:]


def counts(session: Session, source: bytes) -> bool:
    """Tell whether a sender on the server side is the session's server, as far as it is known yet (K-30 to K-47)."""
    trail, match = session.trail, session.terms.behaviour.match
    if match is Match.SOCK or (trail is not None and trail.fixed):
        return source == session.target
    return host_of(source) == host_of(session.target) or (match is Match.ANYBODY and can_answer(source))


class Trails:
    """The trails of one worker's sessions. tables: its sessions by listener and key; aliases: how many keys too many.

    Local addresses, senders and echoes are opaque bytes here, equal where they mean the same.
    """

    def __init__(self, tables: tuple[dict[FlowKey, Session], ...]) -> None:
        self.aliases = 0
        self._tables = tables
        self._shared: dict[tuple[bytes, bytes], dict[Session, None]] = {}
        self._echoes: Counter[bytes] = Counter()

    @property
    def sharing(self) -> bool:
        """Whether any session's server side is known by its address."""
        return bool(self._shared)

    def alias(self, session: Session, key: FlowKey) -> None:
        """Find a session by a second key too, unless that is another session's (K-41)."""
        table = self._tables[session.listener]
        if session.trail is not None and session.trail.alias is None and key not in table:
            table[key] = session
            session.trail.alias = key
            self.aliases += 1

    def share(self, session: Session, local: bytes) -> None:
        """Find a session by the address its server side is bound to, and by who sends there."""
        if session.trail is not None:
            session.trail.local = local
            for reach in _reaches(session):
                self._shared.setdefault((local, reach), {})[session] = None

    def find(self, local: bytes, source: bytes) -> Session | None:
        """Return the session whose server is source and whose server side is bound to local; the newest of several.

        Where several could have it, one that has asked the very sender, or at least its host, comes before the others.
        """
        for reach in (source, host_of(source), b""):
            found = self._shared.get((local, reach))
            if found:
                return next(reversed(found))
        return None

    def fix(self, session: Session, server: bytes) -> None:
        """Make the first one that answered the session's server, for good (K-36, K-39)."""
        trail = session.trail
        if trail is not None:
            self._unshare(session, trail.local)
            session.target = server
            trail.fixed = True
            if trail.local is not None:
                self.share(session, trail.local)

    def await_echo(self, session: Session, echo: bytes) -> None:
        """Know what a session sends for our own when it comes back."""
        if session.trail is not None and session.trail.echo is None:
            session.trail.echo = echo
            self._echoes[echo] += 1

    def is_echo(self, echo: bytes) -> bool:
        """Tell whether a datagram is one that a session has sent (K-60)."""
        return echo in self._echoes

    def forget(self, session: Session) -> None:
        """Find a session no more by anything that is known here."""
        trail = session.trail
        if trail is None:
            return
        self._unshare(session, trail.local)
        if trail.alias is not None:
            del self._tables[session.listener][trail.alias]
            self.aliases -= 1
        if trail.echo is not None:
            self._echoes[trail.echo] -= 1
            if not self._echoes[trail.echo]:
                del self._echoes[trail.echo]
        trail.alias = trail.echo = trail.local = None

    def _unshare(self, session: Session, local: bytes | None) -> None:
        if local is None:
            return
        for place in ((local, reach) for reach in _reaches(session)):
            del self._shared[place][session]
            if not self._shared[place]:
                del self._shared[place]


def _reaches(session: Session) -> tuple[bytes, ...]:
    """Return how much of a sender's address a session goes by: all of it, all but the port, or nothing, too."""
    trail, match = session.trail, session.terms.behaviour.match
    if match is Match.SOCK or (trail is not None and trail.fixed):
        return (session.target,)
    host = host_of(session.target)
    return (host,) if match is Match.HOST else (host, b"")
