"""What a new generation needs beside the present one, opened before anything changes: everything that can fail.

Source: udp-proxy(8), RELOADING.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple

from proxyd.daemon import capabilities, descriptors, fixed, identity, places, resettling, routing, sockets
from proxyd.daemon.landing import Landing, covers
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.reading import Reading
from proxyd.daemon.resettling import Resettling
from proxyd.daemon.shared import make_buckets
from proxyd.daemon.spawn import Estate, Monitoring
from proxyd.errors import ProxydError, SetupError
from proxyd.logs.setup import Logs
from workers.contract.context import Confinement
from workers.contract.rates import RateRegion
from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import GENERATIONS


@dataclass(frozen=True, slots=True)
class Means:
    """How a program reads its configuration again, and opens what that asks for. All of these raise ProxydError.

    land: where to listen from now on, None: where the proxy does now. sessions: whether workers' slots are sessions,
    which have rules by generation. descriptors: how many the hungriest process may open.
    """

    read: Callable[[], Reading]
    logs: Callable[[Settings], Logs]
    land: Callable[[Estate, Settings], Landing] | None = None
    monitoring: Callable[[Settings], Monitoring | None] = lambda _: None
    descriptors: Callable[[Settings, int], int] = descriptors.needed
    sessions: bool = True


class Prepared(NamedTuple):
    """What a new generation needs that may fail, all of it done. landing, logs None: as they were.

    resettling: how the number of workers changes, None: it stays.
    monitoring, users, rates: those of the generation before where nothing of them has changed. notes: what may not be
    what was meant.
    """

    settings: Settings
    confinement: Confinement
    landing: Landing | None
    resettling: Resettling | None
    logs: Logs | None
    monitoring: Monitoring | None
    users: UsersFile | None
    rates: RateRegion | None
    notes: tuple[str, ...]


class RefusedError(ProxydError):
    """The configuration is valid, and asks for what cannot change while the proxy runs."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def check(estate: Estate, reading: Reading) -> tuple[Settings, Confinement]:
    """Return the next generation's settings, and what its workers give up, if it can be one. Raises ProxydError."""
    before = estate.settings
    refused = fixed.refusals(before, reading.settings, reading.places)
    if refused:
        raise RefusedError(refused)
    settings = replace(
        fixed.keep_fixed(before, reading.settings),
        generation=next_generation(estate),
        listeners=places.settle(reading.settings.listeners),
    )
    settings = replace(settings, workers=_workers(estate, settings)[0])
    resettling.require_steering(estate, settings)
    confinement = identity.look_up(settings)
    capabilities.require(capabilities.needs(settings, changes_user=confinement.uid is not None))
    return settings, confinement


def remarks(estate: Estate, reading: Reading, settings: Settings) -> list[str]:
    """Return what may not be what was meant, or waits for the next start. settings: what would be in force."""
    left = [
        f"{each} is no listener any more; the unit keeps it bound, and the next start refuses it"
        for each in estate.given.unwanted(settings.listeners)
    ]
    return [*reading.warnings, *_postponed(estate, reading, settings), *routing.diagnose(settings), *left]


def prepare(estate: Estate, reading: Reading, means: Means, logs: Logs, *, alone: bool = True) -> Prepared:
    """Open what a new generation needs beside the present one. Raises ProxydError; nothing stays open then.

    alone: whether nobody else has the listening sockets, too.
    """
    before = estate.settings
    settings, confinement = check(estate, reading)
    changed = () if alone else resettling.resteered(estate, settings)
    if changed:
        raise SetupError(f"go on with {sockets.describe(changed[0])}", "other workers are to hear it; reload before")
    if not alone and settings.workers != len(estate.listeners):
        raise SetupError(resettling.STEP, "another program has the listening sockets, too")
    notes = remarks(estate, reading, settings)
    most = max(settings.workers, len(estate.listeners))
    too_few = descriptors.raise_limit(means.descriptors(settings, most))
    notes += [] if too_few is None else [too_few]
    with ExitStack() as stack:
        landing = None if means.land is None else means.land(estate, settings)
        if landing is not None:
            stack.callback(landing.undo)
        resettled = _resettle(estate, settings, landing, confinement) if alone else None
        if resettled is not None:
            stack.callback(resettled.undo)
        fresh = means.logs(settings) if log_settings(settings) != log_settings(before) else None
        if fresh is not None:
            stack.callback(fresh.close)
        rates = _make_rates(estate, settings)
        same = shown_at(settings) == shown_at(before)
        monitoring = estate.monitoring if same else means.monitoring(settings)
        stack.pop_all()
    if resettled is None:
        moving = _moving(estate, landing)
        notes += [f"{sockets.describe(one)}: who came there by a wildcard may begin a new session" for one in moving]
    if landing is None:
        settings = replace(settings, listeners=before.listeners)
    users = _read_users(estate, settings, logs)
    return Prepared(settings, confinement, landing, resettled, fresh, monitoring, users, rates, tuple(notes))


def _workers(estate: Estate, settings: Settings) -> tuple[int, str]:
    """Return how many workers there are to be, and why not as many as settings want, "" if it is as many."""
    present = len(estate.listeners)
    if settings.workers == present:
        return present, ""
    why = resettling.hindrance(estate, settings)
    return present if why else settings.workers, why


def _postponed(estate: Estate, reading: Reading, settings: Settings) -> Iterator[str]:
    """Yield a line for everything that has changed and counts only from the next start on."""
    yield from fixed.deferred(estate.settings, reading.settings, reading.places)
    _, why = _workers(estate, replace(settings, workers=reading.settings.workers))
    if why:
        yield fixed.postponed("workers", reading.places, why)


def _resettle(
    estate: Estate, settings: Settings, landing: Landing | None, confinement: Confinement
) -> Resettling | None:
    """Prepare that clients come to other workers than before, if they do and it can be. Raises SetupError."""
    if landing is None:
        return None
    stays = settings.workers == len(estate.listeners) and not resettling.resteered(estate, settings)
    if stays and (not _moving(estate, landing) or resettling.disability(estate, settings)):
        return None
    return resettling.prepare(estate, settings, (*settings.listeners, *landing.extra), confinement.uid)


def _moving(estate: Estate, landing: Landing | None) -> list[ListenerSettings]:
    """Return the listeners whose clients the kernel gives to other workers than before: it takes its choice among the
    sockets of an address by another hash than among those of a wildcard. Source: net/ipv4/udp.c.
    """
    fresh = () if landing is None or len(estate.listeners) == 1 else landing.fresh
    added = (listener for listener in fresh if listener not in estate.standing)
    return [listener for listener in added if any(covers(wider, listener) for wider in estate.standing)]


def _make_rates(estate: Estate, settings: Settings) -> RateRegion | None:
    if settings.queues == estate.settings.queues:
        return estate.shared.rates
    try:
        return make_buckets(settings)
    except OSError as error:
        raise SetupError("create shared memory", error.strerror or str(error)) from error


def _read_users(estate: Estate, settings: Settings, logs: Logs) -> UsersFile | None:
    if settings.auth is None or settings.auth == estate.settings.auth:
        return None if settings.auth is None else estate.users
    users = UsersFile(settings.auth, logs)
    users.look(time.monotonic_ns())
    return users


def next_generation(estate: Estate) -> int:
    """Return a number for the next generation that no session has in its slot."""
    number = estate.settings.generation + 1
    while number % GENERATIONS in estate.earlier:
        number += 1
    return number


def shown_at(settings: Settings) -> tuple[object, ...]:
    """Return what decides where the monitor is to be seen."""
    return () if settings.monitor is None else (settings.monitor.listen, settings.monitor.path)


def log_settings(settings: Settings) -> tuple[object, ...]:
    """Return what decides where the logs go, and how their lines look."""
    return replace(settings.debug_log, level=0), replace(settings.stats_log, level=0)
