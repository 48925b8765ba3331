"""This machine's own addresses and broadcast addresses, kept current by what the kernel says.

One route socket, which never blocks: a list of all addresses is asked for at the start and whenever one has come or
gone. No privilege is needed, and no file. Routes that make further addresses local are not looked at.
Source: rtnetlink(7), RTM_GETADDR; netlink(7), RTMGRP_IPV4_IFADDR.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from workers.errors import DecodeError
from workers.wire import netlink
from workers.wire.netlink import Message

_GROUPS = 0x10 | 0x100
_RECEIVE_BYTES = 65_536
_MAX_RECEIVES = 64
"""At one go; what is left makes the socket readable again."""

_FIXED = struct.Struct("=BBBBI")
_ADDRESS, _LOCAL, _LABEL, _BROADCAST = 1, 2, 3, 4
_VERSIONS = {socket.AF_INET: (4, 4), socket.AF_INET6: (6, 16)}
_LOOPBACK4 = 127
_BITS4 = 32
_SMALLEST_NETWORK = 30
"""Networks with longer prefixes have no broadcast address. Source: RFC 3021."""


class Assigned(NamedTuple):
    """One address of one interface. label: what an IPv4 one is called, mostly as its interface; "" for the others."""

    interface: int
    version: int
    local: bytes
    prefix: int
    broadcast: bytes | None
    label: str = ""


def decode_address(body: bytes) -> Assigned | None:
    """Decode the body of a message about an address; None for other families. Raises DecodeError."""
    if len(body) < _FIXED.size:
        raise DecodeError("interface address", 0, f"{len(body)} bytes")
    family, prefix, _, _, interface = _FIXED.unpack_from(body)
    if family not in _VERSIONS:
        return None
    version, size = _VERSIONS[family]
    found = netlink.attributes(body, _FIXED.size)
    local = found.get(_LOCAL, found.get(_ADDRESS, b""))
    broadcast = found.get(_BROADCAST)
    if len(local) != size or (broadcast is not None and len(broadcast) != size):
        raise DecodeError("interface address", _FIXED.size, f"not of IPv{version}")
    label = found.get(_LABEL, b"").rstrip(b"\0").decode("utf-8", "surrogateescape")
    return Assigned(interface, version, local, prefix, broadcast, label)


class Table:
    """What can be asked of a list of addresses. Addresses are packed: 4 or 16 bytes."""

    def __init__(self, assigned: Iterable[Assigned] = ()) -> None:
        self.assigned = tuple(assigned)
        self._own = frozenset(entry.local for entry in self.assigned)
        self._broadcasts: dict[bytes, list[int]] = {}
        for entry in self.assigned:
            for address in _broadcasts(entry):
                interfaces = self._broadcasts.setdefault(address, [])
                if entry.interface not in interfaces:
                    interfaces.append(entry.interface)

    def is_own(self, address: bytes) -> bool:
        """Tell whether this is a unicast address of this machine; all of 127.0.0.0/8 is."""
        return address in self._own or (len(address) == 4 and address[0] == _LOOPBACK4 and not self._at(address))

    def broadcast_of(self, address: bytes) -> int | None:
        """Return the interface whose network has this broadcast address, the first of several; None if none has."""
        return next(iter(self._at(address)), None)

    def has_broadcast(self, interface: int, address: bytes) -> bool:
        """Tell whether this is the broadcast address of a network that is connected to an interface."""
        return interface in self._at(address)

    def interface_of(self, address: bytes) -> int | None:
        """Return the interface that has this address as its own, None if none has."""
        return next((entry.interface for entry in self.assigned if entry.local == address), None)

    def _at(self, address: bytes) -> list[int]:
        return self._broadcasts.get(address, [])


class Interfaces:
    """The table, and the socket that keeps it current: call learn whenever the socket is readable."""

    def __init__(self) -> None:
        """Open the socket and read the first list. Raises OSError."""
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._sock.bind((0, _GROUPS))
        self._sequence = 0
        self._table = Table()
        self._dump: list[Assigned] | None = None
        self._stale = True
        while self._stale or self._dump is not None:
            self.learn()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._sock.fileno()

    @property
    def table(self) -> Table:
        """What is known now; another object after each change."""
        return self._table

    def learn(self) -> bool:
        """Take in what the kernel has said; return whether the table is a new one. Never blocks, bounded.

        Where something has changed, the kernel is asked for all again, and answers at once; what does not fit into this
        call makes the socket readable for the next one.
        """
        before = self._table
        for _ in range(_MAX_RECEIVES):
            try:
                raw, (sender, _groups) = self._sock.recvfrom(_RECEIVE_BYTES)
            except BlockingIOError:
                if not self._stale or self._dump is not None:
                    break
                self._ask()
                continue
            except OSError:
                # ENOBUFS: the kernel had more to say than there was room for.
                self._stale = True
                continue
            if sender == 0:
                self._take(raw)
        if self._stale and self._dump is None:
            self._ask()
        return self._table is not before

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _ask(self) -> None:
        self._sequence += 1
        self._stale, self._dump = False, []
        self._sock.sendto(netlink.dump_request(netlink.GET_ADDRESS, socket.AF_UNSPEC, self._sequence), (0, 0))

    def _take(self, raw: bytes) -> None:
        try:
            for message in netlink.messages(raw):
                self._take_message(message)
        except DecodeError:
            # What cannot be read is passed over: the old table is better than none.
            return

    def _take_message(self, message: Message) -> None:
        if message.sequence != self._sequence or self._dump is None:
            self._stale |= message.kind in (netlink.NEW_ADDRESS, netlink.DELETED_ADDRESS)
            return
        self._stale |= bool(message.flags & netlink.INTERRUPTED)
        if message.kind == netlink.NEW_ADDRESS:
            entry = decode_address(message.body)
            if entry is not None:
                self._dump.append(entry)
        elif message.kind == netlink.DONE:
            if tuple(self._dump) != self._table.assigned:
                self._table = Table(self._dump)
            self._dump = None
        elif message.kind == netlink.ERROR:
            self._dump = None


def _broadcasts(entry: Assigned) -> set[bytes]:
    """Return the broadcast addresses of the network of one address: the kernel listens to both, where they differ."""
    if entry.version != 4:
        return set()
    found = set() if entry.broadcast is None else {entry.broadcast}
    if entry.prefix <= _SMALLEST_NETWORK:
        hosts = (1 << _BITS4 - entry.prefix) - 1
        found.add((int.from_bytes(entry.local, "big") | hosts).to_bytes(4, "big"))
    return found
