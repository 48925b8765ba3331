"""Groups are joined on every interface, beyond what one socket may have, and left again."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.uftp_process import LOOPBACK, own_group, raw
from workers.contract.settings import Address
from workers.contract.uftp import Interface
from workers.multicast import Multicast

SOURCES = tuple(raw(Address(4, 0x0A00_0001 + number), 0) for number in range(25))


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


def joined(groups: list[Address]) -> int:
    """Return how many of the groups this host has joined on loopback."""
    text = Path("/proc/net/igmp").read_text().partition("\tlo ")[2].partition("\n2\t")[0]
    return sum(f"{int.from_bytes(group.value.to_bytes(4, 'little')):08X}" in text.upper() for group in groups)


def sources_of(group: Address) -> int:
    return len(re.findall(f"0x{group.value:08x}", Path("/proc/net/mcfilter").read_text()))


def test_more_groups_are_joined_than_one_socket_may_have(sock: socket.socket) -> None:
    multicast = Multicast(sock, 4, (LOOPBACK,))
    groups = [own_group() for _ in range(50)]
    for group in groups:
        multicast.join(raw(group, 1044), ())
    assert joined(groups) == 50
    for group in groups[10:40]:
        multicast.leave(raw(group, 1044), ())
    assert joined(groups) == 20
    multicast.close()
    sock.close()
    assert joined(groups) == 0


def test_more_sources_are_joined_than_a_group_may_have_on_one_socket(sock: socket.socket) -> None:
    multicast, group = Multicast(sock, 4, (LOOPBACK,)), own_group()
    group = Address(4, group.value & 0xFF_FFFF | 232 << 24)
    multicast.join(raw(group, 1044), SOURCES)
    assert sources_of(group) == len(SOURCES)
    multicast.leave(raw(group, 1044), SOURCES)
    assert sources_of(group) == 0


def test_a_replacement_joins_what_its_predecessor_had(sock: socket.socket) -> None:
    group = own_group()
    for sources in ((), SOURCES[:2]):
        Multicast(sock, 4, (LOOPBACK,)).join(raw(group, 1044), sources)
        replacement = Multicast(sock, 4, (LOOPBACK,))
        replacement.join(raw(group, 1044), sources)
        replacement.leave(raw(group, 1044), sources)
        assert joined([group]) == 0


def test_a_join_that_fails_on_one_interface_is_undone_on_the_others(sock: socket.socket) -> None:
    group, nowhere = own_group(), Interface("none", 2**30, Address(4, 1))
    with pytest.raises(OSError) as failed:  # noqa: PT011 - the errno is looked at
        Multicast(sock, 4, (LOOPBACK, nowhere)).join(raw(group, 1044), ())
    assert failed.value.errno == errno.ENODEV
    assert joined([group]) == 0


def test_leaving_what_was_not_joined_does_nothing(sock: socket.socket) -> None:
    Multicast(sock, 4, (LOOPBACK,)).leave(raw(own_group(), 1044), ())


def test_groups_are_joined_in_ipv6_too() -> None:
    here = Interface("lo", LOOPBACK.number, Address(6, 1))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        group = Address(6, 0xFF15 << 112 | own_group().value)
        multicast = Multicast(sock, 6, (here,))
        for sources in ((), (raw(Address(6, 9), 0), SOURCES[0])):
            multicast.join(raw(group, 1044), sources)
            assert f"{group.value:032x}" in Path("/proc/net/igmp6").read_text()
            multicast.leave(raw(group, 1044), sources)
            assert f"{group.value:032x}" not in Path("/proc/net/igmp6").read_text()
