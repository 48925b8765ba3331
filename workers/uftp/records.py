"""What is written down of a machine, so that another one can go on with its groups: typed records, as bytes.

A group is a family of records: one of itself, one of how far it has shown to be, and one for each client. Beside them
stand the proxy's keys in use, the addresses that were joined, and what heartbeats have come to. Records hold secrets:
private keys, premasters, the groups' masters. They are read by a replacement of whoever wrote them, which may have been
broken into: types and sizes are checked here, sense by workers.uftp.adoption.
Source: ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from workers.uftp.actions import GroupKey
from workers.uftp.downstream import ALIASES

VERSION = 2
"""Of all records; another one's are not read."""

U8: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 8)]
U16: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 16)]
U32: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 32)]
Instant: TypeAlias = Annotated[int, Meta(ge=-(1 << 62), lt=1 << 62)]
"""Nanoseconds of the monotonic clock, or microseconds of a server's."""
CounterValue: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 62)]
"""A little of a counter of 64 bits: nobody can come to its end by honest means."""
Raw: TypeAlias = Annotated[bytes, Meta(max_length=28)]
"""A raw socket address, or nothing."""
Host: TypeAlias = Annotated[bytes, Meta(min_length=4, max_length=16)]
"""A raw address without its port."""
Blob: TypeAlias = Annotated[bytes, Meta(max_length=1024)]
Pem: TypeAlias = Annotated[bytes, Meta(max_length=8192)]
Random: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Premaster: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=48)]

NAME_BYTES = 1024
"""What is kept of a file's name."""
SELF, SHOWN = b"", b"p"
"""Names of a group's own records; a client's name is its UID in four bytes."""
KEYS, JOINED, STATION = b"k", b"j", b"s"
"""Families beside the groups: keys by fingerprint, joined addresses, and what is one in a proxy."""
DOWNSTREAM, NONCE = b"downstream", b"nonce"
_GROUP = struct.Struct("!cIB")
_UID = struct.Struct("!I")
_GROUP_MARK = b"g"


class Shelf(Protocol):
    """Where records are kept (workers.contract.store.Ledger): by family and name."""

    def put(self, family: bytes, name: bytes, value: bytes) -> bool:
        """Keep a record in the place of an older one; tell whether there was room."""
        ...

    def drop(self, family: bytes, name: bytes) -> None:
        """Forget a record."""
        ...

    def drop_family(self, family: bytes) -> None:
        """Forget a family."""
        ...


class Secrets(Struct, frozen=True, array_like=True):
    """A leg's key exchange. premaster: 48 bytes with RSA, 20 with ECDH."""

    random: Random
    premaster: Premaster


class CryptoRecord(Struct, frozen=True, array_like=True):
    """An encrypted group. The first nine as in its announcement (extensions.EncInfo).

    own: fingerprint of the key that stands for the server's; ecdh: ours, in PEM, b"" without ECDH; private: the group's
    address as announced; leg: to the server; master: the group's, b"" while it is not known; reserved: no counter up to
    here may be used again.
    """

    flags: U8
    key_exchange: U8
    signature_type: U8
    cipher: U8
    hash: U8
    random: Random
    key_blob: Blob
    ecdh_blob: Blob
    signature: Blob
    own: Annotated[bytes, Meta(min_length=20, max_length=20)]
    ecdh: Pem
    private: Annotated[bytes, Meta(min_length=4, max_length=16)]
    leg: Secrets
    master: Annotated[bytes, Meta(max_length=48)]
    reserved: CounterValue


class TermsRecord(Struct, frozen=True, array_like=True):
    """groups.Terms, field by field."""

    server_uid: U32
    upstream: Raw
    robust: U8
    cc_type: U8
    block_bytes: U16
    announced_us: Instant
    public: Raw
    private: Raw


class GroupRecord(Struct, frozen=True, array_like=True):
    """A group without its clients. phase: groups.Phase by value; setup_ns: None for never.

    What has a default was not there in version 1, which is told from damage by its number.
    """

    version: int
    terms: TermsRecord
    grtt: U8
    size: U8
    phase: U8
    setup_ns: Instant | None
    sequence: U16
    down_sequence: U16
    warned: bool
    crypto: CryptoRecord | None
    settled: bool = False
    aliases: Annotated[tuple[Host, ...], Meta(max_length=ALIASES)] = ()


class ShownRecord(Struct, frozen=True, array_like=True):
    """groups.Progress, field by field: only shown."""

    began_ns: Instant
    datagrams: CounterValue
    payload_bytes: CounterValue
    file_id: U16
    file_ns: Instant
    file_bytes: CounterValue
    file_size: CounterValue
    file_name: Annotated[bytes, Meta(max_length=NAME_BYTES)]


class LegRecord(Struct, frozen=True, array_like=True):
    """exchange.ClientLeg. heard: seconds, microseconds of its newest REGISTER, and when that came.

    key: the blob of its CLIENT_KEY, b"" for none. shaken: None: nothing counts yet; settled: what was offered counts.
    """

    heard: tuple[U32, U32, Instant] | None
    offered: Secrets | None
    key: Blob
    signature: Blob
    shaken: Secrets | None
    settled: bool


class ClientRecord(Struct, frozen=True, array_like=True):
    """A client. state: clients.ClientState by value."""

    order: U32
    state: U8
    keyinfos: Annotated[int, Meta(ge=0)]
    leg: LegRecord | None


class DownstreamRecord(Struct, frozen=True, array_like=True):
    """Addresses that heartbeats have proved, the newest last, with the key that has this fingerprint."""

    wanted: Annotated[bytes, Meta(min_length=20, max_length=20)]
    proved: Annotated[list[Raw], Meta(min_length=1, max_length=64)]


R = TypeVar("R", bound=Struct)
_encoder = msgspec.msgpack.Encoder()


class DamagedError(ValueError):
    """A record that is none."""


def encode(record: Struct) -> bytes:
    """Return a record as bytes."""
    return _encoder.encode(record)


def decode(data: bytes, kind: type[R]) -> R:
    """Return the record of a kind. Raises DamagedError."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(str(error)) from None


def record_of(original: object, kind: type[R]) -> R:
    """Return the record of an object that has fields of the same names. Its bounds are its reader's to check."""
    return kind(*(getattr(original, name) for name in kind.__struct_fields__))


def fields_of(record: Struct) -> dict[str, Any]:
    """Return what `record_of` has taken over, by name."""
    return msgspec.structs.asdict(record)


def family_of(key: GroupKey) -> bytes:
    """Return the family of a group."""
    return _GROUP.pack(_GROUP_MARK, *key)


def group_of(family: bytes) -> GroupKey | None:
    """Return the group of a family, None if it is no group's."""
    if len(family) != _GROUP.size or family[:1] != _GROUP_MARK:
        return None
    _, group_id, instance = _GROUP.unpack(family)
    return GroupKey(group_id, instance)


def name_of(uid: int) -> bytes:
    """Return the name of a client's record."""
    return _UID.pack(uid)


def uids_in(names: Iterator[bytes]) -> Iterator[int]:
    """Yield the UIDs among the names of a group's records."""
    return (_UID.unpack(name)[0] for name in names if len(name) == _UID.size)
