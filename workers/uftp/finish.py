"""DONE, STATUS, COMPLETE and DONE_CONF: what has arrived. Source: observed: tests/vectors/uftp."""

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

END_OF_GROUP = 0
"""The file ID of the DONE and COMPLETE that end the group, not a file."""


class CompleteStatus(IntEnum):
    """How a file ended at a client."""

    NORMAL = 0
    SKIPPED = 1
    OVERWRITTEN = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class Done:
    """The server has sent a section, or all; the stations in uids, proxies among them, are to say what they miss."""

    FUNCTION: ClassVar[Function] = Function.DONE
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HH2x")

    file_id: int
    section: int
    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Done:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, section = header.take(cls.LAYOUT, "DONE")
        trailing = extensions.decode(header)
        return cls(file_id, section, body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.section)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))


@dataclass(frozen=True, slots=True)
class Status:
    """The blocks of a section that are missing. naks: bit i % 8 of byte i // 8, from the lowest, stands for block i."""

    FUNCTION: ClassVar[Function] = Function.STATUS
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HH2x")

    file_id: int
    section: int
    naks: bytes
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Status:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, section = header.take(cls.LAYOUT, "STATUS")
        trailing = extensions.decode(header)
        return cls(file_id, section, body.take_rest(), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.section)
        return framing.leave(self.FUNCTION, writer, self.extensions, self.naks)


@dataclass(frozen=True, slots=True)
class Complete:
    """A client, or a proxy for the clients in uids, has a file, or has left the group. status: a CompleteStatus."""

    FUNCTION: ClassVar[Function] = Function.COMPLETE
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!HB3x")

    file_id: int
    status: int
    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Complete:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        file_id, status = header.take(cls.LAYOUT, "COMPLETE")
        trailing = extensions.decode(header)
        return cls(file_id, status, body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT, self.file_id, self.status)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))


@dataclass(frozen=True, slots=True)
class DoneConf:
    """The server has heard that the clients in uids have left the group."""

    FUNCTION: ClassVar[Function] = Function.DONE_CONF
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2x")

    uids: tuple[int, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> DoneConf:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        header.take(cls.LAYOUT, "DONE_CONF")
        trailing = extensions.decode(header)
        return cls(body.take_words("client IDs"), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT)
        return framing.leave(self.FUNCTION, writer, self.extensions, framing.encode_uids(self.uids))
