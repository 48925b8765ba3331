"""A proxy's run from its compiled settings to its end: every step in its order, and undone in the reverse order.

Logs, listening sockets, shared memory, pidfile, capabilities, children. A step that fails ends the run before anything
was served, with the step and the reason in the log and in what is returned.
"""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from proxyd.daemon import (
    capabilities,
    descriptors,
    fdstore,
    identity,
    notify,
    passage,
    places,
    routing,
    sockets,
    takeover,
)
from proxyd.daemon.activation import Given
from proxyd.daemon.bequest import Legacy
from proxyd.daemon.control import open_post
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.heir import Heir, come_into
from proxyd.daemon.inventory import InventoryError
from proxyd.daemon.landing import Listeners
from proxyd.daemon.notify import Notifier
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.order import Order
from proxyd.daemon.pidfile import Pidfile, default_path, refuse_second
from proxyd.daemon.reading import Reading
from proxyd.daemon.shared import Shared
from proxyd.daemon.single import SingleProcess
from proxyd.daemon.spawn import Estate, Monitoring
from proxyd.daemon.supervisor import Supervisor
from proxyd.daemon.takeover import STEP, Giver
from proxyd.daemon.thrift import give_back
from proxyd.errors import ProxydError, SetupError
from proxyd.logs.setup import Logs
from proxyd.offload.carrier import Carrier
from workers.contract.context import Confinement
from workers.contract.settings import Settings
from workers.contract.slots import GENERATIONS

CLOSING_S = 3.0
"""How long a service manager may take to close what it was told to forget."""
_AGAIN_S = 0.05


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
        notifier = notify.from_environment(os.environ)
        stack.callback(notifier.close)
        try:
            start = _prepare(order, logs, notifier)
            with _answering_for(start.heir):
                return _serve(_set_up(start, stack), start, on_ready)
        except SetupError as error:
            logs.note("setup-failed", error.step, error.reason)
            return Ending(ExitStatus.UNAVAILABLE, str(error))


@contextmanager
def _answering_for(heir: Heir | None) -> Iterator[None]:
    """Tell whoever has left something what became of it, if this program does not come to serve."""
    why = "unforeseen error, see the log"
    try:
        yield
    except SetupError as error:
        why = str(error)
        raise
    finally:
        if heir is not None:
            heir.give_up(why)


@dataclass(slots=True)
class Start:
    """A start that nothing speaks against so far. heir: of a run before this one, None: this is the first.

    settings: with the listeners as they are to be bound here. given: those of them that are bound already. emptied:
    whether somebody else is just closing sockets that are in the way.
    """

    order: Order
    logs: Logs
    notifier: Notifier
    settings: Settings
    confinement: Confinement
    given: Given
    heir: Heir | None = None
    emptied: bool = False

    @property
    def workers(self) -> int:
        """How many workers there are to be."""
        if self.heir is not None:
            return self.heir.workers
        return 1 if self.settings.single_process else self.settings.workers


def _prepare(order: Order, logs: Logs, notifier: Notifier) -> Start:
    """Check all that can be checked before anything is opened, and come into what was left. Raises SetupError."""
    settings = order.settings
    if order.file:
        logs.note("configured", order.file)
    for event, fields in order.banner:
        logs.note(event, *fields)
    for warning in order.warnings:
        logs.note("config-warning", warning)
    confinement = identity.look_up(settings)
    capabilities.require(capabilities.needs(settings, changes_user=confinement.uid is not None))
    too_few = descriptors.raise_limit(order.openings.descriptors(settings, settings.workers))
    if too_few is not None:
        logs.note("config-warning", too_few)
    settings = replace(settings, listeners=places.settle(settings.listeners))
    for warning in routing.diagnose(settings):
        logs.note("config-warning", warning)
    passed = fdstore.take_passed(os.environ)
    given = Given(passed.others)
    given.require_wanted(settings.listeners, one_family=order.openings.one_family)
    start = Start(order, logs, notifier, settings, confinement, given)
    path = _pidfile_path(order)
    if order.takeover:
        start.heir = _become_heir(start, _ask(start, path))
    else:
        _look_into_store(start, passed.stored)
    if start.heir is None and path is not None:
        refuse_second(path)
    return start


def _become_heir(start: Start, found: tuple[Legacy, Giver]) -> Heir:
    heir = come_into(found, start.settings, _recompiler(start.order))
    _require_the_same_place(heir, start)
    return heir


def _require_the_same_place(heir: Heir, start: Start) -> None:
    """Raise SetupError where a program that cannot listen elsewhere would have to."""
    if start.order.openings.land is None and heir.past.settings.listeners != start.settings.listeners:
        where = sockets.describe(heir.past.settings.listeners[0])
        heir.give_up(f"it was to listen elsewhere than on {where}")
        raise SetupError(STEP, f"the running program listens on {where}; another port takes a restart")


def _ask(start: Start, pidfile: Path | None) -> tuple[Legacy, Giver]:
    """Return what the running program hands over. Raises SetupError."""
    settings = start.settings
    if settings.single_process:
        raise SetupError(STEP, "one process that does everything cannot go on with another one's work")
    path = _control_path(settings, pidfile)
    if path is None:
        raise SetupError(STEP, "without a control socket there is nobody to ask")
    return takeover.ask(path, settings.program, settings.name)


def _look_into_store(start: Start, stored: Mapping[int, str]) -> None:
    """Come into what the service manager keeps, if it does; what cannot be gone on with is given up, and said."""
    try:
        found = takeover.fetch(stored, start.notifier, start.logs)
        if found is None:
            return
        why = _misfit(start, found[0])
        if not why:
            start.heir = _become_heir(start, found)
            return
        found[0].close_unused()
    except InventoryError as error:
        why = str(error)
    except SetupError as error:
        why = error.reason
    # The manager holds sockets that are bound: they are in the way until it has let go of them.
    fdstore.forget(start.notifier)
    start.emptied = True
    start.logs.note("nothing-left", takeover.STORE, why)


def _misfit(start: Start, legacy: Legacy) -> str:
    """Return why this start is not the next one of what was laid up, "" if it is."""
    manifest, settings = legacy.manifest, start.settings
    if (manifest.program, manifest.name) != (settings.program, settings.name):
        return f"it is of {manifest.program} {manifest.name}"
    if settings.single_process:
        return "one process that does everything cannot go on with it"
    if len(manifest.sockets) != settings.workers and start.order.openings.land is None:
        return f"it is of {len(manifest.sockets)} workers, and now there are {settings.workers}"
    return start.given.misfit(manifest)


def _recompiler(order: Order) -> Callable[[str], Settings]:
    if order.recompile is not None:
        return order.recompile

    def refuse(_text: str) -> Settings:
        raise SetupError(STEP, "this program understands no older configuration")

    return refuse


def _set_up(start: Start, stack: ExitStack) -> Estate:
    """Open everything, and give up what is not needed again. Raises SetupError; the stack undoes what was done."""
    order, logs, settings, heir = start.order, start.logs, start.settings, start.heir
    held: list[Pidfile] = []
    # Registered first, so removed last: where the file is gone, the sockets are free.
    stack.callback(_remove_pidfile, held)
    if heir is None:
        listeners = _bind(start)
        for listener in settings.listeners:
            logs.note(*sockets.bound_event(listener, start.workers))
    else:
        listeners = heir.past.listeners
        order.openings.adapt(listeners)
    past = None if heir is None else heir.past
    shared = None if past is None else past.shared
    estate = Estate(
        settings if past is None else past.settings,
        listeners,
        shared or Shared.create(settings, start.workers, order.openings.store_bytes(settings, start.workers)),
        start.confinement,
        order.names if settings.resolve_names else (),
        version=order.version,
        file=order.file,
        naming=order.openings.naming,
        texts={settings.generation % GENERATIONS: order.text} if past is None else past.texts,
        given=start.given,
    )
    start.given.note(settings.listeners, logs)
    stack.callback(_unbind, estate, logs)
    if heir is not None:
        estate.extra, estate.retired, estate.earlier = heir.past.extra, heir.past.retired, heir.past.earlier
        estate.leash = heir.legacy.leash()
    _open_places(estate, start, held, stack)
    estate.carrier = _open_carrier(start, stack)
    carrying = capabilities.CARRYING if estate.carrier is not None else frozenset()
    capabilities.drop_all_but(capabilities.KEPT | carrying | start.confinement.capabilities)
    estate.users = _read_users(settings, logs)
    return estate


def _open_carrier(start: Start, stack: ExitStack) -> Carrier | None:
    """Have the kernel carry sessions, if that is wanted and can be; otherwise workers carry all of them."""
    settings = start.settings
    if not settings.offload:
        return None
    try:
        if settings.single_process:
            raise SetupError("offload", "one process does everything")
        carrier = Carrier(start.workers, settings.max_sessions)
    except (ProxydError, OSError) as error:
        start.logs.note("config-warning", f"'offload' has no effect: {error}")
        return None
    stack.callback(carrier.close)
    return carrier


def _bind(start: Start) -> Listeners:
    """Bind the listeners; where somebody is just closing what is in the way, wait for that. Raises SetupError."""
    deadline = time.monotonic() + (CLOSING_S if start.emptied else 0)
    while True:
        try:
            return start.order.openings.listeners(start.settings, start.workers, start.given)
        except SetupError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_S)


def _open_places(estate: Estate, start: Start, held: list[Pidfile], stack: ExitStack) -> None:
    """Open where the proxy is found: the monitor's socket, the pidfile, the control socket. Raises SetupError."""
    order, settings, heir = start.order, start.settings, start.heir
    if heir is not None:
        estate.monitoring = heir.share_monitor(partial(order.openings.inherit_monitoring, settings))
    estate.monitoring = estate.monitoring or _open_monitor(order, start.logs)
    if estate.monitoring is not None:
        stack.callback(_close_monitor, estate)
    path = _pidfile_path(order)
    shared = None if heir is None else heir.share_pidfile(path)
    held += [shared] if shared is not None else _take_pidfile(order, start.logs)
    estate.pidfile = held[0] if held else None
    path, wanted = _control_path(settings, held[0].path if held else None), settings.control
    if heir is not None:
        estate.control = heir.share_post(path, None if wanted is None else wanted.group)
    if estate.control is None and path is not None and wanted is not None:
        estate.control = open_post(path, wanted.group)
    if estate.control is not None:
        stack.callback(estate.control.remove)


def _serve(estate: Estate, start: Start, on_ready: Callable[[], None]) -> Ending:
    order, logs, heir = start.order, start.logs, start.heir

    def announce() -> None:
        if heir is not None:
            heir.claim()
        logs.note("started", order.version)
        logs.flush()
        on_ready()

    # What is garbage now would be copied into every child; what is not will hardly ever be.
    gc.collect()
    gc.freeze()
    give_back()
    if estate.settings.single_process:
        return SingleProcess(estate, logs, start.notifier).run(order.worker, announce)
    onward = passage.Means(start.notifier, order.launch, fdstore.capacity(os.environ), order.private)
    worker = order.worker if heir is None else heir.worker(order.worker, order.inherit, logs)
    supervisor = Supervisor(estate, logs, worker, announce, order.means, onward)
    if heir is not None:
        supervisor.begin_with(heir, _reading(start), whole=_is_whole(start) or order.openings.land is None)
        heir.legacy.close_unused()
    ending = supervisor.run()
    if heir is not None:
        heir.give_up(ending.reason)
    return ending


def _is_whole(start: Start) -> bool:
    """Tell whether there are as many workers as the configuration says: at first there are as many as before."""
    return start.settings.workers == start.workers


def _reading(start: Start) -> Reading:
    """Return the configuration that this program was started with, as a reload has it."""
    order, heir = start.order, start.heir
    if heir is not None and not _is_whole(start) and order.openings.land is None:
        note = "'workers' counts from the next start on"
        start.logs.note("config-warning", note)
        heir.giver.coming(note)
    return Reading(replace(order.settings, workers=start.workers), order.names, (), order.text)


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


def _control_path(settings: Settings, pidfile: Path | None) -> Path | None:
    """Return where the control socket lies: beside the pidfile unless its path is given; without either nowhere."""
    wanted = settings.control
    if wanted is None or (wanted.path is None and pidfile is None):
        return None
    return pidfile.with_suffix(".ctl") if wanted.path is None and pidfile is not None else Path(wanted.path or "")


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


def _close_monitor(estate: Estate) -> None:
    if estate.monitoring is not None:
        estate.monitoring.close()


def _unbind(estate: Estate, logs: Logs) -> None:
    for group in estate.listeners:
        sockets.close_all(group)
    estate.given.close()
    if estate.pidfile is None or estate.pidfile.ours:
        logs.note("unbound")
