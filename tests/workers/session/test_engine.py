"""How the engine begins sessions, by example, each requirement in its own test; ends are in test_engine_ends.

The random ones: tests/property/test_engine.py.
"""

from __future__ import annotations

from tests.kit.session_driver import Arrival, Driver, datagrams
from tests.kit.session_model import Datagram
from tests.kit.session_parts import PROXY, SECOND, Pool, client, named, rule, server, sock
from tests.workers.session.scene import T0, TENTH, hear, sizes_out, started
from workers.contract.settings import Address, TimeItem
from workers.contract.slots import DropReason
from workers.deadlines import TICK_NS
from workers.policy.timecond import CivilTime
from workers.session.session import Session
from workers.session.table import SPENT_KEPT

# --- establishment ---------------------------------------------------------------------------------------------------


def test_the_first_datagram_is_forwarded_and_counted_as_number_one_k27(pool: Pool) -> None:
    driver, session = started(pool, rule(), 11)
    assert [(leaving.datagram.size, leaving.peer) for leaving in driver.out] == [(11, server())]
    assert (session.dgrams_out, session.bytes_out) == (1, 11)


def test_a_datagram_of_a_known_client_goes_to_its_session_k15_k17(pool: Pool) -> None:
    driver, session = started(pool, rule())
    hear(driver, 20)
    assert driver.sessions == [session]
    assert sizes_out(driver) == [10, 20]


def test_another_port_or_another_destination_is_another_session_k23(pool: Pool) -> None:
    driver, _ = started(pool, rule())
    driver.hear_clients(0, [Arrival(client(1, 9), PROXY, datagrams(1))], T0)
    driver.hear_clients(0, [Arrival(client(1), sock(7, 5300), datagrams(1))], T0)
    assert driver.engine.sessions == 3


def test_the_rules_are_not_consulted_while_a_session_lasts_k18_k21(pool: Pool) -> None:
    minutes = [480]
    driver = Driver(
        [rule(time=(TimeItem(minutes=((480, 481),)),))], pool, civil_time=lambda: CivilTime(1, 1, 1, minutes[0])
    )
    hear(driver, 1)
    minutes[0] = 481
    hear(driver, 2)
    assert sizes_out(driver) == [1, 2]
    assert len(driver.diary.take("acl")) == 1
    hear(driver, 3, number=2)
    assert driver.stats.drops_out[DropReason.REJECTED] == 1


def test_each_search_tells_what_decided_it_at_level_eight(pool: Pool) -> None:
    driver = Driver([rule("ONE", clients=(1,)), rule("NONE", accept=False, clients=(3,))], pool)
    driver.diary.journal.set_level(8)
    for number in (1, 2, 3):
        hear(driver, 1, number=number)
    assert [record.fields for record in driver.diary.take("acl-items")] == [
        ("ONE", "ACCEPTED", "#1:[10.0.0.1]", None, None),
        (None, "REJECTED", None, None, None),
        ("NONE", "REJECTED", "#1:[10.0.0.3]", None, None),
    ]


def test_who_may_not_have_a_session_is_dropped_k19_k22(pool: Pool) -> None:
    driver = Driver([rule(clients=(2,))], pool)
    hear(driver, 1, 2, 3)
    assert driver.out == []
    assert driver.stats.drops_out[DropReason.REJECTED] == 3
    assert driver.stats.balanced
    assert pool.free() == 3


def test_without_plug_to_no_datagram_leaves_and_the_log_says_so_k48(pool: Pool) -> None:
    driver = Driver([rule("EMPTY", plug_to=None)], pool)
    hear(driver, 5)
    assert driver.out == []
    assert driver.stats.drops_out[DropReason.NO_PLUG_TO] == 1
    found = {record.event: record.fields for record in driver.diary.take()}
    assert found["no-plug-to"] == (client(1), "EMPTY")
    assert found["acl"][-2:] == ("EMPTY", "ACCEPTED")
    assert found["rejected"][3:8] == ("ACCEPTED", "FAILED", "EMPTY", 0, 5)


def test_a_name_without_address_fails_the_session_and_the_log_says_so(pool: Pool) -> None:
    driver = Driver([rule(plug_to=named("a"))], pool)
    hear(driver, 5)
    assert driver.stats.drops_out[DropReason.NO_TARGET] == 1
    assert len(driver.diary.take("session-failed")) == 1


def test_new_names_change_new_sessions_only_k31(pool: Pool) -> None:
    driver = Driver([rule(plug_to=named("a"))], pool)
    for number in (1, 2):
        driver.engine.admission.learn_names({"a": frozenset({Address(4, 0xC0000200 + number)})})
        hear(driver, 1, number=number)
    hear(driver, 1, number=1)
    assert [leaving.peer for leaving in driver.out] == [server(1), server(2), server(1)]


def test_a_session_without_a_socket_fails_and_frees_its_permit_k83(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    driver.have_sockets = False
    hear(driver, 5, 6)
    assert driver.stats.drops_out[DropReason.SETUP] == 2
    assert driver.stats.sessions_opened == sum(driver.stats.closes) == 0
    (failed, end) = driver.diary.take("session-failed", "session-end")
    assert failed.fields == (client(1), server(), "socket", "Too many open files")
    assert end.fields[4:11] == ("failure", "FAILED", "ACCEPTED", "FAILED", "R", 0, 11)
    assert pool.free() == 3
    driver.have_sockets = True
    hear(driver, 7)
    assert driver.sessions[0].slot == 0


def test_clients_admitted_together_whose_sockets_fail_leave_nothing_behind_k83(pool: Pool) -> None:
    driver, session = started(pool, rule())
    driver.rested = 2
    driver.have_sockets = False
    driver.hear_clients(0, [Arrival(client(1, port), PROXY, datagrams(5)) for port in (7, 8)], T0)
    assert driver.sessions == [session]
    assert driver.stats.drops_out[DropReason.SETUP] == 2
    assert driver.stats.balanced
    driver.permits.settle()
    assert pool.free() == 2


def test_a_listener_that_only_serves_its_sessions_drops_and_counts_newcomers(pool: Pool) -> None:
    driver = Driver([rule()], pool, listeners=2)
    driver.engine.welcoming = 1
    driver.rested = 5
    for listener, number in ((0, 1), (1, 2), (1, 3)):
        driver.hear_clients(listener, [Arrival(client(number), PROXY, datagrams(1))], T0)
    assert driver.engine.sessions == 1
    assert driver.stats.drops_out[DropReason.DRAINING] == 2
    session = driver.sessions[0]
    driver.engine.welcoming = 0
    driver.hear_clients(0, [Arrival(client(1), PROXY, datagrams(1))], T0)
    assert session.dgrams_out == 2


def test_going_on_numbers_new_sessions_behind_the_newest(pool: Pool) -> None:
    driver, old = started(pool, rule())
    old.track, old.slot = 70, 2
    driver.engine.go_on([old])
    hear(driver, 1, number=2)
    hear(driver, 1, number=3)
    assert [(session.track, session.slot) for session in driver.sessions] == [(70, 2), (71, 0), (72, 1)]


# --- sessions of one question, renewed for the next -------------------------------------------------------------------

SLOTS_OF = [name for name in Session.__slots__ if name not in {"client_at", "sock", "track"}]


def quick(pool: Pool, **limits: int) -> Driver:
    """Return a worker that opens and ends sessions of one question and one answer in one go."""
    driver = Driver([rule(**{"max_dgrams_out": 1, "max_dgrams_in": 1, **limits})], pool)
    driver.rested = 64
    return driver


def ask(driver: Driver, *ports: int, size: int = 5, at: int = T0) -> list[Session]:
    """Let client 1 ask from ports; return the sessions."""
    driver.hear_clients(0, [Arrival(client(1, port), PROXY, datagrams(size)) for port in ports], at)
    return driver.sessions


def be_answered(driver: Driver, at: int = T0) -> None:
    """Let every session's server answer."""
    driver.hear_singles([(session, Datagram(0, 40)) for session in driver.sessions], at)


def test_a_session_that_is_over_serves_again_and_nothing_is_left_in_it(pool: Pool) -> None:
    driver, other = quick(pool), quick(pool)
    (first,) = ask(driver, 1)
    first.wasted_in, first.wasted_out, first.trains, first.deep, first.stretched = 3, 4, False, 8, True
    first.reply_control = b"left"
    be_answered(driver)
    ask(other, 1, at=T0 + TENTH)  # So that the rule is known there, too.
    other.stop(T0 + TENTH)
    (second,), (new,) = ask(driver, 2, size=9, at=T0 + TENTH), ask(other, 2, size=9, at=T0 + TENTH)
    assert second is first
    assert new is not second
    assert [getattr(second, name) for name in SLOTS_OF] == [getattr(new, name) for name in SLOTS_OF]
    assert second.track == 2
    assert driver.stats.balanced


def test_a_renewed_session_comes_to_last_once_and_has_its_own_deadline(pool: Pool) -> None:
    driver = quick(pool, session_ns=SECOND)
    for port in range(1, 6):
        ask(driver, port, at=T0 + port)
        be_answered(driver, T0 + port)
    begun_ns = T0 + TENTH
    (session,) = ask(driver, 9, at=begun_ns)
    assert driver.engine.next_deadline_ns() == T0 + 1 + TICK_NS
    driver.tend(T0 + 1 + TICK_NS)
    assert driver.engine.take_lasting() == [session]
    driver.tend(begun_ns + SECOND - 1)
    assert driver.sessions == [session]
    driver.tend(begun_ns + SECOND + TICK_NS)
    assert driver.sessions == []
    assert driver.stats.sessions_opened == sum(driver.stats.closes) == 6


def test_a_session_that_is_watched_or_lasts_is_not_renewed(pool: Pool) -> None:
    driver = quick(pool)
    (watched,) = ask(driver, 1)
    watched.simple = False
    be_answered(driver)
    (lasting,) = ask(driver, 2)
    assert lasting is not watched
    driver.tend(T0 + TICK_NS)
    be_answered(driver, T0 + TICK_NS)
    (third,) = ask(driver, 3, at=T0 + TICK_NS)
    assert third not in {watched, lasting}


def test_sessions_kept_to_be_renewed_keep_no_slot_from_others() -> None:
    count = SPENT_KEPT + 10
    with Pool(count) as pool:
        driver = quick(pool)
        for first in range(0, count, 64):
            ask(driver, *range(1 + first, 1 + min(first + 64, count)))
        be_answered(driver)
        driver.rested = 0
        for port in range(1, 1 + count):
            ask(driver, port)
        assert {session.slot for session in driver.sessions} == set(range(count))


def test_one_that_has_only_just_ended_is_not_renewed_before_it_was_taken_out(pool: Pool) -> None:
    driver = quick(pool)
    (first,) = ask(driver, 1)
    driver.engine.pass_in(first, [40], T0)
    driver.engine.conclude_each([first], T0)
    (second,) = ask(driver, 2)
    assert second is not first


def test_sessions_that_begin_and_end_together_are_logged_as_those_that_come_alone(pool: Pool) -> None:
    driver = quick(pool)
    events = ("acl", "acl-items", "session-start", "session-end")
    ask(driver, 1)
    be_answered(driver)
    alone = driver.diary.take(*events)
    assert [record.event for record in alone] == list(events)
    ask(driver, 2, 3)
    be_answered(driver)
    both = driver.diary.take(*events)
    assert [record.event for record in both] == [*events[:2] * 2, *events[2:3] * 2, *events[3:] * 2]
    for event, one in zip(events, alone, strict=True):
        pair = [record for record in both if record.event == event]
        assert [record.fields[1:4] for record in pair] == [one.fields[1:4]] * 2
        assert [record.track for record in pair] == ([2, 3] if one.track else [0, 0])
        if event != "acl-items":
            assert [record.fields[0] for record in pair] == [client(1, 2), client(1, 3)]
    driver.diary.journal.taking = False
    ask(driver, 4, 5)
    be_answered(driver)
    assert driver.diary.take(*events) == []
    assert driver.diary.journal.shed == 2 * 3


def flood(driver: Driver, sources: list[bytes]) -> list[Session]:
    """Let unknown clients come together, as far as the engine takes them in one go."""
    sizes = [5] * len(sources)
    return driver.engine.admit_each(0, [(source, PROXY) for source in sources], sources, sizes, PROXY, T0)


def test_clients_that_are_rejected_take_no_permit() -> None:
    with Pool(64) as pool:
        driver = Driver([rule(clients=(1,))], pool)
        assert flood(driver, [client(2, port) for port in range(1, 65)]) == []
        assert (driver.permits_held, pool.free()) == (0, 64)


def test_no_clients_at_all_take_no_permit(pool: Pool) -> None:
    driver = quick(pool)
    assert flood(driver, []) == []
    assert driver.permits_held == 0


def test_a_flood_of_rejected_clients_at_one_worker_leaves_the_other_its_sessions() -> None:
    with Pool(64) as pool:
        flooded, other = Driver([rule(clients=(1,))], pool), Driver([rule()], pool)
        flooded.engine.admission.decide(0, client(1), PROXY)
        for turn in range(6):
            first = [client(1, 1 + turn)] if turn < 2 else []
            assert len(flood(flooded, first + [client(2, port) for port in range(1, 65)])) == len(first)
            flooded.permits.age()
        other.engine.admission.decide(0, client(3), PROXY)
        assert len(flood(other, [client(3, port) for port in range(1, 65)])) == 62
        assert other.stats.drops_out[DropReason.TABLE_FULL] == 0
