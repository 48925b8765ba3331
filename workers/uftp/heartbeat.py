"""HB_REQ and HB_RESP: a proxy keeps its way to its upstream open. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from workers.uftp import extensions, framing
from workers.uftp.extensions import Extension
from workers.uftp.header import Function
from workers.wire.reader import Reader
from workers.wire.writer import Writer


class HeartbeatResult(IntEnum):
    """The answer to a heartbeat."""

    FAILED = 0
    OK = 1
    CHALLENGE = 2


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """A heartbeat. nonce: 32 bits, the challenge answered, else 0; then with key and a signature of its four bytes."""

    FUNCTION: ClassVar[Function] = Function.HB_REQ
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2xHHI")

    nonce: int = 0
    key_blob: bytes = b""
    signature: bytes = b""
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> HeartbeatRequest:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        key_bytes, signature_bytes, nonce = header.take(cls.LAYOUT, "HB_REQ")
        key_blob = header.take_bytes(key_bytes, "HB_REQ key")
        signature = header.take_bytes(signature_bytes, "HB_REQ signature")
        body.finish("HB_REQ")
        return cls(nonce, key_blob, signature, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, len(self.key_blob), len(self.signature), self.nonce)
        writer.put_bytes(self.key_blob + self.signature)
        return framing.leave(self.FUNCTION, writer, self.extensions)


@dataclass(frozen=True, slots=True)
class HeartbeatResponse:
    """The answer to a heartbeat. result: a HeartbeatResult; nonce: what is to be signed, 0 unless a challenge."""

    FUNCTION: ClassVar[Function] = Function.HB_RESP
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!BxI")

    result: int
    nonce: int = 0
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> HeartbeatResponse:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        result, nonce = header.take(cls.LAYOUT, "HB_RESP")
        body.finish("HB_RESP")
        return cls(result, nonce, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.result, self.nonce)
        return framing.leave(self.FUNCTION, writer, self.extensions)
