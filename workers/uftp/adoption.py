"""Going on with the groups that a predecessor has written down: from records to groups, each checked, or refused alone.

Whoever wrote them may have been broken into: a record says nothing that an announcement or a client could not have
said, and servers must pass the lists and the limits that hold now. What waited to be sent up is not written down:
clients and servers repeat it. Silence is counted anew: nobody could be heard while nobody listened. Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from workers.contract.uftp import Fact, Mode
from workers.deadlines import NEVER
from workers.errors import DecodeError, KeyRefused, RevivalError
from workers.uftp import keys, pem, records
from workers.uftp.actions import GroupKey, Leave
from workers.uftp.addresses import host_of, is_multicast
from workers.uftp.aggregate import Pending
from workers.uftp.archive import Archive
from workers.uftp.clients import Clients
from workers.uftp.fingerprint import fingerprint
from workers.uftp.groups import MAX_PATIENCE_NS, MIN_PATIENCE_NS, Group, Phase, Progress, Terms
from workers.uftp.keys import PrivateKey
from workers.uftp.records import DamagedError, DownstreamRecord, GroupRecord, ShownRecord
from workers.uftp.revival import NOT_OURS, revive_clients, revive_crypto
from workers.uftp.station import Station
from workers.wire import sockaddr

Kept = Mapping[bytes, Mapping[bytes, bytes]]
"""Records by family and name."""
_PHASES = {phase.value: phase for phase in Phase}
_RAW_BYTES = {4: sockaddr.V4_BYTES, 6: sockaddr.V6_BYTES}
_HOST_BYTES = {4: 4, 6: 16}


class _Own(NamedTuple):
    """What groups are revived with. keys: the ring's and those that were written down, by fingerprint."""

    station: Station
    keys: dict[bytes, PrivateKey]
    now_ns: int


def adopt(station: Station, archive: Archive, kept: Kept, now_ns: int) -> None:
    """Take over the groups of a predecessor, as far as they are what they must be; the log hears of the others."""
    _adopt_downstream(station, kept)
    own = _Own(station, _find_keys(station, kept), now_ns)
    for family, found in kept.items():
        key = records.group_of(family)
        if key is None:
            continue
        try:
            group = _revive(own, key, found)
        except RevivalError as error:
            archive.refuse(family)
            station.note_refused("uftp-not-adopted", key, error.reason)
            continue
        _enter(station, group, now_ns)
        archive.adopted(key)
    _forget_keys(station, archive, kept.get(records.KEYS, {}))
    _leave_others(station, archive, kept.get(records.JOINED, {}))
    if len(station.groups):
        station.note("uftp-adopted", None, len(station.groups), station.facts[Fact.CLIENTS])


def nonce_of(kept: Kept) -> int:
    """Return what heartbeats had to sign, 0 if nothing is known."""
    raw = kept.get(records.STATION, {}).get(records.NONCE, b"")
    return int.from_bytes(raw) if len(raw) == len(records.name_of(0)) else 0


# --- the proxy --------------------------------------------------------------------------------------------------------


def _adopt_downstream(station: Station, kept: Kept) -> None:
    """Go on with the addresses that were proved, if it was the same key that is wanted now."""
    raw = kept.get(records.STATION, {}).get(records.DOWNSTREAM)
    if raw is None:
        return
    try:
        record = records.decode(raw, DownstreamRecord)
    except DamagedError:
        return
    if record.wanted == station.settings.downstream_fingerprint:
        for address in record.proved:
            if len(address) == _RAW_BYTES[station.settings.version]:
                station.move_downstream(address)


def _find_keys(station: Station, kept: Kept) -> dict[bytes, PrivateKey]:
    """Return the keys that were written down, those of the ring in the place of equal ones."""
    found = {}
    for name, text in kept.get(records.KEYS, {}).items():
        try:
            key = station.ring.find(name) or pem.decode_pem(text)
        except KeyRefused:
            continue
        if keys.fingerprint_of(key.public) == name:
            found[name] = key
            station.ring.readopt(key)
    return found


def _forget_keys(station: Station, archive: Archive, written: Mapping[bytes, bytes]) -> None:
    """Forget keys that neither a group needs nor the ring has."""
    used = {fingerprint(group.crypto.own.public.blob) for group in station.groups if group.crypto is not None}
    used |= {name for name in written if station.ring.find(name) is not None}
    for name in written.keys() - used:
        archive.refuse_record(records.KEYS, name)
    archive.keep_keys(used & written.keys())


def _leave_others(station: Station, archive: Archive, joined: Mapping[bytes, bytes]) -> None:
    """Leave what a predecessor has joined on the socket that is ours now, and no group needs."""
    size = _RAW_BYTES[station.settings.version]
    for private in joined:
        if station.memberships.needs(private):
            continue
        if len(private) == size and _is_group(private):
            station.actions.append(Leave(private, station.memberships.sources))
        else:
            archive.note_left(private)


# --- groups -----------------------------------------------------------------------------------------------------------


def _enter(station: Station, group: Group, now_ns: int) -> None:
    station.groups.add(group)
    station.facts[Fact.GROUPS] += 1
    station.facts[Fact.CLIENTS] += len(group.clients)
    join = station.memberships.need(group.terms.private)
    if join is not None:
        station.actions.append(join)
    if group.crypto is not None and group.crypto.sealer is not None and group.clients.confirmed:
        group.keyinfo_ns = now_ns
    station.timers.bring_forward(group.key, group.due_ns)


def _revive(own: _Own, key: GroupKey, found: Mapping[bytes, bytes]) -> Group:
    """Return a group. Raises RevivalError."""
    station, now_ns = own.station, own.now_ns
    if station.groups.full:
        raise RevivalError("too many groups")
    try:
        record = records.decode(found.get(records.SELF, b""), GroupRecord)
        if record.version != records.VERSION:
            raise RevivalError(f"written as version {record.version}")
        group = _revive_group(own, key, record)
        group.progress = _revive_progress(found.get(records.SHOWN), now_ns)
    except NOT_OURS as error:
        raise RevivalError(str(error)) from error
    if station.mode is not Mode.SERVER:
        revive_clients(station, group, found)
    return group


def _revive_group(own: _Own, key: GroupKey, record: GroupRecord) -> Group:
    station, now_ns = own.station, own.now_ns
    terms = _revive_terms(station, record)
    phase = _PHASES.get(record.phase)
    if phase is None or not key.group_id:
        raise RevivalError("no such phase or group")
    if record.crypto is not None and station.mode is Mode.SERVER:
        raise RevivalError("keys in a proxy that has none")
    blob = None if record.crypto is None else record.crypto.key_blob
    station.lists.check_server(terms.server_uid, terms.upstream, blob)
    crypto = None if record.crypto is None else revive_crypto(station, own.keys, key, record.crypto)
    if phase is Phase.READY and (crypto is None or crypto.sealer is None):
        phase = Phase.REGISTERED
    setup_ns = NEVER
    if record.setup_ns is not None:
        # Whoever was about to be ready is given the time to say so once more.
        setup_ns = max(min(record.setup_ns, now_ns + MAX_PATIENCE_NS), now_ns + MIN_PATIENCE_NS)
    return Group(
        key=key,
        terms=terms,
        grtt=record.grtt,
        size=record.size,
        heard_ns=now_ns,
        setup_ns=setup_ns,
        clients=Clients(station.settings.max_clients),
        pending=Pending(terms.uids_max),
        crypto=crypto,
        phase=phase,
        sequence=record.sequence,
        down_sequence=record.down_sequence,
        warned=record.warned,
        settled=record.settled,
        aliases=_revive_aliases(station, record),
    )


def _revive_aliases(station: Station, record: GroupRecord) -> set[bytes]:
    """Return the hosts that are taken for our downstream: none if that has no fixed address any more."""
    size = _HOST_BYTES[station.settings.version]
    if any(len(host) != size for host in record.aliases):
        raise RevivalError("not a host's address")
    return set(record.aliases) if station.settings.downstream is not None else set()


def _revive_terms(station: Station, record: GroupRecord) -> Terms:
    terms, size = record.terms, _RAW_BYTES[station.settings.version]
    for address in (terms.public, terms.private):
        if address and (len(address) != size or not _is_group(address)):
            raise RevivalError("not a multicast address")
        if not address and station.mode is Mode.CLIENT:
            raise RevivalError("no multicast address")
    if len(terms.upstream) != size:
        raise RevivalError("not a server's address")
    sockaddr.decode(terms.upstream)
    return Terms(**records.fields_of(terms))


def _is_group(raw: bytes) -> bool:
    """Tell whether a raw address is a multicast group's, an IPv4 one on an IPv6 socket too."""
    try:
        address, _ = sockaddr.decode(raw)
    except DecodeError:
        return False
    host = host_of(raw)
    mapped = address.version == 6 and host.startswith(bytes(10) + b"\xff\xff")
    return is_multicast(host[-4:] if mapped else host)


def _revive_progress(raw: bytes | None, now_ns: int) -> Progress:
    if raw is None:
        return Progress(now_ns)
    return Progress(**records.fields_of(records.decode(raw, ShownRecord)))
