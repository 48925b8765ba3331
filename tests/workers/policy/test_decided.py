"""Which member let a host in: the one that decides in the list's own order."""

from __future__ import annotations

import pytest

from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostCondition,
    HostItem,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
)
from workers.policy.decided import deciding_item, member_text
from workers.policy.hostset import Peer

TEN = AddressRange(4, 0x0A000000, 0x0AFFFFFF)
ONE = AddressRange(4, 0x0A000001, 0x0A000001)
HOST, OTHER = Peer(Address(4, 0x0A000001)), Peer(Address(4, 0x0A000002))


def condition(*members: HostItem | HostMember, ports: tuple[tuple[int, int], ...] | None = None) -> HostCondition:
    return HostCondition(
        HostList(tuple(item if isinstance(item, HostMember) else HostMember(item) for item in members)), ports
    )


@pytest.mark.parametrize(
    ("conditions", "peer", "found"),
    [
        ((), HOST, None),
        ((condition(ONE),), HOST, "#1:[10.0.0.1]"),
        ((condition(ONE),), OTHER, None),
        ((condition(ONE), condition(TEN)), OTHER, "#2:[10.0.0.0/8]"),
        ((condition(HostMember(ONE, negated=True), TEN),), OTHER, "#1:[10.0.0.0/8]"),
        ((condition(HostMember(ONE, negated=True), TEN), condition(AnyHost())), HOST, "#2:*"),
        ((condition(HostName("a.test"), HostPattern("^pc")),), Peer(HOST.address, "pc1"), "#1:/^pc/"),
        ((condition(TEN, ports=((53, 53),)), condition(AnyHost(), ports=((1, 9), (69, 69)))), HOST, "#2:*"),
        ((condition(HostList((HostMember(TEN),)), AnyHost()),), HOST, "#1:{...}"),
    ],
)
def test_the_first_item_that_fits_is_named_with_the_member_that_decides(
    conditions: tuple[HostCondition, ...], peer: Peer, found: str | None
) -> None:
    assert deciding_item(conditions, peer, 69, {}) == found


def test_in_a_long_list_the_one_member_is_found() -> None:
    many = [AddressRange(4, value, value) for value in range(1000)]
    for value in (0, 1, 500, 998, 999):
        wanted = member_text(HostMember(many[value]))
        assert deciding_item((condition(*many),), Peer(Address(4, value)), 0, {}) == f"#1:{wanted}"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (AddressRange(4, 0x0A000001, 0x0A000006), "[10.0.0.1]-[10.0.0.6]"),
        (AddressRange(6, 1, 1), "[::1]"),
        (AddressRange(6, 1 << 96, (2 << 96) - 1), "[0:1::/32]"),
        (MaskedAddress(4, 0x0A000100, 0xFF00FF00), "[10.0.1.0/255.0.255.0]"),
        (HostName("a.test"), "a.test"),
    ],
)
def test_members_are_written_as_in_the_configuration(item: HostItem, text: str) -> None:
    assert member_text(HostMember(item)) == text
    assert member_text(HostMember(item, negated=True)) == f"!{text}"
