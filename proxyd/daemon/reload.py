"""The configuration read again while the proxy runs: everything that can fail first, and only then a new generation.

What is wrong is told, all of it, and nothing has changed then. Otherwise listeners, logs, users, names and rules are
the new ones from one moment on for every child that is forked, and the children are renewed one after the other
(proxyd.daemon.rollout), or all workers together where there are to be more or fewer (proxyd.daemon.resettling): workers
leave their sessions to their replacements, which go on with them under the rules that they began with. Listeners that
have vanished serve their sessions, and are closed after the last of them.
A reload that is asked for while another is under way comes after it, one for all who ask meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from proxyd.daemon import demands, sockets
from proxyd.daemon.crew import Crew
from proxyd.daemon.landing import Landing
from proxyd.daemon.reading import Reading, mistakes
from proxyd.daemon.renewal import Means, Prepared, check, prepare, remarks
from proxyd.daemon.resettling import Resettling
from proxyd.daemon.rest import Rest
from proxyd.daemon.rollout import Rollout
from proxyd.daemon.roster import Child, Role, State
from proxyd.daemon.spawn import Estate, Spawner
from proxyd.daemon.tryout import try_out
from proxyd.daemon.turnstile import Turnstile
from proxyd.errors import ProxydError, SetupError
from proxyd.logs.setup import Logs
from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import GENERATIONS

CLEAR_NS = 5_000_000_000
"""How often is looked whether a listener that has vanished has sessions still."""
MAX_OUTCOMES = 64
"""Outcomes that are remembered for who asked; a reload takes a second, and who asks waits for it."""


def no_means() -> SetupError:
    """Return the error for a proxy that has no way to read its configuration again."""
    return SetupError("reload", "there is no way to read the configuration again: that takes a restart")


class Outcome(NamedTuple):
    """What came of a reload: the generation that serves now, and every mistake, none where it is the new one.

    when_unix: seconds since 1970. notes: what may not be what was meant.
    """

    generation: int
    when_unix: float
    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Remainder(NamedTuple):
    """What is left to be done, and told, while children are renewed.

    notes: what may not be what was meant. wider: how many sessions more there may be when all workers have slots for
    them. resettling: how clients come to other workers, None: they do not.
    """

    notes: tuple[str, ...] = ()
    wider: int = 0
    resettling: Resettling | None = None


class Reloader:
    """Reloads, one after the other. outcome: of the last one, None before the first.

    estate: changed in place. spawner: its workers' loop may change.
    """

    def __init__(self, estate: Estate, crew: Crew, spawner: Spawner, logs: Logs, means: Means | None) -> None:
        self.outcome: Outcome | None = None
        self._estate = estate
        self._crew = crew
        self._spawner = spawner
        self._logs = logs
        self._means = means
        self._rollout: Rollout | None = None
        self._clearing: list[ListenerSettings] = []
        self._names: tuple[str, ...] = estate.names
        self._left = Remainder()
        self._turnstile = Turnstile()
        self._due: Callable[[], bool] | None = None
        self._done: deque[tuple[int, Outcome]] = deque(maxlen=MAX_OUTCOMES)
        self._clear_ns = 0

    @property
    def running(self) -> bool:
        """Whether children are being renewed."""
        return self._rollout is not None

    @property
    def asked(self) -> bool:
        """Whether somebody waits for a reload to begin."""
        return self._turnstile.asked

    def ask(self) -> int:
        """Have `step` reload, after what is under way; return the number by which `result` knows it."""
        return self._turnstile.ask()

    def share_until(self, alone: Callable[[], bool]) -> None:
        """Know that another program may still have the listening sockets, too. alone: tells whether it has not."""
        self._turnstile.alone = alone

    def ask_once(self, due: Callable[[], bool]) -> None:
        """Reload by itself, once, as soon as something holds."""
        self._due = due

    def examine(self) -> Reading:
        """Read the configuration again, and change nothing; warnings: all that a reload would remark.

        Raises ProxydError where it would not be taken.
        """
        reading = self._read()
        settings, _ = check(self._estate, reading)
        if self._means is not None and self._means.land is not None:
            standing = self._estate.standing
            given = self._estate.given
            absent = [listener for listener in settings.listeners if listener not in standing]
            fresh = [listener for listener in absent if given.name(listener) is None]
            sockets.probe(fresh, demands.wishes(settings), standing)
        if self._means is not None:
            try_out(self._estate.settings, settings, self._means)
        return replace(reading, warnings=tuple(remarks(self._estate, reading, settings)))

    def result(self, number: int) -> Outcome | None:
        """Return what came of a reload that was asked for, None while it is under way."""
        return next((outcome for covered, outcome in self._done if covered >= number), None)

    def step(self, now_ns: int) -> None:
        """Do what is next, if anything is. To be called once a turn."""
        if self._rollout is None:
            if self._due is not None and self._due():
                self._due = None
                self.ask()
            if self._turnstile.asked:
                if self._turnstile.may_pass(now_ns):
                    self._begin()
                return
            if self._estate.retired and now_ns >= self._clear_ns:
                self._clear_ns = now_ns + CLEAR_NS
                self._clear()
            return
        child = self._rollout.next()
        if child is not None:
            self._crew.freeze(child, now_ns)
        elif self._rollout.finished and self._left.resettling is not None:
            self._resettle(self._left.resettling, now_ns)
        elif self._rollout.finished:
            self._finish()

    # --- a new generation ------------------------------------------------------------------------------------------

    def begin_with(self, reading: Reading, *, alone: bool = False) -> None:
        """Put what was read in force, and begin to renew the children. Raises ProxydError; nothing has changed then.

        alone: whether nobody else has the listening sockets, too.
        """
        if self._means is None:
            raise no_means()
        self._put_in_force(prepare(self._estate, reading, self._means, self._logs, alone=alone), reading)

    def _read(self) -> Reading:
        if self._means is None:
            raise no_means()
        return self._means.read()

    def _begin(self) -> None:
        try:
            self.begin_with(self._read(), alone=self._turnstile.alone())
        except ProxydError as error:
            self._fail(mistakes(error))

    def _fail(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            self._logs.note("config-error", line)
        generation = self._estate.settings.generation
        reason = lines[0] if len(lines) == 1 else f"{len(lines)} mistakes"
        self._logs.note("reload-failed", reason, generation)
        self._conclude(Outcome(generation, time.time(), lines))

    def _put_in_force(self, prepared: Prepared, reading: Reading) -> None:
        """Change the estate: from here on nothing fails, and whoever is forked has the new generation."""
        estate, before, settings = self._estate, self._estate.settings, prepared.settings
        if self._means is not None and self._means.sessions:
            estate.earlier[before.generation % GENERATIONS] = before
        estate.texts[settings.generation % GENERATIONS] = reading.text
        estate.settings, estate.confinement, estate.users = settings, prepared.confinement, prepared.users
        if reading.worker is not None:
            self._spawner.worker = reading.worker
        self._change_logs(before, settings, prepared.logs)
        if prepared.landing is not None:
            self._move_in(prepared.landing)
        if estate.monitoring is not None and estate.monitoring is not prepared.monitoring:
            estate.monitoring.close()
        estate.monitoring = prepared.monitoring
        self._share(before, prepared)
        anew = self._name(before, settings, reading.names)
        for note in prepared.notes:
            self._logs.note("config-warning", note)
        wider = max(settings.max_sessions - before.max_sessions, 0)
        self._left = Remainder(prepared.notes, wider, prepared.resettling)
        self._crew.roster.limit(settings.respawn_count, settings.respawn_ns)
        self._renew(anew)

    def _change_logs(self, before: Settings, settings: Settings, fresh: Logs | None) -> None:
        if fresh is None:
            self._logs.reopen()
        else:
            self._logs.take(fresh)
        if settings.debug_log.level != before.debug_log.level:
            self._logs.level = settings.debug_log.level

    def _move_in(self, landing: Landing) -> None:
        estate, known = self._estate, self._estate.extra
        estate.listeners, estate.extra, estate.retired = landing.sockets, landing.extra, landing.retired
        sockets.close_all(landing.replaced)
        for listener in landing.fresh:
            self._logs.note(*sockets.bound_event(listener, len(estate.listeners)))
        for listener in estate.extra[len(estate.extra) - estate.retired :]:
            if listener not in known:
                self._logs.note("listener-retired", sockets.raw_sockaddr(listener))

    def _share(self, before: Settings, prepared: Prepared) -> None:
        shared, sessions = self._estate.shared, prepared.settings.max_sessions
        if shared.rates is not None and shared.rates is not prepared.rates:
            shared.rates.unmap()
        shared.rates = prepared.rates
        if sessions < before.max_sessions:
            shared.narrow(before.max_sessions - sessions)
        # Before there are permits for more, every worker has slots for them.
        shared.max_sessions = sessions

    def _name(self, before: Settings, settings: Settings, names: tuple[str, ...]) -> bool:
        """Settle which names are resolved; tell whether a new resolver has to be asked for them."""
        estate, roster = self._estate, self._crew.roster
        names = names if settings.resolve_names else ()
        # Workers of the generation before need theirs still, until they are renewed.
        wanted = tuple(dict.fromkeys((*names, *self._names))) if names else ()
        more = not set(names) <= set(estate.names) or settings.resolver != before.resolver
        estate.names, self._names = wanted if more or not names else estate.names, names
        resolvers = [child for child in roster.children if child.role is Role.RESOLVER and not child.dismissed]
        if not estate.resolving:
            for child in resolvers:
                child.dismissed = True
        elif not resolvers:
            roster.children.append(Child(Role.RESOLVER, 0))
        anew = estate.resolving and (more or not resolvers)
        if anew or not estate.resolving:
            self._crew.book.expect(resolved=anew)
        return anew

    def _renew(self, anew: bool) -> None:
        """Begin to renew the children: first who knows the names, then the workers, then who shows them."""
        estate, roster = self._estate, self._crew.roster
        monitors = [child for child in roster.children if child.role is Role.MONITOR and not child.dismissed]
        if estate.monitoring is None:
            for child in monitors:
                child.dismissed = True
        elif not monitors:
            roster.children.append(Child(Role.MONITOR, 0))
        order = [child for child in roster.children if child.role is Role.RESOLVER and (anew or child.dismissed)]
        others = self._workers_and_monitor()
        self._logs.note("reloading", estate.settings.generation, len(order) + len(others))
        # All workers together, where their number changes: once names that they need are known.
        self._rollout = Rollout(order if self._left.resettling is not None else order + others, self._at_work)

    def _workers_and_monitor(self) -> list[Child]:
        children = self._crew.roster.children
        return [child for role in (Role.WORKER, Role.MONITOR) for child in children if child.role is role]

    def _resettle(self, resettling: Resettling, now_ns: int) -> None:
        """Bring all workers to rest at once, and then have as many as there are to be, each with its sessions."""
        estate, roster = self._estate, self._crew.roster
        if any(child.role is Role.WORKER and child.state is State.STARTING for child in roster.children):
            return
        rest = Rest(self._crew)
        if not rest.rest(now_ns):
            return
        before = len(estate.listeners)
        found = resettling.carry_out(estate, self._crew.vault)
        estate.settings = replace(estate.settings, workers=found.workers)
        self._logs.note("resettled", before, found.workers, found.moved, found.waited, found.lost)
        notes = (found.why,) if found.why else ()
        for note in notes:
            self._logs.note("config-warning", note)
        self._left = self._left._replace(notes=(*self._left.notes, *notes), resettling=None)
        roster.resize(found.workers)
        rest.resume(now_ns)
        self._rollout = Rollout(self._workers_and_monitor(), self._at_work)

    def _at_work(self, child: Child) -> bool:
        """Tell whether a ready child has what others need of it, or has done what it has to do before it serves."""
        if child.role is Role.WORKER:
            return self._crew.vault.serves(child.index)
        return child.role is not Role.RESOLVER or not self._crew.book.anew

    # --- its end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        estate = self._estate
        self._rollout = None
        self._crew.roster.forget_dismissed()
        if self._clearing:
            for listener in self._clearing:
                self._logs.note("listener-closed", sockets.raw_sockaddr(listener))
            self._clearing = []
        else:
            estate.shared.settle(self._left.wider)
            self._forget_generations()
            self._logs.note("reloaded", estate.settings.generation, estate.shared.sessions)
            self._conclude(Outcome(estate.settings.generation, time.time(), (), self._left.notes))

    def _conclude(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._estate.monitoring is not None:
            self._estate.monitoring.note_reload(failed=bool(outcome.mistakes))
        self._done.append((self._turnstile.covered, outcome))

    def _forget_generations(self) -> None:
        """Drop the settings of generations whose last session has ended."""
        estate = self._estate
        used = {generation for region in estate.shared.regions for _, generation in region.references()}
        estate.earlier = {number: settings for number, settings in estate.earlier.items() if number in used}
        used.add(estate.settings.generation % GENERATIONS)
        estate.texts = {number: text for number, text in estate.texts.items() if number in used}

    def _clear(self) -> None:
        """Close the listeners that have vanished and have no session any more; workers do so as they are renewed."""
        estate = self._estate
        used = {index for region in estate.shared.regions for index, _ in region.references()}
        first = len(estate.standing) - estate.retired
        gone = {index for index in range(first, len(estate.standing)) if index not in used}
        if not gone:
            return
        self._clearing = [estate.standing[index] for index in sorted(gone)]
        for group in estate.listeners:
            sockets.close_all([group[index] for index in gone])
        estate.listeners = tuple(
            tuple(sock for index, sock in enumerate(group) if index not in gone) for group in estate.listeners
        )
        before = len(estate.settings.listeners)
        estate.extra = tuple(item for index, item in enumerate(estate.extra, before) if index not in gone)
        estate.retired -= len(gone)
        self._rollout = Rollout(
            (child for child in self._crew.roster.children if child.role is Role.WORKER), self._at_work
        )
