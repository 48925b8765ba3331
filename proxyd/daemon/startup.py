"""A proxy's run from its compiled settings to its end: every step in its order, and undone in the reverse order.

Logs, listening sockets, shared memory, pidfile, capabilities, children. A step that fails ends the run before anything
was served, with the step and the reason in the log and in what is returned.
"""

from __future__ import annotations

import gc
import os
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from proxyd.daemon import capabilities, descriptors, identity, places, routing, sockets
from proxyd.daemon.control import Post, open_post
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.landing import Landing
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.pidfile import RUN_DIRECTORY, Pidfile, default_path, refuse_second
from proxyd.daemon.reading import Reading
from proxyd.daemon.renewal import Means
from proxyd.daemon.shared import Shared
from proxyd.daemon.single import SingleProcess
from proxyd.daemon.spawn import Estate, Monitoring, Naming, WorkerMain
from proxyd.daemon.supervisor import Supervisor
from proxyd.errors import SetupError
from proxyd.logs.setup import Logs
from workers.contract.settings import ListenerSettings, Settings

Listeners: TypeAlias = tuple[tuple[socket.socket, ...], ...]
"""The listening sockets as [worker][listener]."""


@dataclass(frozen=True, slots=True)
class Openings:
    """How a program opens its logs and its listening sockets, both of which raise SetupError; how it resolves names.

    listeners: takes the settings and how many workers there are. naming None: it has no names. monitoring: opens what
    the proxy is shown on, if it is to be. descriptors: how many the hungriest process may open. store_bytes: of what
    a worker writes down for its replacement, 0: nothing. land: where to listen after a reload, None: where it did.
    """

    logs: Callable[[Settings], Logs]
    listeners: Callable[[Settings, int], Listeners]
    naming: Naming | None = None
    monitoring: Callable[[Settings], Monitoring | None] = lambda _: None
    descriptors: Callable[[Settings, int], int] = descriptors.needed
    store_bytes: Callable[[Settings, int], int] = lambda _settings, _workers: 0
    land: Callable[[Estate, Settings], Landing] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run.

    worker: the workers' loop. version: the program's, for the log. file: the configuration. warnings: of the
    configuration, for the log. names: its host names, to be resolved. run_directory: where the pidfile goes.
    openings: the program's own. pidfile: another place for it, "" for no pidfile. banner: events for the log's begin.
    read: reads the configuration again, None: there is no way.
    """

    settings: Settings
    worker: WorkerMain
    version: str
    file: str = ""
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    run_directory: Path = RUN_DIRECTORY
    openings: Openings = field(kw_only=True)
    pidfile: str | None = None
    banner: tuple[tuple[str, tuple[str | int, ...]], ...] = ()
    read: Callable[[], Reading] | None = None

    @property
    def means(self) -> Means | None:
        """How the proxy reloads."""
        if self.read is None:
            return None
        opens, sessions = self.openings, self.openings.land is not None
        return Means(self.read, opens.logs, opens.land, opens.monitoring, opens.descriptors, sessions)


def run_proxy(order: Order, on_ready: Callable[[], None]) -> Ending:
    """Run a proxy until it ends; return how. on_ready: called once it serves.

    An unforeseen error is logged and raised; the children end when this process does.
    """
    with ExitStack() as stack:
        try:
            logs = order.openings.logs(order.settings)
            stack.callback(logs.close)
            stack.push(partial(_log_unforeseen, logs))
        except SetupError as error:
            return Ending(ExitStatus.UNAVAILABLE, str(error))
        try:
            estate = _set_up(order, logs, stack)
        except SetupError as error:
            logs.note("setup-failed", error.step, error.reason)
            return Ending(ExitStatus.UNAVAILABLE, str(error))
        return _serve(estate, order, logs, on_ready)


def _set_up(order: Order, logs: Logs, stack: ExitStack) -> Estate:
    """Open everything, and give up what is not needed again. Raises SetupError; the stack undoes what was done."""
    settings = order.settings
    workers = 1 if settings.single_process else settings.workers
    if order.file:
        logs.note("configured", order.file)
    for event, fields in order.banner:
        logs.note(event, *fields)
    for warning in order.warnings:
        logs.note("config-warning", warning)
    confinement = identity.look_up(settings)
    capabilities.require(capabilities.needs(settings, changes_user=confinement.uid is not None))
    too_few = descriptors.raise_limit(order.openings.descriptors(settings, workers))
    if too_few is not None:
        logs.note("config-warning", too_few)
    settings = replace(settings, listeners=places.settle(settings.listeners))
    for warning in routing.diagnose(settings):
        logs.note("config-warning", warning)
    path = _pidfile_path(order)
    if path is not None:
        refuse_second(path)
    held: list[Pidfile] = []
    # Registered first, so removed last: where the file is gone, the sockets are free.
    stack.callback(_remove_pidfile, held)
    listeners = order.openings.listeners(settings, workers)
    stack.callback(_unbind, listeners, logs)
    for listener in settings.listeners:
        _note_bound(listener, workers, logs)
    monitoring = _open_monitor(order, logs)
    if monitoring is not None:
        stack.callback(monitoring.close)
    shared = Shared.create(settings, workers, order.openings.store_bytes(settings, workers))
    held += _take_pidfile(order, logs)
    post = _open_control(settings, held)
    if post is not None:
        stack.callback(post.remove)
    capabilities.drop_all_but(capabilities.KEPT | confinement.capabilities)
    names = order.names if settings.resolve_names else ()
    users = _read_users(settings, logs)
    naming = order.openings.naming
    return Estate(
        settings,
        listeners,
        shared,
        confinement,
        names,
        users,
        post,
        order.version,
        order.file,
        naming,
        monitoring,
    )


def _note_bound(listener: ListenerSettings, workers: int, logs: Logs) -> None:
    raw = sockets.raw_sockaddr(listener)
    if listener.transparent:
        logs.note("bound-transparently", raw, listener.device or "every interface", workers)
    else:
        logs.note("bound", raw, workers)


def _serve(estate: Estate, order: Order, logs: Logs, on_ready: Callable[[], None]) -> Ending:
    def announce() -> None:
        logs.note("started", order.version)
        logs.flush()
        on_ready()

    # What is garbage now would be copied into every child; what is not will hardly ever be.
    gc.collect()
    gc.freeze()
    if estate.settings.single_process:
        return SingleProcess(estate, logs).run(order.worker, announce)
    return Supervisor(estate, logs, order.worker, announce, order.means).run()


def _read_users(settings: Settings, logs: Logs) -> UsersFile | None:
    """Read the users as they are now: without the capabilities, as they will be read from now on."""
    if settings.auth is None:
        return None
    users = UsersFile(settings.auth, logs)
    users.look(time.monotonic_ns())
    return users


def _pidfile_path(order: Order) -> Path | None:
    if order.pidfile is None:
        return default_path(order.settings.name, order.run_directory)
    return Path(order.pidfile) if order.pidfile else None


def _take_pidfile(order: Order, logs: Logs) -> list[Pidfile]:
    """Take the pidfile; in the foreground, an ordinary user does without where it cannot be written."""
    path = _pidfile_path(order)
    if path is None:
        return []
    try:
        return [Pidfile.take(path)]
    except SetupError as error:
        if order.pidfile is not None or not (
            order.settings.foreground and os.geteuid() != 0 and isinstance(error.__cause__, PermissionError)
        ):
            raise
        logs.note("config-warning", f"no pidfile: {error}")
        return []


def _open_control(settings: Settings, held: list[Pidfile]) -> Post | None:
    """Make the control socket, beside the pidfile unless its path is given; without either there is none."""
    wanted = settings.control
    if wanted is None or (wanted.path is None and not held):
        return None
    path = held[0].path.with_suffix(".ctl") if wanted.path is None else Path(wanted.path)
    return open_post(path, wanted.group)


def _open_monitor(order: Order, logs: Logs) -> Monitoring | None:
    settings = order.settings
    if not settings.single_process:
        return order.openings.monitoring(settings)
    if settings.monitor is not None and settings.monitor.listen is not None:
        logs.note("config-warning", "one process does everything: nobody serves 'monitoring http'")
    return None


def _remove_pidfile(held: list[Pidfile]) -> None:
    for pidfile in held:
        pidfile.remove()


def _log_unforeseen(
    logs: Logs, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log the error that ends this run, if one does; it goes on its way."""
    if kind is not None:
        logs.note("traceback", "parent", "".join(traceback.format_exception(kind, error, trace)))


def _unbind(listeners: tuple[tuple[socket.socket, ...], ...], logs: Logs) -> None:
    for group in listeners:
        sockets.close_all(group)
    logs.note("unbound")
