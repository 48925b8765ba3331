from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.session_driver import Driver, from_client
from tests.kit.session_parts import SECOND, Pool, client, rule
from workers.contract.messages import Drain, Kill, Level, Names, Tap
from workers.contract.slots import CloseReason, DropReason
from workers.contract.tapping import MAX_BYTES, Kind, decode
from workers.orders import Orders
from workers.tap import Taps

T0 = 50 * SECOND


@pytest.fixture
def driver() -> Iterator[Driver]:
    """A worker with two sessions, of clients 1 and 2."""
    with Pool(3) as pool:
        made = Driver([rule()], pool)
        made.hear_clients(0, [from_client(client(1), 10), from_client(client(2), 10)], T0)
        yield made


def orders_of(driver: Driver) -> Orders:
    return Orders(driver.engine, driver.diary.journal, Taps(driver.diary.journal))


def test_who_wants_to_watch_a_session_that_has_ended_is_told(driver: Driver) -> None:
    first, _ = driver.sessions
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        order = Tap(first.slot, first.opened_ns - 1, 1, 1, 1, far.detach())
        assert orders_of(driver).carry_out(order, T0)
        message = decode(near.recv(MAX_BYTES))
        assert (message.kind, message.body) == (Kind.ENDED, b"there is no such session any more")


def test_a_killed_session_ends_with_its_reason_and_the_others_go_on(driver: Driver) -> None:
    first, second = driver.sessions
    assert orders_of(driver).carry_out(Kill([(first.slot, first.opened_ns)]), T0 + 1)
    assert driver.sessions == [second]
    assert driver.engine.ended == [first]
    assert driver.stats.closes[CloseReason.KILLED] == 1
    (record,) = driver.diary.take("session-end")
    assert record.fields[4] == "killed"


def test_a_slot_that_is_another_sessions_by_now_is_left_alone(driver: Driver) -> None:
    first, _ = driver.sessions
    assert orders_of(driver).carry_out(Kill([(first.slot, first.opened_ns - 1), (99, 0)]), T0 + 1)
    assert len(driver.sessions) == 2


def test_a_draining_worker_serves_its_sessions_and_begins_none(driver: Driver) -> None:
    assert orders_of(driver).carry_out(Drain(), T0)
    driver.out.clear()
    driver.hear_clients(0, [from_client(client(1), 11), from_client(client(3), 12)], T0 + 1)
    assert [leaving.datagram.size for leaving in driver.out] == [11]
    assert driver.stats.drops_out[DropReason.DRAINING] == 1
    assert len(driver.sessions) == 2
    assert driver.permits_held == 2


def test_a_draining_worker_opens_none_in_one_go_either(driver: Driver) -> None:
    driver.rested = 8
    orders_of(driver).carry_out(Drain(), T0)
    # Hosts whose rule is known already, from other ports.
    driver.hear_clients(0, [from_client(client(number, 41_000), 12) for number in (1, 2)], T0 + 1)
    assert len(driver.sessions) == 2
    assert driver.stats.drops_out[DropReason.DRAINING] == 2


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (9, 9), (-1, 3), (12, 9)])
def test_a_level_is_taken_within_its_bounds(driver: Driver, asked: int, given: int) -> None:
    assert orders_of(driver).carry_out(Level(asked), T0)
    assert driver.diary.journal.level == given


def test_what_is_no_order_is_left_to_others(driver: Driver) -> None:
    assert not orders_of(driver).carry_out(Names({}), T0)
