"""CONG_CTRL and CC_ACK: TFMCC's feedback. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from workers.uftp import extensions, framing, timestamp
from workers.uftp.extensions import Extension
from workers.uftp.header import Function
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import Reader
from workers.wire.writer import Writer


class CongestionItem(NamedTuple):
    """What the server says to one receiver. flags: CongestionFlag; rtt: quantised byte; rate: quantised word."""

    uid: int
    flags: int
    rtt: int
    rate: int = 0


@dataclass(frozen=True, slots=True)
class CongestionControl:
    """The server asks for feedback. cc_rate: quantised word."""

    FUNCTION: ClassVar[Function] = Function.CONG_CTRL
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2xHH")
    ITEM: ClassVar[struct.Struct] = struct.Struct("!IBBH")

    cc_sequence: int
    cc_rate: int
    timestamp: Timestamp
    items: tuple[CongestionItem, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> CongestionControl:
        """Decode header, behind number and length, and body. Raises DecodeError."""
        sequence, rate = header.take(cls.LAYOUT, "CONG_CTRL")
        stamp = timestamp.take(header)
        trailing = extensions.decode(header)
        items = []
        while body.left:
            items.append(CongestionItem(*body.take(cls.ITEM, "CONG_CTRL item")))
        return cls(sequence, rate, stamp, tuple(items), trailing)

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer, body = Writer(), Writer()
        writer.put(self.LAYOUT, self.cc_sequence, self.cc_rate)
        writer.put(timestamp.LAYOUT, *self.timestamp)
        for item in self.items:
            body.put(self.ITEM, *item)
        return framing.leave(self.FUNCTION, writer, self.extensions, body.finish())


@dataclass(frozen=True, slots=True)
class CongestionAck:
    """A receiver's feedback; all of it is in an extension (TfmccAck)."""

    FUNCTION: ClassVar[Function] = Function.CC_ACK
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!2x")

    extensions: tuple[Extension, ...] = ()

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> CongestionAck:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        header.take(cls.LAYOUT, "CC_ACK")
        body.finish("CC_ACK")
        return cls(extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse."""
        writer = Writer()
        writer.put(self.LAYOUT)
        return framing.leave(self.FUNCTION, writer, self.extensions)
