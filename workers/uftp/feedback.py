"""What clients say during a transfer: gathered into slots, and sent to the server as one station's word.

Handlers here are given a client that is known and a message that was opened where the group is encrypted; the tables
that lead to them are in workers.uftp.roles. Source: UFTP 4.10.2, observed; extensions kept through aggregation, a NAK
map read where it begins, congestion feedback under the proxy's own UID: ours.
"""

from __future__ import annotations

from workers.uftp import extensions, outlet, quantise
from workers.uftp.abort import Abort
from workers.uftp.aggregate import Member, Report, Slot, SlotKey, SlotKind
from workers.uftp.clients import Client, ClientInput
from workers.uftp.congestion import CongestionAck
from workers.uftp.exchange import ClientLeg, Heard
from workers.uftp.extensions import CongestionFlag, FreeSpace, TfmccAck
from workers.uftp.finish import END_OF_GROUP, Complete, CompleteStatus, Status
from workers.uftp.groups import Group
from workers.uftp.register import Register
from workers.uftp.station import Station
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import PARTIAL, FileInfoAck

_STATUS_NAMES: dict[int, str] = {status.value: status.name.lower() for status in CompleteStatus}


def fileinfo_ack(station: Station, group: Group, client: Client[ClientLeg], message: FileInfoAck, now_ns: int) -> None:
    """Gather that a client is ready for a file."""
    station.note("uftp-fileinfo-ack-in", group, client.uid, file_id=message.file_id)
    slot = _slot(station, group, SlotKey(SlotKind.FILEINFO_ACK, message.file_id), client, now_ns)
    slot.partial = slot.partial and message.partial
    slot.add_echo(client.uid, max(message.timestamp.total_us, group.terms.announced_us), now_ns)
    _send_full(station, group, slot, now_ns)


def status(station: Station, group: Group, client: Client[ClientLeg], message: Status, now_ns: int) -> None:
    """Gather what a client misses; the feedback of the receiver that limits the most goes with it."""
    naks = int.from_bytes(message.naks[: group.terms.body_bytes], "little")
    station.note("uftp-status-in", group, naks.bit_count(), message.section, client.uid, file_id=message.file_id)
    slot = _slot(station, group, SlotKey(SlotKind.STATUS, message.file_id, message.section), client, now_ns)
    slot.naks |= naks
    measured = extensions.find(message.extensions, TfmccAck)
    if measured is not None:
        slot.add_report(Report(_limiting_rank(measured), measured, now_ns))


def complete(station: Station, group: Group, client: Client[ClientLeg], message: Complete, now_ns: int) -> None:
    """Gather that a client has a file, or has left the group. Clients with unlike free space stay apart."""
    said = _STATUS_NAMES.get(message.status, str(message.status))
    station.note("uftp-complete-in", group, said, client.uid, file_id=message.file_id)
    if message.file_id == END_OF_GROUP:
        group.clients.advance(client, ClientInput.COMPLETED)
    space = extensions.find(message.extensions, FreeSpace)
    free_bytes = -1 if space is None else space.free_bytes
    key = SlotKey(SlotKind.COMPLETE, message.file_id, message.status, free_bytes)
    _send_full(station, group, _slot(station, group, key, client, now_ns), now_ns)


def register(station: Station, group: Group, client: Client[ClientLeg], heard: Heard, now_ns: int) -> None:
    """Gather that a client has registered. heard: its REGISTER, which a CLIENT_KEY may have completed only now."""
    slot = _slot(station, group, SlotKey(SlotKind.REGISTER), client, now_ns)
    slot.add_echo(client.uid, max(heard.timestamp.total_us, group.terms.announced_us), heard.at_ns)
    _send_full(station, group, slot, now_ns)


def abort(station: Station, group: Group, client: Client[ClientLeg], message: Abort, now_ns: int) -> None:
    """Pass on that a client gives up, whatever UID it has written into its message."""
    text = message.reason
    station.note("uftp-abort-in", group, client.uid, text)
    outlet.abort_up(station, group, client.uid, text, now_ns, message.flags)


def congestion_ack(
    station: Station, group: Group, _client: Client[ClientLeg], message: CongestionAck, now_ns: int
) -> None:
    """Pass on congestion feedback in an encrypted group: under our UID, the only one the server has keys for."""
    outlet.to_server(station, group, CongestionAck(message.extensions), now_ns)


def flush(station: Station, group: Group, now_ns: int) -> None:
    """Send all that waits in a group."""
    _send(station, group, group.pending.take_all(), now_ns)


def _slot(station: Station, group: Group, key: SlotKey, client: Client[ClientLeg], now_ns: int) -> Slot:
    member = Member(client.uid, client.order)
    slot, crowded = group.pending.slot(key, member, now_ns)
    _send(station, group, crowded, now_ns)
    return slot


def _send_full(station: Station, group: Group, slot: Slot, now_ns: int) -> None:
    _send(station, group, group.pending.take_full(slot, now_ns), now_ns)


def _send(station: Station, group: Group, slots: list[Slot], now_ns: int) -> None:
    for slot in slots:
        _SENDERS[slot.key.kind](station, group, slot, now_ns)


def _send_register(station: Station, group: Group, slot: Slot, now_ns: int) -> None:
    stamp = Timestamp.from_us(slot.timestamp_us(now_ns))
    station.note("uftp-register-out", group, len(slot.members))
    if group.crypto is None:
        outlet.to_server(station, group, Register(stamp, uids=slot.uids), now_ns)
        return
    crypto = group.crypto
    message = Register(stamp, crypto.shaken.client_random, crypto.key_info(), slot.uids)
    outlet.to_server(station, group, message, now_ns)
    if crypto.client_auth:
        station.note("uftp-client-key-out", group)
        outlet.to_server(station, group, crypto.client_key(), now_ns)


def _send_fileinfo_ack(station: Station, group: Group, slot: Slot, now_ns: int) -> None:
    file_id = slot.key.file_id
    station.note("uftp-fileinfo-ack-out", group, len(slot.members), file_id=file_id)
    stamp = Timestamp.from_us(slot.timestamp_us(now_ns))
    outlet.to_server(station, group, FileInfoAck(file_id, PARTIAL if slot.partial else 0, stamp, slot.uids), now_ns)


def _send_status(station: Station, group: Group, slot: Slot, now_ns: int) -> None:
    key, size = slot.key, group.terms.body_bytes
    station.note("uftp-status-out", group, slot.naks.bit_count(), key.detail, file_id=key.file_id)
    measured = () if slot.report is None else (slot.report.released(now_ns),)
    outlet.to_server(
        station, group, Status(key.file_id, key.detail, slot.naks.to_bytes(size, "little"), measured), now_ns
    )


def _send_complete(station: Station, group: Group, slot: Slot, now_ns: int) -> None:
    key = slot.key
    said = _STATUS_NAMES.get(key.detail, str(key.detail))
    station.note("uftp-complete-out", group, said, len(slot.members), file_id=key.file_id)
    space = () if key.free_bytes < 0 else (FreeSpace(key.free_bytes),)
    outlet.to_server(station, group, Complete(key.file_id, key.detail, slot.uids, space), now_ns)


_SENDERS = {
    SlotKind.REGISTER: _send_register,
    SlotKind.FILEINFO_ACK: _send_fileinfo_ack,
    SlotKind.STATUS: _send_status,
    SlotKind.COMPLETE: _send_complete,
}


def _limiting_rank(measured: TfmccAck) -> tuple[int, int]:
    """Return how much a receiver limits the rate, the most first: the server's chosen one, then the slowest."""
    chosen = bool(measured.flags & CongestionFlag.CLR)
    return (0 if chosen else 1, quantise.decode_rate(measured.cc_rate))
