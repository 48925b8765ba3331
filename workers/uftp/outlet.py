"""What the proxy sends in a group: datagrams passed on, and messages of its own in both directions.

Upstream it speaks under its own UID, sealed once the group's key is known; downstream always under the server's UID and
with the server's GRTT: clients obey nothing else (an ABORT under our own UID, as the original sends it, only makes them
register without pause). Source: UFTP 4.10.2, observed; ABORTs: ours.
"""

from __future__ import annotations

from itertools import islice

from workers.contract.uftp import DropReason, Fact
from workers.uftp.abort import TEXT_BYTES, Abort
from workers.uftp.actions import GroupKey
from workers.uftp.aggregate import UID_BYTES
from workers.uftp.clients import Client, ClientState
from workers.uftp.exchange import ClientLeg
from workers.uftp.groups import Group
from workers.uftp.header import VERSION, Function, Header
from workers.uftp.keying import WRAPPED_BYTES, KeyInfo
from workers.uftp.messages import Plain
from workers.uftp.seal import KeyinfoHead
from workers.uftp.station import Station

CLEAR = frozenset({Function.REGISTER, Function.CLIENT_KEY})
"""Messages that come before the group's key, and so are never sealed."""
KEYINFO_PAUSE_NS = 4_000_000
"""When to go on where the ration of KEYINFO is used up."""


def to_server(station: Station, group: Group, message: Plain, now_ns: int) -> None:
    """Send a message of our own to the group's server: numbered, and sealed where the group has a key for it."""
    group.heard_ns = now_ns
    function = message.FUNCTION
    sequence = 0 if function is Function.CLIENT_KEY else group.next_sequence()
    sealer = group.crypto.sealer if group.crypto and function not in CLEAR else None
    if group.crypto is None or sealer is None:
        header = _own_header(station, group.key, function, sequence)
        station.send(header.encode() + message.encode(), group.terms.upstream)
        return
    header = _own_header(station, group.key, Function.ENCRYPTED, sequence)
    datagram = sealer.seal(header.encode(), message.encode(), group.crypto.next_counter())
    station.send(datagram, group.terms.upstream)


def to_clients(station: Station, group: Group, message: Plain, sequence: int) -> None:
    """Send a message of our own to the group's private address, in the clear, as if its server had sent it."""
    if not group.terms.private:
        station.drop(DropReason.NO_DOWNSTREAM)
        return
    header = Header(
        message.FUNCTION,
        group.terms.server_uid,
        group.key.group_id,
        group.key.instance,
        sequence,
        group.grtt,
        group.size,
    )
    station.send(header.encode() + message.encode(), group.terms.private)


def abort_up(station: Station, group: Group, uid: int, why: str, now_ns: int, flags: int = 0) -> None:
    """Tell the server that a client, or with 0 this proxy with all of them, gives up the group; flags: CURRENT_FILE."""
    if not station.rations.aborts.take(now_ns):
        station.drop(DropReason.RATE_LIMITED)
        return
    station.facts[Fact.ABORTS_UP] += 1
    station.note("uftp-abort-up", group, uid, why)
    to_server(station, group, Abort(uid, _text(why), flags), now_ns)


def abort_down(station: Station, group: Group, uid: int, why: str, now_ns: int, flags: int = 0) -> None:
    """Tell a client, or with 0 all of them, to give up the group, or with flags CURRENT_FILE its current file.

    In an encrypted group only those obey who do not have its key yet: what we could seal would need the server's own
    counter.
    """
    if not station.rations.aborts.take(now_ns):
        station.drop(DropReason.RATE_LIMITED)
        return
    station.facts[Fact.ABORTS_DOWN] += 1
    station.note("uftp-abort-down", group, uid, why)
    to_clients(station, group, Abort(uid, _text(why), flags), group.next_down_sequence())


def refuse_group(station: Station, header: Header, to: bytes, why: str, now_ns: int) -> None:
    """Tell a server that its group is not taken."""
    if not station.rations.aborts.take(now_ns):
        station.drop(DropReason.RATE_LIMITED)
        return
    station.facts[Fact.ABORTS_UP] += 1
    key = GroupKey(header.group_id, header.group_instance)
    station.send(_own_header(station, key, Function.ABORT, 0).encode() + Abort(0, _text(why)).encode(), to)


def keyinfo(station: Station, group: Group, now_ns: int) -> None:
    """Send the group's key to the clients in the group's queue, as many as may go at once, and set when to go on."""
    per_datagram = max(group.terms.body_bytes // (UID_BYTES + WRAPPED_BYTES), 1)
    part = 0
    while group.keyinfo_queue and station.rations.keyinfos.take(now_ns):
        part += 1
        uids = list(islice(group.keyinfo_queue, per_datagram))
        _send_keyinfo(station, group, [group.keyinfo_queue.pop(uid) for uid in uids], part)
    if group.keyinfo_queue:
        group.keyinfo_ns = now_ns + KEYINFO_PAUSE_NS
    else:
        group.keyinfo_again(now_ns)


def _send_keyinfo(station: Station, group: Group, clients: list[Client[ClientLeg]], part: int) -> None:
    crypto = group.crypto
    if crypto is None:
        return
    head = KeyinfoHead(VERSION, group.terms.server_uid, crypto.next_counter())
    entries = []
    for client in clients:
        client.keyinfos += 1
        if client.state is ClientState.CONFIRMED and client.exchange is not None:
            entries.append(crypto.wrap(client.exchange, client.uid, head))
    if not entries:
        return
    station.note("uftp-keyinfo-out", group, part, len(entries))
    to_clients(station, group, KeyInfo(head.counter, tuple(entries)), 0)


def _own_header(station: Station, key: GroupKey, function: int, sequence: int) -> Header:
    return Header(function, station.uid, key.group_id, key.instance, sequence)


def _text(why: str) -> bytes:
    return why.encode("latin-1", "replace")[:TEXT_BYTES]
