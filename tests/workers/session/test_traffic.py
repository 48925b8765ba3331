"""What passes in sessions, by example, each requirement in its own test; the random ones are in tests/property."""

from __future__ import annotations

import pytest

from tests.kit.session_driver import Arrival, Driver, datagrams
from tests.kit.session_model import Datagram
from tests.kit.session_parts import PROXY, SECOND, Pool, client, rule, server
from tests.workers.session.scene import T0, TENTH, answer, ends, hear, sizes_in, sizes_out, started
from workers.contract.settings import SessionKind
from workers.contract.slots import DropReason
from workers.session.session import Session

# --- data limits -----------------------------------------------------------------------------------------------------


def test_with_three_datagrams_out_the_fourth_ends_the_session_k64_k67_k71(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=3), 1)
    hear(driver, 2)
    hear(driver, 3)
    assert driver.sessions == [session]
    hear(driver, 4)
    assert driver.sessions == []
    assert sizes_out(driver) == [1, 2, 3]
    assert ends(driver) == ["dgrams-out"]
    hear(driver, 5)
    assert sizes_out(driver) == [1, 2, 3, 5]
    assert driver.stats.drops_out[DropReason.LIMIT] == 1


def test_five_datagrams_at_once_are_as_five_one_by_one_k67_k71(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=3), 1, 2, 3, 4, 5)
    assert sizes_out(driver) == [1, 2, 3, 5]
    assert session.dgrams_out == 1
    assert ends(driver) == ["dgrams-out"]


def test_with_two_datagrams_in_the_third_ends_the_session_k63_k67(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_in=2))
    answer(driver, session, 1)
    answer(driver, session, 2)
    assert driver.sessions == [session]
    answer(driver, session, 3, 4)
    assert sizes_in(driver) == [1, 2]
    assert ends(driver) == ["dgrams-in"]
    assert driver.stats.drops_in[DropReason.LIMIT] == 1
    assert driver.stats.drops_in[DropReason.NO_SESSION] == 1
    assert driver.stats.balanced


def test_one_and_one_end_the_session_right_after_the_answer_k68(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1, max_dgrams_in=1))
    assert driver.sessions == [session]
    driver.hear_singles([(session, Datagram(0, 40))], T0)
    assert sizes_in(driver) == [40]
    assert driver.sessions == []
    assert ends(driver) == ["dgrams-reached"]


def test_the_completing_datagram_may_be_the_clients_k68(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=2, max_dgrams_in=1), 1)
    answer(driver, session, 1)
    hear(driver, 2)
    assert sizes_out(driver) == [1, 2]
    assert driver.sessions == []
    assert ends(driver) == ["dgrams-reached"]


def test_the_rest_of_a_run_that_completes_both_opens_a_new_session_k68_k85(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=2, max_dgrams_in=1), 1)
    answer(driver, session, 1)
    hear(driver, 2, 3)
    assert sizes_out(driver) == [1, 2, 3]
    assert [other.dgrams_out for other in driver.sessions] == [1]
    assert driver.stats.drops_out == [0] * len(DropReason)


def test_reaching_one_limit_of_two_ends_nothing_k69(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1, max_dgrams_in=2))
    answer(driver, session, 1)
    assert driver.sessions == [session]


def test_reaching_both_byte_limits_ends_nothing_k69_k72(pool: Pool) -> None:
    driver, session = started(pool, rule(max_bytes_out=10, max_bytes_in=10), 10)
    answer(driver, session, 10)
    assert driver.sessions == [session]
    assert sizes_out(driver) + sizes_in(driver) == [10, 10]


@pytest.mark.parametrize(("limit", "reason"), [("max_bytes_out", "bytes-out"), ("max_bytes_in", "bytes-in")])
def test_one_byte_more_than_the_limit_ends_the_session_k65_k66_k72(pool: Pool, limit: str, reason: str) -> None:
    driver, session = started(pool, rule(**{limit: 100}), 60)
    answer(driver, session, 60)
    (hear if reason == "bytes-out" else lambda *args: answer(args[0], session, args[1]))(driver, 41)
    assert driver.sessions == []
    assert ends(driver) == [reason]
    assert sizes_out(driver) + sizes_in(driver) == [60, 60]


def test_an_empty_datagram_fits_a_byte_limit_that_is_used_up_k26_k72(pool: Pool) -> None:
    driver, session = started(pool, rule(max_bytes_out=10), 10)
    hear(driver, 0)
    assert sizes_out(driver) == [10, 0]
    assert session.dgrams_out == 2


def test_a_first_datagram_that_exceeds_ends_its_session_unsent_k27_k71(pool: Pool) -> None:
    driver = Driver([rule(max_bytes_out=10)], pool)
    hear(driver, 11, 5)
    assert sizes_out(driver) == [5]
    assert ends(driver) == ["bytes-out"]
    assert driver.stats.sessions_opened == 2


def test_of_two_limits_exceeded_at_once_the_datagrams_are_the_reason_k74(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1, max_bytes_out=10, max_dgrams_in=1, max_bytes_in=10), 10)
    hear(driver, 11)
    assert ends(driver) == ["dgrams-out"]
    driver, session = started(pool, rule(max_dgrams_in=1, max_bytes_in=10), 10)
    answer(driver, session, 10)
    answer(driver, session, 11)
    assert ends(driver) == ["dgrams-in"]


def test_a_datagram_that_exceeds_is_no_datagram_that_reaches_k68_k74(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1, max_dgrams_in=1, max_bytes_in=10), 1)
    answer(driver, session, 11)
    assert ends(driver) == ["bytes-in"]


def test_a_resent_datagram_counts_again_k70(pool: Pool) -> None:
    driver, _ = started(pool, rule(max_dgrams_out=2), 10)
    hear(driver, 10)
    hear(driver, 10)
    assert ends(driver) == ["dgrams-out"]


# --- what cannot be sent ---------------------------------------------------------------------------------------------


def test_a_datagram_that_was_not_sent_does_not_count_k73(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=2), 1)
    driver.hear_clients(0, [Arrival(client(1), PROXY, (Datagram(1, 2, DropReason.SEND_BUSY),))], T0)
    hear(driver, 3)
    assert sizes_out(driver) == [1, 3]
    assert driver.sessions == [session]
    assert driver.stats.drops_out[DropReason.SEND_BUSY] == 1
    assert driver.stats.balanced


@pytest.mark.parametrize("singly", [True, False])
def test_an_answer_that_was_not_sent_leaves_both_unreached_k68_k73(pool: Pool, singly: bool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1, max_dgrams_in=1))
    lost = Datagram(0, 40, DropReason.SEND_REFUSED)
    if singly:
        driver.hear_singles([(session, lost)], T0)
    else:
        driver.hear_runs([(session, [lost])], T0)
    assert driver.sessions == [session]
    answer(driver, session, 50)
    assert sizes_in(driver) == [50]
    assert ends(driver) == ["dgrams-reached"]


def test_a_last_datagram_that_was_not_sent_leaves_both_unreached_k68_k73(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=2, max_dgrams_in=1), 1)
    answer(driver, session, 1)
    run = (Datagram(1, 2, DropReason.SEND_FAILED), Datagram(2, 3), Datagram(3, 4))
    driver.hear_clients(0, [Arrival(client(1), PROXY, run)], T0)
    assert sizes_out(driver) == [1, 3, 4]
    assert ends(driver) == ["dgrams-reached"]
    assert [other.dgrams_out for other in driver.sessions] == [1]


def test_an_exceeded_limit_stays_so_whatever_was_sent_k67(pool: Pool) -> None:
    driver, _ = started(pool, rule(max_dgrams_out=3), 1)
    run = (Datagram(1, 2), Datagram(2, 3, DropReason.SEND_FAILED), Datagram(3, 4))
    driver.hear_clients(0, [Arrival(client(1), PROXY, run)], T0)
    assert ends(driver) == ["dgrams-out"]


# --- one-way ---------------------------------------------------------------------------------------------------------

OTHER_PORT = server(1, 9999)
STRANGER = server(2)


def one_way(pool: Pool, **limits: int) -> tuple[Driver, Session]:
    return started(pool, rule(kind=SessionKind.ONE_WAY, **limits))


@pytest.mark.parametrize("source", [server(), OTHER_PORT])
def test_an_answer_ends_a_one_way_session_and_is_not_passed_k28_k29_k30(pool: Pool, source: bytes) -> None:
    driver, session = one_way(pool)
    driver.hear_strangers(session, datagrams(5, 6, source=source), T0)
    assert driver.into == []
    assert driver.sessions == []
    assert ends(driver) == ["one-way-reply"]
    assert driver.stats.drops_in[DropReason.ONE_WAY] == 1
    assert driver.stats.drops_in[DropReason.NO_SESSION] == 1
    assert driver.stats.balanced


def test_a_stranger_does_not_end_a_one_way_session_k30_k32(pool: Pool) -> None:
    driver, session = one_way(pool, both_ns=SECOND)
    driver.hear_strangers(session, datagrams(5, source=STRANGER), T0 + TENTH)
    assert driver.into == []
    assert driver.sessions == [session]
    assert driver.stats.drops_in[DropReason.WRONG_SOURCE] == 1
    assert session.deadline()[0] == T0 + SECOND
    assert session.bytes_in == session.dgrams_in == 0
    (record,) = driver.diary.take("wrong-source")
    assert record.fields == (STRANGER, server())


def test_a_one_way_session_sends_one_datagram_after_the_other_k28(pool: Pool) -> None:
    driver, _ = one_way(pool, max_dgrams_in=1, in_ns=SECOND)
    hear(driver, 2, at=T0 + 2 * SECOND)
    assert sizes_out(driver) == [10, 2]
    assert driver.engine.sessions == 1


def test_an_answer_to_an_expired_one_way_session_is_late_only_k82(pool: Pool) -> None:
    driver, session = one_way(pool, both_ns=SECOND)
    driver.hear_strangers(session, datagrams(5, 6, source=server()), T0 + SECOND)
    assert ends(driver) == ["timeout-both"]
    assert driver.stats.drops_in[DropReason.EXPIRED] == 1
    assert driver.stats.drops_in[DropReason.ONE_WAY] == 0
    assert driver.stats.balanced


def test_a_connected_socket_needs_the_exact_address_k32(pool: Pool) -> None:
    driver, session = started(pool, rule())
    assert driver.engine.judge(session, server(), 1, T0)
    assert not driver.engine.judge(session, OTHER_PORT, 1, T0)
    assert session.closing is None


# --- any-port, any-sock, broadcast -----------------------------------------------------------------------------------

FOREIGN = server(9, 5300)
"""An address that is not the proxy's, to which clients write."""


def open_kind(pool: Pool, kind: SessionKind, destination: bytes = PROXY, **limits: int) -> tuple[Driver, Session]:
    driver = Driver([rule(kind=kind, **limits)], pool)
    driver.hear_clients(0, [Arrival(client(1), destination, datagrams(10))], T0)
    (session,) = driver.sessions
    return driver, session


def faces(driver: Driver) -> list[bytes]:
    return [leaving.face for leaving in driver.into]


@pytest.mark.parametrize("destination", [PROXY, FOREIGN])
def test_any_port_takes_the_first_port_of_its_server_for_good_k35_to_k38(pool: Pool, destination: bytes) -> None:
    driver, session = open_kind(pool, SessionKind.ANY_PORT, destination)
    driver.hear_strangers(session, datagrams(1, source=STRANGER), T0)
    assert not session.fixed
    driver.hear_strangers(session, datagrams(2, source=OTHER_PORT), T0)
    driver.hear_strangers(session, datagrams(3, source=server()), T0)
    driver.hear_clients(0, [Arrival(client(1), destination, datagrams(11))], T0)
    assert (session.fixed, session.target) == (True, OTHER_PORT)
    assert sizes_in(driver) == [2]
    assert faces(driver) == [destination]
    assert [leaving.peer for leaving in driver.out] == [server(), OTHER_PORT]
    assert driver.stats.drops_in[DropReason.WRONG_SOURCE] == 2


@pytest.mark.parametrize("destination", [PROXY, FOREIGN])
def test_any_sock_takes_the_first_that_answers_for_good_k39_k40(pool: Pool, destination: bytes) -> None:
    driver, session = open_kind(pool, SessionKind.ANY_SOCK, destination)
    driver.hear_strangers(session, datagrams(1, 2, source=STRANGER), T0)
    driver.hear_strangers(session, datagrams(3, source=server()), T0)
    assert session.target == STRANGER
    seen = PROXY if destination == PROXY else STRANGER[:2] + FOREIGN[2:4] + STRANGER[4:]
    assert faces(driver) == [seen, seen]
    assert driver.stats.drops_in[DropReason.WRONG_SOURCE] == 1


def test_what_a_client_writes_to_the_server_it_saw_stays_in_the_session_k41(pool: Pool) -> None:
    driver, session = open_kind(pool, SessionKind.ANY_SOCK, FOREIGN)
    driver.hear_strangers(session, datagrams(1, source=STRANGER), T0)
    driver.hear_clients(0, [Arrival(client(1), session.face(STRANGER), datagrams(5))], T0)
    assert driver.engine.sessions == 1
    assert sizes_out(driver) == [10, 5]
    driver.stop(T0)
    assert driver.engine.sessions == 0
    assert driver.engine.tables == ({},)


@pytest.mark.parametrize("destination", [PROXY, FOREIGN])
def test_a_broadcast_session_passes_every_answer_with_its_senders_address_k43_k44_k47(
    pool: Pool, destination: bytes
) -> None:
    driver, session = open_kind(pool, SessionKind.BROADCAST, destination)
    for number in (1, 2, 3):
        driver.hear_strangers(session, datagrams(number, source=server(number, 99)), T0)
    assert faces(driver) == [server(number)[:2] + destination[2:4] + server(number)[4:] for number in (1, 2, 3)]
    assert session.target == server()
    assert not session.fixed


def test_limits_count_answers_of_anybody_k63(pool: Pool) -> None:
    driver, session = open_kind(pool, SessionKind.BROADCAST, max_dgrams_in=2)
    driver.hear_strangers(session, [Datagram(n, 1, None, server(n)) for n in (1, 2, 3, 4)], T0)
    assert sizes_in(driver) == [1, 1]
    assert ends(driver) == ["dgrams-in"]
    assert driver.stats.drops_in[DropReason.LIMIT] == 1
    assert driver.stats.drops_in[DropReason.NO_SESSION] == 1
    assert driver.stats.balanced


# --- dropped beside all this -----------------------------------------------------------------------------------------


def test_what_goes_beyond_a_rate_is_as_if_it_had_not_come_k107(pool: Pool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND, max_dgrams_in=1))
    driver.engine.shed_out(session, [5, 6])
    driver.engine.shed_in(session, [7])
    assert (session.dgrams_out, session.dgrams_in) == (1, 0)
    assert session.deadline()[0] == T0 + SECOND
    assert driver.stats.drops_out[DropReason.SHAPED] == 2
    assert driver.stats.drops_in[DropReason.SHAPED] == 1
    assert driver.stats.balanced


def test_what_belongs_to_no_session_opens_none_k25(pool: Pool) -> None:
    driver, _ = started(pool, rule())
    driver.hear_return(client(1), datagrams(1, 2, source=server()), T0)
    assert driver.stats.drops_in[DropReason.NO_SESSION] == 2
    assert driver.engine.sessions == 1
    assert driver.stats.balanced
