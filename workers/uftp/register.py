"""REGISTER, CLIENT_KEY and REG_CONF: clients join a group. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from workers.errors import EngineMisuse
from workers.uftp import extensions, framing, timestamp
from workers.uftp.extensions import RANDOM_BYTES, Extension
from workers.uftp.header import Function
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import Reader
from workers.wire.writer import Writer


@dataclass(frozen=True, slots=True)
class Register:
    """A client, or a proxy for the clients in uids, answers an ANNOUNCE.

    random: 32 bytes, all zero in a plain group. key_info: an encrypted premaster secret, or an ECDH key blob; empty in
    a plain group.
    """

    FUNCTION: ClassVar[Function] = Function.REGISTER
    LENGTH: ClassVar[struct.Struct] = struct.Struct("!H")

    timestamp: Timestamp
    random: bytes = bytes(RANDOM_BYTES)
    key_info: bytes = b""
    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Register:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        (key_bytes,) = header.take(cls.LENGTH, "REGISTER")
        stamp = timestamp.take(header)
        random = header.take_bytes(RANDOM_BYTES, "client random")
        key_info = header.take_bytes(key_bytes, "key info")
        trailing = extensions.decode(header)
        return cls(stamp, random, key_info, body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        if len(self.random) != RANDOM_BYTES:
            raise EngineMisuse(f"client random of {len(self.random)} bytes")
        writer = Writer()
        writer.put(self.LENGTH, len(self.key_info))
        writer.put(timestamp.LAYOUT, *self.timestamp)
        writer.put_bytes(self.random + self.key_info)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A client shows its public key and signs with it, where the group asks for it."""

    FUNCTION: ClassVar[Function] = Function.CLIENT_KEY
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2xHH")

    key_blob: bytes
    signature: bytes
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> ClientKey:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        key_bytes, signature_bytes = header.take(cls.LAYOUT, "CLIENT_KEY")
        key_blob = header.take_bytes(key_bytes, "client key")
        signature = header.take_bytes(signature_bytes, "CLIENT_KEY signature")
        body.finish("CLIENT_KEY")
        return cls(key_blob, signature, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, len(self.key_blob), len(self.signature))
        writer.put_bytes(self.key_blob + self.signature)
        return framing.leave(self.FUNCTION, writer, self.extensions)


@dataclass(frozen=True, slots=True)
class RegConf:
    """The server has taken in the stations in uids, proxies among them."""

    FUNCTION: ClassVar[Function] = Function.REG_CONF
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2x")

    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> RegConf:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        header.take(cls.LAYOUT, "REG_CONF")
        trailing = extensions.decode(header)
        return cls(body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))
