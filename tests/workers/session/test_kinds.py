"""The table of session kinds: what each lets through."""

from __future__ import annotations

from workers.contract.settings import SessionKind
from workers.session.kinds import BEHAVIOURS


def test_a_normal_session_is_connected_to_its_server_and_answered_k31_k32() -> None:
    normal = BEHAVIOURS[SessionKind.NORMAL]
    assert normal.connected
    assert normal.answers


def test_a_one_way_session_hears_everybody_and_answers_nobody_k28_k30() -> None:
    one_way = BEHAVIOURS[SessionKind.ONE_WAY]
    assert not one_way.connected
    assert not one_way.answers


def test_what_is_connected_needs_no_judgement() -> None:
    assert all(behaviour.answers for behaviour in BEHAVIOURS.values() if behaviour.connected)
