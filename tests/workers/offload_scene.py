"""A worker's part of the offload with sessions, and a parent and a kernel as simple as can be."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tests.kit.session_parts import PROXY, SECOND, client, rule, server
from workers.contract.messages import Offered, Withdrawn
from workers.contract.offload import (
    BYTES,
    BYTES_LIMIT,
    DATAGRAMS,
    DATAGRAMS_LIMIT,
    DIRECTION_BYTES,
    LAST_NS,
    RECORD_BYTES,
    WORD_BYTES,
    Records,
)
from workers.contract.settings import AclSettings
from workers.journal import DUMP_LEVEL
from workers.offload import (
    BUSY_DATAGRAMS,
    PAUSE_NS,
    Offload,
)
from workers.session.session import Session, Terms
from workers.stats import Stats

SLOTS = 4
PLENTY = 10_000
START_NS = 1000 * SECOND
OUT, IN = 0, 1
DUMPING, USUAL = DUMP_LEVEL, 5


@dataclass
class Log:
    level: int = USUAL


@dataclass
class Parent:
    """Enters what it is told, as long as its channel has room; said: everything it was told."""

    room: bool = True
    said: list[Offered | Withdrawn] = field(default_factory=list)
    entered: dict[int, int] = field(default_factory=dict)

    def send(self, message: Offered | Withdrawn) -> bool:
        if self.room:
            self.said.append(message)
            if isinstance(message, Offered):
                self.entered.update(message.sessions)
            else:
                for slot in message.slots:
                    self.entered.pop(slot, None)
        return self.room


class Scene:
    """The worker's part over records of its own, a parent, and the program in a few lines. now_ns: the clock."""

    def __init__(self, slots: int = SLOTS) -> None:
        table = os.memfd_create("records")
        os.ftruncate(table, -(-slots * RECORD_BYTES // 4096) * 4096)
        self.records = Records(table, slots)
        os.close(table)
        self.parent, self.log, self.stats = Parent(), Log(), Stats()
        self.turns: list[int] = []
        self.now_ns = START_NS
        self.offload = Offload(self.records, self.parent, self.log, self.stats, self.turns.append, START_NS)

    def begin(self, slot: int = 0, of: AclSettings | None = None, *, busy: bool = True) -> Session:
        """Return a session of a rule; busy: the worker has passed enough of it."""
        session = Session(Terms.of(of or rule()), self.now_ns, slot, 0)
        session.listener, session.key, session.transparent = 0, slot, False
        session.client, session.destination, session.target = client(slot), PROXY, server()
        session.sock, session.tick = object(), 1
        if busy:
            session.dgrams_out_left -= BUSY_DATAGRAMS
        return session

    def offer(self, *sessions: Session) -> None:
        """Have sessions considered and offered."""
        self.offload.consider(sessions, 0)
        self.now_ns += PAUSE_NS
        self.offload.tend(self.now_ns)

    def carried(self, *sessions: Session) -> bool:
        """Tell whether the parent has entered all of these, under epochs that count."""
        return all(
            session.carriage is not None
            and self.parent.entered.get(session.slot) == session.carriage.epoch == self._epoch(session.slot)
            for session in sessions
        )

    def passes(self, slot: int, direction: int, octets: int = 100, *, epoch: int | None = None, count: int = 1) -> bool:
        """Do what the program does with datagrams of a flow in its table; epoch: of a flow that is there no more."""
        epoch = self.parent.entered.get(slot) if epoch is None else epoch
        if epoch is None or epoch != self._epoch(slot):
            return False
        words, at = self.records.words, self._half(slot, direction)
        datagrams, total = words[at + DATAGRAMS // WORD_BYTES] + count, words[at + BYTES // WORD_BYTES] + octets
        if datagrams > words[at + DATAGRAMS_LIMIT // WORD_BYTES] or total > words[at + BYTES_LIMIT // WORD_BYTES]:
            return False
        words[at + DATAGRAMS // WORD_BYTES], words[at + BYTES // WORD_BYTES] = datagrams, total
        words[at + LAST_NS // WORD_BYTES] = self.now_ns
        return True

    def _epoch(self, slot: int) -> int:
        return self.records.words[slot * RECORD_BYTES // WORD_BYTES]

    def _half(self, slot: int, direction: int) -> int:
        return (slot * RECORD_BYTES + direction * DIRECTION_BYTES) // WORD_BYTES
