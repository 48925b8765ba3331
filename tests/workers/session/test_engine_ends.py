"""When the engine ends sessions, how many there may be, and what it records of them, by example."""

from __future__ import annotations

import pytest

from tests.kit.session_driver import Arrival, Driver
from tests.kit.session_model import Datagram
from tests.kit.session_parts import PROXY, SECOND, Pool, client, rule, server
from tests.workers.session.scene import T0, TENTH, answer, ends, hear, sizes_in, sizes_out, started
from workers.contract.slots import CloseReason, DropReason
from workers.deadlines import TICK_NS
from workers.errors import EngineMisuse

# --- time ------------------------------------------------------------------------------------------------------------


def test_a_session_ends_by_its_age_whatever_the_traffic_k75(pool: Pool) -> None:
    driver, session = started(pool, rule(session_ns=2 * SECOND))
    for tenths in range(1, 20):
        hear(driver, 1, at=T0 + tenths * TENTH)
        answer(driver, session, 1, at=T0 + tenths * TENTH)
        driver.tend(T0 + tenths * TENTH)
    assert driver.sessions == [session]
    driver.tend(T0 + 2 * SECOND + TICK_NS)
    assert ends(driver) == ["timeout-session"]


def test_a_client_that_uses_up_the_servers_time_gets_no_answer_k76_k80(pool: Pool) -> None:
    driver, session = started(pool, rule(in_ns=5 * SECOND))
    answer(driver, session, 1, at=T0 + TENTH)
    driver.tend(T0 + TENTH)
    hear(driver, 2, at=T0 + 5 * SECOND + TENTH // 2)
    assert sizes_out(driver) == [10, 2]
    answer(driver, session, 3, at=T0 + 5 * SECOND + 2 * TENTH)
    assert sizes_in(driver) == [1]
    assert ends(driver) == ["timeout-in"]


def test_answers_do_not_keep_an_idle_clients_session_k77_k80(pool: Pool) -> None:
    driver, session = started(pool, rule(out_ns=SECOND))
    answer(driver, session, 1, at=T0 + 9 * TENTH)
    answer(driver, session, 2, at=T0 + SECOND)
    assert sizes_in(driver) == [1]
    assert ends(driver) == ["timeout-out"]


def test_traffic_in_either_direction_keeps_a_session_k78(pool: Pool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND))
    answer(driver, session, 1, at=T0 + 9 * TENTH)
    hear(driver, 1, at=T0 + 18 * TENTH)
    driver.tend(T0 + 27 * TENTH)
    assert driver.sessions == [session]
    driver.tend(T0 + 28 * TENTH + TICK_NS)
    assert ends(driver) == ["timeout-both"]


def test_a_session_never_ends_early_and_a_tick_late_at_most_k81(pool: Pool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND))
    hear(driver, 1, at=T0 + TENTH)
    driver.tend(T0 + SECOND + TENTH - 1)
    assert driver.sessions == [session]
    now_ns = T0
    while driver.sessions:
        now_ns = driver.engine.next_deadline_ns()
        driver.tend(now_ns)
    assert T0 + SECOND + TENTH <= now_ns < T0 + SECOND + TENTH + TICK_NS
    assert driver.sockets == {}


def test_a_client_after_expiry_opens_a_new_session_k82_k85(pool: Pool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND))
    hear(driver, 2, at=T0 + SECOND)
    (renewed,) = driver.sessions
    assert renewed is not session
    assert renewed.dgrams_out == 1
    assert list(driver.sockets.values()) == [renewed]
    assert ends(driver) == ["timeout-both"]


def test_a_client_before_expiry_does_not_k82(pool: Pool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND))
    hear(driver, 2, at=T0 + SECOND - 1)
    assert driver.sessions == [session]


@pytest.mark.parametrize("singly", [True, False])
def test_an_answer_after_expiry_ends_the_session_once_and_is_dropped_k82(pool: Pool, singly: bool) -> None:
    driver, session = started(pool, rule(both_ns=SECOND))
    if singly:
        driver.hear_singles([(session, Datagram(0, 5))], T0 + SECOND)
    else:
        answer(driver, session, 5, at=T0 + SECOND)
    assert driver.into == []
    assert driver.sessions == []
    assert driver.sockets == {}
    assert ends(driver) == ["timeout-both"]
    assert driver.stats.drops_in[DropReason.EXPIRED] == 1


def test_a_session_without_time_limits_stays(pool: Pool) -> None:
    driver, session = started(pool, rule())
    driver.engine.expire(T0 + 1_000_000 * SECOND)
    assert driver.sessions == [session]


# --- number of sessions ----------------------------------------------------------------------------------------------


def test_at_the_limit_a_new_session_is_refused_and_none_is_evicted_k83_k84(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    for number in (1, 2, 3, 4):
        hear(driver, number, number=number)
    assert sizes_out(driver) == [1, 2, 3]
    assert driver.engine.sessions == 3
    assert driver.stats.drops_out[DropReason.TABLE_FULL] == 1
    hear(driver, 9, number=1)
    assert sizes_out(driver) == [1, 2, 3, 9]


def test_the_warning_of_a_full_table_comes_once_a_second_k84(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    for tenths in range(25):
        for number in (1, 2, 3, 4):
            hear(driver, 1, number=number, at=T0 + tenths * TENTH)
    assert [record.fields for record in driver.diary.take("table-full")] == [(3, client(4))] * 3


def test_workers_share_the_limit_strictly_k83(pool: Pool) -> None:
    one, other = Driver([rule(max_dgrams_out=1)], pool), Driver([rule()], pool)
    hear(one, 1, number=1)
    hear(other, 1, number=2)
    hear(other, 1, number=3)
    hear(one, 1, number=4)
    assert (one.engine.sessions, other.engine.sessions) == (1, 2)
    hear(one, 1, number=1)
    assert one.engine.sessions == 0
    hear(other, 1, number=4)
    assert other.engine.sessions == 3


def test_an_ended_session_makes_room_within_the_same_run_k85(pool: Pool) -> None:
    driver = Driver([rule(max_dgrams_out=1)], pool)
    hear(driver, 1, number=1)
    hear(driver, 1, number=2)
    hear(driver, 1, number=3)
    hear(driver, 2, 3, number=1)
    assert sizes_out(driver) == [1, 1, 1, 3]


def test_slots_are_unique_and_used_again(pool: Pool) -> None:
    driver = Driver([rule(max_dgrams_out=1)], pool)
    for number in (1, 2, 3):
        hear(driver, 1, number=number)
    assert sorted(session.slot for session in driver.sessions) == [0, 1, 2]
    hear(driver, 1, 1, number=2)
    assert sorted(session.slot for session in driver.sessions) == [0, 1, 2]


def test_each_session_has_a_track_number_of_its_own_up_to_five_digits(pool: Pool) -> None:
    driver = Driver([rule(max_dgrams_out=1)], pool)
    hear(driver, *([1] * 9))
    tracks = [record.track for record in driver.diary.take("session-start")]
    assert tracks == [1, 2, 3, 4, 5]


# --- ends and records ------------------------------------------------------------------------------------------------


def test_a_session_that_ended_leaves_nothing_behind_k86(pool: Pool) -> None:
    driver, session = started(pool, rule(max_dgrams_out=1))
    hear(driver, 1)
    assert driver.engine.tables == ({},)
    assert driver.sockets == {}
    assert session.sock is None
    assert pool.free() == 3


def test_the_record_of_an_end_counts_passed_and_received_bytes(pool: Pool) -> None:
    driver, session = started(pool, rule("X", max_bytes_in=20, session_ns=9 * SECOND), 10)
    driver.hear_clients(0, [Arrival(client(1), PROXY, (Datagram(1, 7, DropReason.SEND_BUSY),))], T0)
    answer(driver, session, 20, at=T0 + SECOND)
    answer(driver, session, 3, at=T0 + 2 * SECOND)
    (record,) = driver.diary.take("session-end")
    assert record.track == session.track
    assert record.fields == (
        *(client(1), server(), 0, None, "bytes-in", "ACCEPTED", "ACCEPTED", "ABORTED", "X"),
        *(20, 17, 23, 10, client(1), server(), 2 * SECOND),
    )


def test_stopping_ends_every_session_in_order(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    for number in (1, 2):
        hear(driver, 1, number=number)
    driver.stop(T0 + SECOND)
    records = driver.diary.take("session-end")
    assert [record.fields[4:8] for record in records] == [("shutdown", "ACCEPTED", "ACCEPTED", "OK")] * 2
    assert pool.free() == 3


def test_a_rejected_client_gets_one_record_a_second_and_every_search_its_own(pool: Pool) -> None:
    driver = Driver([rule("NO", accept=False)], pool)
    for tenths in range(15):
        for number in (1, 2):
            hear(driver, 7, number=number, at=T0 + tenths * TENTH)
    rejected = driver.diary.take("acl", "rejected")
    searches = [record for record in rejected if record.event == "acl"]
    assert len(searches) == 30
    assert {record.fields[-2:] for record in searches} == {("NO", "REJECTED")}
    assert len(rejected) - len(searches) == 4
    assert rejected[1].fields == (client(1), PROXY, None, "REJECTED", "OK", "NO", 0, 7, 0, 0, client(1), PROXY, 0)


def test_a_search_without_a_rule_is_recorded_without_a_name(pool: Pool) -> None:
    driver = Driver([], pool)
    hear(driver, 1)
    (record,) = driver.diary.take("acl")
    assert record.fields == (client(1), PROXY, 0, None, None, "REJECTED")


def test_a_session_cannot_end_twice(pool: Pool) -> None:
    driver, session = started(pool, rule())
    driver.engine.end(session, CloseReason.SHUTDOWN, T0)
    with pytest.raises(EngineMisuse, match="twice"):
        driver.engine.end(session, CloseReason.SHUTDOWN, T0)
