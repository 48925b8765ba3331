"""Takes what waits in listening sockets, where its clients come to other workers from now on. No byte is looked at.

The only place where the parent has datagrams in its hands: it passes them on as they are, with what the kernel said of
them (workers.contract.backlog). What a socket's queue has lost is that socket's, and is left out.
Source: recvmsg(2); ip(7), IP_PKTINFO; ipv6(7), IPV6_RECVPKTINFO.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

from proxyd.daemon.sockets import raw_sockaddr
from workers.contract.backlog import Waited
from workers.contract.settings import Address, ListenerSettings
from workers.net import ancillary
from workers.wire import sockaddr

LARGEST_BYTES = 65_536
CONTROL_BYTES = 1024
SMALLEST_CHARGE_BYTES = 256
"""The kernel charges a socket's buffer at least so much for a datagram, whatever its size."""
_ERRORS = 64
"""Errors in a row before a socket is left alone."""
_LOSSES = ancillary.SOL_SOCKET, ancillary.SO_RXQ_OVFL


class Taken(NamedTuple):
    """One datagram or train. destination: raw. everybody: whether each socket of the group has it too."""

    waited: Waited
    destination: bytes
    everybody: bool


def empty(sock: socket.socket, index: int, listener: ListenerSettings) -> Iterator[Taken]:
    """Yield what waits in a listener's socket until it is empty; what comes meanwhile counts up to a buffer's worth."""
    room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    own = raw_sockaddr(listener)
    errors = 0
    while room > 0:
        try:
            payload, items, _, peer = sock.recvmsg(LARGEST_BYTES, CONTROL_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            errors += 1
            if errors > _ERRORS:
                return
            continue
        errors = 0
        room -= max(len(payload), SMALLEST_CHARGE_BYTES)
        yield _take(index, listener, own, (payload, items, peer))


def _take(
    index: int,
    listener: ListenerSettings,
    own: bytes,
    received: tuple[bytes, list[tuple[int, int, bytes]], tuple[str, int] | tuple[str, int, int, int]],
) -> Taken:
    payload, items, peer = received
    version = listener.address.version
    known = [item for item in items if item[:2] != _LOSSES]
    arrival = ancillary.decode(iter(known)).packet
    destination, everybody = own, False
    if arrival is not None and listener.address.value == 0:
        scope = arrival.interface if ancillary.is_link_local(arrival.destination) else 0
        destination = sockaddr.encode(_address(version, arrival.destination), listener.port, scope)
        everybody = arrival.destination != arrival.local
    host = socket.inet_pton(socket.AF_INET if version == 4 else socket.AF_INET6, peer[0].partition("%")[0])
    source = sockaddr.encode(_address(version, host), peer[1], peer[3] if len(peer) > 3 else 0)
    control = b"".join(ancillary.item(*item) for item in known)
    return Taken(Waited(index, source, control, payload), destination, everybody)


def _address(version: int, packed: bytes) -> Address:
    return Address(version, int.from_bytes(packed, "big"))
