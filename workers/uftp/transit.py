"""Datagrams inside a group: from its server, and from everybody else. What is passed on, and what has a handler.

Errors of peers are raised, for the machine to count. Source: UFTP 4.10.2, observed; no client's sealed datagram goes on
as it is, a server proxy passes on to servers what its own downstream sends only, and keys of who has registered: ours.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Mode
from workers.errors import DecodeError, PeerError
from workers.uftp import messages, registration, roles
from workers.uftp.actions import Arrival
from workers.uftp.addresses import host_of
from workers.uftp.clients import Client
from workers.uftp.downstream import ALIASES
from workers.uftp.exchange import ClientLeg, GroupCrypto
from workers.uftp.groups import Group
from workers.uftp.header import HEADER_BYTES, Function, Header
from workers.uftp.station import Station
from workers.uftp.suite import SignatureType

_PAST_REGISTRATION = frozenset({Function.FILEINFO, Function.FILESEG, Function.DONE, Function.ENCRYPTED})
"""What a server says when everybody has registered, or it waits no longer; confirmations and keys are never sealed."""
REGISTERED = 4_096
"""Stations of one group whose REGISTER a server proxy remembers: proxies most likely, and few."""


def from_server(station: Station, group: Group, datagram: bytes, head: Header, now_ns: int) -> None:
    """Pass on what a group's server sends, or act on it. Raises DecodeError, PeerError, SealError."""
    if station.mode is Mode.SERVER:
        group.heard_ns = now_ns
        note_step(group, head.function)
        if station.downstream.current is not None:
            station.send(datagram, station.downstream.current)
        return
    if head.source_id != group.terms.server_uid:
        station.drop(DropReason.WRONG_SOURCE_ID)
        station.note("uftp-wrong-source", group, head.source_id)
        return
    row = roles.STEERED.get(head.function)
    if row is None and group.crypto is not None:
        row = roles.STEERED_IF_ENCRYPTED.get(head.function)
    if row is not None:
        kind, handler = row
        handler(station, group, head, _decode(datagram, head, kind), now_ns)
        return
    group.heard_ns = now_ns
    if station.mode is Mode.CLIENT:
        station.send(_resigned(group.crypto, datagram, head), group.terms.private)


def from_below(station: Station, group: Group, datagram: bytes, head: Header, arrival: Arrival, now_ns: int) -> None:
    """Pass on or gather what anybody but its server sends in a group. Raises DecodeError, PeerError, SealError."""
    if station.mode is Mode.SERVER:
        _admit(station, group, head, arrival.source)
        group.heard_ns = now_ns
        if _in_order(group, head):
            station.send(datagram, group.terms.upstream)
        else:
            station.drop(DropReason.UNKNOWN_CLIENT)
            station.note("uftp-unknown-client", group, head.source_id, arrival.source)
        return
    if head.function in roles.ENTRY:
        _enter(station, group, datagram, head, now_ns)
        return
    client = group.clients.get(head.source_id)
    if client is None:
        station.drop(DropReason.UNKNOWN_CLIENT)
        station.note("uftp-unknown-client", group, head.source_id, arrival.source)
    elif group.crypto is not None and head.function == Function.ENCRYPTED:
        _opened(station, group, client, _open(group.crypto, client, datagram), now_ns)
    else:
        _in_the_clear(station, group, client, datagram, head, now_ns)


def speaks(station: Station, group: Group, source: bytes) -> bool:
    """Tell whether what comes from here may go on to a group's server: our downstream is there."""
    if station.downstream.admits(source):
        group.settled = True
        if group.aliases:
            # It does answer from where it is reached: who was taken for it until now is somebody else.
            group.aliases.clear()
            station.groups.generation += 1
        return True
    return host_of(source) in group.aliases


def note_step(group: Group, function: int) -> None:
    """Hear what a server proxy's server says: who registers once it has come to its files is no downstream of ours."""
    if function in _PAST_REGISTRATION:
        group.settled = True


def _admit(station: Station, group: Group, head: Header, source: bytes) -> None:
    """Return if what comes from here may go on to the server. Raises PeerError."""
    if speaks(station, group, source):
        return
    known = group.settled or len(group.aliases) >= ALIASES
    if known or head.function != Function.REGISTER or not station.downstream.resembles(source):
        raise PeerError("not from our downstream proxy")
    group.aliases.add(host_of(source))
    station.note("uftp-downstream-alias", group, source)


def _in_order(group: Group, head: Header) -> bool:
    """Tell whether a server can bear this now: the key of a station whose REGISTER was lost on its way ends 4.10.2.

    The station repeats both. Of more stations than are remembered nothing is held back.
    """
    if head.function == Function.REGISTER and len(group.registered) < REGISTERED:
        group.registered.add(head.source_id)
    known = head.source_id in group.registered or len(group.registered) >= REGISTERED
    return known or head.function != Function.CLIENT_KEY


def _enter(station: Station, group: Group, datagram: bytes, head: Header, now_ns: int) -> None:
    kind, handler = roles.ENTRY[head.function]
    try:
        message = _decode(datagram, head, kind)
    except DecodeError as error:
        registration.refuse(station, group, head.source_id, f"bad size: {error}", now_ns)
        return
    handler(station, group, head.source_id, message, now_ns)


def _opened(station: Station, group: Group, client: Client[ClientLeg], plain: bytes, now_ns: int) -> None:
    """Act on what a client has sealed; nothing of it goes on as it came."""
    message = messages.decode_plain(plain)
    answer = roles.SEALED_ANSWERS.get(messages.function_of(message))
    if answer is None:
        station.drop(DropReason.UNKNOWN_FUNCTION)
        return
    answer.handler(station, group, client, message, now_ns)


def _in_the_clear(
    station: Station, group: Group, client: Client[ClientLeg], datagram: bytes, head: Header, now_ns: int
) -> None:
    """Act on what a client says openly, or pass it on: a function without a handler goes to the server unchanged."""
    answers = roles.ANSWERS if group.crypto is None else roles.SEALED_ANSWERS
    answer = answers.get(head.function)
    if answer is None:
        group.heard_ns = now_ns
        station.send(datagram, group.terms.upstream)
    elif group.crypto is not None and (not answer.clear or client.has_joined):
        station.drop(DropReason.IN_THE_CLEAR)
        station.note("uftp-in-the-clear", group, client.uid)
    else:
        answer.handler(station, group, client, _decode(datagram, head, answer.kind), now_ns)


def _decode(datagram: bytes, head: Header, kind: type) -> messages.Message:
    message = messages.decode(head, datagram[HEADER_BYTES:])
    if not isinstance(message, kind) or isinstance(message, messages.Unknown):
        raise DecodeError("message number", HEADER_BYTES, f"not a {kind.__name__}")
    return message


def _open(crypto: GroupCrypto, client: Client[ClientLeg], datagram: bytes) -> bytes:
    """Return what a client has sealed. Raises SealError, PeerError while the group's key is not known."""
    if crypto.sealer is None:
        raise PeerError("sealed before the group's key is known")
    return crypto.sealer.open(datagram, client.exchange.key if client.exchange else None)


def _resigned(crypto: GroupCrypto | None, datagram: bytes, head: Header) -> bytes:
    """Return what goes on to the clients: as it came, but with KEYEX signed by us. Raises SealError, PeerError."""
    if crypto is None or head.function != Function.ENCRYPTED or crypto.suite.signature is not SignatureType.KEYEX:
        return datagram
    if crypto.sealer is None:
        raise PeerError("sealed before the group's key is known")
    return crypto.sealer.relay(datagram, crypto.server_key)
