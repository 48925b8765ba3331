"""The driver takes every way through the datapath, and keeps what left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.session_driver import Arrival, Driver, datagrams, from_client
from tests.kit.session_model import Datagram
from tests.kit.session_parts import PROXY, Pool, client, rule, server
from workers.contract.settings import SessionKind
from workers.contract.slots import DropReason


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(9) as made:
        yield made


def arrivals(*numbers: int) -> list[Arrival]:
    return [Arrival(client(number), PROXY, datagrams(index)) for index, number in enumerate(numbers)]


@pytest.mark.parametrize(
    ("numbers", "order"),
    [((1, 2, 3), (0, 1, 2)), ((1, 2, 1, 2), (0, 2, 1, 3)), ((1, 2, 1), (0, 1, 2))],
    ids=["singles", "runs", "singles with one client twice"],
)
def test_a_batch_leaves_in_the_order_of_its_way(pool: Pool, numbers: tuple[int, ...], order: tuple[int, ...]) -> None:
    driver = Driver([rule()], pool)
    for _ in range(2):
        driver.out.clear()
        handled = driver.hear_clients(0, arrivals(*numbers), 0)
        assert tuple(leaving.datagram.size for leaving in driver.out) == order
        assert tuple(datagram.size for arrival in handled for datagram in arrival.datagrams) == order
    assert {leaving.peer for leaving in driver.out} == {server()}


def test_trains_leave_slot_by_slot(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    driver.hear_clients(0, [from_client(client(1), 1, 2), from_client(client(2), 3), from_client(client(1), 4)], 0)
    assert [leaving.datagram.size for leaving in driver.out] == [1, 2, 3, 4]


def test_answers_leave_to_the_client(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    driver.hear_clients(0, arrivals(1), 0)
    (session,) = driver.sessions
    driver.hear_singles([(session, Datagram(0, 1))], 0)
    driver.hear_runs([(session, datagrams(2, 3))], 0)
    driver.hear_trains(session, [datagrams(4, 5), datagrams(6)], 0)
    assert [(leaving.datagram.size, leaving.peer) for leaving in driver.into] == [
        (size, client(1)) for size in range(1, 7)
    ]


def test_what_is_not_to_be_sent_is_told_to_the_engine(pool: Pool) -> None:
    driver = Driver([rule()], pool)
    driver.hear_clients(0, [Arrival(client(1), PROXY, (Datagram(0, 5, DropReason.SEND_BUSY),))], 0)
    driver.hear_runs([(driver.sessions[0], [Datagram(0, 5, DropReason.SEND_FAILED)])], 0)
    assert driver.out == driver.into == []
    assert driver.stats.drops_out[DropReason.SEND_BUSY] == driver.stats.drops_in[DropReason.SEND_FAILED] == 1


def test_sockets_are_those_of_open_sessions(pool: Pool) -> None:
    driver = Driver([rule(kind=SessionKind.ONE_WAY)], pool)
    driver.hear_clients(0, arrivals(1, 2), 0)
    first, second = driver.sessions
    driver.hear_strangers(first, datagrams(1, source=server()), 0)
    assert list(driver.sockets.values()) == [second]
    assert driver.permits_held == 1
    driver.stop(0)
    assert driver.sockets == {}
    assert pool.free() == 9
