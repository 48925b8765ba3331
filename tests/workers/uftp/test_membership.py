"""Private groups: joined once, left last."""

from __future__ import annotations

import pytest

from tests.kit.uftp_scene import CLIENT_PROXY
from tests.kit.uftp_world import PRIVATE, PUBLIC, settings_for
from workers.contract.settings import Address
from workers.contract.uftp import Mode, ServerEntry
from workers.uftp.actions import Join, Leave
from workers.uftp.membership import Memberships
from workers.wire import sockaddr


def memberships(mode: Mode = Mode.SERVER, **changes: object) -> Memberships:
    return Memberships(settings_for(mode, 1, CLIENT_PROXY, **changes))


@pytest.mark.parametrize("mode", [Mode.SERVER, Mode.RESPONSE])
def test_an_address_is_joined_for_the_first_group_and_left_after_the_last(mode: Mode) -> None:
    held = memberships(mode)
    assert held.need(PRIVATE) == Join(PRIVATE, ())
    assert held.need(PRIVATE) is None
    assert held.release(PRIVATE) is None
    assert held.release(PRIVATE) == Leave(PRIVATE, ())
    assert held.need(PRIVATE) == Join(PRIVATE, ())


def test_a_client_proxy_is_a_member_of_nothing() -> None:
    assert memberships(Mode.CLIENT).need(PRIVATE) is None


def test_public_addresses_and_none_are_not_its_business() -> None:
    held = memberships()
    assert held.need(PUBLIC) is held.release(PUBLIC) is None
    assert held.need(b"") is held.release(b"") is None


def test_releasing_what_is_not_needed_does_nothing() -> None:
    assert memberships().release(PRIVATE) is None


def test_with_a_list_groups_are_joined_for_each_listed_server_once() -> None:
    servers = (
        ServerEntry(1, Address(4, 1), None),
        ServerEntry(2, Address(4, 2), None),
        ServerEntry(3, Address(4, 1), None),
    )
    held = memberships(source_specific=True, servers=servers)
    sources = tuple(sockaddr.encode(Address(4, value), 0) for value in (1, 2))
    assert held.need(PRIVATE) == Join(PRIVATE, sources)
    assert memberships(servers=servers).need(PRIVATE) == Join(PRIVATE, ())
