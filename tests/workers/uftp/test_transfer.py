"""FILEINFO, FILEINFO_ACK, FILESEG."""

from __future__ import annotations

import pytest

from tests.workers.uftp import wire
from workers.errors import EngineMisuse
from workers.uftp.extensions import TfmccData
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import PARTIAL, FileInfo, FileInfoAck, FileSeg

STAMP = Timestamp(0x6B020DBF, 0x871B0)
FILE = "0709 0001 00 000000 02 00 0000 00030d40 6b020dbb 6b020dbf 000871b0 66323030 6b000000"
LINK = "0709 0002 02 000000 01 01 0001 00000002 6b020dbb 6b020dbf 000871b0 66323030 66333030"
ACK = "0804 0001 00 000000 6b020dbf 00089b7d"
BLOCK = "0902 0001 0002 0003"


def test_a_file_is_offered_to_a_client():
    info = FileInfo(1, 0, 200_000, 0x6B020DBB, STAMP, b"f200k\0\0\0", b"", (0x1111,))
    wire.holds(FILE + "00001111", info)


def test_a_link_is_offered_with_a_size_over_32_bits():
    wire.holds(LINK, FileInfo(2, 2, (1 << 32) + 2, 0x6B020DBB, STAMP, b"f200", b"f300"))


def test_names_are_within_the_header():
    wire.header_needs(36, FILE)
    wire.header_needs(36, LINK)


@pytest.mark.parametrize(("size", "name"), [(1 << 48, b"name"), (0, b"odd"), (0, bytes(1024)), (-1, b"name")])
def test_a_file_that_its_fields_cannot_say_is_a_misuse(size, name):
    with pytest.raises(EngineMisuse):
        FileInfo(1, 0, size, 0, STAMP, name).encode()


def test_a_proxy_is_ready_for_its_clients():
    ready = FileInfoAck(1, 0, Timestamp(0x6B020DBF, 0x89B7D), (0x1111,))
    wire.holds(ACK + "00001111", ready)
    assert not ready.partial


def test_a_client_has_parts_already():
    raw = ACK.replace("0001 00 ", "0001 01 ")
    partial = FileInfoAck(1, PARTIAL, Timestamp(0x6B020DBF, 0x89B7D))
    wire.holds(raw, partial)
    assert partial.partial


@pytest.mark.parametrize("raw", [FILE, ACK])
def test_a_list_of_stations_is_whole_words(raw):
    wire.has_a_body_of(4, raw)


def test_a_short_header_is_refused_although_the_bytes_are_there():
    wire.header_needs(16, ACK)
    wire.header_needs(8, BLOCK)


@pytest.mark.parametrize("data", [b"", b"x", bytes(1300)])
def test_a_block_is_as_long_as_it_is(data):
    wire.holds(BLOCK + data.hex(), FileSeg(1, 2, 3, data))


def test_a_block_under_congestion_control():
    raw = "0904 0001 0002 0003 0202 1f35 0007 7b26" + b"data".hex()
    wire.holds(raw, FileSeg(1, 2, 3, b"data", (TfmccData(0x1F35, 7, 0x7B26),)))
