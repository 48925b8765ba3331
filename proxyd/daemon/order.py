"""What is to be run, as a program gives it to the frame: its settings, and what of its own it brings along."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proxyd.daemon import descriptors
from proxyd.daemon.activation import Given
from proxyd.daemon.landing import Landing, Listeners
from proxyd.daemon.launch import Launch
from proxyd.daemon.pidfile import RUN_DIRECTORY
from proxyd.daemon.reading import Reading
from proxyd.daemon.renewal import Means
from proxyd.daemon.spawn import Estate, Monitoring, Naming, WorkerMain
from proxyd.logs.setup import Logs
from workers.contract.settings import Settings


@dataclass(frozen=True, slots=True)
class Openings:
    """How a program opens its logs and its listening sockets, both of which raise SetupError; how it resolves names.

    listeners: takes the settings, how many workers there are, and what is bound already. naming None: it has no names.
    monitoring: opens what the proxy is shown on, if it is to be. descriptors: how many the hungriest process may open.
    store_bytes: of what a worker writes down for its replacement, 0: nothing. land: where to listen after a reload,
    None: where it did.
    inherit_monitoring: the same as monitoring, on the socket of a program that is taken over; None: not this socket.
    adapt: lets the listening sockets of such a program serve this one's options; raises SetupError. one_family: whether
    a listener on IPv6 hears IPv6 only.
    """

    logs: Callable[[Settings], Logs]
    listeners: Callable[[Settings, int, Given], Listeners]
    naming: Naming | None = None
    monitoring: Callable[[Settings], Monitoring | None] = lambda _: None
    descriptors: Callable[[Settings, int], int] = descriptors.needed
    store_bytes: Callable[[Settings, int], int] = lambda _settings, _workers: 0
    land: Callable[[Estate, Settings], Landing] | None = None
    inherit_monitoring: Callable[[Settings, socket.socket], Monitoring | None] = lambda _settings, _sock: None
    adapt: Callable[[Listeners], None] = lambda _: None
    one_family: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run.

    worker: the workers' loop. version: the program's, for the log. file: the configuration. warnings: of the
    configuration, for the log. names: its host names, to be resolved. run_directory: where the pidfile goes.
    openings: the program's own. pidfile: another place for it, "" for no pidfile. banner: events for the log's begin.
    read: reads the configuration again, None: there is no way. text: the configuration as it was read; recompile: makes
    settings of such a text, also of an older one. takeover: whether to go on with what a running program has. private:
    what that has to be told beside; inherit: what the workers' loop is with what was told so. launch: how this program
    was started, None: not known, and it cannot start itself.
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
    text: str = ""
    recompile: Callable[[str], Settings] | None = None
    takeover: bool = False
    private: Callable[[], bytes] = bytes
    inherit: Callable[[bytes], WorkerMain] | None = None
    launch: Launch | None = None

    @property
    def means(self) -> Means | None:
        """How the proxy reloads."""
        if self.read is None:
            return None
        opens, sessions = self.openings, self.openings.land is not None
        return Means(self.read, opens.logs, opens.land, opens.monitoring, opens.descriptors, sessions)
