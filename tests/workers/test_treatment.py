"""What the rules' datagrams meet on their way: rates by direction, and what answers carry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit.session_parts import PROXY, SECOND, Diary, client, rule, server, sock6
from workers.buckets import Buckets
from workers.contract.rates import RateRegion
from workers.contract.settings import AclSettings, QueueSettings, Settings
from workers.net import marking
from workers.session.session import Session, Terms
from workers.treatment import Treatment, note_lost_priorities

SLOW = QueueSettings("slow", rate_bps=8_000, burst_bytes=1_000)
MARKED = QueueSettings("marked", mark=7, priority=6)


def session(acl: AclSettings, source: bytes = client(1)) -> Session:
    made = Session(Terms.of(acl), SECOND, 0, 1)
    made.client, made.destination, made.target = source, PROXY, server()
    return made


def treatment(*rules: AclSettings, priority: bool = True, older: tuple[AclSettings, ...] = ()) -> Treatment:
    settings = Settings("T", (), 9, 1, rules, queues=(SLOW, MARKED))
    return Treatment(settings, Buckets(settings.queues, RateRegion.create("t", 4)), priority=priority, older=older)


def test_each_direction_has_the_rate_of_its_own_queue_k107() -> None:
    out, into = replace(rule("OUT"), queue_to_server="slow"), replace(rule("IN"), queue_to_client="slow")
    found = treatment(out, into)
    sizes = [400] * 5
    assert found.allow_out(session(out), sizes, SECOND) == 2
    assert found.allow_in(session(out), sizes, SECOND) == 5
    assert found.allow_in(session(into), sizes, SECOND) == 2
    assert found.allow_out(session(into), sizes, SECOND) == 5


def test_a_queue_without_a_rate_lets_everything_pass() -> None:
    marked = replace(rule(), queue_to_server="marked", queue_to_client="marked")
    found = treatment(marked)
    assert found.allow_out(session(marked), [60_000] * 9, SECOND) == 9
    assert found.allow_in(session(marked), [60_000] * 9, SECOND) == 9


@pytest.mark.parametrize(("source", "version"), [(client(1), 4), (sock6(1, 1), 6)])
def test_answers_carry_what_their_rule_says_in_their_clients_ip_version_k108(source: bytes, version: int) -> None:
    plain, marked = rule("PLAIN"), replace(rule("MARKED"), queue_to_client="marked", tos_to_client=0x10)
    found = treatment(plain, marked)
    assert found.marks
    assert found.mark(session(plain, source)) == b""
    wanted = marking.Marking(0x10, 7, 6)
    assert found.mark(session(marked, source)) == marking.control_data(version, wanted)
    without = treatment(marked, priority=False)
    assert without.mark(session(marked, source)) == marking.control_data(version, wanted._replace(priority=None))


def test_without_marks_no_answer_carries_anything() -> None:
    found = treatment(rule(), replace(rule("S"), queue_to_server="marked", tos_to_server=1))
    assert not found.marks
    assert found.mark(session(rule())) == b""


def test_priorities_that_answers_cannot_carry_are_warned_of() -> None:
    diary = Diary()
    note_lost_priorities(diary.journal, ())
    note_lost_priorities(diary.journal, ("marked", "other"))
    assert [record.fields for record in diary.take("priority-lost")] == [("marked",), ("other",)]


def test_sessions_of_older_rules_meet_the_queues_of_today_where_these_are_still_there() -> None:
    older = replace(rule("OLD"), queue_to_server="slow", queue_to_client="marked")
    gone = replace(rule("GONE"), queue_to_server="gone", queue_to_client="gone")
    found = treatment(rule(), older=(older, gone))
    assert found.marks
    assert found.mark(session(older)) == marking.control_data(4, marking.Marking(None, 7, 6))
    assert found.allow_out(session(older), [400] * 5, SECOND) == 2
    assert found.mark(session(gone)) == b""
    assert found.allow_out(session(gone), [400] * 5, SECOND) == 5
    assert found.allow_in(session(gone), [400] * 5, SECOND) == 5
