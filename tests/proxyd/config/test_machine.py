"""Which addresses are this machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.config.machine import addresses_of, is_own
from workers.contract.settings import Address


@pytest.mark.parametrize(
    ("address", "own"),
    [
        (Address(4, 127 << 24 | 1), True),
        (Address(6, 1), True),
        (Address(4, 0xC000_0201), False),
        (Address(6, 0x2001_0DB8 << 96 | 1), False),
    ],
)
def test_an_address_is_told_apart(address: Address, own: bool) -> None:
    assert is_own(address) is own


def test_what_the_machine_does_not_say_is_not_held_against_an_address() -> None:
    # A link-local address without its interface: refused for another reason than not being there.
    assert is_own(Address(6, 0xFE80 << 112 | 1))


def test_names_are_looked_up_in_the_hosts_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("192.0.2.7 Proxy.example proxy # ours\n2001:db8::7 proxy.example\n192.0.2.1 proxy.example\n")
    assert addresses_of("proxy.EXAMPLE.", file) == (
        Address(4, 0xC000_0201),
        Address(4, 0xC000_0207),
        Address(6, 0x2001_0DB8 << 96 | 7),
    )
    assert addresses_of("other", file) == addresses_of("proxy", tmp_path / "missing") == ()
