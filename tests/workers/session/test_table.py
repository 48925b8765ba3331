"""The table of sessions: beginnings, ends, and the alarm; traffic is the engine's (test_engine)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.kit.session_parts import PROXY, SECOND, Diary, Pool, client, rule, server
from workers.contract.slots import CloseReason
from workers.deadlines import NEVER, TICK_NS
from workers.errors import EngineMisuse
from workers.session.records import Records
from workers.session.session import Carriage, Grant, Session, Terms, Trail
from workers.session.table import SessionTable
from workers.stats import Stats

T0 = 3 * SECOND


@pytest.fixture
def table(pool: Pool) -> SessionTable:
    return SessionTable(2, pool.permits()[0], Records(Diary().journal), Stats())


def begin(table: SessionTable, number: int = 1, *, listener: int = 0, at: int = T0, **limits: int) -> Session:
    made = Session(Terms.of(rule(**limits)), at, number, number)
    made.listener, made.key, made.client, made.destination = listener, number, client(number), PROXY
    made.target, made.transparent, made.grant = server(), False, Grant(None, None)
    table.begin(made)
    return made


def reasons(table: SessionTable) -> list[CloseReason | None]:
    return [session.closing for session in table.ended]


def run_until(table: SessionTable, end_ns: int) -> Iterator[int]:
    """Serve the alarms until end_ns, as the loop does; yield the instants."""
    while table.next_deadline_ns() <= end_ns:
        now_ns = table.next_deadline_ns()
        table.expire(now_ns)
        yield now_ns


def test_a_session_that_begins_is_found_by_listener_and_key(table: SessionTable) -> None:
    first, second = begin(table), begin(table, listener=1)
    assert table.tables == ({1: first}, {1: second})
    assert table.sessions == table.stats.sessions_opened == 2


def test_a_session_that_ends_is_counted_and_left_to_be_closed_k85_k86(table: SessionTable) -> None:
    session = begin(table)
    table.end(session, CloseReason.BYTES_IN, T0)
    assert table.sessions == 0
    assert table.ended == [session]
    assert reasons(table) == [CloseReason.BYTES_IN]
    assert table.stats.closes[CloseReason.BYTES_IN] == 1


def test_only_a_session_that_is_to_end_is_concluded(table: SessionTable) -> None:
    session = begin(table)
    table.conclude(session, T0)
    assert table.sessions == 1
    session.closing = CloseReason.DGRAMS_REACHED
    table.conclude(session, T0)
    assert table.sessions == 0


def test_ending_twice_is_our_own_mistake(table: SessionTable) -> None:
    session = begin(table)
    table.end(session, CloseReason.SHUTDOWN, T0)
    with pytest.raises(EngineMisuse, match="twice"):
        table.end(session, CloseReason.SHUTDOWN, T0)


def test_a_lapse_at_the_very_instant_and_not_before_k81_k82(table: SessionTable) -> None:
    session = begin(table, both_ns=SECOND)
    assert not table.lapse(session, T0 + SECOND - 1)
    assert table.lapse(session, T0 + SECOND)
    assert reasons(table) == [CloseReason.TIMEOUT_BOTH]


@dataclass
class Kernel:
    """Has passed a datagram to the server when it is asked, at an instant; notes what becomes of whose part."""

    passed_ns: int
    asked: list[tuple[str, Session]] = field(default_factory=list)

    def touch(self, session: Session) -> None:
        self.asked.append(("touch", session))
        session.last_out_ns = self.passed_ns

    def reclaim(self, session: Session) -> None:
        self.asked.append(("reclaim", session))
        session.dgrams_out_left -= 1
        session.carriage = None


def test_what_the_kernel_has_passed_puts_off_the_end(table: SessionTable) -> None:
    kernel = table.kernel = Kernel(T0 + SECOND)
    session, other = begin(table, 1, out_ns=SECOND), begin(table, 2, out_ns=SECOND)
    session.carriage = Carriage(7, limited=False)
    assert not table.lapse(session, T0 + SECOND)
    assert session.check_ns == T0 + 2 * SECOND
    assert table.lapse(other, T0 + SECOND)
    assert table.lapse(session, T0 + 2 * SECOND)
    assert kernel.asked == [("touch", session), ("touch", session), ("reclaim", session)]


@pytest.mark.parametrize("how", ["end", "conclude", "conclude_each", "end_all"])
def test_a_session_that_is_over_is_the_kernels_no_more_and_its_record_has_all(how: str, pool: Pool) -> None:
    diary = Diary()
    table = SessionTable(2, pool.permits()[0], Records(diary.journal), Stats())
    table.kernel = Kernel(T0)
    session = begin(table)
    table.place_fresh(T0)
    session.carriage = Carriage(7, limited=False)
    session.closing = CloseReason.DGRAMS_OUT
    ends: dict[str, Callable[[], None]] = {
        "end": lambda: table.end(session, CloseReason.KILLED, T0),
        "conclude": lambda: table.conclude(session, T0),
        "conclude_each": lambda: table.conclude_each([session], T0),
        "end_all": lambda: table.end_all(CloseReason.SHUTDOWN, T0),
    }
    ends[how]()
    assert session.carriage is None
    assert table.ended == [session]
    assert session.dgrams_out == 1


def test_who_is_wanted_back_comes_back_and_who_was_never_away_is_left_alone(table: SessionTable) -> None:
    kernel = table.kernel = Kernel(T0)
    session, other = begin(table, 1), begin(table, 2)
    session.carriage = Carriage(7, limited=False)
    table.reclaim(session)
    table.reclaim(session)
    table.reclaim(other)
    assert kernel.asked == [("reclaim", session)]


def test_traffic_puts_off_the_next_question(table: SessionTable) -> None:
    session = begin(table, in_ns=SECOND)
    session.last_in_ns = T0 + SECOND // 2
    assert not table.lapse(session, T0 + SECOND)
    assert session.check_ns == T0 + SECOND + SECOND // 2


@pytest.mark.parametrize("later", [0, 1, SECOND // 3, 5 * SECOND])
def test_the_alarm_ends_a_session_in_time_k81(table: SessionTable, later: int) -> None:
    session = begin(table, out_ns=SECOND)
    session.last_out_ns = T0 + later
    end_ns = T0 + later + SECOND
    ended = [now_ns for now_ns in run_until(table, end_ns + TICK_NS) if table.ended]
    assert end_ns <= ended[0] < end_ns + TICK_NS
    assert reasons(table) == [CloseReason.TIMEOUT_OUT]


def test_the_alarm_does_not_ring_for_nothing(table: SessionTable) -> None:
    session = begin(table, both_ns=SECOND)
    session.last_in_ns = T0 + 60 * SECOND
    assert len(list(run_until(table, T0 + 60 * SECOND))) <= 3


def test_a_session_without_time_limits_needs_no_alarm_for_long(table: SessionTable) -> None:
    begin(table)
    assert len(list(run_until(table, NEVER - 1))) <= 1


def test_a_session_that_ended_otherwise_is_not_ended_again_by_the_alarm(table: SessionTable) -> None:
    early, late = begin(table, 1, both_ns=SECOND), begin(table, 2, both_ns=SECOND)
    table.end(early, CloseReason.DGRAMS_REACHED, T0)
    table.expire(T0 + SECOND // 2)
    table.end(late, CloseReason.DGRAMS_REACHED, T0 + SECOND // 2)
    table.expire(T0 + 9 * SECOND)
    assert reasons(table) == [CloseReason.DGRAMS_REACHED] * 2


def test_a_successor_under_the_same_key_has_its_own_time(table: SessionTable) -> None:
    first = begin(table, both_ns=SECOND)
    table.end(first, CloseReason.DGRAMS_REACHED, T0)
    second = begin(table, at=T0 + SECOND // 2, both_ns=SECOND)
    table.expire(T0 + SECOND + TICK_NS)
    assert table.tables[0] == {1: second}
    table.expire(T0 + SECOND // 2 + SECOND + TICK_NS)
    assert table.sessions == 0


def test_the_end_of_all_spares_no_listener(table: SessionTable) -> None:
    begin(table, 1)
    begin(table, 2, listener=1)
    table.end_all(CloseReason.SHUTDOWN, T0)
    assert table.sessions == 0
    assert reasons(table) == [CloseReason.SHUTDOWN] * 2


# --- kept safe, and gone on with -------------------------------------------------------------------------------------


def test_sessions_come_to_last_within_a_tick_those_without_limits_of_time_too(table: SessionTable) -> None:
    ended, unlimited, limited = begin(table), begin(table, 2), begin(table, 3, both_ns=SECOND)
    table.end(ended, CloseReason.KILLED, T0)
    assert table.next_deadline_ns() <= T0 + TICK_NS
    table.expire(T0 + TICK_NS)
    assert table.take_lasting() == [unlimited, limited]
    assert table.take_lasting() == []


def test_a_resumed_session_is_found_and_ends_in_time_but_was_not_opened_here(table: SessionTable) -> None:
    session = Session(Terms.of(rule(both_ns=SECOND)), T0, 4, 1)
    session.listener, session.key, session.client, session.destination = 0, 1, client(1), PROXY
    session.target, session.transparent, session.grant = server(), False, Grant(None, None)
    table.resume(session, T0)
    table.occupy({4})
    assert table.tables[0] == {1: session}
    assert table.stats.sessions_opened == 0
    assert table.take_lasting() == []
    table.expire(T0 + SECOND + TICK_NS)
    assert reasons(table) == [CloseReason.TIMEOUT_BOTH]


def test_everybody_is_there_once_with_an_alias_too(table: SessionTable) -> None:
    sessions = [begin(table, number) for number in (1, 2)]
    sessions[0].trail = Trail()
    table.trails.alias(sessions[0], 9)
    assert list(table.everybody()) == sessions
