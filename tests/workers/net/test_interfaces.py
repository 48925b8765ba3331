"""Own and broadcast addresses: decoded from bytes, and learnt from the kernel of a namespace as they change."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces, requires_root
from tests.workers.forked import in_child
from workers import privilege
from workers.contract.context import Confinement
from workers.errors import DecodeError
from workers.net.interfaces import Assigned, Interfaces, Table, decode_address

GROUP = socket.inet_aton("10.1.1.255")
LOCAL6 = socket.inet_pton(socket.AF_INET6, "fe80::1")
GLOBAL6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def ip(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def entry(interface: int, text: str, prefix: int, broadcast: str | None = None, label: str = "") -> Assigned:
    local = ip(text)
    packed = None if broadcast is None else ip(broadcast)
    return Assigned(interface, 6 if ":" in text else 4, local, prefix, packed, label)


def body(family: int, fields: dict[int, bytes], prefix: int = 24, flags: int = 0x80, interface: int = 2) -> bytes:
    fixed = struct.pack("=BBBBI", family, prefix, flags, 0, interface)
    return fixed + b"".join(
        (struct.pack("=HH", 4 + len(data), kind) + data).ljust((7 + len(data)) & ~3, b"\0")
        for kind, data in fields.items()
    )


def test_an_address_is_read_with_its_network() -> None:
    found = decode_address(body(socket.AF_INET, {1: ip("10.1.1.1"), 2: ip("10.1.1.1"), 4: ip("10.1.1.255")}))
    assert found == entry(2, "10.1.1.1", 24, "10.1.1.255")


def test_the_far_end_of_a_line_is_not_our_own() -> None:
    found = decode_address(body(socket.AF_INET, {1: ip("10.1.1.2"), 2: ip("10.1.1.1")}, 32))
    assert found is not None
    assert found.local == ip("10.1.1.1")


def test_an_ipv6_address_has_no_local_field() -> None:
    found = decode_address(body(socket.AF_INET6, {1: GLOBAL6}, 64, 0x81))
    assert found == entry(2, "2001:db8::1", 64)


def test_an_address_has_the_label_that_it_was_given() -> None:
    found = decode_address(body(socket.AF_INET, {2: ip("10.1.1.1"), 3: b"eth0:x\0"}))
    assert found == entry(2, "10.1.1.1", 24, label="eth0:x")


def test_another_family_is_passed_over() -> None:
    assert decode_address(body(99, {1: b"anything"})) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes((2, 24, 0, 0, 1)),
        body(socket.AF_INET, {}),
        body(socket.AF_INET, {2: GLOBAL6}),
        body(socket.AF_INET, {2: ip("10.1.1.1"), 4: b"abc"}),
        body(socket.AF_INET6, {1: ip("10.1.1.1")}),
    ],
)
def test_an_address_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_address(raw)


@given(st.binary(max_size=80))
def test_any_body_is_read_or_refused(raw: bytes) -> None:
    try:
        decode_address(raw)
    except DecodeError:
        return


def test_own_addresses_are_told_from_all_others() -> None:
    table = Table([entry(1, "127.0.0.1", 8), entry(2, "10.1.1.1", 24, "10.1.1.255"), entry(2, "2001:db8::1", 64)])
    for own in ("127.0.0.1", "127.8.8.8", "10.1.1.1", "2001:db8::1"):
        assert table.is_own(ip(own)), own
    for foreign in ("10.1.1.2", "10.1.1.255", "127.255.255.255", "255.255.255.255", "::", "2001:db8::2"):
        assert not table.is_own(ip(foreign)), foreign


def test_a_broadcast_address_leads_to_its_interface() -> None:
    table = Table([entry(2, "10.1.1.1", 24), entry(3, "192.168.1.1", 25, "192.168.1.255"), entry(4, "10.9.9.9", 31)])
    assert table.broadcast_of(ip("10.1.1.255")) == 2
    # The kernel takes both: the one that was set, and the one that follows from the prefix.
    assert table.broadcast_of(ip("192.168.1.255")) == table.broadcast_of(ip("192.168.1.127")) == 3
    for none in ("10.1.1.1", "10.9.9.9", "255.255.255.255", "2001:db8::ff"):
        assert table.broadcast_of(ip(none)) is None, none


def test_one_network_on_two_interfaces_is_known_on_both() -> None:
    table = Table([entry(2, "10.1.1.1", 24), entry(2, "10.1.1.8", 24), entry(5, "10.1.1.9", 24)])
    assert table.broadcast_of(GROUP) == 2
    assert [table.has_broadcast(number, GROUP) for number in (2, 3, 5)] == [True, False, True]


def test_an_interface_is_known_by_its_addresses() -> None:
    table = Table([entry(2, "10.1.1.1", 24), entry(2, "10.1.1.2", 24), entry(3, "2001:db8::1", 64)])
    assert [table.interface_of(ip(text)) for text in ("10.1.1.2", "2001:db8::1", "10.1.1.3")] == [2, 3, None]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    place = Namespace(f"pxd-{os.getpid()}-1-interfaces")
    try:
        place.make()
        place.configure(["link add left type veth", "addr add 10.1.1.1/24 brd + dev left", "link set left up"])
        yield place
    finally:
        place.close()


def wait(interfaces: Interfaces) -> None:
    """Learn until the table has become another."""
    for _ in range(50):
        readable, _, _ = select.select([interfaces], [], [], 10)
        assert readable, "the kernel said nothing"
        if interfaces.learn():
            return
    raise AssertionError("the table stays as it is")


@requires_namespaces
def test_the_table_follows_the_kernel(namespace: Namespace) -> None:
    interfaces = namespace.call(Interfaces)
    try:
        assert interfaces.table.is_own(ip("10.1.1.1"))
        left = interfaces.table.broadcast_of(GROUP)
        assert left is not None
        namespace.configure(["addr add 192.168.7.1/28 dev left"])
        wait(interfaces)
        assert interfaces.table.broadcast_of(ip("192.168.7.15")) == left
        namespace.configure(["addr del 10.1.1.1/24 dev left"])
        while interfaces.table.is_own(ip("10.1.1.1")):
            wait(interfaces)
        assert interfaces.table.broadcast_of(GROUP) is None
    finally:
        interfaces.close()


@requires_namespaces
def test_more_changes_than_fit_into_the_socket_are_all_learnt(namespace: Namespace) -> None:
    interfaces = namespace.call(Interfaces)
    try:
        many = [f"addr add 10.{number >> 8}.{number & 255}.1/32 dev left" for number in range(1000, 4000)]
        namespace.configure(many)
        while len(interfaces.table.assigned) < len(many) + 2:
            wait(interfaces)
        assert interfaces.table.is_own(ip("10.15.159.1"))
        assert not interfaces.learn()
    finally:
        interfaces.close()


def test_nothing_new_is_nothing_new() -> None:
    interfaces = Interfaces()
    try:
        before = interfaces.table
        assert not interfaces.learn()
        assert interfaces.table is before
        assert interfaces.table.is_own(ip("127.0.0.1"))
    finally:
        interfaces.close()


@requires_root
def test_a_confined_process_can_look(tmp_path: object) -> None:
    def act() -> object:
        privilege.confine(Confinement(65534, 65534, str(tmp_path)))
        return Interfaces().table.is_own(ip("127.0.0.1"))

    assert in_child(act) == "True"
