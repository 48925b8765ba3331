"""What outsiders are told from turn to turn: by the process title how many sessions there are, and the service manager
how the proxy is, that it reloads, and that it is alive.

Source: sd_notify(3); systemd.service(5), WatchdogSec.
"""

from __future__ import annotations

import os
import select

from proxyd.daemon.journal import Journal
from proxyd.daemon.notify import Notifier
from proxyd.daemon.pulse import Beat, Pulse
from proxyd.daemon.roster import Role, Roster, State
from proxyd.daemon.spawn import Estate
from proxyd.daemon.titles import ParentTitle
from workers.contract.slots import Counter

LOOK_NS = 5_000_000_000
"""How often workers are looked at, at least: one that lets datagrams wait is told of after twice that."""


class Herald:
    """Speaks for one proxy. roster: its children."""

    def __init__(self, notifier: Notifier, estate: Estate, roster: Roster, journal: Journal) -> None:
        self._notifier = notifier
        self._estate = estate
        self._roster = roster
        self._journal = journal
        self._title = ParentTitle(estate.settings.name, estate.settings.program)
        self._pulse = Pulse(min(notifier.beat_ns or LOOK_NS, LOOK_NS))
        self._serving = self._reloading = False
        self._stuck: list[int] = []

    def serve(self) -> None:
        """Tell that every child serves."""
        self._serving = True
        self._notifier.ready(os.getpid())

    def stop(self, why: str) -> None:
        """Tell that the end has begun."""
        self._notifier.stopping(why)

    def wait_ns(self, now_ns: int, longest_ns: int) -> int:
        """Return how long the loop may wait before `tend` is to be called again, longest_ns at most."""
        return self._pulse.wait_ns(now_ns, longest_ns) if self._serving else longest_ns

    def tend(self, now_ns: int, *, reloading: bool) -> None:
        """Tell what there is to be told. reloading: whether children are being renewed."""
        self._title.update(self._estate.shared.sessions)
        self._notifier.flush()
        if not self._serving:
            return
        if reloading != self._reloading:
            self._reloading = reloading
            if reloading:
                self._notifier.reloading(now_ns)
            else:
                self._notifier.ready(os.getpid())
        shared = self._estate.shared
        self._notifier.status(f"{shared.sessions} of {shared.max_sessions} sessions", now_ns)
        if self._pulse.due(now_ns):
            self._look(now_ns)

    def _look(self, now_ns: int) -> None:
        """Give a sign of life, where one is wanted, unless a worker is stuck."""
        stuck = self._pulse.look(now_ns, self._beats())
        if not stuck and self._notifier.beat_ns:
            self._notifier.alive()
        if self._estate.monitoring is not None:
            self._estate.monitoring.note_stuck(len(stuck))
        for worker in stuck:
            if worker not in self._stuck:
                self._journal.note("child-stuck", f"worker {worker}")
        self._stuck = stuck

    def _beats(self) -> dict[int, Beat]:
        ready = [
            child.index for child in self._roster.children if child.role is Role.WORKER and child.state is State.READY
        ]
        regions = self._estate.shared.regions
        return {index: Beat(regions[index].words[Counter.TURNS], self._waits(index)) for index in ready}

    def _waits(self, index: int) -> bool:
        """Tell whether a datagram waits for a worker. Nothing is read."""
        poll = select.poll()
        for sock in self._estate.listeners[index]:
            poll.register(sock, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))
