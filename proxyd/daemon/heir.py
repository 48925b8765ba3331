"""The start of a program that takes over: what of its setting up is another's already, and when it becomes its own.

Up to the moment in which all its children serve nothing is changed that the other one would need to go on: pidfile and
control socket are shared, listeners and memory are duplicates. Then, and only then, they are claimed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proxyd.daemon.bequest import Legacy, Past
from proxyd.daemon.control import Post, inherit_post
from proxyd.daemon.inventory import InventoryError, PlaceLeft
from proxyd.daemon.journal import Journal
from proxyd.daemon.pidfile import Pidfile
from proxyd.daemon.spawn import Monitoring, WorkerMain
from proxyd.daemon.takeover import STEP, Giver
from proxyd.errors import ProxydError, SetupError
from workers.contract.custody import Entry
from workers.contract.settings import Settings


class Shared(Protocol):
    """What two programs have for a while."""

    def claim(self) -> None:
        """Make it this process's."""
        ...

    def leave(self) -> None:
        """Let it be the other one's."""
        ...


class Vault(Protocol):
    """Where sessions are kept."""

    def adopt(self, worker: int, entries: list[Entry], descriptors: list[int]) -> None:
        """Keep sessions for a worker as if it had entrusted them; the descriptors are the vault's from now on."""
        ...

    def inherit(self, worker: int) -> bool:
        """Settle what is kept of a dead worker, and what its region says; False when its sessions are given up."""
        ...


@dataclass(slots=True)
class Heir:
    """What was left to this program, and who left it. past: what it begins with.

    shared: what is the other program's until this one serves: pidfile, control socket, the monitor's socket.
    """

    legacy: Legacy
    giver: Giver
    past: Past
    shared: list[Shared] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    """What the other program leaves lying where this one has nothing."""
    over: bool = False
    """Whether it was said what became of it."""

    @property
    def workers(self) -> int:
        """How many workers there are: as many as before."""
        return len(self.past.listeners)

    def share_pidfile(self, path: Path | None) -> Pidfile | None:
        """Return the pidfile at path, if the other program has it too. Raises SetupError."""
        left = self.legacy.manifest.pidfile
        descriptor = self._descriptor_of(left, path)
        if descriptor is None or path is None:
            return None
        pidfile = Pidfile.inherit(path, descriptor)
        self.shared.append(pidfile)
        return pidfile

    def share_post(self, path: Path | None, group: str | None) -> Post | None:
        """Return the control socket at path, if the other program has it too. Raises SetupError."""
        descriptor = self._descriptor_of(self.legacy.manifest.control, path)
        if descriptor is None or path is None:
            return None
        post = inherit_post(path, descriptor, group)
        self.shared.append(post)
        return post

    def share_monitor(self, inherit: Callable[[socket.socket], Monitoring | None]) -> Monitoring | None:
        """Return the monitor on the other program's socket, None where there is none, or another one is wanted."""
        number = self.legacy.manifest.monitor
        monitoring = None if number is None else inherit(socket.socket(fileno=self.legacy.take(number)))
        if monitoring is not None:
            self.shared.append(monitoring)
        return monitoring

    def _descriptor_of(self, left: PlaceLeft | None, path: Path | None) -> int | None:
        if left is not None and Path(left.path) != path:
            self.stale.append(Path(left.path))
        return self.legacy.place(left, path)

    def fill(self, vault: Vault, journal: Journal) -> None:
        """Put the sessions into the vault, each for its worker, and settle the regions. Raises SetupError."""
        sessions = 0
        try:
            kept = self.legacy.kept(self.past)
            for worker in range(self.workers if self.past.whole else 0):
                entries, descriptors = kept.get(worker, ([], []))
                vault.adopt(worker, entries, descriptors)
                vault.inherit(worker)
                sessions += len(entries)
        except OSError as error:
            raise SetupError(STEP, error.strerror or str(error)) from error
        if self.legacy.why:
            journal.note("taken-partly", self.legacy.source, self.legacy.why)
            self.giver.coming(f"the sessions are not taken over: {self.legacy.why}")
        else:
            journal.note("taken-over", self.legacy.source, sessions)

    def worker(self, own: WorkerMain, inherit: Callable[[bytes], WorkerMain] | None, journal: Journal) -> WorkerMain:
        """Return the workers' loop with what the other program had beside its sessions. own: the loop without it.

        inherit: understands that, None: there is none. What is not understood is left where nobody else would serve,
        and the log hears of it. Raises SetupError where somebody does.
        """
        left = self.legacy.inventory.estate
        if left is None or inherit is None:
            return own
        try:
            return inherit(left.private)
        except ProxydError as error:
            if self.giver.goes_on:
                raise SetupError(STEP, str(error)) from error
            journal.note("left-behind", self.legacy.source, str(error))
            return own

    def claim(self) -> None:
        """Take what was shared: this program serves. Raises SetupError when the other one has gone on meanwhile."""
        self.over = True
        for item in self.shared:
            item.claim()
        try:
            self.giver.serving(sessions=not self.legacy.why)
        except SetupError:
            for item in self.shared:
                item.leave()
            raise
        for path in self.stale:
            with contextlib.suppress(OSError):
                path.unlink()

    def alone(self) -> bool:
        """Tell whether this program serves, and nobody else has anything of it in his hands any more."""
        return self.over and self.giver.let_go()

    def give_up(self, why: str) -> None:
        """Say that this program does not serve, unless it has said already that it does."""
        if not self.over:
            self.over = True
            self.giver.failed(why)


def come_into(found: tuple[Legacy, Giver], ours: Settings, recompile: Callable[[str], Settings]) -> Heir:
    """Return the heir of what was found. ours: the settings of its own configuration. Raises SetupError."""
    legacy, giver = found
    manifest, why = legacy.manifest, ""
    if (manifest.program, manifest.name) != (ours.program, ours.name):
        why = f"that is {manifest.program} {manifest.name}"
    else:
        try:
            return Heir(legacy, giver, legacy.revive(ours, recompile))
        except (InventoryError, OSError) as error:
            why = str(error)
    giver.failed(why)
    legacy.close_unused()
    raise SetupError(STEP, why)
