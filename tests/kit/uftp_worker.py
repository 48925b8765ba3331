"""One UFTP worker's parts on loopback, with the real machine and real sockets, driven by the test.

A station is a socket that stands for a server, a proxy or a client; the test sends from it and looks at what comes.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from types import TracebackType

from tests.kit.readiness import is_readable
from tests.kit.uftp_process import datagram, make_settings, raw
from workers.contract.channel import LocalChannel
from workers.contract.messages import FromChild, LogBatch, LogRecord
from workers.contract.settings import Address
from workers.contract.uftp import CryptoSettings, Mode
from workers.forwarder import Forwarder, Places, Share
from workers.journal import Journal
from workers.multicast import Multicast
from workers.net.ancillary import UDP_SEGMENT
from workers.net.arena import Arena
from workers.net.mmsg import MmsgTransport
from workers.outbox import Outbox
from workers.uftp.keyring import load
from workers.uftp.machine import Machine

LOCAL = Address(4, 0x7F000001)
ANNOUNCE, FILESEG = 1, 9
AT_ONCE = 80


def announce(group_id: int, private: Address | None = None) -> bytes:
    """Return the announcement of a plain group; private: its private address, 0.0.0.0 by default."""
    to = private.value if private else 0
    body = struct.pack("!BBBBBBHIIII", 1, 6, 0, 20, 0, 0, 1300, 1, 0, to, to)
    return datagram(ANNOUNCE, group_id, body)


def fileseg(group_id: int, sequence: int, size: int = 1300) -> bytes:
    """Return a block of a file."""
    return datagram(FILESEG, group_id, struct.pack("!BBHHH", 9, 2, 1, 0, sequence) + bytes(size), sequence=sequence)


class Station:
    """A peer of the proxy."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))

    @property
    def raw(self) -> bytes:
        """Its raw address."""
        return raw(LOCAL, self.sock.getsockname()[1])

    def received(self) -> list[bytes]:
        """Return what waits."""
        found = []
        while is_readable(self.sock):
            found.append(self.sock.recv(65536))
        return found


class Bench:
    """A server proxy's worker: server and downstream are stations."""

    def __init__(self, share: Share | None = None, **changes: object) -> None:
        self.server, self.downstream = Station(), Station()
        self.said: list[FromChild] = []
        self.settings = make_settings(Mode.SERVER, downstream=self.downstream.raw, log_level=5, **changes)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        self.sock.bind(("127.0.0.1", self.settings.port))
        channel = LocalChannel(self.said.append)
        self.journal = Journal(channel, 9, 0)
        multicast = Multicast(self.sock, 4, self.settings.interfaces)
        self.outbox = Outbox(self.sock, multicast, channel, self.journal)
        places = Places()
        self.transport = MmsgTransport(Arena(), places.memory)
        self.forwarder = Forwarder(self.sock, 4, self.transport, places, share)
        ring = load(CryptoSettings(), os.urandom)
        self.machine = Machine(self.settings, 0xA0A0, ring, os.urandom, time.monotonic_ns())

    def send(self, *payloads: bytes, station: Station | None = None) -> None:
        """Send to the proxy, from the server by default."""
        for payload in payloads:
            (station or self.server).sock.sendto(payload, ("127.0.0.1", self.settings.port))

    def send_train(self, *payloads: bytes) -> None:
        """Send datagrams from the server as one train: of equal length, the last one at most as long."""
        segment = struct.pack("=H", len(payloads[0]))
        to = ("127.0.0.1", self.settings.port)
        self.server.sock.sendmsg([b"".join(payloads)], [(socket.IPPROTO_UDP, UDP_SEGMENT, segment)], 0, to)

    def turn(self) -> int:
        """Take what waits in the proxy's socket; return how many datagrams that was."""
        total = 0
        while count := self.forwarder.receive(self.machine, self.outbox, time.monotonic_ns()):
            total += count
        return total

    def pass_through(self, payloads: list[bytes]) -> list[bytes]:
        """Send from the server, as many at once as its socket's queue holds; return what the downstream received."""
        found = []
        for first in range(0, len(payloads), AT_ONCE):
            self.send(*payloads[first : first + AT_ONCE])
            self.turn()
            found += self.downstream.received()
        return found

    def logged(self) -> list[LogRecord]:
        """Return every record of the log so far."""
        self.journal.flush()
        return [record for batch in self.said if isinstance(batch, LogBatch) for record in batch.records]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for sock in (self.sock, self.server.sock, self.downstream.sock):
            sock.close()
