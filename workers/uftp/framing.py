"""What all messages have in common: number, header length, fields, extensions, and a body after them.

The header length counts words of four bytes, from the message's first byte to the last extension's end. Offsets in
errors count from the message's first byte. Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import extensions
from workers.uftp.extensions import Extension
from workers.wire.reader import WORD_BYTES, Reader
from workers.wire.writer import Writer

PREFIX = struct.Struct("!BB")
MAX_HEADER_BYTES = 255 * WORD_BYTES


def enter(message: bytes | memoryview) -> tuple[int, Reader, Reader]:
    """Return a message's number, a reader of its header behind number and length, and one of its body.

    Raises DecodeError where the header does not lie within the message.
    """
    reader = Reader(message)
    number, words = reader.take(PREFIX, "message")
    header_bytes = words * WORD_BYTES - PREFIX.size
    if header_bytes < 0:
        raise DecodeError("header length", 1, f"{words} words")
    return number, reader.window(header_bytes, "header"), reader


def leave(number: int, fields: Writer, trailing: Sequence[Extension] = (), body: bytes = b"") -> bytes:
    """Return the message: number and header length before fields, extensions and body after them.

    Raises EngineMisuse where the header is no whole number of words, or longer than 255 of them.
    """
    header = fields.finish() + extensions.encode(trailing)
    words, odd = divmod(PREFIX.size + len(header), WORD_BYTES)
    if odd or words * WORD_BYTES > MAX_HEADER_BYTES:
        raise EngineMisuse(f"message {number}: a header of {PREFIX.size + len(header)} bytes")
    return PREFIX.pack(number, words) + header + body


def encode_uids(uids: Sequence[int]) -> bytes:
    """Return a list of station IDs as the body of a message."""
    writer = Writer()
    writer.put_words(uids)
    return writer.finish()
