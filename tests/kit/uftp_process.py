"""Settings and datagrams for tests of the UFTP proxy's process: on loopback, with ports and groups of their own."""

from __future__ import annotations

import dataclasses
import itertools
import os
import socket
import struct

from tests.kit.ports import free_port
from workers.contract.settings import Address
from workers.contract.uftp import Interface, Mode, UftpSettings
from workers.wire import sockaddr

LOOPBACK = Interface("lo", socket.if_nametoindex("lo"), Address(4, 0x7F000001))
_numbers = itertools.count(1)


def own_group() -> Address:
    """Return a multicast address that no other test process uses at this time."""
    return Address(4, 239 << 24 | (os.getpid() & 0xFFFF) << 8 | next(_numbers) % 250 + 1)


def raw(address: Address, port: int) -> bytes:
    """Return a raw socket address."""
    return sockaddr.encode(address, port)


def make_settings(mode: Mode = Mode.CLIENT, **changes: object) -> UftpSettings:
    """Return settings of a proxy on loopback: a port of its own, and for clients the same."""
    port = free_port()
    settings = UftpSettings(mode, 0xC0C0, 4, port, port, raw(Address(4, 1), port), LOOPBACK, (LOOPBACK,))
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


def datagram(function: int, group_id: int, body: bytes = b"", *, source_id: int = 0x5555, sequence: int = 0) -> bytes:
    """Return a datagram: a header with GRTT 0x6a, and a body."""
    return struct.pack("!BBHIIBBBB", 0x40, function, sequence, source_id, group_id, 0, 0x6A, 0x18, 0) + body
