"""What a worker is given when it begins to serve: by then it is unprivileged and cannot come back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from workers.contract.custody import Kept
from workers.contract.messages import NO_NAMES, FromChild, Names, ToChild, Users
from workers.contract.offload import Records
from workers.contract.rates import RateRegion
from workers.contract.settings import Settings
from workers.contract.slots import Region
from workers.contract.store import Store


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a child gives up, looked up by the parent while files and user names can still be read.

    uid, gid: who it becomes, never 0; None where the program was started without privileges and stays who it is.
    root: the directory that becomes its root; None: the root stays.
    capabilities: the numbers of those that it keeps, because its work needs them. Source: capabilities(7).
    """

    uid: int | None = None
    gid: int | None = None
    root: str | None = None
    capabilities: frozenset[int] = frozenset()


class ChannelLike(Protocol):
    """A child's end of its channel to the parent."""

    def fileno(self) -> int:
        """Return the descriptor to wait on, or -1 where nothing will ever come (one process does everything)."""
        ...

    def send(self, message: FromChild) -> bool:
        """Send without blocking; return False, having sent nothing, when the channel is full."""
        ...

    def receive(self) -> ToChild | None:
        """Return the next message, None when none waits. Raises ContractError when the parent is gone."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Everything a worker may touch.

    listeners: this worker's own socket of each settings.listeners, in order, non-blocking, all options set.
    permits: an eventfd (semaphore, non-blocking) that holds the free sessions of the whole proxy.
    wakeup: becomes readable when a signal arrived (signal.set_wakeup_fd); one byte a signal, its number.
    names: the current addresses of the configuration's host names, empty if it has none; None: not known yet, and then
    the worker serves nobody before they come.
    level: the debug log's level when the worker begins.
    users: the parts of the table of out-of-band users as it is now, none where the configuration asks for no users.
    rates: the buckets of the queues that have a rate, None where none has.
    custody: where sessions' sockets are entrusted to the parent (workers.contract.custody), None: nobody keeps them.
    kept: the sessions of this worker's predecessor that it is to go on with; their slots stand in the region, and
    Counter.PERMITS counts them already. earlier: the settings of older generations whose rules such sessions have, by
    the low 16 bits of the generation. retired: so many of the last listeners have vanished from the configuration and
    serve the sessions that they have, nobody new.
    backlog: a descriptor with datagrams that are to be treated before any other (workers.contract.backlog), -1: none.
    records: of what the kernel passes of this worker's sessions, None where it carries none.
    store: what a worker whose sessions have no sockets of their own writes down for its replacement, None: nothing.
    """

    index: int
    settings: Settings
    listeners: tuple[socket.socket, ...]
    channel: ChannelLike
    region: Region
    permits: int
    wakeup: int
    level: int
    names: Names | None = NO_NAMES
    users: tuple[Users, ...] = ()
    rates: RateRegion | None = None
    custody: socket.socket | None = None
    kept: tuple[Kept, ...] = ()
    earlier: Mapping[int, Settings] = field(default_factory=dict)
    retired: int = 0
    store: Store | None = None
    backlog: int = -1
    records: Records | None = None
