"""A listener's sockets while their number changes: nobody is lost on the way, and their order stays.

While it changes, everything comes to the first socket; what a socket had before that, it has still. Sockets join behind
the others, and go from the end: the kernel moves the last one of a reuseport group into the place of one that goes.
Source: net/core/sock_reuseport.c, reuseport_add_sock, reuseport_detach_sock.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence

from proxyd.daemon import sockets
from proxyd.daemon.demands import Choice
from workers.contract.settings import ListenerSettings
from workers.net import cbpf


class Group:
    """The sockets of one listener, by worker. choice: who is to get what from now on.

    To be used in this order: hold, admit, dismiss, release.
    """

    def __init__(self, listener: ListenerSettings, choice: Choice, group: Sequence[socket.socket]) -> None:
        self.listener = listener
        self.choice = choice
        self.sockets = list(group)

    @property
    def heard(self) -> list[tuple[int, socket.socket]]:
        """Those that are bound, each with its worker."""
        return [(worker, sock) for worker, sock in enumerate(self.sockets) if sock.getsockname()[1]]

    def hold(self) -> None:
        """Let everything come to the first socket."""
        if len(self.heard) > 1:
            # Without it, clients come to changing sockets for a moment: each of these is emptied anyhow.
            with contextlib.suppress(OSError):
                cbpf.attach_steering(self.sockets[0], cbpf.always(0))

    def admit(self, joining: Iterable[socket.socket]) -> None:
        """Let sockets join that were opened for it. Raises OSError; those before have joined then."""
        first, spread = self.sockets[0], self.choice is not Choice.FIRST
        for sock in (*self.sockets[1:], *joining):
            if spread and not sock.getsockname()[1]:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sockets.join(sock, first)
            if sock not in self.sockets:
                self.sockets.append(sock)
            if len(self.heard) == 2:
                self.hold()

    def dismiss(self, count: int) -> None:
        """Close those that are too many, if so many are to be left; and those that are to hear nothing any more."""
        first, *others = self.sockets
        deaf = [sock for sock in others if not sock.getsockname()[1]] if self.choice is Choice.FIRST else others
        kept = [first, *deaf][:count]
        for sock in reversed(self.sockets):
            if sock not in kept:
                sock.close()
        self.sockets = kept

    def release(self) -> None:
        """Let each client come to where it belongs among those that there are. Raises OSError."""
        if self.choice is Choice.CLIENT and len(self.sockets) > 1:
            program = cbpf.by_client(self.listener.address.version, len(self.sockets))
            cbpf.attach_steering(self.sockets[0], program)
        else:
            cbpf.detach_steering(self.sockets[0])
