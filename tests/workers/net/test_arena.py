"""The arena: every slot has its own place, and room for whatever can arrive."""

from __future__ import annotations

import itertools

from workers.net.arena import CONTROL_BYTES, HEADERS, HEADERS_BYTES, NAME_BYTES, PAYLOAD_BYTES, SIZE, SLOTS, Arena


def test_no_two_places_overlap_and_all_are_inside():
    places = [(HEADERS, HEADERS_BYTES)]
    for slot in range(SLOTS):
        places.append((Arena.name_offset(slot), NAME_BYTES))
        places.append((Arena.control_offset(slot), CONTROL_BYTES))
        places.append((Arena.payload_offset(slot), PAYLOAD_BYTES))
    places.sort()
    assert places[0][0] >= 0
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(places))
    assert places[-1][0] + places[-1][1] <= SIZE


def test_places_are_aligned_for_the_words_they_are_read_in():
    for slot in range(SLOTS):
        assert not Arena.name_offset(slot) % 8
        assert not Arena.control_offset(slot) % 8
        assert not Arena.payload_offset(slot) % 8
    assert not HEADERS % 8


def test_a_payload_is_a_window_into_the_memory():
    arena = Arena()
    last = SLOTS - 1
    arena.payload(last, 5)[:] = b"bytes"
    assert arena.memory[Arena.payload_offset(last) : Arena.payload_offset(last) + 5] == b"bytes"
    assert len(arena.payload(last, PAYLOAD_BYTES)) == PAYLOAD_BYTES


def test_names_are_four_words_a_slot():
    arena = Arena()
    arena.memory[Arena.name_offset(3) : Arena.name_offset(3) + 8] = (77).to_bytes(8, "little")
    assert arena.names_q[3 * 4] == 77
    assert len(arena.names_q) == 4 * SLOTS


def test_the_largest_datagram_of_either_version_fits():
    assert PAYLOAD_BYTES > 65_527
