"""The listening sockets: one of each listener for each worker, bound by the parent before anybody loses privileges.

The sockets of one listener form a reuseport group. Who may be in it is settled without a race: the first socket is
bound without SO_REUSEPORT, which fails as long as anybody else's socket overlaps, and joins the group afterwards; so a
second daemon is refused although SO_REUSEPORT would let it in.
Nothing is read or sent here, and UDP_GRO is the worker's to set.
Source: socket(7), udp(7), ip(7), ipv6(7); net/ipv4/udp.c, reuseport_add_sock (a group made after the bind: Linux 4.6).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

from proxyd.errors import SetupError
from workers.contract.settings import Address, ListenerSettings

BUFFER_BYTES = 4 * 1024 * 1024
"""Asked for each direction of each socket; the kernel charges only what is queued."""

_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_RXQ_OVFL = 40
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_DONT = 0
"""Never set DF: answers up to 65,507 bytes leave in fragments, and a forged ICMP cannot make the socket refuse them."""

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_OPTIONS = {
    4: ((socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT),),
    6: (
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT),
    ),
}
_WILDCARD_OPTIONS = {
    4: ((socket.IPPROTO_IP, _IP_PKTINFO, 1), (socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)),
    6: ((socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1), (socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)),
}
"""Groups that other programs have joined are none of ours: every socket of the group would hear each datagram."""
_BUFFERS = ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF))
_REASONS = {
    errno.EADDRNOTAVAIL: "the address is not configured on this machine",
    errno.EADDRINUSE: "Address already in use",
    errno.EACCES: "Permission denied (CAP_NET_BIND_SERVICE is needed for this port)",
}


def describe(listener: ListenerSettings) -> str:
    """Return a listener as the log writes it: `[127.0.0.1]:53`."""
    return f"[{_text(listener.address)}]:{listener.port}"


def bind_listeners(listeners: Sequence[ListenerSettings], count: int) -> tuple[tuple[socket.socket, ...], ...]:
    """Bind count sockets of every listener; return them as [worker][listener].

    They are non-blocking and close-on-exec. A port of 0 takes whichever is free, the same for the whole group.
    Raises SetupError naming the first listener that cannot be had; nothing stays open then.
    """
    groups: dict[int, list[socket.socket]] = {}
    wildcards: set[tuple[int, int]] = set()
    # Wildcards first: they prove for the addresses they cover, too, that nobody else is there.
    order = sorted(range(len(listeners)), key=lambda index: listeners[index].address.value != 0)
    try:
        for index in order:
            listener = listeners[index]
            place = (listener.address.version, listener.port)
            groups[index] = []
            _bind_group(listener, count, groups[index], covered=place in wildcards)
            if listener.address.value == 0 and listener.port:
                wildcards.add(place)
    except OSError as error:
        for group in groups.values():
            close_all(group)
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise SetupError(f"bind {describe(listener)}", reason) from error
    return tuple(tuple(groups[index][worker] for index in range(len(listeners))) for worker in range(count))


def raw_sockaddr(listener: ListenerSettings) -> bytes:
    """Return a listener's address as the log takes it: a struct sockaddr_in or sockaddr_in6."""
    version, value = listener.address
    port = listener.port.to_bytes(2, "big")
    if version == 4:
        return socket.AF_INET.to_bytes(2, sys.byteorder) + port + value.to_bytes(4, "big") + bytes(8)
    return socket.AF_INET6.to_bytes(2, sys.byteorder) + port + bytes(4) + value.to_bytes(16, "big") + bytes(4)


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close sockets."""
    for sock in sockets:
        sock.close()


def _bind_group(listener: ListenerSettings, count: int, group: list[socket.socket], covered: bool) -> None:
    """Bind a listener's sockets into group. covered: a wildcard of ours has proved that the place is free."""
    target = _bind_address(listener)
    for number in range(count):
        sock = socket.socket(_FAMILIES[listener.address.version], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        group.append(sock)
        _set_options(sock, listener.address)
        exclusive = number == 0 and not covered
        if not exclusive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(target)
        if exclusive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            target = sock.getsockname()


def _set_options(sock: socket.socket, address: Address) -> None:
    options = _OPTIONS[address.version] + (_WILDCARD_OPTIONS[address.version] if address.value == 0 else ())
    for level, option, value in options:
        sock.setsockopt(level, option, value)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    for forced, ordinary in _BUFFERS:
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, ordinary, BUFFER_BYTES)


def _bind_address(listener: ListenerSettings) -> tuple[str, int] | tuple[str, int, int, int]:
    text = _text(listener.address)
    if listener.address.version == 4:
        return text, listener.port
    link_local = ipaddress.IPv6Address(text).is_link_local and listener.device is not None
    return text, listener.port, 0, socket.if_nametoindex(listener.device or "") if link_local else 0


def _text(address: Address) -> str:
    kind = ipaddress.IPv4Address if address.version == 4 else ipaddress.IPv6Address
    return str(kind(address.value))
