"""The datagram's header, whole and field by field in place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import header
from workers.uftp.header import Function, Header

RAW = bytes.fromhex("40 04 0001 00005555 9473ab2c 03 6a 30 00") + bytes.fromhex("04010000")
HEADER = Header(Function.REG_CONF, 0x5555, 0x9473AB2C, 3, 1, 0x6A, 0x30)


def test_bytes_and_header_are_each_other():
    assert header.decode(RAW) == HEADER
    assert HEADER.encode() == RAW[: header.HEADER_BYTES]
    assert header.decode(memoryview(bytearray(RAW))) == HEADER


def test_quantised_numbers_are_told_as_numbers():
    assert HEADER.grtt_ns == 10_527_302
    assert HEADER.client_count == 2


@pytest.mark.parametrize("size", range(1, header.MIN_DATAGRAM_BYTES))
def test_a_datagram_without_room_for_a_message_is_refused(size):
    with pytest.raises(DecodeError, match="20 at least") as caught:
        header.decode(RAW[:size])
    assert caught.value.field == "datagram"


@pytest.mark.parametrize("version", [0x00, 0x30, 0x41, 0x50, 0xFF])
def test_another_protocol_is_refused_before_anything_else(version):
    with pytest.raises(DecodeError) as caught:
        header.decode(bytes([version]))
    assert (caught.value.field, caught.value.offset) == ("version", 0)


def test_an_empty_datagram_is_refused():
    with pytest.raises(DecodeError, match="nothing, not 40"):
        header.decode(b"")


def test_a_reserved_byte_is_neither_looked_at_nor_kept():
    marked = bytearray(RAW)
    marked[15] = 0xFF
    assert header.decode(marked) == HEADER
    assert header.decode(marked).encode()[15] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"function": 256},
        {"source_id": 1 << 32},
        {"group_id": -1},
        {"group_instance": 256},
        {"sequence": 1 << 16},
        {"grtt": 256},
        {"group_size": -1},
    ],
)
def test_a_number_that_does_not_fit_is_a_misuse(change):
    with pytest.raises(EngineMisuse):
        replace(HEADER, **change).encode()


def test_fields_are_where_the_offsets_say():
    fields = {
        header.VERSION_AT: HEADER.version.to_bytes(1, "big"),
        header.FUNCTION_AT: HEADER.function.to_bytes(1, "big"),
        header.SEQUENCE_AT: HEADER.sequence.to_bytes(2, "big"),
        header.SOURCE_AT: HEADER.source_id.to_bytes(4, "big"),
        header.GROUP_AT: HEADER.group_id.to_bytes(4, "big"),
        header.INSTANCE_AT: HEADER.group_instance.to_bytes(1, "big"),
        header.GRTT_AT: HEADER.grtt.to_bytes(1, "big"),
        header.GROUP_SIZE_AT: HEADER.group_size.to_bytes(1, "big"),
    }
    assert b"".join(fields[at] for at in sorted(fields)) == RAW[:15]
    assert all(RAW[at : at + len(value)] == value for at, value in fields.items())
    assert RAW[header.GROUP_KEY] == bytes.fromhex("9473ab2c03")
