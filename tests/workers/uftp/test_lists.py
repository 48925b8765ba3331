"""Server and client lists as questions."""

from __future__ import annotations

import pytest

from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_UID
from tests.kit.uftp_world import raw, settings_for
from workers.contract.settings import Address
from workers.contract.uftp import ClientEntry, Mode, ServerEntry
from workers.errors import PeerError
from workers.uftp.fingerprint import fingerprint
from workers.uftp.lists import Lists
from workers.wire import sockaddr

BLOB = b"a key blob"
ADDRESS = Address(4, 0x0A630101)


def lists(mode: Mode = Mode.CLIENT, **changes: object) -> Lists:
    return Lists(settings_for(mode, 1, CLIENT_PROXY, **changes))


def test_without_lists_everybody_may() -> None:
    lists().check_server(1, SERVER, None)
    lists().check_client(1, None)
    lists().check_uid(1)
    assert not lists().has_clients


def test_an_empty_list_lets_nobody_in() -> None:
    with pytest.raises(PeerError):
        lists(servers=()).check_server(SERVER_UID, SERVER, None)
    with pytest.raises(PeerError):
        lists(clients=()).check_client(1, None)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("uid", "source", "blob", "why"),
    [
        (SERVER_UID, SERVER, None, None),
        (SERVER_UID, SERVER, BLOB, None),
        (SERVER_UID + 1, SERVER, BLOB, "not in the list"),
        (SERVER_UID, raw("10.99.1.7"), None, "another address"),
        (SERVER_UID, SERVER, b"other", "another fingerprint"),
    ],
)
def test_a_server_must_be_listed_with_address_and_fingerprint(
    mode: Mode, uid: int, source: bytes, blob: bytes | None, why: str | None
) -> None:
    held = lists(mode, servers=(ServerEntry(SERVER_UID, ADDRESS, fingerprint(BLOB)),))
    if why is None:
        held.check_server(uid, source, blob)
        return
    with pytest.raises(PeerError, match=why):
        held.check_server(uid, source, blob)


def test_one_of_several_entries_of_a_server_is_enough() -> None:
    entries = (ServerEntry(1, Address(4, 1), None), ServerEntry(1, ADDRESS, None))
    lists(servers=entries).check_server(1, SERVER, None)


def test_a_mapped_address_is_the_ipv4_address_in_it() -> None:
    mapped = sockaddr.encode(Address(6, 0xFFFF << 32 | ADDRESS.value), 1044)
    lists(servers=(ServerEntry(1, ADDRESS, None),)).check_server(1, mapped, None)


def test_as_4_10_2_reads_it_the_list_of_servers_counts_in_encrypted_groups_and_without_addresses() -> None:
    held = lists(servers=(ServerEntry(1, Address(4, 1), fingerprint(BLOB)),), compat_lists=True)
    held.check_server(2, SERVER, None)
    held.check_server(1, SERVER, BLOB)
    with pytest.raises(PeerError, match="another fingerprint"):
        held.check_server(1, SERVER, b"other")
    with pytest.raises(PeerError, match="not in the list"):
        held.check_server(2, SERVER, BLOB)
    lists(Mode.SERVER, servers=(), compat_lists=True).check_server(1, SERVER, BLOB)


def test_a_client_must_be_listed_and_have_the_listed_key_where_it_shows_one() -> None:
    held = lists(clients=(ClientEntry(1, fingerprint(BLOB)), ClientEntry(2, None)))
    held.check_client(1, BLOB)
    held.check_client(1, None)
    held.check_client(2, b"any")
    held.check_uid(2)
    with pytest.raises(PeerError, match="another fingerprint"):
        held.check_client(1, b"other")
    with pytest.raises(PeerError, match="not in the list"):
        held.check_client(3, None)
    with pytest.raises(PeerError, match="not in the list"):
        held.check_uid(3)
    assert held.has_clients


def test_as_4_10_2_reads_it_the_list_of_clients_counts_where_they_show_keys() -> None:
    held = lists(clients=(ClientEntry(1, None),), compat_lists=True)
    held.check_client(3, None)
    with pytest.raises(PeerError):
        held.check_client(3, BLOB)
