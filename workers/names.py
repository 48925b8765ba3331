"""Names of addresses on the worker's side: what is known for a while, what is asked for, and who waits for it.

Sans-I/O: the clock is an argument; questions are taken from here and sent by the caller, answers are brought here. Of
a client that waits one datagram is kept, as the caller made it; everything is bounded. Source: udp-proxy(8), Names.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from workers.contract.settings import Address
from workers.deadlines import Deadlines
from workers.policy.hostset import UNASKED

MAX_KNOWN = 65_536
"""Addresses remembered, with or without a name: some 20 MB."""
MAX_KEPT = 1024
MAX_KEPT_BYTES = 8 << 20
SHORTEST_S, LONGEST_S = 60, 3600
UNANSWERED_S = 5
"""How long an address that nobody could be asked about counts as one without a name."""
SECOND_NS = 1_000_000_000
ANSWER_NS = 100_000_000
"""How much later than its time an answer may come: the resolver has the same time, and must be heard."""

T = TypeVar("T")


@dataclass(slots=True)
class _Known:
    """An address's name, None for none, and the tick in which it is forgotten."""

    name: str | None
    tick: int


@dataclass(slots=True, eq=False)
class Kept(Generic[T]):
    """A client's datagram, that waits for the name of an address."""

    client: bytes
    datagram: T
    size: int
    since_ns: int


@dataclass(slots=True, eq=False)
class _Question(Generic[T]):
    """An address whose name was asked for: who waits, and the tick in which that is long enough."""

    tick: int
    waiting: list[Kept[T]] = field(default_factory=list)


class ReverseNames(Generic[T]):
    """One worker's names. timeout_ns: how long a client waits for one name; for all that it needs twice as long."""

    def __init__(self, timeout_ns: int) -> None:
        self.questions: deque[Address] = deque()
        self._timeout_ns = timeout_ns + ANSWER_NS
        self._known: dict[Address, _Known] = {}
        self._fading: Deadlines[Address] = Deadlines()
        self._clients: dict[bytes, Kept[T]] = {}
        self._asked: dict[Address, _Question[T]] = {}
        self._patience: Deadlines[Address] = Deadlines()
        self._kept_bytes = 0

    def find(self, address: Address) -> str | None:
        """Return an address's name, None where it has none, UNASKED where nobody has asked yet."""
        known = self._known.get(address)
        return UNASKED if known is None else known.name

    @property
    def awaited(self) -> bool:
        """Whether any client waits."""
        return bool(self._clients)

    def waits(self, client: bytes) -> bool:
        """Tell whether a client waits already: all that comes from it meanwhile is to be dropped."""
        return client in self._clients

    def keep(self, client: bytes, address: Address, datagram: T, size: int, now_ns: int) -> bool:
        """Keep a client's datagram until the name of an address is known; False where there is no room for it.

        size: its payload in bytes.
        """
        if client in self._clients or len(self._clients) >= MAX_KEPT or self._kept_bytes + size > MAX_KEPT_BYTES:
            return False
        self._wait(Kept(client, datagram, size, now_ns), address, now_ns)
        return True

    def keep_on(self, kept: Kept[T], address: Address, now_ns: int) -> bool:
        """Let a client that learn or expire gave back wait for one more name; False when its time is up.

        Then the name that it waited for counts as none.
        """
        if now_ns >= kept.since_ns + 2 * self._timeout_ns:
            self._remember(address, None, 0, now_ns)
            return False
        self._wait(kept, address, now_ns)
        return True

    def learn(self, address: Address, name: str | None, ttl_s: int, now_ns: int) -> list[Kept[T]]:
        """Take an answer; return who waited for it, each to be decided on again now. ttl_s 0: nobody could be asked."""
        self._remember(address, name, ttl_s, now_ns)
        return self._release(address)

    def expire(self, now_ns: int) -> list[Kept[T]]:
        """Forget what is old; return those whose name did not come in time: it counts as none for a while."""
        for address in self._fading.due(now_ns):
            del self._known[address]
        late: list[Kept[T]] = []
        for address in self._patience.due(now_ns):
            late += self.learn(address, None, 0, now_ns)
        return late

    def next_deadline_ns(self) -> int:
        """Return when expire has something to do, NEVER if it has not."""
        return min(self._fading.next_ns(), self._patience.next_ns())

    def drop_all(self) -> list[int]:
        """Forget everybody who waits; return the sizes of their datagrams."""
        sizes = [kept.size for kept in self._clients.values()]
        self._clients.clear()
        self._asked.clear()
        self._patience = Deadlines()
        self.questions.clear()
        self._kept_bytes = 0
        return sizes

    # --- inside ------------------------------------------------------------------------------------------------------

    def _wait(self, kept: Kept[T], address: Address, now_ns: int) -> None:
        self._clients[kept.client] = kept
        self._kept_bytes += kept.size
        question = self._asked.get(address)
        if question is None:
            self.questions.append(address)
            question = self._asked[address] = _Question(self._patience.set(address, now_ns + self._timeout_ns))
        question.waiting.append(kept)

    def _release(self, address: Address) -> list[Kept[T]]:
        question = self._asked.pop(address, None)
        if question is None:
            return []
        self._patience.cancel(address, question.tick)
        for kept in question.waiting:
            del self._clients[kept.client]
            self._kept_bytes -= kept.size
        return question.waiting

    def _remember(self, address: Address, name: str | None, ttl_s: int, now_ns: int) -> None:
        before = self._known.pop(address, None)
        if before is None and len(self._known) >= MAX_KNOWN:
            oldest = next(iter(self._known))
            self._fading.cancel(oldest, self._known.pop(oldest).tick)
        elif before is not None:
            self._fading.cancel(address, before.tick)
        life_s = min(max(ttl_s, SHORTEST_S), LONGEST_S) if ttl_s else UNANSWERED_S
        self._known[address] = _Known(name, self._fading.set(address, now_ns + life_s * SECOND_NS))
