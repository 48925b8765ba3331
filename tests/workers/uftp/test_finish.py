"""DONE, STATUS, COMPLETE, DONE_CONF."""

from __future__ import annotations

import pytest

from tests.workers.uftp import wire
from workers.uftp.extensions import FreeSpace, TfmccAck
from workers.uftp.finish import END_OF_GROUP, Complete, CompleteStatus, Done, DoneConf, Status
from workers.uftp.timestamp import Timestamp

DONE = "0a02 0001 0003 0000"
STATUS = "0b02 0001 0003 0000"
COMPLETE = "0c02 0001 00 000000"
DONE_CONF = "0d01 0000"


def test_the_server_has_sent_a_section():
    wire.holds(DONE + "0000c0c0 00001111", Done(1, 3, (0xC0C0, 0x1111)))
    wire.holds("0a02 0000 0000 0000", Done(END_OF_GROUP, 0))


def test_a_client_says_what_it_misses():
    wire.holds(STATUS + "05 00 80", Status(1, 3, bytes((5, 0, 0x80))))
    wire.holds(STATUS, Status(1, 3, b""))


def test_missing_blocks_begin_behind_what_a_client_has_measured():
    ack = TfmccAck(2, 2, 0x7B26, 0x1111, Timestamp(1, 2))
    raw = "0b07 0001 0003 0000 0305 02 00 0002 7b26 00001111 00000001 00000002 05"
    wire.holds(raw, Status(1, 3, b"\x05", (ack,)))


def test_clients_have_a_file():
    wire.holds(COMPLETE + "00001111", Complete(1, CompleteStatus.NORMAL, (0x1111,)))
    wire.holds("0c02 0001 03 000000", Complete(1, CompleteStatus.REJECTED))
    wire.holds("0c02 0001 09 000000", Complete(1, 9))


def test_a_client_says_how_much_is_free():
    wire.holds("0c05 0003 00 000000 0703 0000 00000013 df6bb000", Complete(3, 0, (), (FreeSpace(0x13DF6BB000),)))


def test_the_server_lets_clients_go():
    wire.holds(DONE_CONF + "00001111", DoneConf((0x1111,)))


@pytest.mark.parametrize("raw", [DONE, COMPLETE, DONE_CONF])
def test_a_list_of_stations_is_whole_words(raw):
    wire.has_a_body_of(4, raw)


@pytest.mark.parametrize(("raw", "size"), [(DONE, 8), (STATUS, 8), (COMPLETE, 8), (DONE_CONF, 4)])
def test_a_short_header_is_refused_although_the_bytes_are_there(raw, size):
    wire.header_needs(size, raw)
