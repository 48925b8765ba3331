"""ANNOUNCE: taking a group or refusing it, and passing its announcements on.

The list of clients in an announcement is not looked at: who may take part is decided by clients and server.
Source: UFTP 4.10.2, observed; remembered refusals, multicast addresses only, later announcements checked: ours.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Fact, Mode
from workers.deadlines import NEVER
from workers.errors import DecodeError, PeerError, SealError, WorkerError
from workers.uftp import exchange, keys, lifetime, messages, outlet
from workers.uftp.actions import Arrival, GroupKey
from workers.uftp.addresses import is_multicast, is_source_specific, raw_group
from workers.uftp.aggregate import Pending
from workers.uftp.announce import Announce
from workers.uftp.clients import Clients
from workers.uftp.exchange import GroupCrypto
from workers.uftp.extensions import EncInfo
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.groups import Group, Progress, Terms, patience_ns
from workers.uftp.header import HEADER_BYTES, Header
from workers.uftp.station import Station

FRAME_FIELDS = frozenset({"message", "header length", "header"})
"""What a message of a wrong length fails in: nothing worth an answer. What fails later is told to the server."""


def announce(station: Station, datagram: bytes, header: Header, arrival: Arrival, now_ns: int) -> None:
    """Take in an ANNOUNCE of a new group, or another one from the server of a known group.

    Raises DecodeError, PeerError, SealError: it goes no further; a server whose group is refused has been told.
    """
    group = station.groups.get(GroupKey(header.group_id, header.group_instance))
    if group is not None:
        message = _decode(datagram, header)
    elif _is_refused(station, header, arrival, now_ns):
        station.drop(DropReason.GROUP_REFUSED)
        return
    else:
        try:
            message = _decode(datagram, header)
            group = _open(station, datagram, message, header, arrival, now_ns)
        except (DecodeError, PeerError, SealError) as error:
            _refuse(station, header, arrival, error, now_ns)
            raise
    group.heard_ns = now_ns
    _pass_on(station, group, datagram, message)


def _decode(datagram: bytes, header: Header) -> Announce:
    message = messages.decode(header, datagram[HEADER_BYTES:])
    if not isinstance(message, Announce):
        raise DecodeError("message number", HEADER_BYTES, "not an ANNOUNCE")
    return message


def _is_refused(station: Station, header: Header, arrival: Arrival, now_ns: int) -> bool:
    key = GroupKey(header.group_id, header.group_instance)
    return not header.group_id or station.refusals.holds(arrival.source, header.source_id, key, now_ns)


def _refuse(station: Station, header: Header, arrival: Arrival, error: WorkerError, now_ns: int) -> None:
    """Tell the server, unless its datagram was cut off, and do not judge its announcements again for a while."""
    key = GroupKey(header.group_id, header.group_instance)
    station.refusals.remember(arrival.source, header.source_id, key, now_ns)
    if isinstance(error, DecodeError) and error.field in FRAME_FIELDS:
        return
    station.note_refused("uftp-group-refused", key, header.source_id, arrival.source, str(error))
    outlet.refuse_group(station, header, arrival.source, str(error), now_ns)


def _open(station: Station, datagram: bytes, message: Announce, header: Header, arrival: Arrival, now_ns: int) -> Group:
    lifetime.make_room(station, now_ns)
    if station.groups.full:
        raise PeerError("draining" if station.groups.closed else "too many groups")
    if station.mode is Mode.SERVER and arrival.source == station.downstream.current:
        raise PeerError("announced by our own downstream proxy")
    terms = _terms(station, message, header, arrival)
    info = message.encryption
    station.lists.check_server(header.source_id, arrival.source, info.key_blob if info else None)
    crypto = None
    if info is not None and station.mode is not Mode.SERVER:
        crypto = _accept_keys(station, datagram, header, message, info)
    group = Group(
        key=GroupKey(header.group_id, header.group_instance),
        terms=terms,
        grtt=header.grtt,
        size=header.group_size,
        heard_ns=now_ns,
        setup_ns=NEVER if station.mode is Mode.SERVER else now_ns + patience_ns(message.robust, header.grtt),
        clients=Clients(station.settings.max_clients),
        pending=Pending(terms.uids_max),
        crypto=crypto,
        progress=Progress(now_ns),
    )
    _enter(station, group, crypto)
    return group


def _accept_keys(station: Station, datagram: bytes, header: Header, message: Announce, info: EncInfo) -> GroupCrypto:
    """Return what an encrypted group needs; the log hears of a key made for it. Raises as exchange.accept."""
    known = len(station.ring.made)
    try:
        return exchange.accept(datagram, header.group_id, message, info, station.own_side)
    finally:
        for key in station.ring.made[known:]:
            name = format_fingerprint(keys.fingerprint_of(key.public))
            station.note("uftp-key-made", None, key.public.title, name)


def _terms(station: Station, message: Announce, header: Header, arrival: Arrival) -> Terms:
    """Return what the announcement says. Raises PeerError: an address that no group can have."""
    settings = station.settings
    for address in (message.private, message.public):
        if any(address) and not is_multicast(address):
            raise PeerError("not a multicast address")
        if station.mode is Mode.CLIENT and not any(address):
            raise PeerError("announced to one address: clients behind this proxy could not hear it")
    if settings.source_specific and any(message.private) and not is_source_specific(message.private):
        raise PeerError("invalid source specific multicast address")
    port, version = settings.target_port, settings.version
    return Terms(
        server_uid=header.source_id,
        upstream=arrival.source,
        robust=message.robust,
        cc_type=message.cc_type,
        block_bytes=message.block_bytes,
        announced_us=message.timestamp.total_us,
        public=raw_group(message.public, port, version),
        private=raw_group(message.private, port, version),
    )


def _enter(station: Station, group: Group, crypto: GroupCrypto | None) -> None:
    terms = group.terms
    station.groups.add(group)
    station.facts[Fact.GROUPS] += 1
    station.note("uftp-group-opened", group, terms.server_uid, terms.upstream)
    # A server that announces to one address names none.
    station.note("uftp-group-addresses", group, terms.public or None, terms.private or None)
    if crypto is not None:
        chosen = crypto.suite
        suite = f"{chosen.cipher.name}, {chosen.digest.name}, {chosen.signature.name}, {chosen.exchange.name}"
        station.note("uftp-group-crypto", group, suite)
        if crypto.weak:
            station.facts[Fact.WEAK_GROUPS] += 1
            station.note("uftp-weak-crypto", group, crypto.weak)
    join = station.memberships.need(terms.private)
    if join is not None:
        station.actions.append(join)


def _pass_on(station: Station, group: Group, datagram: bytes, message: Announce) -> None:
    if station.mode is Mode.SERVER and station.downstream.current is not None:
        station.send(datagram, station.downstream.current)
    elif station.mode is Mode.CLIENT:
        rewritten = group.crypto.rewrite(datagram, message) if group.crypto else datagram
        station.send(rewritten, group.terms.public)
