"""Control data: what is written is read again, whatever else comes is an error or passed over."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import DecodeError
from workers.net import ancillary
from workers.net.ancillary import Control, PacketInfo

LOCAL4, WRITTEN4 = bytes([127, 0, 0, 1]), bytes([127, 0, 0, 255])
GLOBAL6, LINK6 = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("fe80" + "00" * 13 + "01")
PACKET4 = ancillary.item(socket.IPPROTO_IP, ancillary.IP_PKTINFO, struct.pack("=I4s4s", 7, LOCAL4, WRITTEN4))
PACKET6 = ancillary.item(socket.IPPROTO_IPV6, ancillary.IPV6_PKTINFO, struct.pack("=16sI", LINK6, 7))
TRAIN = ancillary.item(ancillary.IPPROTO_UDP, ancillary.UDP_GRO, struct.pack("=i", 1400))
LOST = ancillary.item(ancillary.SOL_SOCKET, ancillary.SO_RXQ_OVFL, struct.pack("=I", 2**32 - 1))
TTL = ancillary.item(socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 1))
TOS4 = ancillary.item(socket.IPPROTO_IP, socket.IP_TOS, b"\xb8")
TOS6 = ancillary.item(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("=i", 0xB8))

items = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 2**31), st.binary(max_size=30)), max_size=5)


def read(raw: bytes) -> Control:
    return ancillary.decode(ancillary.split(raw))


def test_items_have_the_systems_layout():
    data = b"12345"
    assert len(ancillary.item(1, 2, data)) == socket.CMSG_SPACE(len(data))
    assert ancillary.item(1, 2, data)[: socket.CMSG_LEN(len(data))] == struct.pack("=QII", 21, 1, 2) + data


def test_everything_known_is_gathered_in_any_order():
    both = Control(PacketInfo(7, LOCAL4, WRITTEN4), 1400, 2**32 - 1)
    assert read(PACKET4 + TRAIN + LOST) == read(LOST + TRAIN + PACKET4) == both
    assert read(PACKET6) == Control(PacketInfo(7, LINK6, LINK6))
    assert read(b"") == Control()


def test_unknown_items_are_passed_over():
    assert read(ancillary.item(0, 3, b"\x10") + TRAIN) == Control(train_bytes=1400)


def test_time_to_live_and_type_of_service_are_read_of_either_version():
    assert read(TTL + TOS4) == Control(ttl=1, tos=0xB8)
    assert read(TOS6) == Control(tos=0xB8)


def test_an_item_takes_the_space_the_system_gives_it():
    for size in range(1, 30):
        assert ancillary.space(size) == socket.CMSG_SPACE(size)


def test_an_address_to_leave_from_names_the_interface_only_where_it_must():
    assert ancillary.from_address(LOCAL4, 7) == ancillary.reply_from(PacketInfo(7, LOCAL4, WRITTEN4))
    for local, interface in ((GLOBAL6, 0), (LINK6, 7)):
        ((_, _, data),) = ancillary.split(ancillary.from_address(local, 7))
        assert data == struct.pack("=16sI", local, interface)


@pytest.mark.parametrize("raw", [PACKET4, PACKET6, TRAIN, LOST, TTL, TOS4, TOS6])
def test_data_too_short_for_its_kind_is_passed_over(raw: bytes):
    ((level, kind, data),) = ancillary.split(raw)
    assert read(raw) != Control()
    assert read(ancillary.item(level, kind, data[:-1])) == Control()


@given(items)
def test_items_come_back_as_they_were(wanted: list[tuple[int, int, bytes]]):
    assert list(ancillary.split(b"".join(ancillary.item(*one) for one in wanted))) == wanted


@given(st.binary(max_size=100))
def test_any_bytes_are_items_or_an_error(raw: bytes):
    found, offset = [], 0
    try:
        found += ancillary.split(raw)
    except DecodeError as error:
        offset = error.offset
    assert 0 <= offset <= max(0, len(raw) - 16)
    assert sum(16 + len(data) for _, _, data in found) <= len(raw)
    assert isinstance(ancillary.decode(iter(found)), Control)


@pytest.mark.parametrize("raw", [PACKET4, PACKET6 + TRAIN])
def test_each_truncation_is_an_error_or_an_item_less(raw: bytes):
    whole = list(ancillary.split(raw))
    for size in range(len(raw)):
        try:
            found = list(ancillary.split(raw[:size]))
        except DecodeError:
            continue
        assert found == whole[: len(found)]


@pytest.mark.parametrize("length", [0, 15, 2**63])
def test_a_length_that_does_not_fit_is_refused(length: int):
    with pytest.raises(DecodeError, match="control length at byte 0"):
        list(ancillary.split(struct.pack("=QII", length, 0, 8)))


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (PacketInfo(7, LOCAL4, WRITTEN4), (0, ancillary.IP_PKTINFO, struct.pack("=I4s4s", 0, LOCAL4, bytes(4)))),
        (PacketInfo(7, GLOBAL6, GLOBAL6), (41, ancillary.IPV6_PKTINFO, struct.pack("=16sI", GLOBAL6, 0))),
        (PacketInfo(7, LINK6, LINK6), (41, ancillary.IPV6_PKTINFO, struct.pack("=16sI", LINK6, 7))),
    ],
    ids=["ipv4", "ipv6", "link-local"],
)
def test_an_answer_leaves_from_our_own_address_and_only_link_local_ones_by_a_given_interface(packet, answer):
    assert list(ancillary.split(ancillary.reply_from(packet))) == [answer]


def test_a_segment_size_is_sixteen_bits():
    assert list(ancillary.split(ancillary.segment(1400))) == [(17, 103, b"\x78\x05")]
