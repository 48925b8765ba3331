"""KEYINFO, KEYINFO_ACK and ENCRYPTED: the group's key, and what is sealed with it.

The seals themselves are made and opened elsewhere (workers.uftp.seal). Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import extensions, framing
from workers.uftp.extensions import Extension
from workers.uftp.header import HEADER_BYTES, Function
from workers.wire.reader import Reader
from workers.wire.writer import Writer

WRAPPED_BYTES = 48
"""The group's master secret as KEYINFO carries it, whatever the cipher."""
VERIFY_BYTES = 12

COUNTER_AT = HEADER_BYTES
SIGNATURE_AT = HEADER_BYTES + 12
"""Where an ENCRYPTED datagram's signature begins. The bytes before it are what AUTHENC authenticates as they are."""


class KeyEntry(NamedTuple):
    """One station's copy of the group's master secret, encrypted: 48 bytes."""

    uid: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The group's master secret, for each station in entries. iv_counter: 64 bits, one for all entries."""

    FUNCTION: ClassVar[Function] = Function.KEYINFO
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2xQ")
    ENTRY: ClassVar[struct.Struct] = struct.Struct("!I48s")

    iv_counter: int
    entries: tuple[KeyEntry, ...]
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> KeyInfo:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        (counter,) = header.take(cls.LAYOUT, "KEYINFO")
        trailing = extensions.decode(header)
        entries = []
        while body.left:
            entries.append(KeyEntry(*body.take(cls.ENTRY, "KEYINFO entry")))
        return cls(counter, tuple(entries), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer, body = Writer(), Writer()
        writer.put(self.LAYOUT, self.iv_counter)
        for entry in self.entries:
            if len(entry.wrapped) != WRAPPED_BYTES:
                raise EngineMisuse(f"KEYINFO entry of {len(entry.wrapped)} bytes")
            body.put(self.ENTRY, entry.uid, entry.wrapped)
        return framing.leave(self.FUNCTION, writer, self.extensions, body.finish())


@dataclass(frozen=True, slots=True)
class KeyInfoAck:
    """A station proves that it has the group's master secret. verify_data: 12 bytes."""

    FUNCTION: ClassVar[Function] = Function.KEYINFO_ACK
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2x12s")

    verify_data: bytes
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> KeyInfoAck:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        (verify_data,) = header.take(cls.LAYOUT, "KEYINFO_ACK")
        body.finish("KEYINFO_ACK")
        return cls(verify_data, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        if len(self.verify_data) != VERIFY_BYTES:
            raise EngineMisuse(f"verify data of {len(self.verify_data)} bytes")
        writer = Writer()
        writer.put(self.LAYOUT, self.verify_data)
        return framing.leave(self.FUNCTION, writer, self.extensions)


@dataclass(frozen=True, slots=True)
class Encrypted:
    """Another message, sealed: it alone has neither number nor header length.

    iv_counter: 64 bits. signature: empty under AUTHENC. payload: the ciphertext, under AUTHENC with its tag behind it.
    """

    FUNCTION: ClassVar[Function] = Function.ENCRYPTED
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!QHH")

    iv_counter: int
    signature: bytes
    payload: bytes

    @property
    def signature_at(self) -> int:
        """Where the signature begins, in bytes from the message's first."""
        return self.LAYOUT.size

    @classmethod
    def decode(cls, message: bytes | memoryview) -> Encrypted:
        """Decode all that follows the datagram's header. Raises DecodeError unless the lengths fit it exactly."""
        reader = Reader(message)
        counter, signature_bytes, payload_bytes = reader.take(cls.LAYOUT, "ENCRYPTED")
        if signature_bytes + payload_bytes != reader.left:
            why = f"{signature_bytes} and {payload_bytes} bytes are said, {reader.left} are there"
            raise DecodeError("ENCRYPTED lengths", cls.LAYOUT.size - 4, why)
        return cls(counter, reader.take_bytes(signature_bytes, "signature"), reader.take_rest())

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.iv_counter, len(self.signature), len(self.payload))
        writer.put_bytes(self.signature + self.payload)
        return writer.finish()
