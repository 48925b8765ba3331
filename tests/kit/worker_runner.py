"""A real worker in a process of its own, as the parent starts one: real loop, real clock, real sockets."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tests.kit.place import Namespace, Place, enter_namespace
from tests.kit.readiness import is_readable
from tests.kit.traffic import WAIT_S, Peer, close_all, listen
from workers.boot import BootPlan, run_child
from workers.contract.channel import ChannelClosedError, ChildEnd, open_channel
from workers.contract.context import Confinement, WorkerContext
from workers.contract.custody import Entrusted, Kept, Released, Word, hear, open_custody
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Freeze, FromChild, LogBatch, LogRecord, Lookup, Ready, ToChild
from workers.contract.settings import AclSettings, Settings
from workers.contract.slots import CloseReason, Counter, DropReason, Region
from workers.loop import run

CONFINEMENT = Confinement(65534, 65534) if os.geteuid() == 0 else Confinement()


class RunningWorker:
    """A worker that serves; stop it and all its datagrams are accounted for, or stop says which are not.

    descriptors: how many sockets it may have open for its sessions. The listeners stay the caller's.
    before: one that was frozen, whose sessions it goes on with. kept: what a frozen one has left.
    region, permits: its shared memory, and the pool of sessions. pid: its process. to: the addresses of its listeners.
    records: what it has logged, as far as read.
    permits_left: once it has stopped, how many sessions could be opened.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        place: Place | None = None,
        level: int = 7,
        descriptors: int | None = None,
        before: RunningWorker | None = None,
    ) -> None:
        self.to: list[Peer] = [sock.getsockname()[:2] for sock in listeners]
        self.permits_left = 0
        self.records: list[LogRecord] = []
        self._said: list[FromChild] = []
        capacity = settings.max_sessions
        self.region = before.region if before is not None else Region.create("test", capacity)
        self.permits = before.permits if before is not None else _pool(capacity)
        self._given = () if before is None else tuple(before.kept.values())
        self.kept: dict[int, Kept] = {}
        self._channel, theirs = open_channel()
        self._custody, self._entrusting = open_custody()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.pid = os.fork()
        if self.pid == 0:
            if isinstance(place, Namespace):
                enter_namespace(place.path)
            self._serve(settings, listeners, theirs, level, descriptors)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._entrusting.close()
        for entry in self._given:  # The parent would keep them; here the worker that has them is enough.
            os.close(entry.fd)
        self._process = os.pidfd_open(self.pid)
        self._code: int | None = None
        self._read(lambda: Ready() in self._said)

    def _serve(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        channel: ChildEnd,
        level: int,
        descriptors: int | None,
    ) -> None:
        def serve(wakeup: int) -> ExitCode:
            if descriptors is not None:
                leave_descriptors(
                    descriptors + 2
                )  # the worker's epoll takes one, and the socket that tells its addresses
            return run(
                WorkerContext(
                    0,
                    settings,
                    tuple(listeners),
                    channel,
                    self.region,
                    self.permits,
                    wakeup,
                    level,
                    custody=self._entrusting,
                    kept=self._given,
                )
            )

        sockets = [channel, self._entrusting, *listeners]
        own = {self.region.fd, self.permits, *(sock.fileno() for sock in sockets), *(kept.fd for kept in self._given)}
        run_child(BootPlan("worker 0", settings.name, channel, frozenset(own), CONFINEMENT), serve)

    # --- what it says ------------------------------------------------------------------------------------------------

    def wait_for(self, event: str, count: int = 1, within_s: float = WAIT_S) -> list[LogRecord]:
        """Wait until it has logged an event so many times in all; return those records."""
        self._read(lambda: len(self.logged(event)) >= count, within_s)
        return self.logged(event)

    def logged(self, event: str) -> list[LogRecord]:
        """Return what of one name has been read already."""
        return [record for record in self.records if record.event == event]

    def _read(self, enough: Callable[[], bool], within_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + within_s
        while not enough():
            self._drain()
            if not enough() and not is_readable(self._channel, max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"not said by the worker; it said {self.records[-5:]}")

    def _drain(self) -> None:
        while (message := self._channel.receive()) is not None:
            self._said.append(message)
            if isinstance(message, LogBatch):
                self.records += message.records

    # --- what it counts ----------------------------------------------------------------------------------------------

    def count(self, counter: int) -> int:
        """Return one of its counters, as published: exact once it has stopped."""
        return self.region.words[counter]

    @property
    def drops_out(self) -> dict[DropReason, int]:
        """The reasons for which clients' datagrams were dropped, with their counts."""
        return {reason: count for reason in DropReason if (count := self.count(Counter.DROPS_OUT + reason))}

    @property
    def drops_in(self) -> dict[DropReason, int]:
        """The reasons for which servers' datagrams were dropped, with their counts."""
        return {reason: count for reason in DropReason if (count := self.count(Counter.DROPS_IN + reason))}

    @property
    def closes(self) -> dict[CloseReason, int]:
        """The reasons for which sessions ended, with their counts."""
        return {reason: count for reason in CloseReason if (count := self.count(Counter.CLOSES + reason))}

    # --- its end -----------------------------------------------------------------------------------------------------

    def until(self, holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
        """Wait until its shared memory shows something."""
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError("the worker's memory never showed it")
            select.select([], [], [], 0.01)

    def tell(self, message: ToChild) -> None:
        """Send it a message."""
        if not self._channel.send(message):
            raise AssertionError("the channel is full")

    def open_slots(self) -> list[tuple[int, int]]:
        """Return the sessions that stand in shared memory: their slots and beginnings."""
        region = self.region
        return [(slot, region.fields(slot).opened_ns) for slot in region.used()]

    def datagrams_in(self, slot: int) -> tuple[int, int]:
        """Return how many datagrams a slot says its session has passed: to its client, to its server."""
        found = self.region.fields(slot)
        return found.dgrams_in, found.dgrams_out

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def freeze(self, *afterwards: ToChild) -> None:
        """Have it leave its sessions to another one, which is started with this one as `before`; it is over then.

        afterwards: what it is told while it freezes.
        """
        for message in (Freeze(), *afterwards):
            self.tell(message)
        self._bequeath(ExitCode.FROZEN)

    def wait_for_question(self) -> Lookup:
        """Wait until it asks for the name of an address; return the question."""
        self._read(lambda: any(isinstance(message, Lookup) for message in self._said))
        return next(message for message in self._said if isinstance(message, Lookup))

    def kill(self) -> None:
        """End it without a word; another one, started with this one as `before`, goes on with what it had told."""
        self.signal(signal.SIGKILL)
        self._bequeath(-signal.SIGKILL)

    def hear_custody(self) -> int:
        """Take what it has entrusted so far; return how many sessions are kept."""
        with contextlib.suppress(ChannelClosedError):
            while (found := hear(self._custody)) is not None:
                self._keep(*found)
        return len(self.kept)

    def _bequeath(self, code: int) -> None:
        select.select([self._process], [], [], WAIT_S)
        self._end()
        if self._code != code:
            raise AssertionError(f"the worker ended with {self._code}: {self.logged('traceback')}")
        self.hear_custody()
        self._custody.close()
        for slot in [slot for slot, entry in self.kept.items() if self.region.opened(slot) != entry.opened_ns]:
            os.close(self.kept.pop(slot).fd)
        held = self.region.words[Counter.PERMITS]
        self.region.reset(self.kept.keys())
        if held > len(self.kept):
            os.eventfd_write(self.permits, held - len(self.kept))

    def _keep(self, word: Word, descriptors: list[int]) -> None:
        slots = word.slots if isinstance(word, Released) else [entry.slot for entry in word.entries]
        for old in [self.kept.pop(slot) for slot in slots if slot in self.kept]:
            os.close(old.fd)
        if isinstance(word, Entrusted):
            for entry, descriptor in zip(word.entries, descriptors, strict=True):
                self.kept[entry.slot] = Kept(entry.slot, entry.opened_ns, entry.note, descriptor)

    def _end(self) -> None:
        """Take its exit status and its last words."""
        self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with contextlib.suppress(ChannelClosedError):
            self._drain()
        os.close(self._process)
        self._channel.close()

    def stop(self) -> None:
        """End it, and hold it to account: it ended as told, and received = forwarded + dropped in each direction."""
        if self._code is not None:
            return
        self.signal(signal.SIGTERM)
        if not is_readable(self._process, WAIT_S):
            self.signal(signal.SIGKILL)
        self._end()
        with contextlib.suppress(BlockingIOError):
            while True:
                self.permits_left += os.eventfd_read(self.permits)
        os.close(self.permits)
        self._custody.close()
        if self._code != ExitCode.STOPPED:
            raise AssertionError(f"the worker ended with {self._code}: {self.logged('traceback')}")
        received = self.count(Counter.RECEIVED_OUT), self.count(Counter.RECEIVED_IN)
        settled = (
            self.count(Counter.FORWARDED_OUT) + sum(self.drops_out.values()),
            self.count(Counter.FORWARDED_IN) + sum(self.drops_in.values()),
        )
        if received != settled:
            raise AssertionError(f"received {received}, forwarded and dropped {settled} (out, in)")

    def __enter__(self) -> RunningWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _pool(permits: int) -> int:
    return os.eventfd(permits, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def leave_descriptors(count: int) -> None:
    """Let this process open only so many descriptors more."""
    listed = list(Path("/proc/self/fd").iterdir())
    used = {int(entry.name) for entry in listed if entry.exists()}  # the listing's own is gone by now
    free = [number for number in range(max(used) + count + 2) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@contextlib.contextmanager
def serving(
    *rules: AclSettings,
    hosts: Sequence[str] = ("127.0.0.1",),
    place: Place | None = None,
    level: int = 7,
    descriptors: int | None = None,
    **others: object,
) -> Iterator[RunningWorker]:
    """Run a worker with these rules and a listener on each host; held to account when the block ends."""
    settings, sockets = listen(rules, hosts, place=place, **others)
    try:
        with RunningWorker(settings, sockets, place, level, descriptors) as worker:
            yield worker
    finally:
        close_all(sockets)
