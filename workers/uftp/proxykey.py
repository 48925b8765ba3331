"""KEY_REQ and PROXY_KEY: clients learn a response proxy's keys. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from workers.uftp import extensions, framing
from workers.uftp.extensions import Extension
from workers.uftp.header import Function
from workers.wire.reader import Reader
from workers.wire.writer import Writer


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A client asks its response proxy for its keys."""

    FUNCTION: ClassVar[Function] = Function.KEY_REQ
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2x")

    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> KeyRequest:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        header.take(cls.LAYOUT, "KEY_REQ")
        body.finish("KEY_REQ")
        return cls(extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT)
        return framing.leave(self.FUNCTION, writer, self.extensions)


@dataclass(frozen=True, slots=True)
class ProxyKey:
    """A response proxy's keys. nonce: 32 bits, new each time; signature: of its four bytes, by the key in key_blob."""

    FUNCTION: ClassVar[Function] = Function.PROXY_KEY
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HHHI")

    nonce: int
    key_blob: bytes
    signature: bytes
    ecdh_blob: bytes = b""
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> ProxyKey:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        key_bytes, ecdh_bytes, signature_bytes, nonce = header.take(cls.LAYOUT, "PROXY_KEY")
        key_blob = header.take_bytes(key_bytes, "PROXY_KEY key")
        ecdh_blob = header.take_bytes(ecdh_bytes, "PROXY_KEY ECDH key")
        signature = header.take_bytes(signature_bytes, "PROXY_KEY signature")
        body.finish("PROXY_KEY")
        return cls(nonce, key_blob, signature, ecdh_blob, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, len(self.key_blob), len(self.ecdh_blob), len(self.signature), self.nonce)
        writer.put_bytes(self.key_blob + self.ecdh_blob + self.signature)
        return framing.leave(self.FUNCTION, writer, self.extensions)
