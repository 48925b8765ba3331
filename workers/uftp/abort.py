"""ABORT: a station gives up, or is told to. Source: observed: tests/vectors/uftp."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from workers.uftp import extensions, framing
from workers.uftp.extensions import Extension
from workers.uftp.header import Function
from workers.wire.reader import Reader
from workers.wire.writer import Writer

TEXT_BYTES = 300
CURRENT_FILE = 0x01
"""Flag: only the current file is given up, not the group."""


@dataclass(frozen=True, slots=True)
class Abort:
    """host: whom it concerns, 0 for all. flags: CURRENT_FILE. text: the reason, without the zeroes at its end.

    It comes from the network: what is printed of it must be made harmless first.
    """

    FUNCTION: ClassVar[Function] = Function.ABORT
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("!BxI")

    host: int
    text: bytes
    flags: int = 0
    extensions: tuple[Extension, ...] = ()

    @property
    def current_file(self) -> bool:
        """Whether only the current file is given up."""
        return bool(self.flags & CURRENT_FILE)

    @property
    def reason(self) -> str:
        """The text as everybody reads it: up to its first zero."""
        return self.text.partition(b"\0")[0].decode("latin-1")

    @classmethod
    def decode(cls, header: Reader, body: Reader) -> Abort:
        """Decode header, behind number and length; there is no body. Raises DecodeError."""
        flags, host = header.take(cls.LAYOUT, "ABORT")
        text = header.take_bytes(TEXT_BYTES, "ABORT text").rstrip(b"\0")
        body.finish("ABORT")
        return cls(host, text, flags, extensions.decode(header))

    def encode(self) -> bytes:
        """Return the message, without the datagram's header. Raises EngineMisuse where the text is over 300 bytes."""
        writer = Writer()
        writer.put(self.LAYOUT, self.flags, self.host)
        writer.put_padded(self.text, TEXT_BYTES, "ABORT text")
        return framing.leave(self.FUNCTION, writer, self.extensions)
