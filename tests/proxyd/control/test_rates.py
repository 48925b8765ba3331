"""What came to pass between two looks at a proxy."""

from __future__ import annotations

import msgspec
import pytest

from proxyd.control.inquiry import Hits
from proxyd.control.rates import Flow, Sample, at_start, compare
from proxyd.control.sessions import Filter, Session
from tests.proxyd.control.scene import SESSION, state
from tests.proxyd.control.test_groups import only, record

LINE = SESSION.listener


def session(number: int, acl: str = "A", age_s: float = 100.0, **counts: int) -> Session:
    zero = dict.fromkeys(("datagrams_in", "datagrams_out", "bytes_in", "bytes_out"), 0)
    return msgspec.structs.replace(SESSION, id=f"0.{number}.x", acl=acl, age_s=age_s, **(zero | counts))


def sample(at_s: float, *sessions: Session, hits: Hits | None = None, **totals: int) -> Sample:
    found = state()
    proxy = msgspec.structs.replace(found.proxy, totals=found.proxy.totals | totals)
    return Sample(at_s, msgspec.structs.replace(found, proxy=proxy), list(sessions), hits or Hits([], []), [])


def test_a_session_goes_as_fast_as_its_numbers_grow() -> None:
    before = sample(10.0, session(1, datagrams_in=5, bytes_out=100))
    view = compare(before, sample(12.0, session(1, datagrams_in=9, bytes_out=300)), Filter())
    assert view.sessions[0].flow == Flow(0.0, 2.0, 100.0, 0.0)
    assert view.span_s == 2.0


def test_a_session_that_is_new_goes_as_fast_as_it_has_since_it_began() -> None:
    view = compare(sample(10.0), sample(12.0, session(1, age_s=0.5, datagrams_out=5)), Filter())
    assert view.sessions[0].flow.datagrams_out == 10.0


def test_numbers_that_fall_are_another_workers_and_no_rate() -> None:
    view = compare(sample(1.0, session(1, bytes_in=9)), sample(2.0, session(1, bytes_in=3)), Filter())
    assert view.sessions[0].flow == Flow()


def test_sessions_are_added_up_by_rule_and_listener_with_what_those_counted() -> None:
    was = Hits([("A", 10, 1, 0), ("B", 0, 0, 0)], [(LINE, 100, 5000, 1)])
    now = Hits([("A", 14, 1, 0), ("B", 0, 6, 0)], [(LINE, 300, 9000, 3)])
    found = [session(1, bytes_in=100), session(2, bytes_in=50), session(3, "#7", bytes_in=30)]
    view = compare(
        sample(0.0, session(1), session(2), session(3, "#7"), hits=was), sample(2.0, *found, hits=now), Filter()
    )
    assert [(rule.name, rule.sessions, rule.flow.bytes_in, rule.first_s, rule.second_s) for rule in view.rules] == [
        ("A", 2, 75.0, 2.0, 0.0),
        ("B", 0, 0.0, 0.0, 3.0),
        ("#7", 1, 15.0, 0.0, 0.0),
    ]
    (line,) = view.listeners
    assert (line.name, line.sessions, line.flow.bytes_in) == (LINE, 3, 90.0)
    assert (line.first, line.second, line.first_s, line.second_s) == (300, 3, 100.0, 1.0)


def test_a_filter_leaves_the_whole_proxys_numbers_alone() -> None:
    view = compare(
        sample(0.0), sample(1.0, session(1), session(2, "B"), forwarded_in=50, bytes_in=700), Filter(acl="B")
    )
    assert [rate.session.acl for rate in view.sessions] == ["B"]
    assert (view.total.datagrams_in, view.total.bytes_in) == (50.0, 700.0)


def test_against_the_start_rates_are_averages_of_all_the_time() -> None:
    now = sample(9.0, session(1, age_s=50.0, datagrams_in=100), forwarded_out=3661)
    view = compare(at_start(now), now, Filter())
    assert view.total.datagrams_out == pytest.approx(1.0)
    assert view.sessions[0].flow.datagrams_in == pytest.approx(2.0)
    assert view.dropped_s == pytest.approx(4 / 3661)


def test_groups_go_as_fast_as_they_pass_on() -> None:
    old, new = only(record()), only(record())
    before, now = sample(1.0), sample(3.0)
    before.groups.append(msgspec.structs.replace(old, bytes=old.bytes - 4000))
    now.groups.append(new)
    (found,) = compare(before, now, Filter()).groups
    assert found.flow.bytes_in == 2000.0


def test_flows_are_added_way_by_way() -> None:
    total = Flow(1, 2, 3, 4) + Flow(10, 20, 30, 40)
    assert (total, total.datagrams, total.bytes) == (Flow(11, 22, 33, 44), 33, 77)
