"""Addresses of an announcement."""

from __future__ import annotations

import pytest

from tests.kit.uftp_world import raw
from workers.contract.settings import Address
from workers.errors import PeerError
from workers.uftp.addresses import host_of, is_multicast, is_source_specific, raw_group
from workers.wire import sockaddr

V4 = bytes((230, 5, 5, 10))
V6 = bytes.fromhex("ff150000000000000000000000050001")


def test_an_address_becomes_a_raw_one_with_the_clients_port() -> None:
    assert raw_group(V4, 1044, 4) == raw("230.5.5.10", 1044)
    assert sockaddr.decode(raw_group(V6, 99, 6)) == (Address(6, int.from_bytes(V6)), 99)


def test_no_address_is_none() -> None:
    assert raw_group(bytes(4), 1044, 4) == raw_group(bytes(16), 1044, 6) == b""


def test_an_ipv4_group_on_an_ipv6_socket_is_mapped() -> None:
    assert host_of(raw_group(V4, 1044, 6)) == bytes(10) + b"\xff\xff" + V4


def test_an_ipv6_group_on_an_ipv4_socket_is_refused() -> None:
    with pytest.raises(PeerError, match="IPv6"):
        raw_group(V6, 1044, 4)


def test_a_host_is_an_address_without_its_port() -> None:
    assert host_of(raw("10.0.0.1", 5)) == host_of(raw("10.0.0.1", 6)) == bytes((10, 0, 0, 1))
    assert host_of(raw("10.0.0.1", 5)) != host_of(raw("10.0.0.2", 5))


@pytest.mark.parametrize(
    ("address", "multicast", "specific"),
    [
        ("e6050510", True, False),
        ("e8040401", True, True),
        ("0a000001", False, False),
        ("f0000001", False, False),
        ("ff150000000000000000000000050001", True, True),
        ("ff050000000000000000000000050001", True, False),
        ("ff350000000000000000000000050001", True, True),
        ("fe800000000000000000000000050001", False, False),
    ],
)
def test_kinds_of_addresses(address: str, multicast: bool, specific: bool) -> None:
    assert is_multicast(bytes.fromhex(address)) is multicast
    assert is_source_specific(bytes.fromhex(address)) is specific
