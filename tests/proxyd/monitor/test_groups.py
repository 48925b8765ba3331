"""Transfers as they stand in shared memory, made readable."""

from __future__ import annotations

import msgspec
import pytest

from proxyd.monitor.api import QueryError
from proxyd.monitor.groups import groups
from proxyd.monitor.view import View
from tests.proxyd.monitor.views import a_view
from workers.contract.groups import GROUP, GroupFlag, GroupPhase
from workers.contract.settings import Address
from workers.contract.slots import Counter
from workers.wire import sockaddr

SERVER = sockaddr.encode(Address(4, 0xC0000201), 1044)


def open_group(view: View, slot: int, flags: int, name: bytes = b"film.mkv", server: bytes = SERVER) -> None:
    region = view.regions[0]
    head = (1, GroupPhase.RECEIVING, flags, 2, 0xABCD0123, 0x0A000001, 30, 28, 12_000, 7, 20, 1300)
    rest = (10**9, 2 * 10**9, 3 * 10**9, 1000, 1_300_000, 650_000, 1_300_000, server, SERVER, name)
    GROUP.pack_into(region.memory, region.offset(slot), *head, *rest)
    region.words[Counter.TOP] = slot + 1
    region.words[Counter.SESSIONS] += 1


def test_a_group_says_what_its_record_says() -> None:
    with a_view(program="uftpproxyd") as view:
        open_group(view, 0, GroupFlag.ENCRYPTED | GroupFlag.GATHERS)
        found = groups(view, {})
    (group,) = msgspec.json.decode(msgspec.json.encode(found))["groups"]
    assert (group["id"], group["phase"], group["server_uid"]) == ("ABCD0123/02", "receiving", "0A000001")
    assert (group["clients"], group["ready"], group["encrypted"]) == (30, 28, True)
    assert (group["file"], group["file_bytes"], group["file_size"]) == ("film.mkv", 650_000, 1_300_000)
    assert group["server"] == "[192.0.2.1]:1044"


def test_clients_that_are_not_known_are_not_none_at_all() -> None:
    with a_view(program="uftpproxyd") as view:
        open_group(view, 0, 0)
        (group,) = groups(view, {})["groups"]
    assert (group.clients, group.ready, group.encrypted) == (None, None, False)


def test_groups_are_paged() -> None:
    with a_view(program="uftpproxyd") as view:
        for slot in range(3):
            open_group(view, slot, 0)
        first = groups(view, {"limit": "2"})
        second = groups(view, {"limit": "2", "cursor": first["next"]})
    assert (len(first["groups"]), len(second["groups"]), second["next"]) == (2, 1, None)


def test_a_name_of_any_bytes_is_text_and_half_a_record_is_left_out() -> None:
    with a_view(program="uftpproxyd") as view:
        open_group(view, 0, 0, b"\xff\xfe<b>")
        open_group(view, 1, 0, server=b"\xff" * 28)
        (group,) = groups(view, {})["groups"]
    assert "<b>" in group.file


def test_a_proxy_of_sessions_has_no_groups() -> None:
    with a_view() as view:
        assert groups(view, {})["groups"] == []
        with pytest.raises(QueryError):
            groups(view, {"client": "10.0.0.1"})
