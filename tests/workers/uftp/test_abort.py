"""ABORT."""

from __future__ import annotations

import pytest

from tests.workers.uftp import wire
from workers.errors import EngineMisuse
from workers.uftp.abort import CURRENT_FILE, TEXT_BYTES, Abort

TEXT = b"Process interrupted"
ABORT = "134d 00 00 00000000" + TEXT.ljust(TEXT_BYTES, b"\0").hex()


def test_a_station_gives_up():
    wire.holds(ABORT, Abort(0, TEXT))


def test_a_client_is_told_to_leave_a_file_of_which_no_byte_of_the_reason_is_lost():
    text = bytes(range(1, 256)) + b"x" * 45
    wire.holds("134d 01 00 00001111" + text.hex(), Abort(0x1111, text, CURRENT_FILE))
    assert Abort(0, text, CURRENT_FILE).current_file
    assert not Abort(0, text).current_file


def test_zeroes_within_the_reason_are_kept():
    wire.holds("134d 00 00 00000000" + b"a\0b".ljust(TEXT_BYTES, b"\0").hex(), Abort(0, b"a\0b"))


def test_what_stands_behind_a_zero_is_not_read():
    assert Abort(0, b"gone\xe4\0\0left over").reason == "gone\xe4"
    assert Abort(0, TEXT).reason == TEXT.decode()


def test_a_short_or_long_abort_is_refused():
    wire.header_needs(308, ABORT)
    wire.has_no_body(ABORT)


def test_a_reason_that_does_not_fit_is_a_misuse():
    with pytest.raises(EngineMisuse, match="ABORT text"):
        Abort(0, bytes(301)).encode()
