"""Listening sockets that a service manager has bound before this program begins, and which listener each of them is.

They stay the manager's: what comes while nobody serves waits in them. So the proxy uses duplicates, and keeps what it
was passed as long as it runs: a listener that a reload gives up and a later one takes again finds its socket here.
After an upgrade there are none: the next program has them as listeners like any others. One that a reload gives up
then, and a later one takes again, is in use by the manager until a restart.
Each is the first of its listener's group; what else the group needs is bound beside it (proxyd.daemon.sockets).
Source: sd_listen_fds(3); systemd.socket(5).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

from proxyd.daemon.inventory import Identity, Manifest, listener_of
from proxyd.daemon.journal import Journal
from proxyd.errors import SetupError
from workers.contract.settings import Address, ListenerSettings

STEP = "use the service manager's sockets"
_SO_BINDTODEVICE = 25
_DEVICE_BYTES = 16
_VERSIONS = {socket.AF_INET: 4, socket.AF_INET6: 6}
_ONE_FAMILY = {True: "ipv6-only", False: "both"}
"""What BindIPv6Only= of a unit has to be."""


class Given:
    """What the manager has passed, by the place each socket is bound to.

    passed: names by descriptors, which are ours from now on. Raises SetupError for what no listener can be.
    """

    def __init__(self, passed: Mapping[int, str] | None = None) -> None:
        self._sockets: dict[ListenerSettings, socket.socket] = {}
        self._names: dict[ListenerSettings, str] = {}
        for descriptor, name in (passed or {}).items():
            sock = _socket_of(descriptor, name)
            place = _place_of(sock)
            if place in self._sockets:
                raise SetupError(STEP, f"{_describe(place)} is passed twice, by {self._names[place]} and {name}")
            self._sockets[place], self._names[place] = sock, name

    def require_wanted(self, listeners: Sequence[ListenerSettings], *, one_family: bool = True) -> None:
        """Raise SetupError unless every socket can be one of these listeners.

        one_family: whether a listener on IPv6 is to hear IPv6 only; the kernel lets nobody change that later.
        """
        wanted = {_place(listener) for listener in listeners}
        why = [f"{each} is no listener of the configuration" for each in self.unwanted(listeners)]
        why += [
            f"{_describe(place)} of {self._names[place]} needs BindIPv6Only={_ONE_FAMILY[one_family]}"
            for place, sock in self._sockets.items()
            if place in wanted and place.address.version == 6 and _hears_one_family(sock) is not one_family
        ]
        if why:
            raise SetupError(STEP, "; ".join(why))

    def unwanted(self, listeners: Sequence[ListenerSettings]) -> list[str]:
        """Return the sockets that are none of these listeners, with their units, for people to read."""
        wanted = {_place(listener) for listener in listeners}
        return [f"{_describe(place)} of {name}" for place, name in self._names.items() if place not in wanted]

    def name(self, listener: ListenerSettings) -> str | None:
        """Return the unit that has passed a listener's socket, None where there is none."""
        return self._names.get(_place(listener))

    def take(self, listener: ListenerSettings) -> socket.socket | None:
        """Return a listener's socket, the caller's, None where there is none. Others may join it. Raises OSError."""
        sock = self._sockets.get(_place(listener))
        if sock is None:
            return None
        taken = sock.dup()
        taken.setblocking(False)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return taken

    def misfit(self, manifest: Manifest) -> str:
        """Return why what was laid up cannot be gone on with, "" if it can: a place may have another socket since.

        Both would get datagrams, and nobody would read the one's.
        """
        for index, left in enumerate(manifest.listeners):
            place = _place(listener_of(left))
            known = {manifest.identities[group[index]] for group in manifest.sockets}
            if place in self._sockets and _identify(self._sockets[place]) not in known:
                return f"{_describe(place)} of {self._names[place]} is another socket than was laid up"
        return ""

    def note(self, listeners: Sequence[ListenerSettings], journal: Journal) -> None:
        """Log which listeners' sockets are the manager's."""
        for listener in listeners:
            name = self.name(listener)
            if name is not None:
                journal.note("socket-given", _describe(_place(listener)), name)

    def close(self) -> None:
        """Let go of everything: it stays the manager's."""
        for sock in self._sockets.values():
            sock.close()


NONE_GIVEN = Given()


def _socket_of(descriptor: int, name: str) -> socket.socket:
    """Return a descriptor as a socket. Raises SetupError where it is none for datagrams."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        os.close(descriptor)
        raise SetupError(STEP, f"descriptor {descriptor} of {name} is no socket") from error
    if sock.family not in _VERSIONS or sock.type != socket.SOCK_DGRAM:
        sock.close()
        raise SetupError(STEP, f"descriptor {descriptor} of {name} is no UDP socket: ListenDatagram= makes one")
    return sock


def _place_of(sock: socket.socket) -> ListenerSettings:
    """Return where a socket is bound, as `_place` has it."""
    host, port, *more = sock.getsockname()
    address = ipaddress.ip_address(host.partition("%")[0])
    device = sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, _DEVICE_BYTES).rstrip(b"\0").decode() or None
    if address.is_link_local and more and more[1]:
        device = socket.if_indextoname(more[1])
    return ListenerSettings(Address(_VERSIONS[socket.AddressFamily(sock.family)], int(address)), port, device=device)


def _place(listener: ListenerSettings) -> ListenerSettings:
    """Return where a listener's sockets are bound: of a device only where that says what they hear."""
    link_local = listener.address.version == 6 and ipaddress.IPv6Address(listener.address.value).is_link_local
    device = listener.device if link_local or not listener.address.value else None
    return replace(listener, transparent=False, device=device)


def _describe(place: ListenerSettings) -> str:
    device = "" if place.device is None else f" on {place.device}"
    return f"[{place.address}]:{place.port}{device}"


def _identify(sock: socket.socket) -> Identity:
    status = os.fstat(sock.fileno())
    return Identity(status.st_dev, status.st_ino)


def _hears_one_family(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
