"""A transport with all it needs, for tests that call it as the datapath does."""

from __future__ import annotations

import mmap
import socket
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.kit.traffic import address, let_arrive, udp
from workers.net.ancillary import Control
from workers.net.arena import Arena
from workers.net.mmsg import MmsgTransport
from workers.net.plain import PlainTransport
from workers.wire import sockaddr

KINDS = (MmsgTransport, PlainTransport)
each_transport = pytest.mark.parametrize("kind", KINDS, ids=["fast", "plain"])
ADDRESS_BYTES = 32


class Heard(NamedTuple):
    """One message as a transport received it."""

    payload: bytes
    source: bytes
    control: Control


class Rig:
    """One transport over an arena and shared memory of its own; address gives places in that memory."""

    def __init__(self, kind: type[MmsgTransport] | type[PlainTransport]) -> None:
        self.arena = Arena()
        self._shared = mmap.mmap(-1, 8192)
        self.transport = kind(self.arena, self._shared)
        self._free = 0
        self._feeder, self._fed = udp(), udp()
        self._feeder.connect(self._fed.getsockname())
        self.adopt(self._fed)

    def adopt(self, sock: socket.socket) -> int:
        """Make a socket non-blocking and known to the transport; return its descriptor."""
        sock.setblocking(False)
        self.transport.adopt(sock)
        return sock.fileno()

    def connected(self, target: tuple[str, int]) -> socket.socket:
        """Return a new socket, connected and known to the transport."""
        sock = udp()
        sock.connect(target)
        self.adopt(sock)
        return sock

    def address(self, peer: tuple[str, int]) -> int:
        """Write a peer's raw address into the shared memory; return where."""
        raw = sockaddr.encode(address(peer[0]), peer[1])
        start, self._free = self._free, self._free + ADDRESS_BYTES
        self._shared[start : start + len(raw)] = raw
        return start

    def load(self, payloads: Sequence[bytes]) -> None:
        """Fill the first slots, by receiving."""
        for payload in payloads:
            self._feeder.send(payload)
        let_arrive()
        assert self.transport.receive(self._fed.fileno(), 4) == len(payloads)

    def hear(self, sock: socket.socket, version: int = 4) -> list[Heard]:
        """Receive as the datapath does: up to 64 messages of those that were sent."""
        let_arrive()
        count = self.transport.receive(sock.fileno(), version)
        sizes = self.transport.sizes(0, count)
        return [
            Heard(
                bytes(self.arena.payload(slot, size)),
                self.transport.source(slot, version),
                self.transport.control(slot),
            )
            for slot, size in enumerate(sizes)
        ]


def raw_of(sock: socket.socket) -> bytes:
    """Return a socket's own address in its raw form."""
    host, port = sock.getsockname()[:2]
    return sockaddr.encode(address(host), port)


def partition(keys: Sequence[object]) -> list[int]:
    """Return for each key the number of the first one that is equal: what keys say, whatever they are."""
    return [list(keys).index(key) for key in keys]
