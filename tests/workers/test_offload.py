"""Which sessions are offered to the kernel, what is counted of what it passed, and when they are taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.kit.session_parts import SECOND, rule, sock6
from tests.workers.offload_scene import DUMPING, IN, OUT, PLENTY, SLOTS, START_NS, USUAL, Scene
from workers.contract.messages import Offered, Withdrawn
from workers.contract.offload import (
    BYTES,
    COUNTED_BYTES,
    COUNTED_DATAGRAMS,
    DATAGRAMS,
    DIRECTION_BYTES,
    LAST_NS,
    RECORD_BYTES,
    WORD_BYTES,
)
from workers.contract.settings import AclSettings, SessionKind, SourcePort, SourcePortMode
from workers.contract.slots import CloseReason
from workers.deadlines import NEVER
from workers.offload import (
    AGAIN_NS,
    BATCH,
    BUSY_DATAGRAMS,
    LAST_DATAGRAMS,
    PAUSE_NS,
    RUN_BYTES,
    RUN_DATAGRAMS,
    WITHDRAWN_BATCH,
    Offload,
)
from workers.session.session import Trail
from workers.stats import Stats


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.records.unmap()


# --- who is offered --------------------------------------------------------------------------------------------------


def test_a_busy_session_is_offered_and_what_the_kernel_passes_is_counted(scene: Scene) -> None:
    session = scene.begin(2)
    scene.offer(session)
    assert scene.carried(session)
    assert scene.offload.count == 1
    scene.now_ns += 5
    assert scene.passes(2, OUT, 100)
    assert scene.passes(2, OUT, 50)
    scene.now_ns += 5
    assert scene.passes(2, IN, 900, count=3)
    scene.offload.touch(session)
    assert (session.dgrams_out, session.bytes_out) == (BUSY_DATAGRAMS + 2, 150)
    assert (session.dgrams_in, session.bytes_in) == (3, 900)
    assert (session.last_out_ns, session.last_in_ns) == (scene.now_ns - 5, scene.now_ns)
    stats = scene.stats
    assert (stats.received_out, stats.forwarded_out, stats.bytes_out) == (2, 2, 150)
    assert (stats.received_in, stats.forwarded_in, stats.bytes_in) == (3, 3, 900)
    assert scene.carried(session)


def test_what_is_counted_goes_to_the_account_of_the_sessions_listener(scene: Scene) -> None:
    session = scene.begin()
    session.listener = 3
    scene.offer(session)
    scene.offload.touch(session)
    assert scene.turns == []
    scene.passes(0, OUT)
    scene.offload.touch(session)
    assert scene.turns == [3]


def test_a_session_that_has_had_few_datagrams_is_not_offered_yet(scene: Scene) -> None:
    session = scene.begin(busy=False)
    session.dgrams_out_left -= BUSY_DATAGRAMS - 1
    scene.offer(session)
    assert scene.parent.said == []
    session.dgrams_in_left -= 1
    scene.offer(session)
    assert scene.carried(session)


def test_a_session_that_has_been_silent_is_not_offered(scene: Scene) -> None:
    session = scene.begin()
    scene.offload.consider([session], session.last_out_ns + 1)
    assert scene.offload.tend(scene.now_ns) == NEVER


UNFIT: dict[str, tuple[AclSettings, dict[str, object]]] = {
    "without a socket": (rule(), {"sock": None}),
    "that is over": (rule(), {"closing": CloseReason.KILLED}),
    "that has only just begun": (rule(), {"tick": 0}),
    "with a trail": (rule(), {"trail": Trail()}),
    "whose client meant somebody else": (rule(), {"transparent": True}),
    "that is not simple": (rule(), {"simple": False}),
    "in a slot without a record": (rule(), {"slot": SLOTS}),
    "between the IP versions": (rule(), {"client": sock6(1, 40_000)}),
    "without answers": (rule(kind=SessionKind.ONE_WAY), {}),
    "open to any port": (rule(kind=SessionKind.ANY_PORT), {}),
    "with a source port": (rule(source_port=SourcePort(SourcePortMode.CLIENT)), {}),
    "with a mark": (replace(rule(), tos_to_server=0x10), {}),
    "with a queue": (replace(rule(), queue_to_client="Q"), {}),
    "with few datagrams left": (rule(max_dgrams_out=BUSY_DATAGRAMS + 2 * RUN_DATAGRAMS - 1), {}),
    "with few answers left": (rule(max_dgrams_in=2 * RUN_DATAGRAMS - 1), {}),
    "with few bytes left": (rule(max_bytes_out=2 * RUN_BYTES - 1), {}),
    "with few bytes of answers left": (rule(max_bytes_in=2 * RUN_BYTES - 1), {}),
}


@pytest.mark.parametrize(("of", "changes"), UNFIT.values(), ids=UNFIT)
def test_a_session_that_needs_the_worker_is_not_offered(
    scene: Scene, of: AclSettings, changes: dict[str, object]
) -> None:
    session = scene.begin(0, of)
    for name, value in changes.items():
        setattr(session, name, value)
    scene.offer(session)
    assert scene.parent.said == []
    assert scene.offload.count == 0


def test_a_session_that_comes_to_need_the_worker_before_it_is_offered_stays(scene: Scene) -> None:
    session = scene.begin()
    scene.offload.consider([session], 0)
    session.closing = CloseReason.KILLED
    scene.offload.tend(scene.now_ns)
    assert scene.parent.said == []


def test_a_session_is_offered_once_however_often_it_is_considered(scene: Scene) -> None:
    session = scene.begin()
    scene.offload.consider([session, session], 0)
    scene.offload.consider([session], 0)
    scene.offer()
    scene.offer()
    assert [type(message) for message in scene.parent.said] == [Offered]
    assert scene.offload.count == 1


def test_nothing_is_offered_while_payloads_are_logged_and_everything_taken_back(scene: Scene) -> None:
    carried, other = scene.begin(0), scene.begin(1)
    scene.offer(carried)
    scene.passes(0, OUT)
    scene.log.level = DUMPING
    scene.offload.sweep([carried, other], 0)
    scene.offer(other)
    assert carried.carriage is None
    assert carried.dgrams_out == BUSY_DATAGRAMS + 1
    assert not scene.passes(0, OUT)
    assert scene.parent.entered == {}
    scene.log.level = USUAL
    scene.offload.sweep([carried, other], 0)
    scene.offer()
    assert scene.carried(carried, other)


# --- messages --------------------------------------------------------------------------------------------------------


def test_many_sessions_are_offered_a_batch_at_a_time() -> None:
    scene = Scene(BATCH + 2)
    sessions = [scene.begin(slot) for slot in range(BATCH + 2)]
    scene.offload.consider(sessions, 0)
    due_ns = scene.offload.tend(scene.now_ns)
    assert due_ns == scene.now_ns + PAUSE_NS
    assert scene.offload.count == BATCH
    assert scene.offload.tend(due_ns - 1) == due_ns
    assert scene.offload.count == BATCH
    scene.offload.tend(due_ns)
    assert scene.carried(*sessions)
    assert scene.offload.tend(due_ns) == NEVER
    scene.records.unmap()


def test_what_is_over_is_withdrawn_before_anything_is_offered(scene: Scene) -> None:
    first, second = scene.begin(0), scene.begin(0)
    scene.offer(first)
    scene.offload.reclaim(first)
    scene.offer(second)
    assert [type(message) for message in scene.parent.said] == [Offered, Withdrawn, Offered]
    assert scene.carried(second)


def test_many_sessions_are_withdrawn_at_once() -> None:
    scene = Scene(WITHDRAWN_BATCH + 1)
    sessions = [scene.begin(slot) for slot in range(WITHDRAWN_BATCH + 1)]
    while not scene.carried(*sessions):
        scene.offer(*sessions)
    for session in sessions:
        scene.offload.reclaim(session)
    scene.parent.said.clear()
    scene.offer()
    assert [len(message.slots) for message in scene.parent.said if isinstance(message, Withdrawn)] == [
        WITHDRAWN_BATCH,
        1,
    ]
    assert scene.parent.entered == {}
    scene.records.unmap()


def test_an_offer_that_the_channel_has_no_room_for_is_taken_back(scene: Scene) -> None:
    session = scene.begin()
    scene.parent.room = False
    scene.offer(session)
    assert session.carriage is None
    assert scene.offload.count == 0
    scene.parent.room = True
    scene.offer(session)
    assert scene.carried(session)


def test_what_could_not_be_withdrawn_is_withdrawn_later_and_nothing_offered_before(scene: Scene) -> None:
    first, second = scene.begin(0), scene.begin(0)
    scene.offer(first)
    scene.offload.reclaim(first)
    scene.parent.room = False
    scene.offer(second)
    assert second.carriage is None
    scene.parent.room = True
    scene.offer()
    assert scene.carried(second)


# --- taking back -----------------------------------------------------------------------------------------------------


def test_a_session_taken_back_is_passed_no_more_and_counted_to_the_last(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    scene.passes(0, IN, 70)
    scene.offload.reclaim(session)
    assert not scene.passes(0, IN)
    assert (session.dgrams_in, session.bytes_in, session.carriage) == (1, 70, None)
    scene.offload.reclaim(session)
    assert (scene.stats.received_in, scene.offload.count) == (1, 0)
    scene.offer()
    assert scene.parent.entered == {}


def test_the_epoch_of_a_session_that_is_over_counts_for_no_later_one_of_its_slot(scene: Scene) -> None:
    first, second = scene.begin(1), scene.begin(1)
    scene.offer(first)
    old = scene.parent.entered[1]
    scene.passes(1, OUT)
    scene.offload.reclaim(first)
    scene.offer(second)
    assert not scene.passes(1, OUT, epoch=old)
    assert scene.passes(1, OUT, 30)
    scene.offload.touch(second)
    assert (second.dgrams_out, second.bytes_out) == (BUSY_DATAGRAMS + 1, 30)
    assert (first.dgrams_out, first.bytes_out) == (BUSY_DATAGRAMS + 1, 100)


def test_what_was_counted_too_late_for_a_session_is_no_other_ones(scene: Scene) -> None:
    first, second = scene.begin(1), scene.begin(1)
    scene.offer(first)
    assert first.carriage is not None
    epoch = first.carriage.epoch
    scene.offload.reclaim(first)
    # Another processor had found the epoch a moment before.
    scene.records.words[RECORD_BYTES // WORD_BYTES] = epoch
    assert scene.passes(1, OUT, epoch=epoch)
    scene.offer(second)
    scene.offload.touch(second)
    assert second.dgrams_out == BUSY_DATAGRAMS
    scene.offload.reclaim(second)
    assert second.dgrams_out == BUSY_DATAGRAMS


def test_a_session_that_has_only_just_been_offered_is_not_given_up(scene: Scene) -> None:
    session = scene.begin()
    session.last_out_ns = scene.now_ns
    scene.offer(session)
    scene.offload.sweep([session], session.last_out_ns)
    assert scene.carried(session)


def test_a_worker_begun_later_uses_no_epoch_of_an_earlier_one(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    old = scene.parent.entered[0]
    later = Offload(scene.records, scene.parent, scene.log, scene.stats, scene.turns.append, scene.now_ns)
    later.consider([scene.begin()], 0)
    later.tend(scene.now_ns)
    assert scene.parent.entered[0] > old


def test_a_session_whose_datagrams_come_to_the_worker_all_the_same_is_given_up(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    since_ns = scene.now_ns + 1
    session.last_in_ns = since_ns + 5
    scene.offload.sweep([session], since_ns)
    assert not scene.passes(0, OUT)
    for _ in range(2):
        scene.offload.sweep([session], since_ns)
        scene.offer(session)
    assert scene.parent.entered == {}
    assert scene.offload.count == 0
    scene.offload.touch(session)
    scene.offload.reclaim(session)
    assert scene.offload.count == 0


def test_a_session_given_up_is_offered_again_after_a_while(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    session.last_out_ns = scene.now_ns + SECOND
    scene.offload.sweep([session], session.last_out_ns)
    assert not scene.carried(session)
    session.last_out_ns += AGAIN_NS
    scene.offload.sweep([session], session.last_out_ns)
    scene.offer(session)
    assert not scene.carried(session)
    session.last_out_ns += SECOND
    scene.offload.sweep([session], session.last_out_ns)
    scene.offer(session)
    assert scene.carried(session)


def test_what_a_dead_worker_has_not_counted_is_counted_by_its_replacement(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    scene.passes(session.slot, OUT, 100, count=2)
    scene.offload.touch(session)
    scene.passes(session.slot, OUT, 300, count=5)
    scene.passes(session.slot, IN, 700, count=7)
    last_ns = scene.now_ns
    session.carriage = None
    scene.records.clear(SLOTS)
    stats = Stats()
    Offload(scene.records, scene.parent, scene.log, stats, scene.turns.append, last_ns).recover([session], last_ns)
    assert (session.dgrams_out, session.bytes_out) == (BUSY_DATAGRAMS + 7, 400)
    assert (session.dgrams_in, session.bytes_in, session.last_in_ns) == (7, 700, last_ns)
    assert (stats.received_out, stats.forwarded_in) == (5, 7)


@pytest.mark.parametrize("word", [DATAGRAMS, BYTES, LAST_NS, COUNTED_DATAGRAMS, COUNTED_BYTES])
def test_nothing_is_counted_of_a_dead_workers_record_that_cannot_be(scene: Scene, word: int) -> None:
    session = scene.begin()
    scene.records.words[DIRECTION_BYTES // WORD_BYTES + word // WORD_BYTES] = 2**64 - 1
    scene.offload.recover([session], scene.now_ns)
    assert (session.dgrams_in, session.bytes_in, session.last_in_ns) == (0, 0, START_NS)


def test_a_session_that_the_kernel_passes_datagrams_of_stays_with_it(scene: Scene) -> None:
    session = scene.begin()
    scene.offer(session)
    for _ in range(3):
        since_ns = scene.now_ns
        scene.now_ns += 5
        session.last_in_ns = scene.now_ns
        scene.passes(0, OUT)
        scene.offload.sweep([session], since_ns)
    assert scene.carried(session)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_of_a_limited_budget_the_kernel_is_lent_half(scene: Scene) -> None:
    of = rule(max_dgrams_out=PLENTY, max_dgrams_in=PLENTY, max_bytes_out=PLENTY * 1000, max_bytes_in=PLENTY * 1000)
    session = scene.begin(0, of)
    scene.offer(session)
    left = (PLENTY - BUSY_DATAGRAMS) // 2
    assert [scene.passes(0, OUT, 1) for _ in range(left + 1)] == [True] * left + [False]
    assert not scene.passes(0, IN, PLENTY * 500 + 1)
    assert scene.passes(0, IN, PLENTY * 500)
    assert not scene.passes(0, IN, 1)


def test_a_limited_session_is_looked_at_with_every_datagram_and_taken_back_where_its_limit_is_near(
    scene: Scene,
) -> None:
    session = scene.begin(0, rule(max_dgrams_in=PLENTY))
    session.check_ns = NEVER
    scene.offer(session)
    assert session.check_ns == 0
    scene.passes(0, IN)
    scene.offload.touch(session)
    assert scene.carried(session)
    assert session.dgrams_in_left == PLENTY - 1
    session.dgrams_in_left = PLENTY // 2 - 1 + RUN_DATAGRAMS  # those of the others have come to the worker
    scene.offload.touch(session)
    assert scene.carried(session)
    session.dgrams_in_left -= 1
    scene.offload.touch(session)
    assert session.carriage is None


def test_a_limited_session_is_taken_back_where_the_kernel_has_little_left_of_what_it_was_lent(scene: Scene) -> None:
    session = scene.begin(0, rule(max_dgrams_in=PLENTY))
    scene.offer(session)
    for _ in range(PLENTY // 2 - LAST_DATAGRAMS):
        scene.passes(0, IN)
    scene.offload.touch(session)
    assert scene.carried(session)
    scene.passes(0, IN)
    scene.offload.touch(session)
    assert session.carriage is None
    assert session.dgrams_in_left == PLENTY // 2 + LAST_DATAGRAMS - 1


def test_a_session_without_data_limits_is_not_looked_at_more_often(scene: Scene) -> None:
    session = scene.begin(0, rule(both_ns=SECOND))
    before = session.check_ns
    scene.offer(session)
    assert session.check_ns == before > 0
