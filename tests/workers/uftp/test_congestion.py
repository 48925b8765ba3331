"""CONG_CTRL, CC_ACK."""

from __future__ import annotations

from tests.workers.uftp import wire
from workers.uftp.congestion import CongestionAck, CongestionControl, CongestionItem
from workers.uftp.extensions import CongestionFlag, TfmccAck
from workers.uftp.timestamp import Timestamp

CONG_CTRL = "1404 0000 0007 7b26 6b020dbd 000757b2"
CC_ACK = "1506 0000 0305 06 00 0002 7b26 00001111 6b020dbd 000757b2"
STAMP = Timestamp(0x6B020DBD, 0x757B2)


def test_the_server_asks_two_receivers():
    items = (
        CongestionItem(0x1111, CongestionFlag.CLR | CongestionFlag.RTT, 0x6A),
        CongestionItem(0x2222, CongestionFlag.START, 0x6B, 0x7B27),
    )
    raw = CONG_CTRL + "00001111 03 6a 0000 00002222 04 6b 7b27"
    wire.holds(raw, CongestionControl(7, 0x7B26, STAMP, items))


def test_receivers_are_whole_items_in_a_whole_header():
    wire.has_a_body_of(8, CONG_CTRL)
    wire.header_needs(16, CONG_CTRL)


def test_a_receiver_answers():
    wire.holds(CC_ACK, CongestionAck((TfmccAck(6, 2, 0x7B26, 0x1111, STAMP),)))
    wire.has_no_body(CC_ACK)
    wire.holds("1501 0000", CongestionAck())
    wire.header_needs(4, "1501 0000")
