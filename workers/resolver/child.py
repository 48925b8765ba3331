"""The resolver child's work, once it is confined: ask for every name when it is due, tell the parent what changed.

The workers' questions for the names of addresses are answered one by one, as they come.

It knows nothing of rules or workers: the parent passes the addresses on. Whatever it needs of the machine was read
before (workers.resolver.system).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from workers.contract.channel import ChannelClosedError
from workers.contract.context import ChannelLike
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import LogBatch, LogRecord, Looked, Lookup, Names
from workers.contract.naming import split
from workers.contract.settings import Address
from workers.deadlines import NEVER
from workers.policy.hostset import NameBook
from workers.resolver import lookup
from workers.resolver.reverse import Reverse
from workers.resolver.schedule import SECOND_NS, Schedule, Turn
from workers.resolver.system import Prepared

GATHER_S = 0.1
"""How long a change waits for others, so that a start with a thousand names is not a thousand messages."""
MARGIN_S = 1.0
"""How much longer than for one name workers wait for all of them: not all can be asked for at a time."""
FULL_S = 0.1
"""How long to wait when the channel is full: a large table takes several messages."""
RETRY_S = 0.02
"""The same for an answer that a client waits for."""
LONGEST_SLEEP_S = 3600.0


class Log(Protocol):
    """Writes one event of workers.contract.catalogue, its fields in order."""

    def __call__(self, event: str, *fields: str | int) -> None:
        """Write it; may lose it, never waits."""
        ...


def serve(
    names: Iterable[str],
    prepared: Prepared,
    channel: ChannelLike,
    wakeup: int,
    log: Log,
    known: NameBook | None = None,
) -> ExitCode:
    """Resolve names until told to stop (SIGTERM). Raises ContractError when the parent is gone or speaks nonsense.

    wakeup: readable when a signal came, one byte each. known: what a predecessor had found; the parent knows it too.
    Without it the parent is first told when every name was asked for, and even if none has an address: workers wait.
    Where that takes longer than one name may, they are told what is known by then.
    """
    child = _Child(Schedule(names, time.monotonic_ns(), known or {}), prepared, channel, wakeup, log)
    return asyncio.run(child.run(announced=known is not None))


def channel_log(channel: ChannelLike) -> Log:
    """Return a log that sends each event to the parent at once: a resolver has little to say."""

    def log(event: str, *fields: str | int) -> None:
        channel.send(LogBatch([LogRecord(event, 0, fields)], 0))

    return log


def as_names(book: Mapping[str, frozenset[Address]]) -> Names:
    """Return a whole table as it is told."""
    return Names(
        {
            name: [(version, value.to_bytes(4 if version == 4 else 16)) for version, value in sorted(addresses)]
            for name, addresses in book.items()
        }
    )


class _Child:
    """Three tasks: asking, telling the parent, and watching for signals. Whichever ends first ends the child."""

    def __init__(self, schedule: Schedule, prepared: Prepared, channel: ChannelLike, wakeup: int, log: Log) -> None:
        self._schedule = schedule
        self._lookup = lookup.Lookup(prepared)
        self._reverse = Reverse(prepared)
        self._answering: set[asyncio.Task[None]] = set()
        self._channel = channel
        self._wakeup = wakeup
        self._log = log
        self._patience_s = prepared.timeout_ns / SECOND_NS + MARGIN_S
        self._changed = asyncio.Event()
        self._complete = asyncio.Event()
        self._unsaid: deque[Names] = deque()

    async def run(self, *, announced: bool) -> ExitCode:
        """Work until told to stop; whatever a task raises is raised. announced: whether the parent has the names."""
        if announced:
            self._complete.set()
        watch = asyncio.create_task(self._watch())
        others = (asyncio.create_task(self._resolve_for_ever()), asyncio.create_task(self._publish_for_ever()))
        done, pending = await asyncio.wait((watch, *others), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)
        for task in done:
            task.result()
        return watch.result()

    async def _resolve_for_ever(self) -> ExitCode:
        asking: set[asyncio.Task[None]] = set()
        while True:
            now_ns = time.monotonic_ns()
            asking |= {asyncio.create_task(self._resolve(name)) for name in self._schedule.take_due(now_ns)}
            if not asking:
                self._begin_to_tell()
            left_s = min((self._schedule.next_ns() - now_ns) / SECOND_NS, LONGEST_SLEEP_S)
            if asking:
                done, asking = await asyncio.wait(asking, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            else:
                await asyncio.sleep(left_s)

    def _begin_to_tell(self) -> None:
        """Let the parent be told what is known, once: from then on it is told what changes."""
        if not self._complete.is_set():
            self._complete.set()
            self._changed.set()

    async def _resolve(self, name: str) -> None:
        answer = await self._lookup.look_up(name)
        change = self._schedule.answered(name, answer, time.monotonic_ns())
        if change.turn is Turn.LOST:
            self._log("name-unresolved", name, answer.reason, self._schedule.kept(name))
        elif change.turn is Turn.FOUND:
            self._log("name-resolved", name, self._schedule.kept(name))
        if change.addresses:
            self._changed.set()

    async def _publish_for_ever(self) -> ExitCode:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), self._patience_s)
        self._begin_to_tell()
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_S)
            self._changed.clear()
            self._unsaid.extend(split(as_names(self._schedule.book)))
            while not self._publish():
                await asyncio.sleep(FULL_S)

    def _publish(self) -> bool:
        """Tell the parent what is left to be said of the names; False when the channel is full."""
        while self._unsaid:
            if not self._channel.send(self._unsaid[0]):
                return False
            self._unsaid.popleft()
        return True

    async def _watch(self) -> ExitCode:
        """Answer signals, and notice when the parent is gone; return when told to stop."""
        readable = asyncio.Event()
        for fd in (self._wakeup, self._channel.fileno()):
            if fd >= 0:
                asyncio.get_running_loop().add_reader(fd, readable.set)
        while True:
            await readable.wait()
            readable.clear()
            while (message := self._channel.receive()) is not None:
                if isinstance(message, Lookup):
                    self._begin_answer(message)
            signals = self._signals()
            if signal.SIGTERM in signals:
                return ExitCode.STOPPED
            if signal.SIGRTMIN + 1 in signals:
                self._log("state", self._state())

    def _begin_answer(self, question: Lookup) -> None:
        task = asyncio.create_task(self._answer(question))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Lookup) -> None:
        """Answer a worker's question, whatever comes of it: the parent counts on an answer to each."""
        name, ttl_s = await self._reverse.look_up(Address(question.version, int.from_bytes(question.value)))
        answer = Looked(question.worker, question.version, question.value, name, ttl_s)
        try:
            while not self._channel.send(answer):
                await asyncio.sleep(RETRY_S)
        except ChannelClosedError:
            return  # the watch finds that out by itself

    def _signals(self) -> bytes:
        try:
            return os.read(self._wakeup, 512)
        except BlockingIOError:
            return b""

    def _state(self) -> str:
        next_ns = self._schedule.next_ns()
        left_s = 0 if next_ns == NEVER else max(0, next_ns - time.monotonic_ns()) // SECOND_NS
        found, missing = len(self._schedule.book), ", ".join(self._schedule.unresolved[:20]) or "none"
        return f"resolver: {found} names have addresses, next look-up in {left_s} s, unresolved: {missing}"
