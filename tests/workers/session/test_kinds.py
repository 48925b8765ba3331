"""The table of session kinds: what each lets through."""

from __future__ import annotations

import pytest

from workers.contract.settings import SessionKind
from workers.session.kinds import BEHAVIOURS, Match


def test_every_kind_of_the_configuration_is_known() -> None:
    assert set(BEHAVIOURS) == set(SessionKind)


def test_a_normal_session_is_connected_to_its_server_and_answered_k31_k32() -> None:
    normal = BEHAVIOURS[SessionKind.NORMAL]
    assert normal.connected
    assert normal.answers


def test_a_one_way_session_hears_everybody_and_answers_nobody_k28_k30() -> None:
    one_way = BEHAVIOURS[SessionKind.ONE_WAY]
    assert not one_way.connected
    assert not one_way.answers


@pytest.mark.parametrize(("kind", "match"), [(SessionKind.ANY_PORT, Match.HOST), (SessionKind.ANY_SOCK, Match.ANYBODY)])
def test_the_first_answer_fixes_the_server_where_it_is_open_k35_k36_k39(kind: SessionKind, match: Match) -> None:
    assert BEHAVIOURS[kind].fixes
    assert BEHAVIOURS[kind].match is match


def test_a_broadcast_session_never_settles_on_a_server_k43_k44_k47() -> None:
    broadcast = BEHAVIOURS[SessionKind.BROADCAST]
    assert broadcast.match is Match.ANYBODY
    assert not broadcast.fixes


def test_who_sees_the_servers_own_address_k33_k37_k40_k44() -> None:
    seen = {kind for kind in SessionKind for transparent in (False, True) if BEHAVIOURS[kind].genuine[transparent]}
    assert seen == {SessionKind.ANY_SOCK, SessionKind.BROADCAST}
    assert BEHAVIOURS[SessionKind.ANY_SOCK].genuine == (False, True)
    assert BEHAVIOURS[SessionKind.BROADCAST].genuine == (True, True)


def test_what_is_connected_needs_no_judgement() -> None:
    connected = [behaviour for behaviour in BEHAVIOURS.values() if behaviour.connected]
    assert all(behaviour.answers and behaviour.match is Match.SOCK for behaviour in connected)
