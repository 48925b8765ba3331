"""The 16 bytes that begin every UFTP datagram, and changing them in place.

The relay does not decode: it reads and rewrites single fields by the offsets here, straight in the arena. Numbers on
the wire are big-endian. Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from workers.errors import DecodeError
from workers.uftp import quantise
from workers.wire.writer import Writer

VERSION = 0x40
"""Protocol 4.x as it is on the wire; the protocol's text says 0x30. Observed: tests/vectors/uftp."""
HEADER_BYTES = 16
MIN_DATAGRAM_BYTES = 20
"""The header and the shortest message."""

VERSION_AT = 0
FUNCTION_AT = 1
SEQUENCE_AT = 2
SOURCE_AT = 4
GROUP_AT = 8
INSTANCE_AT = 12
GRTT_AT = 13
GROUP_SIZE_AT = 14
GROUP_KEY = slice(GROUP_AT, INSTANCE_AT + 1)
"""Group ID and instance, five bytes: what finds a group in a table without decoding anything."""

LAYOUT = struct.Struct("!BBHIIBBBx")


class Function(IntEnum):
    """Message numbers."""

    ANNOUNCE = 1
    REGISTER = 2
    CLIENT_KEY = 3
    REG_CONF = 4
    KEYINFO = 5
    KEYINFO_ACK = 6
    FILEINFO = 7
    FILEINFO_ACK = 8
    FILESEG = 9
    DONE = 10
    STATUS = 11
    COMPLETE = 12
    DONE_CONF = 13
    HB_REQ = 14
    HB_RESP = 15
    KEY_REQ = 16
    PROXY_KEY = 17
    ENCRYPTED = 18
    ABORT = 19
    CONG_CTRL = 20
    CC_ACK = 21


@dataclass(frozen=True, slots=True)
class Header:
    """A datagram's header.

    function: a Function's number, or one that this program does not know. grtt, group_size: as on the wire (quantised);
    only what comes from a server says something with them, others write 0. The last byte is reserved and written 0.
    """

    function: int
    source_id: int
    group_id: int = 0
    group_instance: int = 0
    sequence: int = 0
    grtt: int = 0
    group_size: int = 0
    version: int = VERSION

    @property
    def grtt_ns(self) -> int:
        """The group's round-trip time in nanoseconds."""
        return quantise.GRTT_NS[self.grtt]

    @property
    def client_count(self) -> int:
        """The size of the group, as a number of clients; approximate, as its byte is."""
        return quantise.decode_group_size(self.group_size)

    def encode(self) -> bytes:
        """Return the 16 bytes. Raises EngineMisuse where a number does not fit."""
        writer = Writer()
        writer.put(
            LAYOUT,
            self.version,
            self.function,
            self.sequence,
            self.source_id,
            self.group_id,
            self.group_instance,
            self.grtt,
            self.group_size,
        )
        return writer.finish()


def decode(datagram: bytes | bytearray | memoryview) -> Header:
    """Decode the header of a whole datagram.

    Raises DecodeError, field "version" for another protocol (looked at first), "datagram" for one too short to hold any
    message.
    """
    if not datagram or datagram[VERSION_AT] != VERSION:
        raise DecodeError("version", VERSION_AT, f"{bytes(datagram[:1]).hex() or 'nothing'}, not {VERSION:02x}")
    if len(datagram) < MIN_DATAGRAM_BYTES:
        raise DecodeError("datagram", len(datagram), f"{len(datagram)} bytes, {MIN_DATAGRAM_BYTES} at least")
    version, function, sequence, source, group, instance, grtt, group_size = LAYOUT.unpack_from(datagram)
    return Header(function, source, group, instance, sequence, grtt, group_size, version)
