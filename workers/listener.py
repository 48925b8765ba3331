"""A worker's own socket of one listener, and what the datapath must know of it."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from workers.contract.settings import ListenerSettings
from workers.net import ancillary
from workers.wire import sockaddr


@dataclass(slots=True)
class Listener:
    """One listening socket of this worker. raw: its own raw address. wildcard: destinations differ by datagram.

    overflow: datagrams its queue has lost, as last heard, modulo 2**32.
    """

    index: int
    fd: int
    version: int
    port: int
    raw: bytes
    wildcard: bool
    overflow: int = 0

    @classmethod
    def of(cls, index: int, sock: socket.socket, settings: ListenerSettings) -> Listener:
        """Describe a bound socket, and let it deliver trains."""
        with suppress(OSError):  # kernels before 5.0 have no trains: every datagram comes alone then
            sock.setsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO, 1)
        address, port = settings.address, settings.port
        raw = sockaddr.encode(address, port)
        return cls(index, sock.fileno(), address.version, port, raw, address.value == 0)
