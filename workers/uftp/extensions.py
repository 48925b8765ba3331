"""Header extensions: number, length in words, content. One that this program does not know is kept byte for byte.

Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, TypeVar

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import timestamp
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import WORD_BYTES, Reader
from workers.wire.writer import Writer

PREFIX = struct.Struct("!BB")
RANDOM_BYTES = 32
MAX_WORDS = 255
MOST = 16
"""How many extensions a message may have: real ones have two at most, and each of 250 costs a stranger four bytes."""
_NIBBLE_BITS, _NIBBLE = 4, 0x0F


class CongestionFlag(IntFlag):
    """What is said about a receiver in congestion control."""

    CLR = 0x01
    RTT = 0x02
    START = 0x04
    LEAVE = 0x08


@dataclass(frozen=True, slots=True)
class EncInfo:
    """EXT_ENC_INFO, of an ANNOUNCE: how the group is encrypted, and the announcer's keys.

    key_exchange, signature_type (a nibble each), cipher, hash: algorithm numbers. random: 32 bytes. key_blob: the
    public signing key; ecdh_blob and signature are empty with RSA key exchange.
    """

    NUMBER: ClassVar[int] = 1
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!BBBBHHH32s")
    CLIENT_AUTH: ClassVar[int] = 0x01

    flags: int
    key_exchange: int
    signature_type: int
    cipher: int
    hash: int
    random: bytes
    key_blob: bytes
    ecdh_blob: bytes = b""
    signature: bytes = b""

    @property
    def client_auth(self) -> bool:
        """Whether clients must show who they are, with a CLIENT_KEY."""
        return bool(self.flags & self.CLIENT_AUTH)

    @property
    def signature_at(self) -> int:
        """Where the signature begins, in bytes from the extension's first."""
        return PREFIX.size + self.LAYOUT.size + len(self.key_blob) + len(self.ecdh_blob)

    @classmethod
    def decode(cls, reader: Reader) -> EncInfo:
        """Decode the content behind number and length. Raises DecodeError."""
        flags, kinds, cipher, hash_, key, ecdh, signature, random = reader.take(cls.LAYOUT, "EXT_ENC_INFO")
        return cls(
            flags,
            kinds >> _NIBBLE_BITS,
            kinds & _NIBBLE,
            cipher,
            hash_,
            random,
            reader.take_bytes(key, "EXT_ENC_INFO key"),
            reader.take_bytes(ecdh, "EXT_ENC_INFO ECDH key"),
            reader.take_bytes(signature, "EXT_ENC_INFO signature"),
        )

    def encode(self, writer: Writer) -> None:
        """Append the content behind number and length."""
        if len(self.random) != RANDOM_BYTES or not 0 <= self.signature_type <= _NIBBLE:
            raise EngineMisuse(f"EXT_ENC_INFO: random of {len(self.random)} bytes, signature {self.signature_type}")
        kinds = self.key_exchange << _NIBBLE_BITS | self.signature_type
        sizes = (len(self.key_blob), len(self.ecdh_blob), len(self.signature))
        writer.put(self.LAYOUT, self.flags, kinds, self.cipher, self.hash, *sizes, self.random)
        writer.put_bytes(self.key_blob + self.ecdh_blob + self.signature)


@dataclass(frozen=True, slots=True)
class TfmccData:
    """EXT_TFMCC_DATA_INFO, of a FILESEG: the rate it is sent with. Rates are quantised words."""

    NUMBER: ClassVar[int] = 2
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HHH")

    send_rate: int
    cc_sequence: int
    cc_rate: int

    @classmethod
    def decode(cls, reader: Reader) -> TfmccData:
        """Decode the content behind number and length. Raises DecodeError."""
        return cls(*reader.take(cls.LAYOUT, "EXT_TFMCC_DATA_INFO"))

    def encode(self, writer: Writer) -> None:
        """Append the content behind number and length."""
        writer.put(self.LAYOUT, self.send_rate, self.cc_sequence, self.cc_rate)


@dataclass(frozen=True, slots=True)
class TfmccAck:
    """EXT_TFMCC_ACK_INFO, of a CC_ACK or STATUS: what a receiver has measured. flags: CongestionFlag."""

    NUMBER: ClassVar[int] = 3
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!BxHHI")

    flags: int
    cc_sequence: int
    cc_rate: int
    client_id: int
    timestamp: Timestamp

    @classmethod
    def decode(cls, reader: Reader) -> TfmccAck:
        """Decode the content behind number and length. Raises DecodeError."""
        flags, sequence, rate, client_id = reader.take(cls.LAYOUT, "EXT_TFMCC_ACK_INFO")
        return cls(flags, sequence, rate, client_id, timestamp.take(reader))

    def encode(self, writer: Writer) -> None:
        """Append the content behind number and length."""
        writer.put(self.LAYOUT, self.flags, self.cc_sequence, self.cc_rate, self.client_id)
        writer.put(timestamp.LAYOUT, *self.timestamp)


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """EXT_FREESPACE_INFO, of a COMPLETE: the bytes free where a client stores files."""

    NUMBER: ClassVar[int] = 7
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2xQ")

    free_bytes: int

    @classmethod
    def decode(cls, reader: Reader) -> FreeSpace:
        """Decode the content behind number and length. Raises DecodeError."""
        return cls(*reader.take(cls.LAYOUT, "EXT_FREESPACE_INFO"))

    def encode(self, writer: Writer) -> None:
        """Append the content behind number and length."""
        writer.put(self.LAYOUT, self.free_bytes)


@dataclass(frozen=True, slots=True)
class UnknownExtension:
    """Any other extension. raw: all of it, number and length included."""

    number: int
    raw: bytes


Extension = EncInfo | TfmccData | TfmccAck | FreeSpace | UnknownExtension
_Wanted = TypeVar("_Wanted", EncInfo, TfmccData, TfmccAck, FreeSpace)

DECODERS: dict[int, Callable[[Reader], Extension]] = {
    kind.NUMBER: kind.decode for kind in (EncInfo, TfmccData, TfmccAck, FreeSpace)
}


def decode(reader: Reader) -> tuple[Extension, ...]:
    """Decode the extensions that end a message's header; reader is at the first and is consumed.

    Raises DecodeError where one has no length, does not end within the header, or is not exactly as long as it says,
    and where there are more than MOST.
    """
    found: list[Extension] = []
    while reader.left:
        start = reader.offset
        if len(found) == MOST:
            raise DecodeError("extensions", start, f"more than {MOST}")
        number, words = reader.take(PREFIX, "extension")
        if not words:
            raise DecodeError("extension length", start + 1, "0 words")
        content = reader.window(words * WORD_BYTES - PREFIX.size, f"extension {number}")
        found.append(_decode_one(number, words, content))
    return tuple(found)


def encode(extensions: Iterable[Extension]) -> bytes:
    """Return the extensions one after the other. Raises EngineMisuse where one is no whole number of words."""
    return b"".join(_encode_one(extension) for extension in extensions)


def find(extensions: Iterable[Extension], kind: type[_Wanted]) -> _Wanted | None:
    """Return the first extension of a kind, None where there is none."""
    return next((extension for extension in extensions if isinstance(extension, kind)), None)


def _decode_one(number: int, words: int, content: Reader) -> Extension:
    decoder = DECODERS.get(number)
    if decoder is None:
        return UnknownExtension(number, PREFIX.pack(number, words) + content.take_rest())
    extension = decoder(content)
    content.finish(f"extension {number}")
    return extension


def _encode_one(extension: Extension) -> bytes:
    if isinstance(extension, UnknownExtension):
        return extension.raw
    writer = Writer()
    extension.encode(writer)
    words, odd = divmod(PREFIX.size + len(writer), WORD_BYTES)
    if odd or words > MAX_WORDS:
        raise EngineMisuse(f"extension {extension.NUMBER}: {PREFIX.size + len(writer)} bytes")
    return PREFIX.pack(extension.NUMBER, words) + writer.finish()
