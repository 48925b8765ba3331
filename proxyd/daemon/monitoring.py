"""The monitor's place in the frame: its socket, bound while there is a right to, and how its child begins."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from proxyd.daemon.roster import Child
from proxyd.daemon.spawn import Estate
from proxyd.errors import SetupError
from proxyd.monitor.app import make_app
from proxyd.monitor.metrics import View
from proxyd.monitor.server import serve
from workers.boot import BootPlan, Serve
from workers.contract.channel import ChildEnd
from workers.contract.settings import Settings

BACKLOG = 16


@dataclass(frozen=True, slots=True)
class HttpMonitor:
    """See proxyd.daemon.spawn.Monitoring. sock: listens."""

    sock: socket.socket
    started_unix: float

    def plan(self, estate: Estate, child: Child, channel: ChildEnd) -> tuple[BootPlan, Serve]:
        """Return how the monitor's child begins, and its work."""
        settings, shared = estate.settings, estate.shared
        view = View(
            settings.program,
            settings.name,
            estate.version,
            settings.max_sessions,
            settings.generation,
            shared.regions,
            self.started_unix,
        )
        plan = BootPlan(
            child=child.name,
            proxy=settings.name,
            channel=channel,
            keep=frozenset((channel.fileno(), self.sock.fileno())),
            confinement=replace(estate.confinement, capabilities=frozenset()),
            foreign=() if shared.rates is None else (shared.rates,),
            program=settings.program,
        )
        app = make_app(view)
        return plan, lambda wakeup: serve(self.sock, app, channel, wakeup)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def open_monitor(settings: Settings) -> HttpMonitor | None:
    """Bind the monitor's socket, if there is to be one: not where one process does everything. Raises SetupError."""
    if settings.single_process or settings.monitor is None or settings.monitor.listen is None:
        return None
    address, port = settings.monitor.listen
    text = str((IPv4Address if address.version == 4 else IPv6Address)(address.value))
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((text, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SetupError(f"bind monitoring http [{text}]:{port}", error.strerror or str(error)) from error
    return HttpMonitor(sock, time.time())
