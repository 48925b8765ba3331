"""Ways to other machines: by which interface the kernel sends to an address, and how long a packet may be there.

Asked of the kernel over one route socket, which never blocks and also says when routes, addresses or interfaces have
changed. No privilege is needed. Source: rtnetlink(7), RTM_GETROUTE; netdevice(7).
"""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import NamedTuple

from workers.errors import DecodeError
from workers.wire import netlink

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Interfaces; addresses and routes of both IP versions. Source: linux/rtnetlink.h, RTMGRP_LINK and the others."""
_RECEIVE_BYTES = 65_536
_MAX_RECEIVES = 64
_ROUTE = struct.Struct("=BBBBBBBBI")
_KIND, _UNICAST, _LOCAL = 7, 1, 2
_OUT_BY, _GATEWAY, _METRICS, _VIA = 4, 5, 8, 18
_METRIC_MTU = 2
_LEAST = 1280
"""Bytes of an IPv6 packet that takes every path. Source: RFC 8200 section 5."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

_GET_MTU, _GET_HARDWARE = 0x8921, 0x8927
_REQUEST = struct.Struct("=16s24s")
_INT, _HALF = struct.Struct("=i"), struct.Struct("=H")
ETHERNET, LOOPBACK = 1, 772
"""Kinds of interfaces whose frames begin with an Ethernet header. Source: linux/if_arp.h."""
_HERE_BYTES = 65_535
_IPV4_BYTES = 4


class Way(NamedTuple):
    """How an address is reached. local: it is this machine's own; longest: bytes of an IP packet."""

    interface: int
    local: bool
    longest: int


class Ways:
    """The route socket. Ways are remembered until something has changed."""

    def __init__(self) -> None:
        """Open the socket. Raises OSError."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._news = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._news.bind((0, _GROUPS))
        self._questions = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._any = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._known: dict[bytes, Way | None] = {}

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something has changed."""
        return self._news.fileno()

    def close(self) -> None:
        """Close the sockets."""
        for sock in (self._news, self._questions, self._any):
            sock.close()

    def changed(self) -> bool:
        """Take in what the kernel has said; tell whether ways may be other ones now."""
        found = False
        for _ in range(_MAX_RECEIVES):
            try:
                self._news.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: it had more to say than there was room for
                pass
            found = True
        if found:
            self._known.clear()
        return found

    def to(self, address: bytes) -> Way | None:
        """Return the way to a packed address, None where there is none, or it is no single machine's."""
        if address not in self._known:
            try:
                self._known[address] = self._ask(address)
            except (OSError, DecodeError, struct.error):
                self._known[address] = None
        return self._known[address]

    def framed(self) -> list[int]:
        """Return the interfaces whose frames begin with an Ethernet header, by their numbers."""
        return [number for number, name in socket.if_nameindex() if self._kind(name) in (ETHERNET, LOOPBACK)]

    def _ask(self, address: bytes) -> Way | None:
        self._questions.send(netlink.route_request(_FAMILIES[4 if len(address) == _IPV4_BYTES else 6], address, 0))
        for message in netlink.messages(self._questions.recv(_RECEIVE_BYTES)):
            if message.kind != netlink.NEW_ROUTE:
                return None
            kind = _ROUTE.unpack_from(message.body)[_KIND]
            found = netlink.attributes(message.body, _ROUTE.size)
            if kind not in (_UNICAST, _LOCAL) or _OUT_BY not in found:
                return None
            (interface,) = _INT.unpack(found[_OUT_BY])
            if kind == _LOCAL:
                return Way(interface, local=True, longest=_HERE_BYTES)
            return Way(interface, local=False, longest=self._longest(interface, len(address), found))
        return None

    def _longest(self, interface: int, address_bytes: int, route: dict[int, bytes]) -> int:
        """Return what an interface and a route to an address take without fragments.

        Who has to send IPv6 in fragments learns of that by a router's message, which nobody here would hear.
        """
        longest = int(_INT.unpack_from(self._control(_GET_MTU, socket.if_indextoname(interface)))[0])
        mtu = netlink.attributes(route.get(_METRICS, b""), 0).get(_METRIC_MTU)
        if mtu is not None:
            longest = min(longest, *_INT.unpack(mtu))
        beyond = _GATEWAY in route or _VIA in route
        return min(longest, _LEAST) if beyond and address_bytes > _IPV4_BYTES else longest

    def _kind(self, name: str) -> int:
        try:
            return int(_HALF.unpack_from(self._control(_GET_HARDWARE, name))[0])
        except OSError:  # it has gone
            return -1

    def _control(self, request: int, name: str) -> bytes:
        return fcntl.ioctl(self._any.fileno(), request, _REQUEST.pack(name.encode(), bytes(24)))[16:]
