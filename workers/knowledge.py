"""What a worker knows from its parent: addresses of host names, users, and names of addresses.

Everything arrives as messages, and goes to the rules; who waited for it comes back to the datapath.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workers.contract.messages import Looked, Names, ToChild, Users
from workers.contract.naming import Gathering
from workers.contract.settings import Address
from workers.directory import Directory
from workers.session.admission import Admission
from workers.waiting import Waiter, Waiting


class Knowledge:
    """One worker's. resume: takes clients that waited, each with its datagram in the arena while it is its turn."""

    def __init__(self, admission: Admission, waiting: Waiting, resume: Callable[[Iterable[Waiter], int], None]) -> None:
        self._admission = admission
        self._waiting = waiting
        self._resume = resume
        self._directory = Directory()
        self._gathering = Gathering()

    def take(self, message: ToChild, now_ns: int) -> bool:
        """Take a message, if it is one to learn from; tell whether it completed a table."""
        if isinstance(message, Names):
            names = self._gathering.take(message)
            if names is not None:
                self._admission.learn_names(_as_book(names))
                return True
        elif isinstance(message, Users):
            table = self._directory.take(message)
            if table is not None:
                self._admission.learn_users(table)
                return True
        elif isinstance(message, Looked):
            self._resume(self._waiting.take(message, now_ns), now_ns)
        return False

    def tend(self, now_ns: int) -> int:
        """Forget what is old, and let go on whose time is up; return when to call again, NEVER if only for news."""
        due_ns = self._waiting.tend(now_ns)
        if due_ns > now_ns:
            return due_ns
        self._resume(self._waiting.expire(now_ns), now_ns)
        return self._waiting.tend(now_ns)

    @property
    def awaited(self) -> bool:
        """Whether any client waits for what is asked."""
        return self._waiting.awaited

    def give_up(self) -> None:
        """Drop and count the datagrams that wait: the worker ends."""
        self._waiting.give_up()


def _as_book(names: Names) -> dict[str, frozenset[Address]]:
    return {
        name: frozenset(Address(version, int.from_bytes(raw, "big")) for version, raw in addresses)
        for name, addresses in names.addresses.items()
    }
