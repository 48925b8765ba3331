"""The listening sockets: one of each listener for each worker, bound by the parent before anybody loses privileges.

The sockets of one listener form a reuseport group. Who may be in it is settled without a race: the first socket is
bound without SO_REUSEPORT, which fails as long as anybody else's socket overlaps, and joins the group afterwards; so a
second daemon is refused although SO_REUSEPORT would let it in.
A transparent listener is bound to every address, of one device or of all, and may answer from any address.
Where all clients must meet in one worker, the other workers get sockets that are bound to nothing and hear nothing: a
program that chooses the socket would not be asked for what nftables' tproxy statement delivers.
Nothing is read or sent here, and UDP_GRO is the worker's to set.
Source: socket(7), udp(7), ip(7), ipv6(7); net/ipv4/udp.c, reuseport_add_sock (a group made after the bind: Linux 4.6).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from proxyd.daemon.activation import NONE_GIVEN, Given
from proxyd.daemon.demands import Choice, Wishes
from proxyd.errors import SetupError
from workers.contract.settings import ListenerSettings
from workers.net import cbpf

Option: TypeAlias = tuple[int, int, int]
"""Level, name and value of a socket option."""
NO_WISHES = Wishes()

BUFFER_BYTES = 4 * 1024 * 1024
"""Asked for each direction of each socket; the kernel charges only what is queued."""

_SO_BINDTODEVICE = 25
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_RXQ_OVFL = 40
_SO_BINDTOIFINDEX = 62
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IP_RECVTTL = 12
_IP_RECVTOS = 13
_IP_TRANSPARENT = 19
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_IPV6_MTU_DISCOVER = 23
_IPV6_RECVTCLASS = 66
_IPV6_TRANSPARENT = 75
_PMTUDISC_DONT = 0
"""Never set DF: answers up to 65,507 bytes leave in fragments, and a forged ICMP cannot make the socket refuse them."""

_BEFORE_BINDING = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
"""Set once, and refused later. Source: ipv6(7)."""
_COUNT_LOSSES = (socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_OPTIONS: dict[int, tuple[Option, ...]] = {
    4: (_COUNT_LOSSES, (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)),
    6: (
        _COUNT_LOSSES,
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT),
    ),
}
_WILDCARD_OPTIONS: dict[int, tuple[Option, ...]] = {
    4: ((socket.IPPROTO_IP, _IP_PKTINFO, 1), (socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)),
    6: ((socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1), (socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)),
}
"""Groups that other programs have joined are none of ours: every socket of the group would hear each datagram."""
_TRANSPARENT_OPTIONS: dict[int, tuple[Option, ...]] = {
    4: ((socket.IPPROTO_IP, _IP_TRANSPARENT, 1),),
    6: ((socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1),),
}
_TOS_OPTIONS: dict[int, tuple[Option, ...]] = {
    4: ((socket.IPPROTO_IP, _IP_RECVTOS, 1),),
    6: ((socket.IPPROTO_IPV6, _IPV6_RECVTCLASS, 1),),
}
_BROADCAST_OPTIONS: tuple[Option, ...] = (
    (socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
    (socket.IPPROTO_IP, _IP_RECVTTL, 1),
    (socket.IPPROTO_IP, _IP_TRANSPARENT, 1),
)
"""For wildcards where a rule makes broadcast sessions: each answer leaves from the address of the server it is from."""
_BUFFERS = ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF))
_REASONS = {
    errno.EADDRNOTAVAIL: "the address is not configured on this machine",
    errno.EADDRINUSE: "Address already in use",
    errno.EACCES: "Permission denied (CAP_NET_BIND_SERVICE is needed for this port)",
    errno.EPERM: "Permission denied (CAP_NET_RAW is needed for answers from other machines' addresses)",
    errno.ENODEV: "this machine has no such interface",
}


def describe(listener: ListenerSettings) -> str:
    """Return a listener as the log writes it: `[127.0.0.1]:53`, `[0.0.0.0]:69 on eth0`."""
    device = "" if listener.device is None or listener.address.value else f" on {listener.device}"
    return f"[{listener.address}]:{listener.port}{device}"


def bind_listeners(
    listeners: Sequence[ListenerSettings],
    count: int,
    wishes: Wishes = NO_WISHES,
    owner: int | None = None,
    standing: Sequence[ListenerSettings] = (),
    given: Given = NONE_GIVEN,
) -> tuple[tuple[socket.socket, ...], ...]:
    """Bind count sockets of every listener, of which no two are at one place; return them as [worker][listener].

    They are non-blocking and close-on-exec. A port of 0 takes whichever is free, the same for the whole group.
    owner: the user the workers become, None where they stay who they are. standing: where we have sockets already:
    whoever could be in the way there is one of us. given: what the service manager has bound, each the first of its
    group. Raises SetupError naming the first listener that cannot be had; nothing stays open then.
    """
    groups: dict[int, list[socket.socket]] = {}
    wildcards: dict[tuple[int, int], set[str | None]] = {}
    # The widest first: they prove for the places they cover, too, that nobody else is there.
    order = sorted(range(len(listeners)), key=lambda index: _narrowness(listeners[index]))
    standing = (*standing, *(listener for listener in listeners if given.name(listener) is not None))
    try:
        for index, listener in enumerate(listeners):
            bound = given.take(listener)
            groups[index] = [] if bound is None else [bound]
        for index in order:
            listener = listeners[index]
            devices = wildcards.setdefault((listener.address.version, listener.port), set())
            covered = bool(devices) if listener.address.value else None in devices
            covered = covered or any(overlap(listener, other) for other in standing)
            passed = bool(groups[index])
            _open_group(listener, count, wishes, groups[index])
            _bind_group(listener, choice_of(listener, wishes), groups[index], covered=covered, bound=passed)
            if wishes.shared and owner is not None:
                _give(groups[index], owner)
            if listener.address.value == 0 and listener.port:
                devices.add(listener.device)
    except OSError as error:
        for group in groups.values():
            close_all(group)
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise SetupError(f"bind {describe(listener)}", reason) from error
    return tuple(tuple(groups[index][worker] for index in range(len(listeners))) for worker in range(count))


def probe(listeners: Sequence[ListenerSettings], wishes: Wishes, standing: Sequence[ListenerSettings]) -> None:
    """See whether listeners could be had beside those that stand, and leave none. Raises SetupError.

    Where one of ours has the port already, only the address is tried: clients would meet the probe.
    """
    tried = [
        replace(listener, port=0) if any(overlap(listener, other) for other in standing) else listener
        for listener in listeners
    ]
    for group in bind_listeners(tried, 1, wishes):
        close_all(group)


def adapt(
    groups: Sequence[Sequence[socket.socket]],
    listeners: Sequence[ListenerSettings],
    wishes: Wishes,
    owner: int | None = None,
) -> None:
    """Let sockets that are bound, [worker][listener], serve rules with other wishes than they were bound with.

    Options that are wished for no more stay; they do no harm. Who hears what is not changed here. Raises SetupError.
    """
    for index, listener in enumerate(listeners):
        group = [sockets[index] for sockets in groups]
        try:
            for level, option, value in _options(listener, wishes):
                for sock in group if (level, option) != _BEFORE_BINDING else ():
                    sock.setsockopt(level, option, value)
            if wishes.shared and owner is not None:
                _give(group, owner)
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
            raise SetupError(f"go on with {describe(listener)}", reason) from error


def choice_of(listener: ListenerSettings, wishes: Wishes) -> Choice:
    """Return who among the workers gets a listener's datagrams."""
    return wishes.transparent if listener.transparent else wishes.direct


def open_more(
    listener: ListenerSettings, count: int, wishes: Wishes = NO_WISHES, owner: int | None = None
) -> list[socket.socket]:
    """Open count sockets more for a listener that has some; they are bound to nothing until they `join`.

    owner: as for bind_listeners. Raises SetupError; nothing stays open then.
    """
    group: list[socket.socket] = []
    try:
        _open_group(listener, count, wishes, group)
        if wishes.shared and owner is not None:
            _give(group, owner)
    except OSError as error:
        close_all(group)
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise SetupError(f"open more sockets for {describe(listener)}", reason) from error
    return group


def join(sock: socket.socket, standing: socket.socket) -> None:
    """Let a socket of `open_more` hear what comes to the place of one that is bound. Raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(standing.getsockname())


def bound_event(listener: ListenerSettings, workers: int) -> tuple[str, bytes, *tuple[str | int, ...]]:
    """Return the event that tells of a listener that is bound, with its fields."""
    raw = raw_sockaddr(listener)
    if listener.transparent:
        return "bound-transparently", raw, listener.device or "every interface", workers
    return "bound", raw, workers


def raw_sockaddr(listener: ListenerSettings) -> bytes:
    """Return a listener's address as the log takes it: a struct sockaddr_in or sockaddr_in6."""
    version, value = listener.address
    port = listener.port.to_bytes(2, "big")
    if version == 4:
        return socket.AF_INET.to_bytes(2, sys.byteorder) + port + value.to_bytes(4, "big") + bytes(8)
    return socket.AF_INET6.to_bytes(2, sys.byteorder) + port + bytes(4) + value.to_bytes(16, "big") + bytes(4)


def is_astray(listener: ListenerSettings, sock: socket.socket) -> bool:
    """Tell whether a listener's socket hears a device that has gone, while another one has its name now.

    Source: socket option SO_BINDTOIFINDEX, Linux 5.0; interfaces that are made anew have another index.
    """
    if listener.device is None:
        return False
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) not in (0, socket.if_nametoindex(listener.device))
    except OSError:  # there is none of this name now, or the kernel is older
        return False


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close sockets."""
    for sock in sockets:
        sock.close()


def overlap(one: ListenerSettings, other: ListenerSettings) -> bool:
    """Tell whether two listeners could not be had by two programs."""
    same_port = one.port == other.port != 0 and one.address.version == other.address.version
    wild = not (one.address.value and other.address.value)
    return same_port and (wild or one.address == other.address)


def _narrowness(listener: ListenerSettings) -> int:
    """Return 0 for every address, 1 for every address of one device, 2 for one address."""
    return 2 if listener.address.value else int(listener.device is not None)


def _open_group(listener: ListenerSettings, count: int, wishes: Wishes, group: list[socket.socket]) -> None:
    """Open a listener's sockets into group, with all their options; one that is in it is bound already."""
    options, bound = _options(listener, wishes), list(group)
    group += (
        socket.socket(_FAMILIES[listener.address.version], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for _ in range(count - len(bound))
    )
    for sock in group:
        for level, option, value in options:
            if sock not in bound or (level, option) != _BEFORE_BINDING:
                sock.setsockopt(level, option, value)
        if listener.device is not None and listener.address.value == 0 and sock not in bound:
            sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, listener.device.encode())
        for forced, ordinary in _BUFFERS:
            try:
                sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, ordinary, BUFFER_BYTES)


def _options(listener: ListenerSettings, wishes: Wishes) -> list[Option]:
    version, wildcard = listener.address.version, listener.address.value == 0
    wanted: list[tuple[Option, ...]] = [_OPTIONS[version]]
    if wildcard:
        wanted.append(_WILDCARD_OPTIONS[version])
    if listener.transparent:
        wanted.append(_TRANSPARENT_OPTIONS[version])
    if wishes.tos:
        wanted.append(_TOS_OPTIONS[version])
    if wishes.forged and wildcard and version == 4:
        wanted.append(_BROADCAST_OPTIONS)
    return [option for options in wanted for option in options]


def _bind_group(
    listener: ListenerSettings, choice: Choice, group: list[socket.socket], *, covered: bool, bound: bool
) -> None:
    """Bind those sockets of a group that are to hear anything, and say who of them hears what.

    covered: a wildcard of ours has proved that the place is free. bound: whether the first one is bound already.
    """
    target = _bind_address(listener)
    heard = group[:1] if choice is Choice.FIRST else group
    if bound:
        # Whoever has bound it has settled who may be there. What an earlier run has had it choose by is over.
        cbpf.detach(heard[0])
    for number, sock in enumerate(heard[bound:], int(bound)):
        exclusive = number == 0 and not covered
        if not exclusive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(target)
        if exclusive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            target = sock.getsockname()
    if choice is Choice.CLIENT and len(heard) > 1:
        cbpf.attach_steering(heard[0], cbpf.by_client(listener.address.version, len(heard)))


def _give(group: list[socket.socket], owner: int) -> None:
    """Make sockets somebody's: a port is shared by sockets of one user only, and of nobody else.

    Source: socket(7), SO_REUSEPORT; net/socket.c, sockfs_setattr (Linux 4.10).
    """
    for sock in group:
        os.fchown(sock.fileno(), owner, -1)


def _bind_address(listener: ListenerSettings) -> tuple[str, int] | tuple[str, int, int, int]:
    address = str(listener.address)
    if listener.address.version == 4:
        return address, listener.port
    link_local = ipaddress.IPv6Address(address).is_link_local and listener.device is not None
    return address, listener.port, 0, socket.if_nametoindex(listener.device or "") if link_local else 0
