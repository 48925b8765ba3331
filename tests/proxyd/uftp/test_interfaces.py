"""Interfaces by name, number, family and address; what is taken where nothing is named."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator

import pytest

from proxyd.uftp.interfaces import (
    Entry,
    default_out,
    default_uid,
    find_interface,
    list_interfaces,
    one_each,
    parse_address,
    usable,
)
from proxyd.uftp.options import OptionError
from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces
from workers.contract.settings import Address
from workers.contract.uftp import Interface


def entry(name: str, number: int, text: str) -> Entry:
    address = parse_address(text)
    assert address is not None
    return Entry(Interface(name, number, address), text.startswith(("127.", "::1")))


LO, LO6 = entry("lo", 1, "127.0.0.1"), entry("lo", 1, "::1")
LINK, GLOBAL = entry("eth0", 2, "fe80::1"), entry("eth0", 2, "fd77::1:2")
FIRST, SECOND = entry("eth0", 2, "10.0.0.2"), entry("eth0", 2, "10.0.0.3")
OTHER = entry("eth1", 3, "10.1.0.2")
ENTRIES = (LO, LO6, LINK, GLOBAL, FIRST, SECOND, OTHER)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("eth0", FIRST),
        ("eth0/4", FIRST),
        ("eth0/6", GLOBAL),
        ("2", FIRST),
        ("2/6", GLOBAL),
        ("10.0.0.3", SECOND),
        ("fe80::1%eth0", LINK),
        ("eth1", OTHER),
        ("lo", LO),
    ],
)
def test_a_word_finds_its_interface(text: str, found: Entry) -> None:
    assert find_interface(text, ENTRIES) is found


def test_an_address_with_a_label_is_found_by_it() -> None:
    labelled = dataclasses.replace(SECOND, label="eth0:x")
    assert find_interface("eth0:x", (FIRST, labelled)) is labelled
    assert find_interface("eth0", (FIRST, labelled)) is FIRST


@pytest.mark.parametrize("text", ["eth2", "eth1/6", "10.9.9.9", "9", "no such host.", "eth0/5", ""])
def test_what_is_not_of_this_host_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="wanted an interface"):
        find_interface(text, ENTRIES)


def test_the_default_is_everything_but_loopback() -> None:
    assert usable(ENTRIES) == ENTRIES[2:]


def test_multicast_leaves_by_the_first_interface_of_the_version() -> None:
    assert default_out(ENTRIES, 4) is FIRST
    assert default_out(ENTRIES, 6) is GLOBAL
    assert default_out((LO,), 4) is LO
    assert default_out((LO,), 6) is None


def test_an_interface_with_several_addresses_is_joined_once() -> None:
    assert one_each(usable(ENTRIES), 4) == (FIRST.interface, OTHER.interface)
    assert one_each(usable(ENTRIES), 6) == (LINK.interface, FIRST.interface, OTHER.interface)


def test_a_uid_is_the_first_address_or_the_end_of_it() -> None:
    assert default_uid((FIRST,)) == 0x0A000002
    assert default_uid((GLOBAL, FIRST)) == 0x00010002
    assert default_uid(()) == 0


def test_the_hosts_own_loopback_is_found() -> None:
    entries = list_interfaces()
    found = find_interface("127.0.0.1", entries)
    assert found.loopback
    assert found.interface.number == socket.if_nametoindex("lo")
    assert find_interface("lo/4", entries).interface.address == Address(4, 0x7F000001)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    place = Namespace(f"pxd-{os.getpid()}-1-entries")
    try:
        place.make()
        place.configure(
            [
                "link add left type veth peer name right",
                "link add idle type veth peer name far",
                "addr add 10.1.1.1/24 dev left",
                "addr add 10.1.2.1/24 dev left label left:two",
                "addr add 10.1.3.1/24 dev idle",
                "link set left up",
            ]
        )
        yield place
    finally:
        place.close()


@requires_namespaces
def test_an_interface_that_is_up_counts_without_a_carrier_and_one_that_is_down_does_not(namespace: Namespace) -> None:
    entries = namespace.call(list_interfaces)
    told = [(entry.interface.name, entry.label, entry.interface.address) for entry in entries if entry.version == 4]
    assert told == [
        ("lo", "", Address(4, 0x7F000001)),
        ("left", "", Address(4, 0x0A010101)),
        ("left", "left:two", Address(4, 0x0A010201)),
    ]
