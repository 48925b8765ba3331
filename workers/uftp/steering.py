"""What a server says to a client or response proxy itself: KEYINFO, REG_CONF and ABORT.

Source: UFTP 4.10.2, observed; the group's key for late clients, and for a proxy whose KEYINFO came late: ours.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Mode
from workers.errors import PeerError
from workers.uftp import lifetime, outlet
from workers.uftp.abort import Abort
from workers.uftp.clients import ClientInput
from workers.uftp.groups import Group, PhaseInput
from workers.uftp.header import Header
from workers.uftp.keying import KeyInfo
from workers.uftp.register import RegConf
from workers.uftp.station import Station, pack_uids


def keyinfo(station: Station, group: Group, header: Header, message: KeyInfo, now_ns: int) -> None:
    """Learn the group's key, prove it to the server, and pass it on to the clients that wait for it.

    Raises PeerError: the group is not encrypted; SealError: what is there for us is not what it must be. The group goes
    on waiting for one that is: a stranger's false one must not end it.
    """
    if group.crypto is None:
        raise PeerError("the group is not encrypted")
    entry = next((entry for entry in message.entries if entry.uid == station.uid), None)
    if entry is None:
        station.drop(DropReason.NOT_FOR_US)
        return
    station.note("uftp-keyinfo-in", group)
    group.heard_ns = now_ns
    if group.crypto.sealer is None:
        group.crypto.take_master(header, message, entry)
        group.advance(PhaseInput.KEYED)
    station.note("uftp-keyinfo-ack-out", group)
    outlet.to_server(station, group, group.crypto.keyinfo_ack(), now_ns)
    group.queue_waiting()
    outlet.keyinfo(station, group, now_ns)


def reg_conf(station: Station, group: Group, _header: Header, message: RegConf, now_ns: int) -> None:
    """Send the group's key to the clients that the server has taken in, once it is known."""
    group.heard_ns = now_ns
    station.note("uftp-reg-conf-in", group, pack_uids(message.uids))
    keyed = group.crypto is not None and group.crypto.sealer is not None
    for uid in message.uids:
        client = group.clients.get(uid)
        if client is not None and group.clients.advance(client, ClientInput.CONFIRMED) and keyed:
            group.keyinfo_queue[uid] = client
    if keyed:
        outlet.keyinfo(station, group, now_ns)


def abort(station: Station, group: Group, _header: Header, message: Abort, now_ns: int) -> None:
    """Obey a server that gives up a client, a file, or the group."""
    text = message.reason
    station.note("uftp-abort-in", group, group.terms.server_uid, text)
    group.heard_ns = now_ns
    concerns_all = message.host in (0, station.uid)
    if station.mode is Mode.CLIENT:
        host = 0 if concerns_all else message.host
        outlet.abort_down(station, group, host, text, now_ns, message.flags)
    if concerns_all and not message.current_file:
        lifetime.drop(station, group)
