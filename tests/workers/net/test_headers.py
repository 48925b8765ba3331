"""The message headers: where they lie, and what they say before the first call."""

from __future__ import annotations

import struct

from workers.net import ancillary
from workers.net.ancillary import PacketInfo
from workers.net.arena import CONTROL_BYTES, HEADERS, HEADERS_BYTES, PAYLOAD_BYTES, SLOTS, Arena
from workers.net.headers import (
    ANSWER,
    ANSWER_CONTROL,
    ANSWER_CONTROLS,
    CONNECTED,
    END,
    IOV_ARRANGED,
    IOV_RECEIVE,
    IOV_SEND,
    IOVEC,
    MMSGHDR,
    NAMED,
    REPLY,
    SINGLE,
    SPARE,
    Headers,
)
from workers.wire.sockaddr import V6_BYTES

BASE = 0x7F00_0000_0000
HEADER = struct.Struct("=QIxxxxQQQQIxxxxIxxxx")
"""struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags, len."""


def made() -> tuple[Arena, Headers]:
    arena = Arena()
    return arena, Headers(arena, BASE)


def header(arena: Arena, start: int, index: int) -> tuple[int, ...]:
    return HEADER.unpack_from(arena.memory, start + index * MMSGHDR)


def iovec(arena: Arena, start: int, index: int) -> tuple[int, int]:
    return struct.unpack_from("=QQ", arena.memory, start + index * IOVEC)


def test_the_parts_follow_each_other_within_their_room():
    ends = [NAMED, CONNECTED, SINGLE, ANSWER, REPLY, IOV_RECEIVE, IOV_SEND, IOV_ARRANGED, ANSWER_CONTROLS, SPARE, END]
    assert ends == sorted(ends)
    assert ends[0] == HEADERS
    assert END <= HEADERS + HEADERS_BYTES
    assert HEADER.size == MMSGHDR
    assert not any(start % 8 for start in ends)
    assert IOV_ARRANGED == IOV_SEND + SLOTS * IOVEC, "arranged slots are numbered on from the others"


def test_an_answers_control_data_fits_at_its_longest():
    packet = PacketInfo(7, bytes(16), bytes(16))
    assert len(ancillary.reply_from(packet) + ancillary.segment(1400)) <= ANSWER_CONTROL


def test_a_named_header_takes_sender_and_control_data_of_its_own_slot():
    arena, _ = made()
    for slot in (0, 1, SLOTS - 1):
        name, control = BASE + Arena.name_offset(slot), BASE + Arena.control_offset(slot)
        iov = BASE + IOV_RECEIVE + slot * IOVEC
        assert header(arena, NAMED, slot) == (name, V6_BYTES, iov, 1, control, CONTROL_BYTES, 0, 0)
        assert iovec(arena, IOV_RECEIVE, slot) == (BASE + Arena.payload_offset(slot), PAYLOAD_BYTES)


def test_a_connected_header_takes_the_payload_alone():
    arena, _ = made()
    assert header(arena, CONNECTED, 5) == (0, 0, BASE + IOV_RECEIVE + 5 * IOVEC, 1, 0, 0, 0, 0)


def test_single_headers_send_the_slots_and_the_arranged_ones_behind_them():
    arena, headers = made()
    assert len(headers.single) == 2 * SLOTS
    for index in (0, SLOTS - 1, SLOTS, 2 * SLOTS - 1):
        assert header(arena, SINGLE, index) == (0, 0, BASE + IOV_SEND + index * IOVEC, 1, 0, 0, 0, 0)
    assert iovec(arena, IOV_SEND, 9) == (BASE + Arena.payload_offset(9), 0)


def test_the_views_are_the_headers_fields():
    arena, headers = made()
    for slot in (0, SLOTS - 1):
        headers.name_lengths[slot] = 1000 + slot
        headers.control_lengths[slot] = 2000 + slot
        headers.named_sizes[slot] = 3000 + slot
        headers.connected_sizes[slot] = 4000 + slot
        headers.send_sizes[slot] = 5000 + slot
        headers.arranged_at[slot], headers.arranged_sizes[slot] = 6000 + slot, 7000 + slot
        headers.reply_names[slot] = 8000 + slot
        named = header(arena, NAMED, slot)
        assert (named[1], named[5], named[7]) == (1000 + slot, 2000 + slot, 3000 + slot)
        assert header(arena, CONNECTED, slot)[7] == 4000 + slot
        assert iovec(arena, IOV_SEND, slot) == (BASE + Arena.payload_offset(slot), 5000 + slot)
        assert iovec(arena, IOV_ARRANGED, slot) == (6000 + slot, 7000 + slot)
        assert header(arena, REPLY, slot)[0] == 8000 + slot


def test_the_fourth_word_of_each_control_data_is_read_for_the_destination():
    arena, headers = made()
    struct.pack_into("=Q", arena.memory, Arena.control_offset(2) + 24, 99)
    assert headers.packets4[2 * CONTROL_BYTES // 8] == 99


def test_a_header_is_written_whole():
    arena, headers = made()
    headers.write(SPARE, (1, 2, 3, 4, 5, 6))
    assert header(arena, SPARE, 0)[:6] == (1, 2, 3, 4, 5, 6)
