"""Forking children: what each is given, and the way from the parent's loop into the child's.

Children are forked, not executed: they share the parent's memory, and a replacement inherits every descriptor the
parent keeps. This is the only module of the parent's side that knows the children's code.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from proxyd.daemon.activation import NONE_GIVEN, Given
from proxyd.daemon.control import Post
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.pidfile import Pidfile
from proxyd.daemon.roster import Child, Role
from proxyd.daemon.shared import Shared
from proxyd.errors import SpawnError
from proxyd.offload.carrier import Carrier
from workers import privilege
from workers.boot import BootPlan, Serve, run_child
from workers.contract.backlog import Backlog
from workers.contract.channel import ChildEnd, ParentEnd, open_channel
from workers.contract.context import ChannelLike, Confinement, WorkerContext
from workers.contract.custody import Kept
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Looked, Lookup, Names
from workers.contract.offload import Records
from workers.contract.rates import RateRegion
from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import Region
from workers.policy.acl import compile_rules

WorkerMain: TypeAlias = Callable[[WorkerContext], ExitCode]
"""A worker's loop."""


class Handover(NamedTuple):
    """What a worker takes over from its predecessor, and the way by which it entrusts its own sessions."""

    custody: socket.socket | None = None
    kept: tuple[Kept, ...] = ()

    @property
    def descriptors(self) -> Iterator[int]:
        """All descriptors in it."""
        if self.custody is not None:
            yield self.custody.fileno()
        yield from (item.fd for item in self.kept)


NOTHING = Handover()


@dataclass(slots=True)
class Estate:
    """All that was set up before the first fork, and that every replacement needs again.

    A reload changes it in place; children that were forked before have what was true then.
    listeners: [worker][listener], as bind_listeners returns them. names: the configuration's host names to resolve.
    users: the out-of-band users, where the configuration asks for them. control: where orders are taken.
    version, file: the program's, and its configuration, for who asks. naming: how names are resolved, None: never.
    monitoring: how the proxy is shown, None: not at all.
    extra: listeners behind those of the settings, left by earlier generations; the last retired of them take nobody
    new. earlier: the settings of older generations whose rules sessions still have, by the low 16 bits of the
    generation. texts: the configurations that all these were made from, by the same. pidfile: held as long as the proxy
    runs, None: it does without. leash: what every worker has to hold open (proxyd.daemon.succession), -1: nothing.
    given: the listening sockets that are the service manager's. backlogs: by worker, what its next process is to treat
    before all else. carrier: what the kernel carries of the sessions, None: nothing.
    """

    settings: Settings
    listeners: tuple[tuple[socket.socket, ...], ...]
    shared: Shared
    confinement: Confinement
    names: tuple[str, ...] = ()
    users: UsersFile | None = None
    control: Post | None = None
    version: str = ""
    file: str = ""
    naming: Naming | None = None
    monitoring: Monitoring | None = None
    extra: tuple[ListenerSettings, ...] = ()
    retired: int = 0
    earlier: dict[int, Settings] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    pidfile: Pidfile | None = None
    leash: int = -1
    given: Given = NONE_GIVEN
    backlogs: dict[int, Backlog] = field(default_factory=dict)
    carrier: Carrier | None = None

    @property
    def standing(self) -> tuple[ListenerSettings, ...]:
        """All listeners that have sockets, as sessions refer to them by their place."""
        return self.settings.listeners + self.extra

    def context(self, index: int, channel: ChannelLike, wakeup: int, level: int, names: Names | None) -> WorkerContext:
        """Return what worker index may touch. names: the addresses known now, None: not resolved yet."""
        shared = self.shared
        region, listeners = shared.regions[index], self.listeners[index]
        users = () if self.users is None else self.users.parts
        return WorkerContext(
            index,
            replace(self.settings, listeners=self.standing),
            listeners,
            channel,
            region,
            shared.permits,
            wakeup,
            level,
            names,
            users,
            shared.rates,
            store=shared.stores[index] if shared.stores else None,
            earlier=self.earlier,
            retired=self.retired,
            backlog=self.backlogs[index].fd if index in self.backlogs else -1,
            records=self.records[index] if index < len(self.records) else None,
        )

    @property
    def records(self) -> tuple[Records, ...]:
        """By worker, what the kernel passes of its sessions; of those that came by a reload there is nothing."""
        return () if self.carrier is None else self.carrier.records

    def hand_on(self, index: int) -> None:
        """Note that worker index has been forked with its backlog: nobody else is to treat it again."""
        backlog = self.backlogs.pop(index, None)
        if backlog is not None:
            backlog.close()

    def descriptors(self, index: int) -> Iterator[int]:
        """Yield the descriptors that worker index may have open, but for its channel and what it takes over."""
        shared = self.shared
        yield from (shared.permits, shared.regions[index].fd)
        yield from (sock.fileno() for sock in self.listeners[index])
        if shared.rates is not None:
            yield shared.rates.fd
        if shared.stores:
            yield shared.stores[index].fd
        if self.leash >= 0:
            yield self.leash
        if index in self.backlogs:
            yield self.backlogs[index].fd

    @property
    def resolving(self) -> bool:
        """Whether names are needed at all: of the configuration's hosts, or of addresses that come."""
        wanted = bool(self.names) or compile_rules(self.settings.acls).patterns
        return wanted and self.naming is not None

    @property
    def regions(self) -> tuple[Region | RateRegion | Records, ...]:
        """All shared memory that is mapped."""
        shared = self.shared
        return (*shared.regions, *self.records, *(() if shared.rates is None else (shared.rates,)))


class Naming(Protocol):
    """How names are resolved: by a child, or by the one process that does everything."""

    def plan(self, estate: Estate, child: Child, channel: ChildEnd, known: Names | None) -> tuple[BootPlan, Serve]:
        """Return how the resolver's child begins, and its work. known: what is resolved already."""
        ...

    def outdated(self, estate: Estate, now_ns: int) -> bool:
        """Tell whether a new child would know of the machine what the present one cannot."""
        ...

    def own(self, estate: Estate) -> OwnNaming:
        """Return the resolver's work for one process that does everything. To be called before it is confined."""
        ...


class Monitoring(Protocol):
    """How a proxy is shown to who watches it, by a child of its own."""

    def plan(self, estate: Estate, child: Child, channel: ChildEnd) -> tuple[BootPlan, Serve]:
        """Return how the monitor's child begins, and its work."""
        ...

    def fileno(self) -> int:
        """Return the descriptor of what it serves on."""
        ...

    def claim(self) -> None:
        """Make what it serves on this program's."""
        ...

    def leave(self) -> None:
        """Let what it serves on be another program's: it stays where it is when it is closed here."""
        ...

    def look(self, children: Sequence[Child], now_ns: int) -> None:
        """Let the monitor know who is there."""
        ...

    def note_reload(self, *, failed: bool) -> None:
        """Let the monitor know that the configuration was read again."""
        ...

    def note_stuck(self, workers: int) -> None:
        """Let the monitor know how many workers let datagrams wait."""
        ...

    def conceal(self) -> None:
        """Take out of a child's memory what the parent writes for the monitor."""
        ...

    def close(self) -> None:
        """Close what the child serves on."""
        ...


class OwnNaming(Protocol):
    """The resolver's work where one process does everything: it waits for each answer."""

    def resolve_names(self) -> Names:
        """Resolve the configuration's names; may take as long as conf-timeout."""
        ...

    def answer(self, question: Lookup) -> Looked:
        """Find the name of an address; may take as long as initial-timeout."""
        ...


class Spawner:
    """Makes children. worker: their loop."""

    def __init__(self, estate: Estate, worker: WorkerMain) -> None:
        self.worker = worker
        self._estate = estate

    def fork(
        self, child: Child, level: int, known: Names | None, handover: Handover = NOTHING
    ) -> tuple[int, ParentEnd]:
        """Fork a child that logs at level; return its process and our end of its channel. Raises OSError.

        known: the addresses of the configuration's names, None: not resolved yet. handover: a worker's; what is in it
        is still the caller's afterwards.
        """
        ours, theirs = open_channel()
        if child.role is Role.WORKER:
            plan, serve = self._plan_worker(child, theirs, level, known, handover)
        elif child.role is Role.MONITOR:
            plan, serve = self._plan_monitor(child, theirs)
        else:
            plan, serve = self._plan_resolver(child, theirs, known)
        # Whatever is sent to the child before it can take it must wait, or the parent would get it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            process = os.fork()
            if process == 0:
                run_child(plan, serve)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        if child.role is Role.WORKER:
            self._estate.hand_on(child.index)
        return process, ours

    def _plan_worker(
        self, child: Child, channel: ChildEnd, level: int, known: Names | None, handover: Handover
    ) -> tuple[BootPlan, Serve]:
        estate, index, settings = self._estate, child.index, self._estate.settings
        estate.shared.fit(index, f"{settings.program} {settings.name} {index}")
        regions, records = estate.shared.regions, estate.records
        plan = BootPlan(
            child=child.name,
            proxy=settings.name,
            channel=channel,
            keep=frozenset((channel.fileno(), *estate.descriptors(index), *handover.descriptors)),
            confinement=estate.confinement,
            foreign=(*regions[:index], *regions[index + 1 :], *records[:index], *records[index + 1 :]),
            program=settings.program,
        )

        def serve(wakeup: int) -> ExitCode:
            self._conceal()
            context = estate.context(index, channel, wakeup, level, known)
            return self.worker(replace(context, custody=handover.custody, kept=handover.kept))

        return plan, serve

    def _plan_monitor(self, child: Child, channel: ChildEnd) -> tuple[BootPlan, Serve]:
        monitoring = self._estate.monitoring
        if monitoring is None:
            raise SpawnError(child.name)
        return monitoring.plan(self._estate, child, channel)

    def _plan_resolver(self, child: Child, channel: ChildEnd, known: Names | None) -> tuple[BootPlan, Serve]:
        naming = self._estate.naming
        if naming is None:
            raise SpawnError(child.name)
        plan, serve = naming.plan(self._estate, child, channel, known)

        def resolve(wakeup: int) -> ExitCode:
            self._conceal()
            return serve(wakeup)

        return plan, resolve

    def _conceal(self) -> None:
        if self._estate.monitoring is not None:
            self._estate.monitoring.conceal()


def confine_this_process(confinement: Confinement) -> None:
    """Confine the calling process itself, where it does everything. Raises BootError or PrivilegeError."""
    listing = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    # The first free number was the listing's own descriptor, and is closed by now.
    privilege.confine(confinement, [number for number in listing if _is_open(number)])


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
