"""Every captured UFTP datagram means to us what it means to Wireshark's dissector, field by field."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit import captures
from tests.kit.requirement import requires_program
from workers.uftp import extensions, header, messages, quantise
from workers.uftp.abort import Abort
from workers.uftp.announce import Announce
from workers.uftp.congestion import CongestionAck, CongestionControl
from workers.uftp.extensions import EncInfo, FreeSpace, TfmccAck, TfmccData
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import HEADER_BYTES, Function, Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse
from workers.uftp.keying import Encrypted, KeyInfo
from workers.uftp.proxykey import KeyRequest, ProxyKey
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.transfer import PARTIAL, FileInfo, FileInfoAck, FileSeg

RUN_S = 60
MANY = ";"
"""Between the values of a field that occurs more than once; a time has commas in it."""
EMPTY = "<MISSING>"
"""What stands for a field of no bytes."""
RATE_BITS = 32
"""The dissector keeps that much of a rate, and the highest there are need more."""


def number(text: str) -> int:
    return int(text, 0)


def microseconds(text: str) -> int:
    """Read `Nov 22, 2026 01:35:58.133088000 UTC` as microseconds since 1970."""
    instant, nanoseconds = text.removesuffix(" UTC").split(".")
    whole = datetime.strptime(instant, "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000 + int(nanoseconds) // 1_000


def packed(text: str) -> bytes:
    return ip_address(text).packed


def nanoseconds(text: str) -> int:
    return round(float(text) * 1_000_000_000)


def rate(word: int) -> int:
    return quantise.decode_rate(word) % (1 << RATE_BITS)


class Field(NamedTuple):
    """How a field of the dissector is read, and what the message says it must be."""

    name: str
    read: Callable[[str], Any]
    expected: Callable[[Any], Any]


HEADER_FIELDS = (
    Field("uftp4.version", number, lambda head: head.version),
    Field("uftp4.func", number, lambda head: head.function),
    Field("uftp4.seq", number, lambda head: head.sequence),
    Field("uftp4.src_id", number, lambda head: head.source_id),
    Field("uftp4.group_id", number, lambda head: head.group_id),
    Field("uftp4.group_inst", number, lambda head: head.group_instance),
    Field("uftp4.grtt", nanoseconds, lambda head: head.grtt_ns),
    Field("uftp4.gsize", number, lambda head: head.client_count),
)
ENC_INFO_FIELDS = (
    Field("uftp4.encinfo.flags", number, lambda info: info.flags),
    Field("uftp4.encinfo.flags.client_auth", number, lambda info: info.client_auth),
    Field("uftp4.encinfo.keyextype", number, lambda info: info.key_exchange),
    Field("uftp4.encinfo.sigtype", number, lambda info: info.signature_type),
    Field("uftp4.encinfo.keytype", number, lambda info: info.cipher),
    Field("uftp4.encinfo.hashtype", number, lambda info: info.hash),
    Field("uftp4.encinfo.keylen", number, lambda info: len(info.key_blob)),
    Field("uftp4.encinfo.dhlen", number, lambda info: len(info.ecdh_blob)),
    Field("uftp4.encinfo.siglen", number, lambda info: len(info.signature)),
    Field("uftp4.encinfo.rand1", bytes.fromhex, lambda info: info.random),
    Field("uftp4.encinfo.sig", bytes.fromhex, lambda info: info.signature or []),
)
TFMCC_DATA_FIELDS = (
    Field("uftp4.tfmccdata.send_rate", number, lambda data: rate(data.send_rate)),
    Field("uftp4.tfmccdata.cc_seq", number, lambda data: data.cc_sequence),
    Field("uftp4.tfmccdata.cc_rate", number, lambda data: rate(data.cc_rate)),
)
TFMCC_ACK_FIELDS = (
    Field("uftp4.tfmccack.flags", number, lambda ack: ack.flags),
    Field("uftp4.tfmccack.cc_seq", number, lambda ack: ack.cc_sequence),
    Field("uftp4.tfmccack.cc_rate", number, lambda ack: rate(ack.cc_rate)),
    Field("uftp4.tfmccack.client_id", number, lambda ack: ack.client_id),
    Field("uftp4.tfmccack.tstamp", microseconds, lambda ack: ack.timestamp.total_us),
)
FREE_SPACE_FIELDS = (Field("uftp4.freespace.freespace", number, lambda space: space.free_bytes),)
UIDS = Field("uftp4.dest", number, lambda message: list(message.uids))


def address_fields(version: int) -> tuple[Field, ...]:
    def only(value: bytes) -> bytes | list[bytes]:
        return value if len(value) == {4: 4, 6: 16}[version] else []

    return (
        Field(f"uftp4.announce.publicmcast.ipv{version}", packed, lambda message: only(message.public)),
        Field(f"uftp4.announce.privatemcast.ipv{version}", packed, lambda message: only(message.private)),
    )


def name_fields() -> tuple[Field, ...]:
    return (
        Field("uftp4.fileinfo.name", str, lambda info: info.name.rstrip(b"\0").decode()),
        Field("uftp4.fileinfo.link", str, lambda info: info.link.rstrip(b"\0").decode() or []),
    )


MESSAGE_FIELDS: dict[type, tuple[Field, ...]] = {
    Announce: (
        Field("uftp4.announce.flags", number, lambda message: message.flags),
        Field("uftp4.announce.robust", number, lambda message: message.robust),
        Field("uftp4.announce.cc_type", number, lambda message: message.cc_type),
        Field("uftp4.announce.blocksize", number, lambda message: message.block_bytes),
        Field("uftp4.announce.tstamp", microseconds, lambda message: message.timestamp.total_us),
        *address_fields(4),
        *address_fields(6),
        UIDS,
    ),
    Register: (
        Field("uftp4.register.keyinfo_len", number, lambda message: len(message.key_info)),
        Field("uftp4.register.tstamp", microseconds, lambda message: message.timestamp.total_us),
        Field("uftp4.register.rand2", bytes.fromhex, lambda message: message.random),
        Field("uftp4.register.keyinfo", bytes.fromhex, lambda message: message.key_info or []),
        UIDS,
    ),
    ClientKey: (
        Field("uftp4.clientkey.bloblen", number, lambda message: len(message.key_blob)),
        Field("uftp4.clientkey.siglen", number, lambda message: len(message.signature)),
        Field("uftp4.clientkey.verify", bytes.fromhex, lambda message: message.signature),
    ),
    RegConf: (UIDS,),
    KeyInfo: (
        Field("uftp4.keyinfo.ivctr", number, lambda message: message.iv_counter),
        Field("uftp4.keyinfo.destid", number, lambda message: [entry.uid for entry in message.entries]),
        Field("uftp4.keyinfo.groupmaster", bytes.fromhex, lambda message: [entry.wrapped for entry in message.entries]),
    ),
    FileInfo: (
        Field("uftp4.fileinfo.file_id", number, lambda message: message.file_id),
        Field("uftp4.fileinfo.ftype", number, lambda message: message.file_type),
        Field("uftp4.fileinfo.fsize", number, lambda message: message.size_bytes),
        Field("uftp4.fileinfo.ftstamp", microseconds, lambda message: message.file_seconds * 1_000_000),
        Field("uftp4.fileinfo.tstamp", microseconds, lambda message: message.timestamp.total_us),
        *name_fields(),
        UIDS,
    ),
    FileInfoAck: (
        Field("uftp4.fileinfoack.file_id", number, lambda message: message.file_id),
        Field("uftp4.fileinfoack.flags", number, lambda message: message.flags & PARTIAL),
        Field("uftp4.fileinfoack.tstamp", microseconds, lambda message: message.timestamp.total_us),
        UIDS,
    ),
    FileSeg: (
        Field("uftp4.fileseg.file_id", number, lambda message: message.file_id),
        Field("uftp4.fileseg.section", number, lambda message: message.section),
        Field("uftp4.fileseg.sec_block", number, lambda message: message.block),
        Field("uftp4.fileseg.data", bytes.fromhex, lambda message: message.data),
    ),
    Done: (
        Field("uftp4.done.file_id", number, lambda message: message.file_id),
        Field("uftp4.done.section", number, lambda message: message.section),
        UIDS,
    ),
    Status: (
        Field("uftp4.status.file_id", number, lambda message: message.file_id),
        Field("uftp4.status.section", number, lambda message: message.section),
        Field("uftp4.status.naks", bytes.fromhex, lambda message: message.naks),
    ),
    Complete: (
        Field("uftp4.complete.file_id", number, lambda message: message.file_id),
        Field("uftp4.complete.status", number, lambda message: message.status),
        UIDS,
    ),
    DoneConf: (UIDS,),
    HeartbeatRequest: (
        Field("uftp4.hbreq.nonce", number, lambda message: message.nonce),
        Field("uftp4.hbreq.bloblen", number, lambda message: len(message.key_blob)),
        Field("uftp4.hbreq.verify", bytes.fromhex, lambda message: message.signature or []),
    ),
    HeartbeatResponse: (
        Field("uftp4.hbresp.authenticated", number, lambda message: message.result),
        Field("uftp4.hbresp.nonce", number, lambda message: message.nonce),
    ),
    KeyRequest: (),
    ProxyKey: (
        Field("uftp4.proxykey.nonce", number, lambda message: message.nonce),
        Field("uftp4.proxykey.bloblen", number, lambda message: len(message.key_blob)),
        Field("uftp4.proxykey.dhlen", number, lambda message: len(message.ecdh_blob)),
        Field("uftp4.proxykey.verify", bytes.fromhex, lambda message: message.signature),
    ),
    Encrypted: (
        Field("uftp4.encrypted.ivctr", number, lambda message: message.iv_counter),
        Field("uftp4.encrypted.sig_len", number, lambda message: len(message.signature)),
        Field("uftp4.encrypted.signature", bytes.fromhex, lambda message: message.signature or []),
        Field("uftp4.encrypted.payload", bytes.fromhex, lambda message: message.payload),
    ),
    Abort: (
        Field("uftp4.abort.flags", number, lambda message: message.flags),
        Field("uftp4.abort.clientid", number, lambda message: message.host),
        Field("uftp4.abort.message", str, lambda message: message.text.decode()),
    ),
    CongestionControl: (
        Field("uftp4.congctrl.cc_seq", number, lambda message: message.cc_sequence),
        Field("uftp4.congctrl.cc_rate", number, lambda message: rate(message.cc_rate)),
        Field("uftp4.congctrl.tstamp", microseconds, lambda message: message.timestamp.total_us),
        Field("uftp4.congctrl.item.destid", number, lambda message: [item.uid for item in message.items]),
        Field("uftp4.congctrl.item.flags", number, lambda message: [item.flags for item in message.items]),
        Field(
            "uftp4.congctrl.item.rtt",
            nanoseconds,
            lambda message: [quantise.GRTT_NS[item.rtt] for item in message.items],
        ),
        Field(
            "uftp4.congctrl.item.rate",
            number,
            lambda message: [rate(item.rate) for item in message.items],
        ),
    ),
    CongestionAck: (),
}
EXTENSION_FIELDS: dict[type, tuple[Field, ...]] = {
    EncInfo: ENC_INFO_FIELDS,
    TfmccData: TFMCC_DATA_FIELDS,
    TfmccAck: TFMCC_ACK_FIELDS,
    FreeSpace: FREE_SPACE_FIELDS,
}
TABLES = (HEADER_FIELDS, *MESSAGE_FIELDS.values(), *EXTENSION_FIELDS.values())
NAMES = tuple({field.name: None for table in TABLES for field in table})
"""Every field that is compared, of every message: what a message does not have, the dissector must not see in it."""


def dissect(capture: Path) -> list[dict[str, list[str]]]:
    """Return what the dissector says of each datagram: the values of every field as text."""
    names = [argument for name in NAMES for argument in ("-e", name)]
    command = ["tshark", "-r", str(capture), "-Y", "uftp4", "-T", "fields", "-E", f"aggregator={MANY}", *names]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    said = subprocess.run(command, capture_output=True, check=True, timeout=RUN_S, env=environment, text=True)
    rows = (line.split("\t") for line in said.stdout.splitlines())
    return [
        {
            name: [value for value in text.split(MANY) if value not in ("", EMPTY)]
            for name, text in zip(NAMES, row, strict=True)
        }
        for row in rows
    ]


def expected(head: Header, message: messages.Message) -> Iterable[tuple[Field, list[Any]]]:
    """Yield the fields that a datagram has, with their values."""
    parts = [(HEADER_FIELDS, head), (MESSAGE_FIELDS[type(message)], message)]
    parts += [(EXTENSION_FIELDS[type(part)], part) for part in getattr(message, "extensions", ())]
    for table, part in parts:
        for field in table:
            value = field.expected(part)
            yield field, value if isinstance(value, list) else [value]


@requires_program("tshark")
@pytest.mark.parametrize("archive", captures.archives())
def test_every_field_is_what_the_dissector_says(archive, tmp_path):
    for name, path in captures.lay_out(archive, tmp_path).items():
        dissected = dissect(path)
        assert len(dissected) == len(captures.captures()[name])
        for captured, said in zip(captures.captures()[name], dissected, strict=True):
            head = header.decode(captured.payload)
            message = messages.decode(head, captured.payload[HEADER_BYTES:])
            ours = dict(expected(head, message))
            seen = {field: [field.read(text) for text in said.pop(field.name)] for field in ours}
            assert seen == ours
            assert not any(said.values()), "the dissector sees what we do not"


def test_every_message_and_extension_is_compared():
    assert set(MESSAGE_FIELDS) == {kind for kind in messages.KINDS if kind.FUNCTION != Function.KEYINFO_ACK} | {
        Encrypted
    }
    assert {kind.NUMBER for kind in EXTENSION_FIELDS} == set(extensions.DECODERS)
