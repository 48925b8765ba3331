"""Clients that wait for a name: their datagrams kept out of the arena, the parent asked, and both brought back.

What is known and who waits is in workers.names; deciding on a datagram that comes back is the datapath's, as on any
other. Source: udp-proxy(8), Names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from workers.contract.context import ChannelLike
from workers.contract.messages import Looked, Lookup
from workers.contract.settings import Address
from workers.contract.slots import DropReason
from workers.listener import Listener
from workers.names import Kept, ReverseNames
from workers.net.transport import FlowKey, Stored, Transport
from workers.session.engine import Engine

RETRY_NS = 20_000_000
"""How long a question waits for room in the channel before it is tried again."""


class Pending(NamedTuple):
    """A datagram that waits: where it came to, its flow, and all that was received of it."""

    listener: Listener
    key: FlowKey
    stored: Stored


Waiter: TypeAlias = Kept[Pending]


class Waiting:
    """One worker's waiting clients. index: the worker's number."""

    def __init__(
        self, names: ReverseNames[Pending], engine: Engine, transport: Transport, channel: ChannelLike, index: int
    ) -> None:
        self._names = names
        self._engine = engine
        self._transport = transport
        self._channel = channel
        self._index = index
        self._resumed: Waiter | None = None

    @property
    def awaited(self) -> bool:
        """Whether any client waits."""
        return self._names.awaited

    def defer(
        self, listener: Listener, key: FlowKey, slot: int, sizes: list[int], address: Address, now_ns: int
    ) -> bool:
        """Let an unknown client's run wait for the name of an address; False: its time is up, decide again now.

        slot: that of the first datagram. It alone is kept; the others are dropped and counted, and all of them where
        the client waits already or too many do.
        """
        if self._resumed is not None:
            waits = self._names.keep_on(self._resumed, address, now_ns)
            self._ask()
            return waits
        source = self._transport.source(slot, listener.version)
        kept = not self._names.waits(source) and self._names.keep(
            source, address, Pending(listener, key, self._transport.store(slot, sizes[0])), sizes[0], now_ns
        )
        self._engine.refuse_out(sizes[1:] if kept else sizes, DropReason.NAME_PENDING)
        self._ask()
        return True

    def take(self, answer: Looked, now_ns: int) -> Iterator[Waiter]:
        """Take an answer; yield who waited for it, each with its datagram in slot 0."""
        address = Address(answer.version, int.from_bytes(answer.value))
        yield from self._bring_back(self._names.learn(address, answer.name, answer.ttl_s, now_ns))

    def expire(self, now_ns: int) -> Iterator[Waiter]:
        """Forget what is old; yield those whose time is up, each with its datagram in slot 0."""
        yield from self._bring_back(self._names.expire(now_ns))

    def tend(self, now_ns: int) -> int:
        """Ask what could not be asked yet; return when to call expire or this again."""
        self._ask()
        due_ns = self._names.next_deadline_ns()
        return min(due_ns, now_ns + RETRY_NS) if self._names.questions else due_ns

    def give_up(self) -> None:
        """Drop and count everything that waits."""
        self._engine.refuse_out(self._names.drop_all(), DropReason.NAME_PENDING)

    def _bring_back(self, waiters: list[Waiter]) -> Iterator[Waiter]:
        try:
            for waiter in waiters:
                self._resumed = waiter
                self._transport.restore(waiter.datagram.stored)
                yield waiter
        finally:
            self._resumed = None

    def _ask(self) -> None:
        questions = self._names.questions
        while questions:
            version, value = questions[0]
            if not self._channel.send(Lookup(self._index, version, value.to_bytes(4 if version == 4 else 16))):
                return
            questions.popleft()
