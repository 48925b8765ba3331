"""The number of workers changes while the proxy runs, and every client's datagrams find its session still.

Which worker a client comes to depends on how many there are. So all workers leave their work; sockets join or go; what
was queued meanwhile, and each session, goes to the worker that its client will come to; then the workers begin, each
with its sessions, and treats what waited before it reads its sockets. All that may fail is made beforehand. What can
fail afterwards leaves a worker less, or a datagram, never the proxy.
Source: udp-proxy(8), RELOADING.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeAlias

from proxyd.daemon import demands, seats, sockets
from proxyd.daemon.demands import Choice, Wishes
from proxyd.daemon.emptying import Taken, empty
from proxyd.daemon.homes import Caller, Homes
from proxyd.daemon.membership import Group
from proxyd.daemon.seats import Seated
from proxyd.daemon.spawn import Estate
from proxyd.errors import SetupError
from workers.contract.backlog import Backlog
from workers.contract.custody import Kept, describe
from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import GENERATIONS, Region
from workers.net import cbpf
from workers.net.delivery import Delivery, Flow, cookie_of
from workers.net.interfaces import Interfaces, Table
from workers.wire import sockaddr

BOUND = "sessions that began under other rules need all their clients' datagrams in one worker"
STEP = "change the number of workers"
_RANKS = (Choice.KERNEL, Choice.CLIENT, Choice.FIRST)
"""The later ones keep together whatever the earlier ones do."""
_Place: TypeAlias = tuple[bytes, bool, str | None]
_IPV4 = sockaddr.FAMILY.pack(sockaddr.AF_INET)


class Keeping(Protocol):
    """Where sessions are kept for workers that are not there."""

    def kept(self, worker: int) -> tuple[Kept, ...]:
        """Return the sessions that are kept for a worker, by slot."""
        ...

    def move(self, plan: Sequence[Sequence[Kept]]) -> None:
        """Keep all of them for other workers, in other slots."""
        ...


class Held(NamedTuple):
    """A datagram that waited in a worker's socket."""

    worker: int
    taken: Taken

    @property
    def caller(self) -> Caller:
        """Whose it is."""
        waited = self.taken.waited
        return Caller(waited.listener, waited.source, self.taken.destination, self.worker)


class Resettled(NamedTuple):
    """What came of it. workers: how many there are now. moved: sessions that are another worker's now.

    waited: datagrams, a train as one, that were handed on. lost: those that there was no memory for, on top of these.
    why: what has failed, "" for nothing.
    """

    workers: int
    moved: int
    waited: int
    lost: int
    why: str


def hindrance(estate: Estate, settings: Settings) -> str:
    """Return why the number of workers cannot become that of new settings while the proxy runs, "" if it can."""
    if settings.single_process or estate.shared.stores:
        return "this program's workers are bound to their number"
    wishes, needed = demands.wishes(settings), _needed(estate)
    for listener in dict.fromkeys((*settings.listeners, *estate.standing)):
        choice = sockets.choice_of(listener, wishes)
        if listener.transparent and choice is not Choice.FIRST:
            place = demands.item_of(listener)
            return f"which worker the kernel gives a client of '{place}' to cannot be known"
        if _RANKS.index(sockets.choice_of(listener, needed)) > _RANKS.index(choice):
            return BOUND
    return disability(estate, settings)


def resteered(estate: Estate, settings: Settings) -> tuple[ListenerSettings, ...]:
    """Return the listeners that other workers than before are to hear by new settings."""
    if len(estate.listeners) == 1:
        return ()
    old, new = demands.wishes(estate.settings), demands.wishes(settings)
    return tuple(one for one in estate.standing if sockets.choice_of(one, old) is not sockets.choice_of(one, new))


def require_steering(estate: Estate, settings: Settings) -> None:
    """Raise SetupError where other workers are to hear a listener, and its sessions could not follow."""
    listeners = resteered(estate, settings)
    if not listeners:
        return
    wishes, needed = demands.wishes(settings), _needed(estate)
    for listener in listeners:
        choice, why = sockets.choice_of(listener, wishes), ""
        if choice is Choice.FIRST:
            continue
        if listener.transparent:
            why = f"its datagrams would have to go to {choice.value}; that takes a restart"
        elif _RANKS.index(sockets.choice_of(listener, needed)) > _RANKS.index(choice):
            why = f"{BOUND}; when they have ended, or by a restart"
        why = why or disability(estate, settings)
        if why:
            raise SetupError(f"go on with {sockets.describe(listener)}", why)


def _needed(estate: Estate) -> Wishes:
    """Return what the rules of the sessions that there are want of the listeners."""
    generations = {**estate.earlier, estate.settings.generation % GENERATIONS: estate.settings}
    found = {
        (found.generation, found.rule)
        for region in estate.shared.regions
        for found in map(region.fields, region.used())
    }
    rules = [generations[number].acls[rule : rule + 1] for number, rule in found if number in generations]
    return demands.wishes(replace(estate.settings, acls=tuple(acl for acls in rules for acl in acls)))


def disability(estate: Estate, settings: Settings) -> str:
    """Return what this kernel cannot do of what a change needs, "" if it can all.

    To ask, it detaches steering from live sockets that need none by the new settings: only the hash can be asked about.
    """
    wishes = demands.wishes(settings)
    hashed = [
        (listener, [group[index] for group in estate.listeners])
        for index, listener in enumerate(estate.standing)
        if sockets.choice_of(listener, wishes) is Choice.KERNEL
    ]
    try:
        asked = Delivery()
        try:
            for listener, group in hashed:
                cbpf.detach_steering(group[0])
                if asked.takers([_probe(listener)])[0] not in [cookie_of(sock) for sock in group]:
                    return f"this kernel does not tell who gets what comes to {sockets.describe(listener)}"
        finally:
            asked.close()
    except OSError as error:
        return f"this kernel cannot be asked who gets a datagram: {error.strerror}"
    return ""


def _probe(listener: ListenerSettings) -> Flow:
    """Return a flow that would come to a listener, and to none that is more particular."""
    interface = 0 if listener.device is None else socket.if_nametoindex(listener.device)
    raw = sockets.raw_sockaddr(listener)
    return Flow(raw, raw, interface)


class Resettling:
    """A change that is prepared: so many workers from now on, or as many, where clients come to other ones.

    choices: the listeners as sessions refer to them now, and who has got what so far.
    """

    def __init__(
        self,
        workers: int,
        choices: Mapping[ListenerSettings, Choice],
        joining: Sequence[Sequence[socket.socket]],
        regions: Sequence[Region],
        backlogs: Sequence[Backlog],
        asked: tuple[Delivery, Table],
    ) -> None:
        self.workers = workers
        self._choices = choices
        self._standing = tuple(choices)
        self._joining = joining
        self._regions = list(regions)
        self._backlogs = list(backlogs)
        self._delivery, self._table = asked

    def undo(self) -> None:
        """Close what was made for it."""
        for group in self._joining:
            sockets.close_all(group)
        self._keep(0)
        self._delivery.close()

    def carry_out(self, estate: Estate, vault: Keeping) -> Resettled:
        """Resettle everybody; all workers have left their work, and are to be started afterwards, as many as it says.

        estate: changed in place, but for its settings.
        """
        before, groups = len(estate.listeners), self._groups(estate)
        anew = [index for index in range(len(groups)) if self.workers != before or index in self._resteered(groups)]
        count, taken, why = self._regroup(groups, anew, before)
        estate.listeners = tuple(tuple(group.sockets[worker] for group in groups) for worker in range(count))
        self._keep(count)
        homes = self._homes(groups, count, anew)
        moved = self._move_sessions(estate, vault, homes)
        lost = self._hand_on(taken, homes)
        estate.backlogs = dict(enumerate(self._backlogs))
        self._delivery.close()
        return Resettled(count, moved, sum(backlog.count for backlog in self._backlogs), lost, why)

    def _resteered(self, groups: list[Group]) -> list[int]:
        """Return the listeners whose clients are spread in another way than before."""
        before = self._choices
        return [index for index, group in enumerate(groups) if before.get(group.listener, group.choice) != group.choice]

    def _regroup(self, groups: list[Group], anew: Collection[int], before: int) -> tuple[int, list[Held], str]:
        """Let sockets join or go; return how many workers have theirs now, what has waited, and what has failed."""
        changing, why = [(groups[index], self._joining[index]) for index in anew], ""
        for group, _ in changing:
            group.hold()
        for group, joining in changing:
            try:
                group.admit(joining)
            except OSError as error:
                why = f"no more sockets can be bound: {error.strerror}"
                why = f"the number of workers stays: {why}" if self.workers != before else why
        count = before if why else self.workers
        taken = self._empty(groups, slice(1, None))
        for group, joining in changing:
            sockets.close_all([sock for sock in joining if sock not in group.sockets])
            group.dismiss(count)
            try:
                group.release()
            except OSError as error:
                why = why or f"{sockets.describe(group.listener)} cannot be steered: {error.strerror}"
        # The first socket last: what came to it while it had everything is newer than what waits in the others.
        return count, taken + self._empty(groups, slice(1)), why

    def _groups(self, estate: Estate) -> list[Group]:
        wishes = demands.wishes(estate.settings)
        return [
            Group(listener, sockets.choice_of(listener, wishes), [group[index] for group in estate.listeners])
            for index, listener in enumerate(estate.standing)
        ]

    def _empty(self, groups: list[Group], which: slice) -> list[Held]:
        """Return what waits in some workers' sockets of each group."""
        return [
            Held(worker, taken)
            for index, group in enumerate(groups)
            for worker, sock in group.heard[which]
            for taken in empty(sock, index, group.listener)
        ]

    def _keep(self, count: int) -> None:
        """Give up the memory for more workers than there are to be."""
        for region in self._regions[count:]:
            region.unmap()
        for backlog in self._backlogs[count:]:
            backlog.close()
        del self._regions[count:], self._backlogs[count:]

    def _homes(self, groups: list[Group], count: int, anew: Collection[int]) -> Homes:
        cookies = {
            cookie_of(sock): worker
            for group in groups
            for worker, sock in enumerate(group.sockets)
            if group.choice is Choice.KERNEL
        }
        listeners, choices = [group.listener for group in groups], [group.choice for group in groups]
        return Homes(listeners, choices, count, cookies, self._delivery, self._table, anew)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _move_sessions(self, estate: Estate, vault: Keeping, homes: Homes) -> int:
        """Move the sessions to their homes; return how many have another worker now."""
        shared = estate.shared
        old, count = shared.regions, len(self._regions)
        places = {_place(listener): index for index, listener in enumerate(estate.standing)}
        seated = [Seated(worker, kept) for worker in range(len(old)) for kept in vault.kept(worker)]
        callers = [self._caller(old[seat.worker], seat, places) for seat in seated]
        homes.learn([caller for caller in callers if caller is not None])
        plan: list[list[Seated]] = [[] for _ in range(count)]
        moved = 0
        for seat, caller in zip(seated, callers, strict=True):
            found = None if caller is None else homes.of(caller).worker
            # Where nobody knows, or the kernel names a stranger: the client will show.
            home = min(seat.worker, count - 1) if found is None else found
            if len(plan[home]) < self._regions[home].slot_count:
                plan[home].append(seat)
                moved += home != seat.worker
        vault.move(seats.move(old, self._regions, plan))
        shared.regions = tuple(self._regions)
        for region in old:
            region.unmap()
        return moved

    def _caller(self, region: Region, seat: Seated, places: dict[_Place, int]) -> Caller | None:
        """Return who has a session, as its slot tells; None where that cannot be.

        Where it listens is what its note says, if that can be read: a worker that has begun since the reload was
        prepared counts listeners in the order of after.
        """
        found = region.fields(seat.kept.slot)
        said, number = describe(seat.kept.note), found.listener
        if said is not None:
            listener = places.get((said.raw, said.transparent, said.device))
        else:
            listener = places.get(_place(self._standing[number])) if number < len(self._standing) else None
        if listener is None:
            return None
        return Caller(listener, _raw(found.client), _raw(found.destination), seat.worker)

    # --- datagrams ---------------------------------------------------------------------------------------------------

    def _hand_on(self, taken: Sequence[Held], homes: Homes) -> int:
        """Write what was taken out of sockets into its home's backlog; return how many there was no memory for."""
        homes.learn([held.caller for held in taken if not held.taken.everybody])
        last = len(self._backlogs) - 1
        for held in taken:
            waited, home = held.taken.waited, held.worker
            if not held.taken.everybody:
                listener, found = homes.of(held.caller)
                waited, home = waited._replace(listener=listener), min(home, last) if found is None else found
            if home <= last:  # Of what everybody has heard, every other worker has the same.
                self._backlogs[home].add(waited)
        for backlog in self._backlogs:
            backlog.seal()
        return sum(backlog.lost for backlog in self._backlogs)


def _place(listener: ListenerSettings) -> _Place:
    """Return what makes a listener the same one whatever its number."""
    return sockets.raw_sockaddr(listener), listener.transparent, listener.device


def _raw(padded: bytes) -> bytes:
    """Return a slot's address without its padding."""
    return padded[: sockaddr.V4_BYTES] if padded[:2] == _IPV4 else padded


def prepare(estate: Estate, settings: Settings, listeners: Sequence[ListenerSettings], owner: int | None) -> Resettling:
    """Make everything that a change to the number of workers of new settings needs beside what there is.

    listeners: all that are to have sockets. owner: the user the workers become. Raises SetupError; nothing stays then.
    """
    wishes, old = demands.wishes(settings), demands.wishes(estate.settings)
    choices = {listener: sockets.choice_of(listener, old) for listener in estate.standing}
    slots = max(settings.max_sessions, *(region.slot_count for region in estate.shared.regions))
    name = f"{settings.program} {settings.name}"
    with ExitStack() as stack:
        if settings.workers > len(estate.listeners):
            sockets.probe(listeners, wishes, listeners)
        joining, regions, backlogs = [], [], []
        for listener in listeners:
            choice = sockets.choice_of(listener, wishes)
            # Who is to hear nothing any more is closed, and another socket bound to nothing is there in its place.
            falls_silent = choice is Choice.FIRST and choices.get(listener, choice) is not choice
            present = 1 if falls_silent else len(estate.listeners)
            joining.append(sockets.open_more(listener, max(settings.workers - present, 0), wishes, owner))
            stack.callback(sockets.close_all, joining[-1])
        try:
            for index in range(max(settings.workers, len(estate.listeners))):
                regions.append(Region.create(f"{name} {index}", slots))
                stack.callback(regions[-1].unmap)
                backlogs.append(Backlog(f"{name} backlog {index}"))
                stack.callback(backlogs[-1].close)
            asked = Delivery(), _table()
        except OSError as error:
            raise SetupError(STEP, error.strerror or str(error)) from error
        stack.pop_all()
    return Resettling(settings.workers, choices, joining, regions, backlogs, asked)


def _table() -> Table:
    """Return the machine's addresses. Raises OSError."""
    interfaces = Interfaces()
    interfaces.close()
    return interfaces.table
