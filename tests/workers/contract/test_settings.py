"""An address as people write it."""

from __future__ import annotations

import pytest

from workers.contract.settings import Address


@pytest.mark.parametrize(
    ("address", "text"),
    [(Address(4, 0xE6040401), "230.4.4.1"), (Address(4, 1), "0.0.0.1"), (Address(6, 1), "::1"), (Address(6, 0), "::")],
)
def test_an_address_is_written_as_usual(address: Address, text: str) -> None:
    assert str(address) == f"{address}" == text
    assert address.native.version == address.version


def test_an_address_knows_what_it_is_for() -> None:
    assert Address(4, 0x7F000001).native.is_loopback
    assert Address(6, 0xFF02 << 112).native.is_multicast
