"""Multicast groups that a socket hears: joined and left on every interface of the settings, for all sources or some.

The kernel bounds how many groups one socket may join (20 for IPv4) and how many sources a group may have there (10).
What is beyond is joined by other sockets, carriers, which receive nothing themselves: the listening socket then hears
every group that this host has joined (IP_MULTICAST_ALL), and the engine tells by their addresses which are ours.
A replaced worker takes its predecessor's socket over, memberships included: a group that is joined already is no error.
Source: ip(7); linux/in.h, MCAST_JOIN_GROUP; net.ipv4.igmp_max_memberships, net.ipv4.igmp_max_msf.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Sequence
from typing import TypeAlias

from workers.contract.settings import Address
from workers.contract.uftp import Interface
from workers.wire import sockaddr

_JOIN, _LEAVE, _JOIN_SOURCE, _LEAVE_SOURCE = 42, 45, 46, 47
_GROUP = struct.Struct("=I4x128s")
_GROUP_SOURCE = struct.Struct("=I4x128s128s")
_FULL = frozenset((errno.ENOBUFS, errno.ENOMEM))
_LEVELS = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_MULTICAST_ALL = {4: 49, 6: 29}

MAPPED = 0xFFFF
"""What stands before an IPv4 address in an IPv6 one. Source: RFC 4291 section 2.5.5.2."""

_Membership: TypeAlias = tuple[int, bytes, bytes]
"""Interface number, group and source, both raw; b"" for all sources."""


class Multicast:
    """The memberships of one listening socket. version: its IP version.

    A group is joined on the interfaces that have an address of its own version: an IPv6 socket hears IPv4 groups too.
    """

    def __init__(self, sock: socket.socket, version: int, interfaces: Sequence[Interface]) -> None:
        self._sock = sock
        self._version = version
        self._interfaces: dict[int, list[int]] = {4: [], 6: []}
        for interface in interfaces:
            self._interfaces[interface.address.version].append(interface.number)
        self._carriers: list[socket.socket] = []
        self._carried: dict[_Membership, socket.socket] = {}

    def join(self, group: bytes, sources: Sequence[bytes]) -> None:
        """Join a group, raw, on every interface, for these sources only if there are any.

        Raises OSError, having joined it nowhere.
        """
        wanted = self._memberships(group, sources)
        try:
            self._join_all(wanted)
        except OSError as error:
            self.leave(group, sources)
            if error.errno not in _FULL:
                raise
        else:
            return
        try:
            for membership in wanted:
                self._carry(membership)
        except OSError:
            self.leave(group, sources)
            raise

    def leave(self, group: bytes, sources: Sequence[bytes]) -> None:
        """Leave what join joined; what was not joined is left alone."""
        for membership in self._memberships(group, sources):
            sock = self._carried.pop(membership, self._sock)
            with contextlib.suppress(OSError):
                self._set(sock, _LEAVE_SOURCE if membership[2] else _LEAVE, membership)

    def close(self) -> None:
        """Leave what the carriers have joined."""
        for carrier in self._carriers:
            carrier.close()

    def _memberships(self, group: bytes, sources: Sequence[bytes]) -> list[_Membership]:
        group, sources = _plain(group), [_plain(source) for source in sources]
        # Sources of the other IP version can never send to this group.
        fitting = [source for source in sources if len(source) == len(group)] if sources else [b""]
        interfaces = self._interfaces[4 if len(group) == sockaddr.V4_BYTES else 6]
        return [(interface, group, source) for interface in interfaces for source in fitting]

    def _join_all(self, wanted: list[_Membership]) -> None:
        for membership in wanted:
            self._join(self._sock, membership)

    def _join(self, sock: socket.socket, membership: _Membership) -> None:
        option, already = (_JOIN_SOURCE, errno.EADDRNOTAVAIL) if membership[2] else (_JOIN, errno.EADDRINUSE)
        try:
            self._set(sock, option, membership)
        except OSError as error:
            if error.errno != already:
                raise

    def _carry(self, membership: _Membership) -> None:
        if not self._carriers:
            for version in {self._version, 4}:
                self._sock.setsockopt(_LEVELS[version], _MULTICAST_ALL[version], 1)
            self._add_carrier()
        try:
            self._join(self._carriers[-1], membership)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._add_carrier()
            self._join(self._carriers[-1], membership)
        self._carried[membership] = self._carriers[-1]

    def _add_carrier(self) -> None:
        self._carriers.append(socket.socket(_FAMILIES[self._version], socket.SOCK_DGRAM))

    def _set(self, sock: socket.socket, option: int, membership: _Membership) -> None:
        interface, group, source = membership
        raw = _GROUP_SOURCE.pack(interface, group, source) if source else _GROUP.pack(interface, group)
        sock.setsockopt(_LEVELS[4 if len(group) == sockaddr.V4_BYTES else 6], option, raw)


def _plain(raw: bytes) -> bytes:
    """Return a raw address as the kernel wants it here: an IPv4 one that is mapped into IPv6 as itself."""
    address, port = sockaddr.decode(raw)
    mapped = address.version == 6 and address.value >> 32 == MAPPED
    return sockaddr.encode(Address(4, address.value & 0xFFFF_FFFF), port) if mapped else raw
