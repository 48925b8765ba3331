"""The station: notes by level, rations, room for clients."""

from __future__ import annotations

from tests.kit.uftp_scene import CLIENT_PROXY
from tests.kit.uftp_world import settings_for
from workers.contract.uftp import DropReason, Fact, Mode
from workers.uftp.actions import GroupKey, Note, Send
from workers.uftp.keyring import KeyRing
from workers.uftp.station import CLIENTS_FACTOR, Station, pack_uids


def station(mode: Mode = Mode.CLIENT, **changes: object) -> Station:
    return Station(settings_for(mode, 9, CLIENT_PROXY, **changes), 9, KeyRing((), bytes), bytes, 0)


def test_a_line_is_asked_for_if_the_log_wants_its_level() -> None:
    one = station(log_level=2)
    one.note("uftp-keyinfo-in", None)
    one.note("uftp-grtt", None, 5)
    assert one.actions == [Note("uftp-keyinfo-in", None, 0, ())]
    one.log_level = 4
    one.note_refused("uftp-grtt", GroupKey(1, 2), 5)
    assert one.actions[1] == Note("uftp-grtt", GroupKey(1, 2), 0, (5,))
    one.log_level = 0
    one.note_refused("uftp-grtt", GroupKey(1, 2), 5)
    assert len(one.actions) == 2


def test_sends_and_drops_are_kept_for_the_caller() -> None:
    one = station()
    one.send(b"datagram", CLIENT_PROXY)
    one.drop(DropReason.SHORT)
    assert one.actions == [Send(b"datagram", CLIENT_PROXY)]
    assert one.drops == {DropReason.SHORT: 1}


def test_all_groups_together_have_room_for_ten_times_the_clients_of_one() -> None:
    one = station(max_clients=3)
    one.facts[Fact.CLIENTS] = 3 * CLIENTS_FACTOR - 1
    assert one.has_room
    one.facts[Fact.CLIENTS] += 1
    assert not one.has_room


def test_only_a_client_proxy_makes_an_ecdh_key_for_each_group() -> None:
    assert station(Mode.CLIENT).own_side.fresh_ecdh
    assert not station(Mode.RESPONSE).own_side.fresh_ecdh


def test_uids_are_packed_for_the_log() -> None:
    assert pack_uids((1, 0xC0C0)) == bytes.fromhex("000000010000c0c0")
