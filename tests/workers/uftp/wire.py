"""What holds for every message's wire form, whole, cut at every byte and with bytes too many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.errors import DecodeError
from workers.uftp import messages
from workers.uftp.extensions import UnknownExtension
from workers.uftp.messages import Plain
from workers.wire.reader import WORD_BYTES

STRANGE = UnknownExtension(200, bytes.fromhex("c802 0102 0304 0506"))


def holds(wire: str, message: Plain) -> None:
    """Check that wire (hexadecimal) and message are each other, that no cut header is taken, nor a strange one lost."""
    raw = bytes.fromhex(wire)
    assert messages.decode_plain(raw) == message
    assert message.encode() == raw
    for size in range(raw[1] * WORD_BYTES):
        with pytest.raises(DecodeError):
            messages.decode_plain(raw[:size])
    extended = replace(message, extensions=(*message.extensions, STRANGE))
    assert messages.decode_plain(extended.encode()) == extended


def has_no_body(wire: str) -> None:
    """Check that bytes behind the header are refused."""
    with pytest.raises(DecodeError, match="too many"):
        messages.decode_plain(bytes.fromhex(wire) + b"\0")


def has_a_body_of(width: int, wire: str) -> None:
    """Check that a body that is no whole number of items of width bytes is refused."""
    for odd in range(1, width):
        with pytest.raises(DecodeError):
            messages.decode_plain(bytes.fromhex(wire) + bytes(odd))


def header_needs(size: int, wire: str) -> None:
    """Check that a header shorter than size bytes is refused although the bytes are there."""
    raw = bytearray(bytes.fromhex(wire) + bytes(size))
    for words in range(size // WORD_BYTES):
        raw[1] = words
        with pytest.raises(DecodeError):
            messages.decode_plain(bytes(raw))
