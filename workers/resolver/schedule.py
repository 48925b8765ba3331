"""When which name is asked for again, and what is believed of it in the meantime. The clock is an argument.

A name is asked for again when its time to live is over, but not more often than once a minute nor less often than once
a day; every ten minutes where no time to live is known. After a failure its old addresses stay, and it is asked for
again a minute later. Times are nanoseconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from workers.contract.settings import Address
from workers.deadlines import NEVER
from workers.policy.hostset import NameBook
from workers.resolver.lookup import Answer

SECOND_NS = 1_000_000_000
SHORTEST_NS = 60 * SECOND_NS
LONGEST_NS = 24 * 3600 * SECOND_NS
UNKNOWN_NS = 600 * SECOND_NS
RETRY_NS = 60 * SECOND_NS


class Turn(Enum):
    """What an answer means for the log."""

    NOTHING = "nothing"
    LOST = "lost"
    """The name does not resolve: at first, or any more."""
    FOUND = "found"
    """The name resolves again."""


class Change(NamedTuple):
    """What an answer changed; addresses: whether they are others now."""

    addresses: bool
    turn: Turn


@dataclass(slots=True)
class _Entry:
    """One name; resolved is None until the first answer."""

    addresses: frozenset[Address]
    due_ns: int
    resolved: bool | None = None


class Schedule:
    """All names of a configuration, due at once at first.

    known: addresses from earlier, believed until then; where there are any, all names have been asked for before.
    """

    def __init__(self, names: Iterable[str], now_ns: int, known: NameBook) -> None:
        before = False if known else None
        self._entries = {
            name: _Entry(known.get(name, frozenset()), now_ns, None if name in known else before) for name in names
        }

    @property
    def book(self) -> dict[str, frozenset[Address]]:
        """The current addresses by name, in the order of the names; names without any are left out."""
        return {name: entry.addresses for name, entry in self._entries.items() if entry.addresses}

    @property
    def unresolved(self) -> list[str]:
        """Names whose last answer was a failure."""
        return [name for name, entry in self._entries.items() if entry.resolved is False]

    def next_ns(self) -> int:
        """Return when the next name is due, NEVER without names, or while all are asked for."""
        return min((entry.due_ns for entry in self._entries.values()), default=NEVER)

    def take_due(self, now_ns: int) -> list[str]:
        """Return the names that are due, to be asked for; they are due again when they have been answered."""
        due = [name for name, entry in self._entries.items() if entry.due_ns <= now_ns]
        for name in due:
            self._entries[name].due_ns = NEVER
        return due

    def answered(self, name: str, answer: Answer, now_ns: int) -> Change:
        """Take the answer for a name."""
        entry = self._entries[name]
        if not answer.addresses:
            turn = Turn.NOTHING if entry.resolved is False else Turn.LOST
            entry.resolved, entry.due_ns = False, now_ns + RETRY_NS
            return Change(False, turn)
        turn = Turn.FOUND if entry.resolved is False else Turn.NOTHING
        before = entry.addresses
        kept = {address for address in before if address.version in answer.unanswered}
        entry.addresses = answer.addresses | kept
        entry.resolved, entry.due_ns = True, now_ns + _lifetime_ns(answer)
        return Change(entry.addresses != before, turn)

    def kept(self, name: str) -> int:
        """Return how many addresses a name has now."""
        return len(self._entries[name].addresses)


def _lifetime_ns(answer: Answer) -> int:
    """Return how long an answer is believed; one with gaps only until the next try."""
    if answer.unanswered:
        return RETRY_NS
    if answer.ttl_s is None:
        return UNKNOWN_NS
    return min(max(answer.ttl_s * SECOND_NS, SHORTEST_NS), LONGEST_NS)
