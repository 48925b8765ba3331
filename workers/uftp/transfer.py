"""FILEINFO, FILEINFO_ACK and FILESEG: a file is offered and sent. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from workers.errors import EngineMisuse
from workers.uftp import extensions, framing, timestamp
from workers.uftp.extensions import Extension
from workers.uftp.header import Function
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import WORD_BYTES, Reader
from workers.wire.writer import Writer

PARTIAL = 0x01
"""Flag of a FILEINFO_ACK: the client has parts of the file from an earlier attempt."""
_LOW_WORD_BITS = 32


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that is going to be sent, to the stations in uids.

    file_type: 0 regular, 1 directory, 2 symbolic link, 3 delete, 4 free space. size_bytes: 48 bits. file_seconds: the
    file's own time, seconds since 1970. name, link: as on the wire, filled with zeroes to whole words of four bytes.
    """

    FUNCTION: ClassVar[Function] = Function.FILEINFO
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HB3xBBHII")

    file_id: int
    file_type: int
    size_bytes: int
    file_seconds: int
    timestamp: Timestamp
    name: bytes
    link: bytes = b""
    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> FileInfo:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, kind, name_words, link_words, high, low, seconds = header.take(cls.LAYOUT, "FILEINFO")
        stamp = timestamp.take(header)
        name = header.take_bytes(name_words * WORD_BYTES, "file name")
        link = header.take_bytes(link_words * WORD_BYTES, "link name")
        trailing = extensions.decode(header)
        size_bytes = high << _LOW_WORD_BITS | low
        return cls(file_id, kind, size_bytes, seconds, stamp, name, link, body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        if len(self.name) % WORD_BYTES or len(self.link) % WORD_BYTES:
            raise EngineMisuse(f"names of {len(self.name)} and {len(self.link)} bytes")
        high, low = divmod(self.size_bytes, 1 << _LOW_WORD_BITS)
        words = len(self.name) // WORD_BYTES, len(self.link) // WORD_BYTES
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.file_type, *words, high, low, self.file_seconds)
        writer.put(timestamp.LAYOUT, *self.timestamp)
        writer.put_bytes(self.name + self.link)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))


@dataclass(frozen=True, slots=True)
class FileInfoAck:
    """A client, or a proxy for the clients in uids, is ready for a file. flags: PARTIAL."""

    FUNCTION: ClassVar[Function] = Function.FILEINFO_ACK
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HB3x")

    file_id: int
    flags: int
    timestamp: Timestamp
    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether parts of the file are there from an earlier attempt."""
        return bool(self.flags & PARTIAL)

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> FileInfoAck:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, flags = header.take(cls.LAYOUT, "FILEINFO_ACK")
        stamp = timestamp.take(header)
        trailing = extensions.decode(header)
        return cls(file_id, flags, stamp, body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.flags)
        writer.put(timestamp.LAYOUT, *self.timestamp)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))


@dataclass(frozen=True, slots=True)
class FileSeg:
    """A block of a file: the block-th of the section-th section, as long as the group's block size, or the last."""

    FUNCTION: ClassVar[Function] = Function.FILESEG
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HHH")

    file_id: int
    section: int
    block: int
    data: bytes
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> FileSeg:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, section, block = header.take(cls.LAYOUT, "FILESEG")
        trailing = extensions.decode(header)
        return cls(file_id, section, block, body.take_rest(), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.section, self.block)
        return framing.leave(self.FUNCTION, writer, self.extensions, self.data)
