"""ANNOUNCE: a server opens a group. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from workers.errors import EngineMisuse
from workers.uftp import extensions, framing, timestamp
from workers.uftp.extensions import EncInfo, Extension
from workers.uftp.header import Function
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import Reader
from workers.wire.writer import Writer

IPV4_BYTES, IPV6_BYTES = 4, 16


class AnnounceFlag(IntFlag):
    """The flags of an ANNOUNCE."""

    SYNC = 0x01
    SYNC_PREVIEW = 0x02
    IPV6 = 0x04


@dataclass(frozen=True, slots=True)
class Announce:
    """A group with its addresses and terms.

    public, private: multicast addresses of 4 or 16 bytes, all zero from a server that announces to one address; no
    port. flags: AnnounceFlag, which must say of what kind the addresses are. cc_type: 0 none, 2 TFMCC. uids: who may
    take part; empty where anybody may. extensions: at most an EncInfo is expected, as the first.
    """

    FUNCTION: ClassVar[Function] = Function.ANNOUNCE
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!BBBxH")

    flags: int
    robust: int
    cc_type: int
    block_bytes: int
    timestamp: Timestamp
    public: bytes
    private: bytes
    extensions: tuple[Extension, ...] = ()
    uids: tuple[int, ...] = ()

    @property
    def encryption(self) -> EncInfo | None:
        """How the group is encrypted; only the first extension counts."""
        return extensions.find(self.extensions[:1], EncInfo)

    @property
    def signature_at(self) -> int:
        """Where the EncInfo's signature begins, in bytes from the message's first. Raises EngineMisuse without one."""
        if self.encryption is None:
            raise EngineMisuse("signature of an ANNOUNCE without encryption")
        fixed = framing.PREFIX.size + self.LAYOUT.size + timestamp.LAYOUT.size
        return fixed + len(self.public) + len(self.private) + self.encryption.signature_at

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Announce:
        """Decode header, behind number and length, and body. Raises DecodeError, field "address" without addresses."""
        flags, robust, cc_type, block_bytes = header.take(cls.LAYOUT, "ANNOUNCE")
        stamp = timestamp.take(header)
        width = IPV6_BYTES if flags & AnnounceFlag.IPV6 else IPV4_BYTES
        public, private = header.take_bytes(width, "address"), header.take_bytes(width, "address")
        trailing = extensions.decode(header)
        return cls(flags, robust, cc_type, block_bytes, stamp, public, private, trailing, body.take_words("client IDs"))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        width = IPV6_BYTES if self.flags & AnnounceFlag.IPV6 else IPV4_BYTES
        if len(self.public) != width or len(self.private) != width:
            raise EngineMisuse(f"addresses of {len(self.public)} and {len(self.private)} bytes, {width} wanted")
        writer = Writer()
        writer.put(self.LAYOUT, self.flags, self.robust, self.cc_type, self.block_bytes)
        writer.put(timestamp.LAYOUT, *self.timestamp)
        writer.put_bytes(self.public + self.private)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))
