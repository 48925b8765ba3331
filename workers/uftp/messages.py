"""Every message of protocol 4.x by its number: bytes to message and back.

A number that is not in the table is not an error: its message is kept as it came, for those who only pass it on. Bytes
that are reserved are not looked at when they come and are zero when they leave. Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workers.errors import DecodeError
from workers.uftp import framing
from workers.uftp.abort import Abort
from workers.uftp.announce import Announce
from workers.uftp.congestion import CongestionAck, CongestionControl
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import Function, Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse
from workers.uftp.keying import Encrypted, KeyInfo, KeyInfoAck
from workers.uftp.proxykey import KeyRequest, ProxyKey
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg
from workers.wire.reader import Reader


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message with a number that this program does not know. raw: all that follows the datagram's header."""

    function: int
    raw: bytes

    def encode(self) -> bytes:
        """Return the message as it came."""
        return self.raw


Plain = (
    Announce
    | Register
    | ClientKey
    | RegConf
    | KeyInfo
    | KeyInfoAck
    | FileInfo
    | FileInfoAck
    | FileSeg
    | Done
    | Status
    | Complete
    | DoneConf
    | HeartbeatRequest
    | HeartbeatResponse
    | KeyRequest
    | ProxyKey
    | Abort
    | CongestionControl
    | CongestionAck
)
"""A message with number and header length; what an Encrypted carries is one of them."""
Message = Plain | Encrypted

KINDS: tuple[type[Plain], ...] = Plain.__args__
DECODERS: dict[int, Callable[[Reader, Reader], Plain]] = {kind.FUNCTION: kind.decode for kind in KINDS}


def decode(header: Header, body: bytes | memoryview) -> Message | Unknown:
    """Decode what follows the header of a datagram.

    body: the datagram from its seventeenth byte on; nothing of it is kept. Raises DecodeError, whose offset counts from
    body's first byte, also where header and message do not have the same number.
    """
    if header.function == Function.ENCRYPTED:
        return Encrypted.decode(body)
    if header.function not in DECODERS:
        return Unknown(header.function, bytes(body))
    message = decode_plain(body)
    if function_of(message) != header.function:
        raise DecodeError("message number", 0, f"{function_of(message)} under a header of {header.function}")
    return message


def decode_plain(message: bytes | memoryview) -> Plain | Unknown:
    """Decode a message by its own number: what an Encrypted held, once it is opened. Raises DecodeError."""
    number, header, body = framing.enter(message)
    decoder = DECODERS.get(number)
    return Unknown(number, bytes(message)) if decoder is None else decoder(header, body)


def function_of(message: Message | Unknown) -> int:
    """Return a message's number."""
    return message.function if isinstance(message, Unknown) else message.FUNCTION


def encode(header: Header, message: Message | Unknown) -> bytes:
    """Return the whole datagram. Raises EngineMisuse where a value does not fit."""
    return header.encode() + message.encode()
