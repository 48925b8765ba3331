"""What a worker entrusts to the parent: its sessions' sockets, in batches, and word of those that have ended.

Nothing here waits but `hand_over`: what the parent has no room for is said later, and a session that ends in the
meantime is never mentioned. Ends are told first, so that a slot's new session comes after the old one's end.
Source: workers.contract.custody.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterable

from workers.contract.custody import BATCH, Entrusted, Entry, Released, say
from workers.deadlines import NEVER
from workers.session.session import Session

RETRY_NS = 20_000_000
"""How long a parent that had no room is left alone."""
RELEASE_NS = 100_000_000
"""How long word of an end waits for company: the socket takes nothing any more (workers.net.upstream)."""
RELEASES = 4096
"""Slots in one message at most: they fit whatever their numbers."""
HAND_OVER_NS = 2_000_000_000
"""How long a worker that freezes waits for room, at most; the parent gives it three seconds in all."""
PAUSE_S = 0.005


class Custodian:
    """One worker's. describe: returns the note with which a session is entrusted (workers.session.saved)."""

    def __init__(self, custody: socket.socket, describe: Callable[[Session], bytes]) -> None:
        self._custody = custody
        self._describe = describe
        self._waiting: deque[Session] = deque()
        self._released: list[int] = []
        self._since_ns = NEVER
        self._retry_ns = 0

    def entrust(self, sessions: Iterable[Session]) -> None:
        """See that the parent gets the sockets of sessions; their slots are written already."""
        self._waiting.extend(sessions)

    def release(self, slots: Iterable[int]) -> None:
        """See that the parent hears which sessions have ended; one that it never had does not matter."""
        self._released.extend(slots)

    def tend(self, now_ns: int) -> int:
        """Say what is due, as far as there is room; return when to call again, NEVER if only for news.

        Raises ChannelClosedError when the parent is gone.
        """
        if now_ns < self._retry_ns:
            return self._retry_ns
        if not self._waiting:
            if not self._released:
                return NEVER
            self._since_ns = min(self._since_ns, now_ns)
            if now_ns < self._since_ns + RELEASE_NS:
                return self._since_ns + RELEASE_NS
        if self.say_all():
            self._since_ns = NEVER
            return NEVER
        self._shrink()
        self._retry_ns = now_ns + RETRY_NS
        return self._retry_ns

    def _shrink(self) -> None:
        """Forget what need not be said any more: a parent may be deaf for long, and sessions come and go."""
        self._waiting = deque(session for session in self._waiting if session.sock is not None)
        self._released = list(dict.fromkeys(self._released))

    def say_all(self) -> bool:
        """Say everything now; tell whether there was room for it. Raises ChannelClosedError when the parent is gone."""
        while self._released:
            if not say(self._custody, Released(self._released[:RELEASES])):
                return False
            del self._released[:RELEASES]
        while batch := self._take_batch():
            entries = [Entry(session.slot, session.opened_ns, self._describe(session)) for session in batch]
            if not say(self._custody, Entrusted(entries), [session.sock.fileno() for session in batch]):
                self._waiting.extendleft(reversed(batch))
                return False
        return True

    def _take_batch(self) -> list[Session]:
        """Take the first sessions that have not ended meanwhile."""
        batch: list[Session] = []
        while self._waiting and len(batch) < BATCH:
            session = self._waiting.popleft()
            if session.sock is not None:
                batch.append(session)
        return batch


def hand_over(custodian: Custodian, wait_ns: int = HAND_OVER_NS) -> bool:
    """Say everything, waiting for room as long as it may take; tell whether everything was said."""
    deadline_ns = time.monotonic_ns() + wait_ns
    while not custodian.say_all():
        if time.monotonic_ns() >= deadline_ns:
            return False
        time.sleep(PAUSE_S)
    return True
