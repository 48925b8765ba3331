"""A worker's own socket of one listener, and what the datapath must know of it."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from workers.contract.settings import ListenerSettings
from workers.net import ancillary
from workers.net.upstream import drops_of, lost_since
from workers.wire import sockaddr


@dataclass(slots=True)
class Listener:
    """One listening socket of this worker. raw: its own raw address. wildcard: destinations differ by datagram.

    transparent: it takes what is for others. usual: how many bytes of control data every datagram has here; one with
    more is a train, or tells of losses.
    overflow: datagrams its queue has lost, as last heard, modulo 2**32. The first word of it comes with a datagram's
    control data. Once there are any, it would come with all, which doubles the cost of each (3.0 to 6.1 us): from then
    on the kernel is asked now and then. lost_total: all of them since the worker began.
    """

    index: int
    sock: socket.socket
    fd: int
    version: int
    port: int
    raw: bytes
    wildcard: bool
    transparent: bool = False
    usual: int = 0
    overflow: int = 0
    lost_total: int = 0

    @classmethod
    def of(cls, index: int, sock: socket.socket, settings: ListenerSettings) -> Listener:
        """Describe a bound socket, and let it deliver trains."""
        with suppress(OSError):  # kernels before 5.0 have no trains: every datagram comes alone then
            sock.setsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO, 1)
        address, port = settings.address, settings.port
        raw = sockaddr.encode(address, port)
        return cls(
            index,
            sock,
            sock.fileno(),
            address.version,
            port,
            raw,
            address.value == 0,
            settings.transparent,
            usual_control(sock, address.version),
            drops_of(sock),
        )

    def note_overflow(self, overflow: int) -> int:
        """Take in what a datagram's control data said; return how many datagrams were lost since the last word."""
        self.sock.setsockopt(socket.SOL_SOCKET, ancillary.SO_RXQ_OVFL, 0)
        return self._learn(overflow)

    def lost(self) -> int:
        """Ask the kernel; return how many datagrams were lost since the last word."""
        return self._learn(drops_of(self.sock))

    def _learn(self, overflow: int) -> int:
        news = lost_since(overflow, self.overflow)
        if news:
            self.overflow = overflow
            self.lost_total += news
        return news


def usual_control(sock: socket.socket, version: int) -> int:
    """Return how many bytes of control data the socket's options give to each datagram."""
    items = ancillary.USUAL_ITEMS[version]
    return sum(ancillary.space(size) for level, option, size in items if sock.getsockopt(level, option))
