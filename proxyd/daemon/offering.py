"""What workers would have carried by the kernel, and who the peers of such a session are, without believing them.

The server side is that of the socket which the vault keeps. The client is what the session's slot says; all that a lie
could bring about is that datagrams to a listener of ours go on to that server, and answers leave from there.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TypeAlias

from proxyd.daemon.sockets import raw_sockaddr
from proxyd.daemon.spawn import Estate
from proxyd.daemon.vault import Vault
from proxyd.offload.carrier import Carrier
from proxyd.offload.flows import Ends, Offer
from workers.contract.messages import Offered, Withdrawn
from workers.contract.settings import Address, ListenerSettings
from workers.wire import sockaddr

_Name: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_HOPS: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
}


class Offering:
    """Between the workers of an estate and its carrier."""

    def __init__(self, carrier: Carrier, estate: Estate, vault: Vault) -> None:
        self._carrier = carrier
        self._estate = estate
        self._vault = vault

    def handle(self, worker: int, message: Offered | Withdrawn) -> None:
        """Enter sessions of a worker, as far as they can be carried, or take them out."""
        if isinstance(message, Offered):
            self._carrier.carry([Offer(worker, slot, epoch) for slot, epoch in message.sessions], self._peers)
        else:
            self._carrier.drop(worker, message.slots)

    def forget(self, worker: int) -> None:
        """Take out all sessions of a worker that is dead."""
        self._carrier.forget(worker)

    def _peers(self, offer: Offer) -> Ends | None:
        """Return who the peers are, None where the session may not be carried."""
        region = self._estate.shared.regions[offer.worker]
        descriptor = self._vault.descriptor(offer.worker, offer.slot)
        if descriptor is None or region.opened(offer.slot) is None:
            return None
        fields = region.fields(offer.slot)
        try:
            local, server, ttl = _server_side(descriptor)
        except OSError:
            return None
        size = len(local)
        ends = Ends(fields.client[:size], fields.destination[:size], local, server, ttl)
        if any(raw[:2] != local[:2] or sockaddr.scope_of(raw) for raw in ends[:4]):
            return None
        return ends if self._is_ours(ends.destination) else None

    def _is_ours(self, destination: bytes) -> bool:
        """Tell whether clients write to this raw address of a listener that takes it from everywhere."""
        return any(_hears(listener, destination) for listener in self._estate.standing)


def _hears(listener: ListenerSettings, destination: bytes) -> bool:
    if listener.transparent or listener.device is not None:
        return False
    raw = raw_sockaddr(listener)
    anywhere = not any(sockaddr.host(raw))
    return raw[:4] == destination[:4] and (anywhere or sockaddr.host(raw) == sockaddr.host(destination))


def _server_side(descriptor: int) -> tuple[bytes, bytes, int]:
    """Return a connected UDP socket's raw addresses and time to live. Raises OSError for whatever else it is."""
    copy = os.dup(descriptor)
    try:
        sock = socket.SocketType(fileno=copy)  # plain numbers for family and type, in half the time
    except OSError:
        os.close(copy)
        raise
    try:
        if sock.family not in _HOPS or (sock.type, sock.proto) != (socket.SOCK_DGRAM, socket.IPPROTO_UDP):
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
        family = sock.family
        return _raw(family, sock.getsockname()), _raw(family, sock.getpeername()), sock.getsockopt(*_HOPS[family])
    finally:
        sock.close()


def _raw(family: int, name: _Name) -> bytes:
    packed = socket.inet_pton(family, name[0])
    version = 4 if family == socket.AF_INET else 6
    scope = name[3] if len(name) == 4 else 0
    return sockaddr.encode(Address(version, int.from_bytes(packed, "big")), name[1], scope)
