from __future__ import annotations

import pytest

from proxyd.config.values import numbers
from proxyd.config.values.kind import Kind, UnfitError
from tests.proxyd.config.samples import element


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (numbers.UINT8, "255", 255),
        (numbers.UINT16, "0x1F", 31),
        (numbers.POSITIVE32, "4294967295", 2**32 - 1),
        (numbers.BYTES32, "33K", 33 * 1024),
        (numbers.POSITIVE_BYTES, "32m", 32 * 1024**2),
        (numbers.POSITIVE_BYTES, "2G", 2 * 1024**3),
        (numbers.DECIMAL_SECONDS, "0.25", 250_000_000),
        (numbers.DECIMAL_SECONDS, "15", 15_000_000_000),
        (numbers.PORT, "0", 0),
        (numbers.PORT, "domain", 53),
        (numbers.PORT, "TFTP".lower(), 69),
    ],
)
def test_a_number_is_read_and_written_again(kind: Kind, text: str, value: int) -> None:
    assert kind.parse(element(text)) == value
    assert kind.parse(element(kind.show(value))) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (numbers.UINT8, "256"),
        (numbers.POSITIVE16, "0"),
        (numbers.UINT16, "33K"),
        (numbers.UINT16, "1e3"),
        (numbers.UINT32, "9" * 5000),
        (numbers.UINT32, '"5"'),
        (numbers.BYTES32, "4G"),
        (numbers.DECIMAL_SECONDS, "0"),
        (numbers.DECIMAL_SECONDS, "70000"),
        (numbers.DECIMAL_SECONDS, "1.2.3"),
        (numbers.PORT, "65536"),
        (numbers.PORT, "no-such-service"),
        (numbers.LISTEN_PORT, "0"),
    ],
)
def test_what_is_no_number_of_the_type_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(UnfitError):
        kind.parse(element(text))


def test_sizes_are_written_with_the_largest_suffix_that_fits() -> None:
    show = numbers.POSITIVE_BYTES.show
    assert [show(size) for size in (1023, 1024, 1025, 64 * 1024**2, 1024**3)] == ["1023", "1K", "1025", "64M", "1G"]
