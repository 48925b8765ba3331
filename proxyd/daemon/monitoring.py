"""The monitor's place in the frame: its socket, bound while there is a right to, how its child begins, and the board on
which the parent writes for it.
"""

from __future__ import annotations

import grp
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

from proxyd.daemon.answers import listener_state, rule_state
from proxyd.daemon.board import Board
from proxyd.daemon.roster import Child
from proxyd.daemon.served import is_served
from proxyd.daemon.sockets import raw_sockaddr
from proxyd.daemon.spawn import Estate
from proxyd.errors import SetupError
from proxyd.monitor.app import Monitor
from proxyd.monitor.server import serve
from proxyd.monitor.site import Site
from proxyd.monitor.view import View
from workers.boot import BootPlan, Serve
from workers.contract.channel import ChildEnd
from workers.contract.settings import HostName, Settings, Sock
from workers.contract.slots import GENERATIONS
from workers.contract.tallies import line_key, target_key

BACKLOG = 32
SOCKET_MODE = 0o660
"""Of a Unix socket: its owner and its group. The directory decides who reaches it at all."""


@dataclass(slots=True)
class HttpMonitor:
    """See proxyd.daemon.spawn.Monitoring. sock: listens. path: of a Unix socket, which goes when the proxy ends.

    ours: whether it does; not where another program has it too, still or by now.
    """

    sock: socket.socket
    started_unix: float
    path: str | None = None
    board: Board = field(default_factory=Board)
    site: Site = field(default_factory=Site.load)
    ours: bool = True

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self.sock.fileno()

    def claim(self) -> None:
        """Make the socket this program's."""
        self.ours = True

    def leave(self) -> None:
        """Let the socket be another program's: it stays where it is when it is closed here."""
        self.ours = False

    def plan(self, estate: Estate, child: Child, channel: ChildEnd) -> tuple[BootPlan, Serve]:
        """Return how the monitor's child begins, and its work."""
        settings, shared = estate.settings, estate.shared
        plan = BootPlan(
            child=child.name,
            proxy=settings.name,
            channel=channel,
            keep=frozenset((channel.fileno(), self.sock.fileno())),
            confinement=replace(estate.confinement, capabilities=frozenset()),
            foreign=() if shared.rates is None else (shared.rates,),
            program=settings.program,
        )
        monitor = Monitor(self.view(estate), self.site, local=self._is_local)
        return plan, lambda wakeup: serve(self.sock, monitor.answer, channel, wakeup)

    def view(self, estate: Estate) -> View:
        """Return what the monitor looks at, as things are now."""
        settings = estate.settings
        generations = {**estate.earlier, settings.generation % GENERATIONS: settings}
        return View(
            program=settings.program,
            name=settings.name,
            version=estate.version,
            max_sessions=settings.max_sessions,
            generation=settings.generation,
            regions=estate.shared.regions,
            started_unix=self.started_unix,
            board=self.board,
            file=estate.file,
            rules={number: [rule_state(acl) for acl in found.acls] for number, found in generations.items()},
            listeners=tuple(listener_state(listener) for listener in estate.standing),
            line_keys=tuple(
                line_key(raw_sockaddr(listener), listener.device, transparent=listener.transparent)
                for listener in estate.standing
            ),
            targets={_title(acl.plug_to): target_key(acl.plug_to) for acl in settings.acls if acl.plug_to is not None},
        )

    def look(self, children: Sequence[Child], now_ns: int) -> None:
        """Let the monitor know who is there."""
        self.board.look(children, now_ns)

    def note_reload(self, *, failed: bool) -> None:
        """Let the monitor know that the configuration was read again."""
        self.board.note_reload(failed=failed)

    def note_stuck(self, workers: int) -> None:
        """Let the monitor know how many workers let datagrams wait."""
        self.board.note_stuck(workers)

    def conceal(self) -> None:
        """Take the board out of a child's memory: it is the parent's and the monitor's."""
        self.board.unmap()

    def close(self) -> None:
        """Close the socket, and take it away if it is ours."""
        self.sock.close()
        if self.path is not None and self.ours:
            with suppress(OSError):
                Path(self.path).unlink()

    @property
    def _is_local(self) -> bool:
        """Whether its address is a loopback one; nobody is called by a name on a Unix socket."""
        return self.sock.family != socket.AF_UNIX and ip_address(self.sock.getsockname()[0]).is_loopback


def open_monitor(settings: Settings) -> HttpMonitor | None:
    """Bind the monitor's socket, if there is to be one: not where one process does everything. Raises SetupError."""
    wanted = settings.monitor
    if settings.single_process or wanted is None:
        return None
    if wanted.path is not None:
        group = None if settings.control is None else settings.control.group
        return HttpMonitor(_listen_at(wanted.path, group), time.time(), wanted.path)
    if wanted.listen is None:
        return None
    address, port = wanted.listen
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(address), port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SetupError(f"bind monitoring http [{address}]:{port}", error.strerror or str(error)) from error
    return HttpMonitor(sock, time.time())


def inherit_monitor(settings: Settings, sock: socket.socket) -> HttpMonitor | None:
    """Return the monitor of another program's socket, if it is where these settings want one; it is closed if not."""
    wanted, name = settings.monitor, sock.getsockname()
    if wanted is not None and wanted.path is not None:
        found, path = name == wanted.path, wanted.path
    elif wanted is not None and wanted.listen is not None and sock.family != socket.AF_UNIX:
        found, path = (int(ip_address(name[0])), name[1]) == (wanted.listen[0].value, wanted.listen[1]), None
    else:
        found, path = False, None
    if found:
        return HttpMonitor(sock, time.time(), path, ours=False)
    sock.close()
    return None


def _listen_at(path: str, group: str | None) -> socket.socket:
    """Return a Unix socket that listens. One that nobody listens on any more is replaced. Raises SetupError.

    group: whose members may use it, beside its owner: those who may give orders, too.
    """
    try:
        number = -1 if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise SetupError(f"bind monitoring socket {path}", f"there is no group '{group}'") from None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not is_served(path, socket.SOCK_STREAM):
            Path(path).unlink()
        sock.bind(path)
        os.chown(path, -1, number, follow_symlinks=False)
        Path(path).chmod(SOCKET_MODE)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SetupError(f"bind monitoring socket {path}", error.strerror or str(error)) from error
    return sock


def _title(plug_to: Sock) -> str:
    """Return a server as its rules name it: `[192.0.2.1]:53`, `ns.example:53`; no port where clients choose it."""
    host = plug_to.host
    name = host.name if isinstance(host, HostName) else f"[{host}]"
    return name if plug_to.port is None else f"{name}:{plug_to.port}"
