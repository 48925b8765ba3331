"""One worker's parts without its loop: real sockets, but the test says when a turn comes and what the time is."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.kit.traffic import WAIT_S, Peer, close_all, let_arrive, listen
from workers.contract.channel import LocalChannel
from workers.contract.context import WorkerContext
from workers.contract.custody import Entrusted, Kept, Released, hear, open_custody
from workers.contract.messages import FromChild, LogBatch, LogRecord, Lookup
from workers.contract.rates import RateRegion
from workers.contract.settings import AclSettings, Settings
from workers.contract.slots import CloseReason, Counter, DropReason, Region
from workers.loop import MAX_EVENTS
from workers.parts import assemble
from workers.session.session import Session


@dataclass(frozen=True)
class Estate:
    """What a worker leaves to the next one: its memory, the pool of sessions, and what the parent has kept."""

    region: Region
    permits: int
    kept: tuple[Kept, ...] = ()

    @classmethod
    def of_nobody(cls, sessions: int) -> Estate:
        """Return what a proxy's first worker is given."""
        permits = os.eventfd(sessions, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return cls(Region.create("test", sessions), permits)

    def close(self) -> None:
        """Close what nobody took."""
        os.close(self.permits)


class Datapath:
    """Everything between a worker's listeners, which stay the caller's, and its servers.

    parts: the worker's own; hear: what is called when a listener can be read. to: the listeners' addresses.
    records: what was logged so far. asked: names wanted so far. kept: what the parent has of it, by slot.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        level: int = 7,
        worker: int = 0,
        estate: Estate | None = None,
        **others: Any,
    ) -> None:
        self.to: list[Peer] = [sock.getsockname()[:2] for sock in listeners]
        self.records: list[LogRecord] = []
        self.asked: list[Lookup] = []
        self.estate = estate or Estate.of_nobody(settings.max_sessions)
        # The parent keeps its own duplicates of what the worker is given.
        self.kept = {entry.slot: entry._replace(fd=os.dup(entry.fd)) for entry in self.estate.kept}
        self.region = self.estate.region
        self._poll = select.epoll()
        self._custody = open_custody()
        self.context = WorkerContext(
            worker,
            settings,
            tuple(listeners),
            LocalChannel(self._deliver),
            self.region,
            self.estate.permits,
            -1,
            level,
            custody=self._custody[1],
            kept=self.estate.kept,
            **others,
        )
        self.parts = assemble(self.context, self._poll, 0)
        self.settings = settings
        self.hear = self.parts.outbound.handle
        self.parts.sockets.cover(max(self.parts.listeners, default=0))
        for fd in self.parts.listeners:
            self._poll.register(fd, select.EPOLLIN)

    def _deliver(self, message: FromChild) -> None:
        if isinstance(message, LogBatch):
            self.records += message.records
        elif isinstance(message, Lookup):
            self.asked.append(message)

    def turn(self, now_ns: int = 0, within_s: float = WAIT_S) -> int:
        """Wait until something can be read, and handle all that can be; return how many sockets that were."""
        let_arrive()
        events = self._poll.poll(within_s, MAX_EVENTS)
        parts = self.parts
        found = [(fd, parts.sockets.sessions[fd]) for fd, _ in events]
        ready = [session for _, session in found if session is not None]
        if ready:
            parts.inbound.handle(ready, now_ns)
        for fd in (fd for fd, session in found if session is None):
            if fd in parts.listeners:
                self.hear(parts.listeners[fd], now_ns)
            elif (shared := parts.sockets.shared(fd)) is not None:
                parts.inbound.hearing.hear_shared(shared, now_ns)
            else:
                parts.sockets.drain(fd)
        parts.permits.settle()
        parts.journal.flush()
        return len(events)

    def tend(self, now_ns: int) -> None:
        """Do what is due, and let the parent take what it is told."""
        parts = self.parts
        parts.engine.expire(now_ns)
        parts.sockets.close_ended(now_ns)
        parts.permits.settle()
        parts.keeper.keep(parts.engine.take_lasting())
        parts.keeper.tend(now_ns)
        self._listen_to_custody()

    def _listen_to_custody(self) -> None:
        while (found := hear(self._custody[0])) is not None:
            word, descriptors = found
            slots = word.slots if isinstance(word, Released) else [entry.slot for entry in word.entries]
            for old in [self.kept.pop(slot) for slot in slots if slot in self.kept]:
                os.close(old.fd)
            if isinstance(word, Entrusted):
                for entry, descriptor in zip(word.entries, descriptors, strict=True):
                    self.kept[entry.slot] = Kept(entry.slot, entry.opened_ns, entry.note, descriptor)

    def die(self) -> Estate:
        """End as a worker ends that is killed; return what the next one is given, as a parent would."""
        self._listen_to_custody()
        for session in self.sessions:
            session.sock.close()
        self._poll.close()
        self._stop_watching()
        kept = tuple(entry for slot, entry in self.kept.items() if self.region.opened(slot) == entry.opened_ns)
        for entry in set(self.kept.values()) - set(kept):
            os.close(entry.fd)
        held = self.region.words[Counter.PERMITS]
        self.region.reset({entry.slot for entry in kept})
        if held > len(kept):
            os.eventfd_write(self.estate.permits, held - len(kept))
        for end in self._custody:
            end.close()
        return replace(self.estate, kept=kept)

    def _stop_watching(self) -> None:
        if self.parts.interfaces is not None:
            self.parts.interfaces.close()

    def settle(self, now_ns: int = 0) -> None:
        """Take turns until nothing can be read any more."""
        while self.turn(now_ns, 0):
            pass

    @property
    def sessions(self) -> list[Session]:
        """The sessions that are open, all listeners'."""
        tables = self.parts.engine.tables
        return [session for table in tables for session in dict.fromkeys(table.values())]

    @property
    def drops_out(self) -> dict[DropReason, int]:
        """The reasons for which clients' datagrams were dropped, with their counts."""
        return {DropReason(number): count for number, count in enumerate(self.parts.stats.drops_out) if count}

    @property
    def drops_in(self) -> dict[DropReason, int]:
        """The reasons for which servers' datagrams were dropped, with their counts."""
        return {DropReason(number): count for number, count in enumerate(self.parts.stats.drops_in) if count}

    @property
    def closes(self) -> dict[CloseReason, int]:
        """The reasons for which sessions ended, with their counts."""
        return {CloseReason(number): count for number, count in enumerate(self.parts.stats.closes) if count}

    def logged(self, event: str) -> list[LogRecord]:
        """Return what was logged under one name."""
        return [record for record in self.records if record.event == event]

    def close(self) -> None:
        """End every session, close what was made here. Raises AssertionError if a datagram is not accounted for."""
        self.parts.knowledge.give_up()
        self.parts.engine.end_all(CloseReason.SHUTDOWN, 0)
        self.parts.sockets.close_ended(0)
        self._listen_to_custody()
        self._poll.close()
        self._stop_watching()
        self.estate.close()
        for entry in self.kept.values():
            os.close(entry.fd)
        for end in self._custody:
            end.close()
        if not self.parts.stats.balanced:
            raise AssertionError(f"received is not forwarded + dropped: {self.parts.stats.published()}")


@contextlib.contextmanager
def datapath(
    *rules: AclSettings,
    hosts: Sequence[str] = ("127.0.0.1",),
    level: int = 7,
    rates: RateRegion | None = None,
    **others: object,
) -> Iterator[Datapath]:
    """Assemble a datapath with these rules and a listener on each host; held to account when the block ends.

    rates: the buckets of the queues among the others, which are settings.
    """
    settings, sockets = listen(rules, hosts, **others)
    try:
        with contextlib.closing(Datapath(settings, sockets, level, rates=rates)) as path:
            yield path
    finally:
        close_all(sockets)
