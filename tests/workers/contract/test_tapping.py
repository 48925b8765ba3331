"""What goes through a tap's lane."""

from __future__ import annotations

import pytest

from workers.contract.tapping import ADDRESSES, HEAD, MAX_BYTES, Kind, Way, decode
from workers.errors import ContractError


def test_a_message_is_taken_apart() -> None:
    found = decode(HEAD.pack(Kind.DATAGRAM, Way.IN, -5, 7, b"peer") + b"payload")
    assert found[:4] == (Kind.DATAGRAM, Way.IN, -5, 7)
    assert (found.peer, found.body) == (b"peer".ljust(28, b"\0"), b"payload")


def test_the_longest_datagram_fits() -> None:
    assert HEAD.size + 65_527 <= MAX_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(HEAD.size - 1),
        HEAD.pack(9, 0, 0, 0, b""),
        HEAD.pack(Kind.DATAGRAM, 2, 0, 0, b""),
        HEAD.pack(Kind.BEGUN, 0, 0, 0, b"") + bytes(ADDRESSES.size + 1),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        decode(data)
