"""Hosts, ports and groups of the command line."""

from __future__ import annotations

import socket

import pytest

from proxyd.errors import SetupError
from proxyd.uftp.hosts import Host, is_source_specific, look_up, look_up_group, look_up_with_port, raw
from proxyd.uftp.options import OptionError
from workers.contract.settings import Address
from workers.wire import sockaddr

LOCAL = Host(Address(4, 0x7F000001))


def test_an_address_needs_no_name_server() -> None:
    assert look_up("127.0.0.1") == LOCAL
    assert look_up("fd77::1:2") == Host(Address(6, 0xFD77 << 112 | 0x10002))


def test_a_link_local_address_keeps_its_interface() -> None:
    assert look_up("fe80::1%lo").scope == socket.if_nametoindex("lo")


@pytest.mark.parametrize("text", ["no such host", "", "1.2.3.4.5", "\udcff"])
def test_what_has_no_address_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="wanted one that has an address"):
        look_up(text or "..")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1", (LOCAL, 1044)),
        ("127.0.0.1:1045", (LOCAL, 1045)),
        ("[::1]:1045", (Host(Address(6, 1)), 1045)),
        ("[::1]", (Host(Address(6, 1)), 1044)),
        ("::1", (Host(Address(6, 1)), 1044)),
    ],
)
def test_a_host_may_have_a_port(text: str, found: tuple[Host, int]) -> None:
    assert look_up_with_port(text) == found


@pytest.mark.parametrize("text", ["127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "[::1]:0"])
def test_a_wrong_port_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="port"):
        look_up_with_port(text)


def test_a_bracket_that_nothing_closes_is_refused() -> None:
    with pytest.raises(OptionError, match="wanted a ']'"):
        look_up_with_port("[::1")


def test_a_group_is_a_multicast_address() -> None:
    assert look_up_group("230.4.4.1").address == Address(4, 0xE6040401)
    for text in ("10.0.0.1", "fd77::1"):
        # The status of a start says that it cannot be joined, as that of 4.10.2 does.
        with pytest.raises(SetupError, match="not a multicast"):
            look_up_group(text)


@pytest.mark.parametrize(
    ("text", "specific"),
    [
        ("232.4.4.1", True),
        ("231.255.255.255", False),
        ("233.0.0.0", False),
        ("ff3e::1", True),
        ("ff15::1", True),
        ("ff05::1", False),
    ],
)
def test_what_may_be_joined_for_single_sources(text: str, specific: bool) -> None:
    assert is_source_specific(look_up(text).address) is specific


def test_an_ipv6_socket_sees_ipv4_mapped() -> None:
    assert sockaddr.decode(raw(LOCAL, 9, 4)) == (LOCAL.address, 9)
    assert sockaddr.decode(raw(LOCAL, 9, 6)) == (Address(6, 0xFFFF_7F00_0001), 9)
    with pytest.raises(OptionError, match="one version"):
        raw(Host(Address(6, 1)), 9, 4)
