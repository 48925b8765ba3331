"""The one UDP socket of uftpproxyd, bound once a worker, with its groups joined and its datagrams shared out.

All workers' sockets are one reuseport group. The kernel gives a unicast datagram to the worker that its group ID says
(workers.net.cbpf), and a multicast datagram to all of them, each of which has a filter that lets only its own through.
That nobody else has the port is settled as in proxyd.daemon.sockets. Groups are joined on every socket: one that has
not joined hears nothing (IP_MULTICAST_ALL is off), so groups of other programs stay theirs.
Source: ip(7), ipv6(7), socket(7); uftpproxyd(8).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial

from proxyd.errors import SetupError
from workers.contract.settings import Settings
from workers.contract.uftp import Mode, UftpSettings
from workers.multicast import Multicast
from workers.net import cbpf
from workers.wire import sockaddr

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT = 10, 23, 0
"""Never set DF: long datagrams leave in fragments."""
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_IP_PKTINFO = 8
GROUPS_A_SOCKET = 20
"""Memberships that IPv4 lets one socket have, unless net.ipv4.igmp_max_memberships says otherwise."""
_SPARE = 64
_BEFORE_BINDING = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
"""Set once, and refused later. Source: ipv6(7)."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_WILDCARDS = {4: "0.0.0.0", 6: "::"}


def descriptors(frame: Settings, workers: int) -> int:
    """Return how many descriptors the hungriest process may open: a worker whose groups need other sockets to join."""
    return frame.max_sessions // GROUPS_A_SOCKET + _SPARE + workers * 4


def bind(
    settings: UftpSettings, workers: int, bound: socket.socket | None = None
) -> tuple[tuple[socket.socket, ...], ...]:
    """Bind a socket for each worker, set it up and join the public groups; return them as [worker][listener].

    bound: the first one, where it is there already. Raises SetupError (steps bind, join, share); nothing stays open
    then.
    """
    group: list[socket.socket] = [] if bound is None else [bound]
    try:
        _step(f"bind port {settings.port}", partial(_bind_group, settings, workers, group))
        _step("share datagrams out", partial(_share_out, group))
        if settings.mode is not Mode.CLIENT:
            for sock in group:
                _join_public(settings, sock)
    except SetupError:
        for sock in group:
            sock.close()
        raise
    return tuple((sock,) for sock in group)


def adapt(settings: UftpSettings, listeners: Sequence[Sequence[socket.socket]]) -> None:
    """Let sockets that another program has bound serve these settings; groups that are not public any more stay joined.

    Raises SetupError (steps set, join).
    """
    for sock in (sock for group in listeners for sock in group):
        _step("set options", partial(_set_options, sock, settings, bound=True))
        if settings.mode is not Mode.CLIENT:
            _join_public(settings, sock)


def _step(name: str, act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        raise SetupError(name, error.strerror or str(error)) from error


def _bind_group(settings: UftpSettings, count: int, group: list[socket.socket]) -> None:
    for bound in group:
        # Whoever has bound it has settled who may be there. What an earlier run has had it take is over.
        _set_options(bound, settings, bound=True)
        cbpf.detach(bound)
    for number in range(len(group), count):
        sock = socket.socket(_FAMILIES[settings.version], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        group.append(sock)
        _set_options(sock, settings)
        if number:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((_WILDCARDS[settings.version], settings.port))
        if not number:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _set_options(sock: socket.socket, settings: UftpSettings, *, bound: bool = False) -> None:
    options = _options6(settings) if settings.version == 6 else _options4(settings)
    for level, option, value in options:
        if not (bound and (level, option) == _BEFORE_BINDING):
            sock.setsockopt(level, option, value)
    for forced, ordinary in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, settings.buffer_bytes)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, ordinary, settings.buffer_bytes)


def _options4(settings: UftpSettings) -> tuple[tuple[int, int, int | bytes], ...]:
    level = socket.IPPROTO_IP
    number = settings.out_interface.number.to_bytes(4, "little")
    return (
        (level, socket.IP_MULTICAST_IF, bytes(4) + settings.out_interface.address.value.to_bytes(4) + number),
        (level, socket.IP_MULTICAST_TTL, settings.ttl),
        (level, socket.IP_TOS, settings.dscp << 2),
        (level, _IP_MTU_DISCOVER, _PMTUDISC_DONT),
        (level, _IP_MULTICAST_ALL, 0),
        (level, _IP_PKTINFO, 1),
    )


def _options6(settings: UftpSettings) -> tuple[tuple[int, int, int | bytes], ...]:
    level = socket.IPPROTO_IPV6
    # IPv4 groups are multicast from this socket as well, where only the tunnel is IPv6.
    number = settings.out_interface.number.to_bytes(4, "little")
    return (
        (level, socket.IPV6_V6ONLY, 0),
        (level, socket.IPV6_MULTICAST_IF, settings.out_interface.number),
        (level, socket.IPV6_MULTICAST_HOPS, settings.ttl),
        (level, socket.IPV6_TCLASS, settings.dscp << 2),
        (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + number),
        (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, settings.ttl),
        (socket.IPPROTO_IP, socket.IP_TOS, settings.dscp << 2),
        (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT),
        (level, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT),
        (level, _IPV6_MULTICAST_ALL, 0),
        (socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0),
        (level, socket.IPV6_RECVPKTINFO, 1),
    )


def _share_out(group: list[socket.socket]) -> None:
    count = len(group)
    if count == 1:
        return
    cbpf.attach_steering(group[0], cbpf.by_group(count))
    for index, sock in enumerate(group):
        cbpf.attach_filter(sock, cbpf.keep_group(index, count))


def _join_public(settings: UftpSettings, sock: socket.socket) -> None:
    multicast = Multicast(sock, settings.version, settings.interfaces)
    for public in settings.public_groups:
        text = str(sockaddr.decode(public)[0])
        _step(f"join {text}", partial(multicast.join, public, settings.group_sources))
