"""What is known of a datagram that wants a session: who wrote it, to whom, and from where answers must seem to come.

Asked once a session. Most listeners have one address, and then there is little to know. Where a transparent listener or
a broadcast rule exists, the machine's own addresses tell destinations apart (workers.session.reach).
Source: udp-proxy(8); K-56 to K-62, K-88 to K-93; ip(7), IP_PKTINFO.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from workers.contract.settings import Address, SessionKind, Settings
from workers.contract.slots import DropReason
from workers.listener import Listener
from workers.net import ancillary
from workers.net.ancillary import Control, PacketInfo
from workers.net.transport import Transport
from workers.session.reach import Addresses, Reach, can_answer, reach_of
from workers.session.session import PLAIN, Traits
from workers.session.trails import Trails
from workers.wire import sockaddr

NO_INTERFACE = 0
WORDS = {
    DropReason.FOREIGN: "it is not for this machine",
    DropReason.OWN: "we have sent it ourselves",
    DropReason.LAST_HOP: "a broadcast whose time to live is used up",
    DropReason.NO_HOST: "its source is no host's address",
}
"""Why nobody may have a session for a datagram, for the log."""
LAST_TTL = 1


class Origin(NamedTuple):
    """A datagram's raw source and destination, what rules look at beside them, and the interface that it came in by.

    control: control data that makes answers leave from where the client wrote to; empty where they do so by themselves.
    """

    source: bytes
    destination: bytes
    traits: Traits = PLAIN
    interface: int = NO_INTERFACE
    control: bytes = b""


class Known(Protocol):
    """Where the machine's addresses are kept current (workers.net.interfaces)."""

    @property
    def table(self) -> Addresses:
        """What is known now."""
        ...


def needs_addresses(settings: Settings) -> bool:
    """Tell whether a configuration needs to know which addresses are this machine's own."""
    rules = [acl for acl in settings.acls if acl.accept]
    return any(listener.transparent for listener in settings.listeners) or any(
        acl.kind is SessionKind.BROADCAST or acl.transparent is not None for acl in rules
    )


def echo_of(interface: int, source: bytes, destination: bytes) -> bytes:
    """Return what a datagram that we send by an interface is known by when it comes back (K-61)."""
    return interface.to_bytes(4, "big") + source + destination


class Origins:
    """Looks at the datagrams of one worker.

    known: None where nobody needs to know (needs_addresses). first_worker: it is the one that takes broadcasts, which
    every worker hears.
    """

    def __init__(self, transport: Transport, trails: Trails, known: Known | None, *, first_worker: bool) -> None:
        self._transport = transport
        self._trails = trails
        self._known = known
        self._first_worker = first_worker

    def of(self, listener: Listener, slot: int) -> Origin | DropReason:
        """Return what is known of a slot's datagram, or why nobody may have a session for it here."""
        source = self._transport.source(slot, listener.version)
        if not can_answer(source):
            return DropReason.NO_HOST
        if not listener.usual:
            return Origin(source, listener.raw)
        control = self._transport.control(slot)
        if control.packet is None or not listener.wildcard:
            return Origin(source, listener.raw, _traits(control, transparent=False))
        return self._of_wildcard(listener, source, control, control.packet)

    def is_echo(self, listener: Listener, slot: int) -> bool:
        """Tell whether a slot's datagram is one that we have sent ourselves (K-60)."""
        info = self._transport.control(slot).packet
        if info is None:
            return False
        destination = _destination(listener, info)
        source = self._transport.source(slot, listener.version)
        return self._trails.is_echo(echo_of(info.interface, source, destination))

    def _of_wildcard(
        self, listener: Listener, source: bytes, control: Control, info: PacketInfo
    ) -> Origin | DropReason:
        destination, transparent = _destination(listener, info), False
        if self._known is not None:
            if listener.version == 4 and self._known.table.broadcast_of(source[4:8]) is not None:
                return DropReason.NO_HOST
            reach = reach_of(self._known.table, info.interface, info.destination)
            reason = self._objection(listener, reach, control, echo_of(info.interface, source, destination))
            if reason is not None:
                return reason
            transparent = reach.transparent
        elif info.destination != info.local and not self._first_worker:
            return DropReason.NOT_OURS
        answers = ancillary.reply_from(info)
        return Origin(source, destination, _traits(control, transparent=transparent), info.interface, answers)

    def _objection(self, listener: Listener, reach: Reach, control: Control, echo: bytes) -> DropReason | None:
        if reach is Reach.GROUP or (reach is Reach.FOREIGN and not listener.transparent):
            return DropReason.FOREIGN
        if not reach.broadcast:
            return None
        if self._trails.is_echo(echo):
            return DropReason.OWN
        if not self._first_worker:
            return DropReason.NOT_OURS
        return DropReason.LAST_HOP if control.ttl == LAST_TTL else None


def _destination(listener: Listener, info: PacketInfo) -> bytes:
    """Return the raw address that a client wrote to; a link-local one is another one on each interface."""
    address = Address(listener.version, int.from_bytes(info.destination, "big"))
    return sockaddr.encode(address, listener.port, info.interface if ancillary.is_link_local(info.destination) else 0)


def _traits(control: Control, *, transparent: bool) -> Traits:
    if control.tos:
        return Traits(transparent, control.tos)
    return Traits(transparent=True) if transparent else PLAIN
