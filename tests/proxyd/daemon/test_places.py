"""Where listeners are on a machine, and which of them are one."""

from __future__ import annotations

import socket

import pytest

from proxyd.daemon.places import settle, settle_on
from proxyd.errors import SetupError
from workers.contract.settings import Address, ListenerSettings
from workers.net.interfaces import Assigned, Table

ANY4, ANY6 = Address(4, 0), Address(6, 0)
FRONT, FRONT2, BACK = Address(4, 0x0A010101), Address(4, 0x0A010102), Address(4, 0xC0A80101)
FRONT6 = Address(6, 0xFD77 << 112 | 1)
NAMES = {1: "lo", 2: "front", 3: "back"}


def assigned(interface: int, address: Address) -> Assigned:
    packed = address.value.to_bytes(4 if address.version == 4 else 16, "big")
    return Assigned(interface, address.version, packed, 24, None)


TABLE = Table([assigned(2, FRONT), assigned(2, FRONT2), assigned(2, FRONT6), assigned(3, BACK)])


def settled(*listeners: ListenerSettings) -> list[ListenerSettings]:
    return list(settle_on(listeners, TABLE, NAMES))


def transparent(address: Address, port: int = 69, device: str | None = None) -> ListenerSettings:
    return ListenerSettings(address, port, transparent=True, device=device)


def test_an_address_tells_the_interface_of_a_transparent_listener() -> None:
    assert settled(transparent(FRONT), transparent(FRONT6), transparent(BACK)) == [
        transparent(ANY4, device="front"),
        transparent(ANY6, device="front"),
        transparent(ANY4, device="back"),
    ]


def test_an_interface_can_be_named_itself() -> None:
    assert settled(transparent(FRONT, device="back")) == [transparent(ANY4, device="back")]


def test_two_addresses_of_one_interface_are_one_place() -> None:
    assert settled(transparent(FRONT), transparent(FRONT2), transparent(FRONT, 70)) == [
        transparent(ANY4, device="front"),
        transparent(ANY4, 70, "front"),
    ]


@pytest.mark.parametrize("swap", [False, True])
def test_both_modes_on_every_address_are_one_socket(swap: bool) -> None:
    both = [transparent(ANY4, 5353), ListenerSettings(ANY4, 5353)]
    assert settled(*(reversed(both) if swap else both)) == [transparent(ANY4, 5353)]


def test_what_is_not_the_same_place_stays_apart() -> None:
    listeners = [transparent(ANY4, 53), ListenerSettings(ANY4, 54), ListenerSettings(ANY6, 53), transparent(FRONT, 54)]
    assert settled(*listeners) == [*listeners[:3], transparent(ANY4, 54, "front")]


def test_a_transparent_listener_on_every_interface_needs_no_other_beside_it() -> None:
    every = transparent(ANY4)
    assert settled(transparent(FRONT), every, transparent(BACK)) == [every]
    assert settled(transparent(FRONT), ListenerSettings(ANY4, 69), every) == [every]
    assert settled(transparent(FRONT6), every) == [transparent(ANY6, device="front"), every]


def test_other_listeners_stay_what_they_are() -> None:
    direct = ListenerSettings(FRONT, 69, device="front")
    assert settled(direct, transparent(FRONT)) == [direct, transparent(ANY4, device="front")]


def test_an_address_of_no_interface_is_told() -> None:
    with pytest.raises(SetupError) as caught:
        settled(transparent(Address(4, 0xC0000201)))
    assert str(caught.value) == (
        "find 'transparent [192.0.2.1] port 69': "
        "no interface of this machine has the address 192.0.2.1, which tells the interface"
    )


def test_an_interface_that_is_not_there_is_told() -> None:
    with pytest.raises(
        SetupError, match=r"transparent iface side \[10.1.1.1\] port 69': this machine has no interface"
    ):
        settled(transparent(FRONT, device="side"))


def test_the_interfaces_are_this_machines() -> None:
    loopback = Address(4, 127 << 24 | 1)
    (found,) = settle([transparent(loopback)])
    assert found == transparent(ANY4, device=socket.if_indextoname(1))
    assert settle([ListenerSettings(loopback, 53)]) == (ListenerSettings(loopback, 53),)
