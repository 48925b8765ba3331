from __future__ import annotations

import pytest

from workers.uftp.fingerprint import FINGERPRINT_BYTES, fingerprint, format_fingerprint, parse_fingerprint

TEXT = "66:1E:C9:1D:FC:99:DB:60:B0:1A:F0:8F:CA:F4:28:27:A6:BE:94:BC"


def test_a_fingerprint_is_the_sha1_of_the_blob() -> None:
    assert fingerprint(b"abc").hex() == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert len(fingerprint(b"")) == FINGERPRINT_BYTES


def test_a_text_is_read_and_printed_the_same() -> None:
    assert format_fingerprint(parse_fingerprint(TEXT)) == TEXT


def test_lower_case_is_read_too() -> None:
    assert parse_fingerprint(TEXT.lower()) == parse_fingerprint(TEXT)


@pytest.mark.parametrize(
    "text",
    ["", TEXT[:-1], TEXT[:-3], f"{TEXT}:00", f"{TEXT}:", TEXT.replace("66", "6G"), TEXT.replace(":", ""), f" {TEXT}"],
)
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    assert parse_fingerprint(text) is None
