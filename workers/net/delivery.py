"""Asks the kernel which socket a datagram would come to, were it to arrive now.

A request for one socket by addresses and ports looks it up as an arriving datagram is looked up: the more particular
address, the device, and in a reuseport group the hash of both ends. Programs that choose a socket are not asked. The
kernel answers at once, within the call that asks. No privilege is needed.
Source: sock_diag(7), inet_diag_req_v2; net/ipv4/udp_diag.c, udp_dump_one, where source and destination are those of
the datagram.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from workers.errors import DecodeError
from workers.wire import netlink
from workers.wire.sockaddr import V4_BYTES

BATCH = 64
"""Questions in one call: their answers fit the socket's buffer whatever its size."""
_SOCK_DIAG, _BY_FAMILY = 4, 20
_SO_COOKIE, _COOKIE_BYTES = 57, 8
_RECEIVE_BYTES = 65_536
_HOST4, _HOST6 = slice(4, 8), slice(8, 24)

_QUESTION = struct.Struct("=IHHIIBBBBI2s2s16s16sI8s")
"""struct nlmsghdr, and struct inet_diag_req_v2 with its inet_diag_sockid."""
_REQUEST = 0x1
_ANY_STATE, _ANY_COOKIE = 0xFFFF_FFFF, b"\xff" * 8
_COOKIE = struct.Struct("=II")
_COOKIE_AT = 44
"""Where it lies in struct inet_diag_msg."""


class Flow(NamedTuple):
    """Raw socket addresses of who sends and to whom; interface: the one that it comes in by, 0: whichever."""

    source: bytes
    destination: bytes
    interface: int = 0


def cookie_of(sock: socket.socket) -> int:
    """Return what tells a socket from every other one, as answers have it. Raises OSError.

    Source: socket option SO_COOKIE, Linux 4.12.
    """
    found: bytes = sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)
    return struct.unpack("=Q", found)[0]  # type: ignore[no-any-return]


class Delivery:
    """The socket by which the kernel is asked. Raises OSError where it cannot be."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._sock = socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG)

    def takers(self, flows: Sequence[Flow]) -> list[int | None]:
        """Return the cookie of the socket that each would come to, None where there is none. Raises OSError."""
        found: list[int | None] = []
        for start in range(0, len(flows), BATCH):
            found += self._ask(flows[start : start + BATCH])
        return found

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _ask(self, flows: Sequence[Flow]) -> list[int | None]:
        self._sock.send(b"".join(_question(flow, number) for number, flow in enumerate(flows)))
        found: list[int | None] = [None] * len(flows)
        heard = 0
        while heard < len(flows):
            try:
                answers = list(netlink.messages(self._sock.recv(_RECEIVE_BYTES)))
            except DecodeError as error:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG)) from error
            for answer in answers:
                if answer.kind == _BY_FAMILY and answer.sequence < len(flows):
                    low, high = _COOKIE.unpack_from(answer.body, _COOKIE_AT)
                    found[answer.sequence] = high << 32 | low
            heard += len(answers)
        return found


def _question(flow: Flow, number: int) -> bytes:
    source, destination, interface = flow
    family, host = (socket.AF_INET, _HOST4) if len(source) == V4_BYTES else (socket.AF_INET6, _HOST6)
    return _QUESTION.pack(
        _QUESTION.size,
        _BY_FAMILY,
        _REQUEST,
        number,
        0,
        family,
        socket.IPPROTO_UDP,
        0,
        0,
        _ANY_STATE,
        source[2:4],
        destination[2:4],
        source[host],
        destination[host],
        interface,
        _ANY_COOKIE,
    )
