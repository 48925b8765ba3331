"""One session's arithmetic: budgets from limits, and the first deadline of four."""

from __future__ import annotations

import pytest

from tests.kit.session_parts import PROXY, SECOND, rule, server, sock6
from workers.contract.settings import SessionKind
from workers.contract.slots import CloseReason
from workers.deadlines import NEVER
from workers.session.session import UNLIMITED, Session, Terms

NOW = 1_000 * SECOND


def session(kind: SessionKind = SessionKind.NORMAL, **limits: int) -> Session:
    terms = Terms.of(rule(kind=kind, **limits))
    return Session(terms, NOW, 3, 7)


def test_a_limit_that_is_not_configured_is_unlimited_k73() -> None:
    free = session()
    assert free.terms.dgrams_out == free.terms.dgrams_in == free.terms.bytes_out == free.terms.bytes_in == UNLIMITED
    assert not free.reached()
    assert free.deadline()[0] >= NEVER
    assert free.check_ns >= NEVER


def test_a_client_of_another_ip_version_sees_no_servers_address_k40_k44() -> None:
    found = session(SessionKind.BROADCAST)
    found.transparent, found.destination = False, sock6(1, 5300)
    assert found.face(server()) == found.destination
    found.destination = PROXY
    assert found.face(server(2, 99)) == server(2, 5300)


def test_what_passed_is_what_the_budgets_lack() -> None:
    used = session(max_dgrams_out=5, max_bytes_in=100)
    used.dgrams_out_left -= 2
    used.dgrams_in_left -= 3
    used.bytes_out_left -= 40
    used.bytes_in_left -= 50
    assert (used.dgrams_out, used.dgrams_in, used.bytes_out, used.bytes_in) == (2, 3, 40, 50)


@pytest.mark.parametrize(("out_left", "in_left", "reached"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_both_datagram_limits_must_be_used_up_k68_k69(out_left: int, in_left: int, reached: bool) -> None:
    used = session(max_dgrams_out=3, max_dgrams_in=3)
    used.dgrams_out_left, used.dgrams_in_left = out_left, in_left
    assert used.reached() is reached


def test_an_unlimited_direction_is_never_reached_k68() -> None:
    used = session(max_dgrams_out=1)
    used.dgrams_out_left = 0
    assert not used.reached()


def test_used_up_bytes_are_not_reached_datagrams_k69() -> None:
    used = session(max_bytes_out=1, max_bytes_in=1)
    used.bytes_out_left = used.bytes_in_left = 0
    assert not used.reached()


@pytest.mark.parametrize(
    ("limits", "expected", "reason"),
    [
        ({"session_ns": 9 * SECOND}, 9, CloseReason.TIMEOUT_SESSION),
        ({"in_ns": 9 * SECOND}, 9 + 2, CloseReason.TIMEOUT_IN),
        ({"out_ns": 9 * SECOND}, 9 + 5, CloseReason.TIMEOUT_OUT),
        ({"both_ns": 9 * SECOND}, 9 + 5, CloseReason.TIMEOUT_BOTH),
        ({"session_ns": 8 * SECOND, "in_ns": 7 * SECOND, "both_ns": SECOND}, 6, CloseReason.TIMEOUT_BOTH),
        ({"session_ns": 8 * SECOND, "in_ns": 5 * SECOND, "both_ns": 9 * SECOND}, 7, CloseReason.TIMEOUT_IN),
        ({"session_ns": 5 * SECOND, "in_ns": 4 * SECOND, "out_ns": SECOND}, 5, CloseReason.TIMEOUT_SESSION),
    ],
)
def test_the_first_time_limit_that_passes_ends_the_session_k75_to_k79(
    limits: dict[str, int], expected: int, reason: CloseReason
) -> None:
    busy = session(**limits)
    busy.last_in_ns, busy.last_out_ns = NOW + 2 * SECOND, NOW + 5 * SECOND
    assert busy.deadline() == (NOW + expected * SECOND, reason)


def test_either_direction_puts_off_the_time_limit_on_both_k78() -> None:
    answered = session(both_ns=SECOND)
    answered.last_in_ns = NOW + SECOND // 2
    assert answered.deadline()[0] == NOW + SECOND + SECOND // 2


def test_every_timer_starts_at_establishment_k81() -> None:
    for name in ("session_ns", "in_ns", "out_ns", "both_ns"):
        new = session(**{name: 5 * SECOND})
        assert new.deadline()[0] == new.check_ns == NOW + 5 * SECOND


def test_nobody_need_ask_before_the_shortest_time_limit() -> None:
    assert session(session_ns=9 * SECOND, in_ns=3 * SECOND, out_ns=4 * SECOND).check_ns == NOW + 3 * SECOND


def test_a_one_way_session_ignores_limits_on_what_never_comes_in() -> None:
    silent = session(
        SessionKind.ONE_WAY, max_dgrams_in=1, max_bytes_in=1, in_ns=SECOND, max_dgrams_out=2, max_bytes_out=9
    )
    assert silent.deadline()[0] >= NEVER
    assert (silent.terms.dgrams_in, silent.terms.bytes_in) == (UNLIMITED, UNLIMITED)
    assert (silent.terms.dgrams_out, silent.terms.bytes_out) == (2, 9)


def test_a_one_way_session_keeps_its_other_time_limits() -> None:
    for name in ("session_ns", "out_ns", "both_ns"):
        assert session(SessionKind.ONE_WAY, **{name: SECOND}).deadline()[0] == NOW + SECOND


def test_a_new_session_has_neither_socket_nor_reason_to_end() -> None:
    new = session()
    assert (new.slot, new.track) == (3, 7)
    assert new.sock is None
    assert new.closing is None
