"""The model itself, by the requirements' own examples: what everything else is compared with must not be wrong."""

from __future__ import annotations

import pytest

from tests.kit.session_model import Broken, Choice, Datagram, Key, Sent, SessionModel
from tests.kit.session_parts import PROXY, SECOND, client, rule, server
from workers.contract.settings import AclSettings, SessionKind
from workers.contract.slots import CloseReason, DropReason

KEY = Key(0, 0, client(1), PROXY)


def model(acl: AclSettings | None = None, capacity: int = 9, **limits: int) -> SessionModel:
    choice = Choice(None, acl or rule(**limits), server())
    return SessionModel(capacity, lambda _client, _destination: choice)


def run(*sizes: int, source: bytes = server()) -> list[Datagram]:
    return [Datagram(number, size, None, source) for number, size in enumerate(sizes)]


def reasons(found: SessionModel) -> list[CloseReason]:
    return [end.reason for end in found.ends]


def test_the_fourth_of_three_ends_the_session_and_the_fifth_opens_one_k67_k71() -> None:
    found = model(max_dgrams_out=3)
    found.client_run(KEY, run(1, 1, 1, 1, 1), 0)
    assert [sent.number for sent in found.sent[0, "out"]] == [0, 1, 2, 4]
    assert reasons(found) == [CloseReason.DGRAMS_OUT]
    assert found.sessions[KEY].out.dgrams == 1


def test_one_and_one_end_with_the_answer_k68() -> None:
    found = model(max_dgrams_out=1, max_dgrams_in=1)
    found.client_run(KEY, run(1), 0)
    assert not found.ends
    found.server_run(KEY, run(1), 0)
    assert reasons(found) == [CloseReason.DGRAMS_REACHED]


def test_bytes_pass_up_to_the_limit_k72() -> None:
    found = model(max_bytes_in=10)
    found.client_run(KEY, run(1), 0)
    found.server_run(KEY, run(10, 0), 0)
    assert not found.ends
    found.server_run(KEY, run(1, 1), 0)
    assert reasons(found) == [CloseReason.BYTES_IN]
    assert found.sent[0, "in"] == [Sent(0, client(1), PROXY), Sent(1, client(1), PROXY)]
    assert found.drops[0, "in", DropReason.LIMIT] == found.drops[0, "in", DropReason.NO_SESSION] == 1


def test_the_servers_time_is_not_reset_by_the_client_k80() -> None:
    found, tenth = model(in_ns=5 * SECOND), SECOND // 10
    found.client_run(KEY, run(1), 0)
    found.server_run(KEY, run(1), tenth)
    found.client_run(KEY, run(1), 5 * SECOND + tenth // 2)
    found.server_run(KEY, run(1), 5 * SECOND + 2 * tenth)
    assert reasons(found) == [CloseReason.TIMEOUT_IN]
    assert found.drops[0, "in", DropReason.EXPIRED] == 1


@pytest.mark.parametrize(("last_byte", "ended"), [(0, True), (1, False)])
def test_the_targets_host_ends_a_one_way_session_another_does_not_k29_k30(last_byte: int, ended: bool) -> None:
    found = model(rule(kind=SessionKind.ONE_WAY))
    found.client_run(KEY, run(1), 0)
    found.server_run(KEY, run(1, source=server(1 + last_byte, 99)), 0)
    assert reasons(found) == ([CloseReason.ONE_WAY_REPLY] if ended else [])
    assert not found.sent.get((0, "in"))


def test_a_datagram_that_was_not_sent_is_given_back_k73() -> None:
    found = model(max_dgrams_out=1, max_dgrams_in=1)
    found.client_run(KEY, run(1), 0)
    found.server_run(KEY, [Datagram(0, 1, DropReason.SEND_BUSY, server())], 0)
    assert not found.ends
    found.server_run(KEY, run(1), 0)
    assert reasons(found) == [CloseReason.DGRAMS_REACHED]


def test_there_are_never_more_sessions_than_may_be_k83_k84() -> None:
    found = model(capacity=1)
    found.client_run(KEY, run(1), 0)
    found.client_run(KEY._replace(worker=1), run(1), 0)
    assert list(found.sessions) == [KEY]
    assert found.drops[1, "out", DropReason.TABLE_FULL] == 1


def test_a_session_without_a_socket_fails() -> None:
    found = model()
    found.client_run(KEY, run(3, 4), 0, sockets=False)
    assert reasons(found) == [CloseReason.FAILURE]
    assert found.drops[0, "out", DropReason.SETUP] == 2
    assert not found.sessions


def test_a_refused_client_has_no_session() -> None:
    found = SessionModel(9, lambda _client, _destination: Choice(DropReason.REJECTED))
    found.client_run(KEY, run(1, 1), 0)
    assert found.drops[0, "out", DropReason.REJECTED] == 2
    assert not found.sessions


def test_who_loses_a_session_early_or_keeps_it_late_is_told_k81() -> None:
    found = model(both_ns=SECOND)
    found.client_run(KEY, run(1), 0)
    with pytest.raises(Broken, match="before its time"):
        found.reconcile(0, set(), SECOND - 1, 10)
    found.reconcile(0, {KEY}, SECOND + 9, 10)
    with pytest.raises(Broken, match="still there"):
        found.reconcile(0, {KEY}, SECOND + 10, 10)
    found.reconcile(0, set(), SECOND, 10)
    assert reasons(found) == [CloseReason.TIMEOUT_BOTH]


def test_a_worker_that_stops_ends_its_own_sessions_only() -> None:
    found = model()
    found.client_run(KEY, run(1), 0)
    found.client_run(KEY._replace(worker=1), run(1), 0)
    found.end_all(1, 0)
    assert list(found.sessions) == [KEY]
