"""What passes in sessions that are there: budgets counted down, servers judged, every datagram counted. Sans-I/O.

`pass_known_out` and `pass_singles_in` decide for a whole batch of flows in one loop; the others, for one session's run.
A run is given as the payload sizes of its datagrams, in bytes, in the order of arrival; out is client to server.
Source: udp-proxy(8); K-26 to K-47, K-63 to K-74.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.contract.slots import CloseReason, DropReason
from workers.session.session import FlowKey, Session
from workers.session.table import SessionTable
from workers.session.trails import counts


class Traffic(SessionTable):
    """The traffic of one worker's sessions."""

    def first_out(self, session: Session, size: int, now_ns: int) -> bool:
        """Tell whether the datagram that opened a session passes: it does, unless it exceeds the byte limit at once."""
        bytes_left = session.bytes_out_left - size
        if bytes_left < 0:
            return self.pass_out(session, [size], now_ns) == 1
        session.bytes_out_left = bytes_left
        session.dgrams_out_left -= 1
        stats = self.stats
        stats.received_out += 1
        stats.forwarded_out += 1
        stats.bytes_out += size
        return True

    def pass_known_out(
        self, listener: int, keys: Sequence[FlowKey], sizes: Sequence[int], now_ns: int
    ) -> list[Session]:
        """Pass single datagrams as long as nothing but counting is needed.

        keys, sizes: of each datagram. Returns the sessions of those that pass, all simple and none closing; the
        datagram behind them, if there is one, needs more (`admit`, `lapse` or `pass_out`).
        """
        sessions: list[Session] = []
        for session, size in zip(map(self.tables[listener].get, keys), sizes):  # noqa: B905 - a keyword costs 200 ns
            if session is None or now_ns >= session.check_ns or not session.simple:
                break
            left = session.dgrams_out_left - 1
            bytes_left = session.bytes_out_left - size
            if left <= 0 or bytes_left < 0:
                break
            session.dgrams_out_left = left
            session.bytes_out_left = bytes_left
            session.last_out_ns = now_ns
            sessions.append(session)
        count = len(sessions)
        if count:
            stats = self.stats
            stats.received_out += count
            stats.forwarded_out += count
            stats.bytes_out += sum(sizes if count == len(sizes) else sizes[:count])
        return sessions

    def pass_out(self, session: Session, sizes: list[int], now_ns: int) -> int:
        """Return how many leading datagrams of a client's run pass.

        The caller has made sure with `lapse` that the session's time is not up. If fewer pass than there are,
        the session is closing: the next datagram of the run is the one that exceeded a limit, dropped and counted,
        unless the session closed by reaching both limits; what comes after belongs to a new session.
        """
        count, total = len(sizes), sum(sizes)
        left = session.dgrams_out_left - count
        bytes_left = session.bytes_out_left - total
        session.last_out_ns = now_ns
        if left < 0 or bytes_left < 0:
            return self._ration_out(session, sizes)
        session.dgrams_out_left = left
        session.bytes_out_left = bytes_left
        stats = self.stats
        stats.received_out += count
        stats.forwarded_out += count
        stats.bytes_out += total
        if left == 0 and session.dgrams_in_left == 0:
            session.closing = CloseReason.DGRAMS_REACHED
        return count

    def pass_singles_in(self, sessions: list[Session], sizes: list[int], now_ns: int) -> set[int]:
        """Pass one datagram from each session's server; return which of them (by number) were dropped and counted."""
        aside: set[int] = set()
        count, total = len(sessions), sum(sizes)
        for index, session in enumerate(sessions):
            size = sizes[index]
            left = session.dgrams_in_left - 1
            bytes_left = session.bytes_in_left - size
            if left < 0 or bytes_left < 0 or now_ns >= session.check_ns:
                count -= 1
                total -= size
                if not self.pass_in(session, [size], now_ns):
                    aside.add(index)
                continue
            session.dgrams_in_left = left
            session.bytes_in_left = bytes_left
            session.last_in_ns = now_ns
            if not left and not session.dgrams_out_left:
                session.closing = CloseReason.DGRAMS_REACHED
        stats = self.stats
        stats.received_in += count
        stats.forwarded_in += count
        stats.bytes_in += total
        return aside

    def pass_in(self, session: Session, sizes: list[int], now_ns: int) -> int:
        """Return how many leading datagrams of one server's run pass; the others are dropped and counted.

        If fewer pass than there are, the session is closing, or has just ended.
        """
        if now_ns >= session.check_ns and self.lapse(session, now_ns):
            self._drop_in(session, DropReason.EXPIRED, sizes)
            return 0
        count, total = len(sizes), sum(sizes)
        left = session.dgrams_in_left - count
        bytes_left = session.bytes_in_left - total
        session.last_in_ns = now_ns
        if left < 0 or bytes_left < 0:
            return self._ration_in(session, sizes)
        session.dgrams_in_left = left
        session.bytes_in_left = bytes_left
        stats = self.stats
        stats.received_in += count
        stats.forwarded_in += count
        stats.bytes_in += total
        if left == 0 and session.dgrams_out_left == 0:
            session.closing = CloseReason.DGRAMS_REACHED
        return count

    def judge(self, session: Session, source: bytes, size: int, now_ns: int) -> bool:
        """Tell whether a datagram of any sender is from the session's server; if not, drop and count it.

        If it is, `pass_in` decides on it. source: raw address of the sender. The first to answer may become the target
        (K-36, K-39). Any datagram from its target's address ends a one-way session (K-29, K-30).
        """
        if now_ns >= session.check_ns and self.lapse(session, now_ns):
            self._drop_in(session, DropReason.EXPIRED, [size])
            return False
        if not counts(session, source):
            self._drop_in(session, DropReason.WRONG_SOURCE, [size])
            self._records.wrong_source(session, source)
            return False
        behaviour, trail = session.terms.behaviour, session.trail
        if not behaviour.answers:
            self._drop_in(session, DropReason.ONE_WAY, [size])
            session.closing = CloseReason.ONE_WAY_REPLY
            return False
        if behaviour.fixes and trail is not None and not trail.fixed:
            self.trails.fix(session, source)
        return True

    def refuse_out(self, sizes: list[int], reason: DropReason) -> None:
        """Drop and count datagrams of a client that nobody need judge."""
        self._drop_out(reason, sizes)

    def refuse_stray(self, sizes: list[int]) -> None:
        """Drop and count what a server sent that belongs to no session: it opens none (K-25)."""
        self.stats.received_in += len(sizes)
        self.stats.drops_in[DropReason.NO_SESSION] += len(sizes)

    def refuse_in(self, session: Session, sizes: list[int]) -> None:
        """Drop and count what a server sent behind the datagram that ended its session."""
        self._drop_in(session, DropReason.NO_SESSION, sizes)

    def shed_out(self, session: Session, sizes: list[int]) -> None:
        """Drop and count datagrams of a session's client that go beyond their queue's rate: as if they had not come."""
        self._drop_out(DropReason.SHAPED, sizes)
        session.wasted_out += sum(sizes)

    def shed_in(self, session: Session, sizes: list[int]) -> None:
        """Drop and count datagrams of a session's server that go beyond their queue's rate: as if they had not come."""
        self._drop_in(session, DropReason.SHAPED, sizes)

    def unsent_out(self, session: Session, sizes: list[int], reason: DropReason) -> None:
        """Take back datagrams that `pass_out` let through and that could not be sent."""
        count, total = len(sizes), sum(sizes)
        self.stats.forwarded_out -= count
        self.stats.bytes_out -= total
        self.stats.drops_out[reason] += count
        session.dgrams_out_left += count
        session.bytes_out_left += total
        session.wasted_out += total
        self._reconsider(session)

    def unsent_in(self, session: Session, sizes: list[int], reason: DropReason) -> None:
        """Take back datagrams that `pass_in` let through and that could not be sent."""
        count, total = len(sizes), sum(sizes)
        self.stats.forwarded_in -= count
        self.stats.bytes_in -= total
        self.stats.drops_in[reason] += count
        session.dgrams_in_left += count
        session.bytes_in_left += total
        session.wasted_in += total
        self._reconsider(session)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _drop_out(self, reason: DropReason, sizes: list[int]) -> None:
        self.stats.received_out += len(sizes)
        self.stats.drops_out[reason] += len(sizes)

    def _ration_out(self, session: Session, sizes: list[int]) -> int:
        """Pass a run datagram by datagram, up to the first that exceeds a limit or completes both."""
        stats = self.stats
        for passed, size in enumerate(sizes):
            excess = _excess(session.dgrams_out_left, session.bytes_out_left, size)
            if excess is not None:
                session.closing = (CloseReason.DGRAMS_OUT, CloseReason.BYTES_OUT)[excess]
                session.wasted_out += size
                stats.received_out += 1
                stats.drops_out[DropReason.LIMIT] += 1
                return passed
            session.dgrams_out_left -= 1
            session.bytes_out_left -= size
            stats.received_out += 1
            stats.forwarded_out += 1
            stats.bytes_out += size
            if session.reached():
                session.closing = CloseReason.DGRAMS_REACHED
                return passed + 1
        return len(sizes)

    def _ration_in(self, session: Session, sizes: list[int]) -> int:
        stats = self.stats
        for passed, size in enumerate(sizes):
            excess = _excess(session.dgrams_in_left, session.bytes_in_left, size)
            if excess is not None:
                session.closing = (CloseReason.DGRAMS_IN, CloseReason.BYTES_IN)[excess]
                self._drop_in(session, DropReason.LIMIT, [size])
                self._drop_in(session, DropReason.NO_SESSION, sizes[passed + 1 :])
                return passed
            session.dgrams_in_left -= 1
            session.bytes_in_left -= size
            stats.received_in += 1
            stats.forwarded_in += 1
            stats.bytes_in += size
            if session.reached():
                session.closing = CloseReason.DGRAMS_REACHED
                self._drop_in(session, DropReason.NO_SESSION, sizes[passed + 1 :])
                return passed + 1
        return len(sizes)

    def _drop_in(self, session: Session, reason: DropReason, sizes: list[int]) -> None:
        self.stats.received_in += len(sizes)
        self.stats.drops_in[reason] += len(sizes)
        session.wasted_in += sum(sizes)

    def _reconsider(self, session: Session) -> None:
        """Let a session go on that was to end by reaching its limits, if it has not reached them after all."""
        if session.closing is CloseReason.DGRAMS_REACHED and not session.reached():
            session.closing = None


def _excess(dgrams_left: int, bytes_left: int, size: int) -> int | None:
    """Return which limit a datagram exceeds: 0 datagrams, 1 bytes, None neither. Both: datagrams (K-74)."""
    if dgrams_left < 1:
        return 0
    return 1 if size > bytes_left else None
