"""A worker's store: what a predecessor has left is taken over, approved after a while, and tended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.kit.uftp_worker import Bench, announce
from workers.contract.store import FAULTS, READINGS, Store
from workers.contract.uftp import Fact
from workers.deadlines import NEVER
from workers.safekeeping import PENANCE_NS, PROBATION_NS, SHOW_NS, Safekeeping
from workers.uftp import records
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine

SECOND = 1_000_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store.create("test", 1 << 20)
    yield made
    made.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


def begin(bench: Bench, store: Store | None) -> Safekeeping:
    """Let a worker begin in the place of the one before."""
    now_ns = time.monotonic_ns()
    bench.machine = Machine(bench.settings, 0xA0A0, KeyRing((), os.urandom), os.urandom, now_ns)
    bench.machine.log_level = 5
    kept = Safekeeping(store, bench.machine, bench.journal, now_ns)
    bench.outbox.carry_out(bench.machine, now_ns)
    return kept


def test_a_group_that_came_to_one_worker_is_there_in_the_next(bench: Bench, store: Store) -> None:
    begin(bench, store)
    bench.send(announce(7))
    bench.turn()
    assert bench.machine.facts[Fact.GROUPS] == 1
    begin(bench, store)
    assert bench.machine.facts[Fact.GROUPS] == 1
    assert "uftp-adopted" in {record.event for record in bench.logged()}


def test_without_a_store_nothing_is_kept(bench: Bench) -> None:
    kept = begin(bench, None)
    bench.send(announce(7))
    bench.turn()
    assert kept.tend(1, time.monotonic_ns()) == NEVER
    begin(bench, None)
    assert bench.machine.facts[Fact.GROUPS] == 0


def test_a_worker_approves_what_it_has_lived_with_for_a_while(bench: Bench, store: Store) -> None:
    kept = begin(bench, store)
    due_ns = kept.tend(0, time.monotonic_ns())
    assert due_ns < NEVER
    assert store.open().in_vain == 1
    assert kept.tend(0, due_ns) > due_ns + PROBATION_NS
    assert store.open().in_vain == 0


def test_a_store_that_nobody_lives_with_is_emptied_and_the_log_says_so(bench: Bench, store: Store) -> None:
    begin(bench, store)
    bench.send(announce(7))
    bench.turn()
    for _ in range(READINGS - 1):
        begin(bench, store)
        assert bench.machine.facts[Fact.GROUPS] == 1
    begin(bench, store)
    assert bench.machine.facts[Fact.GROUPS] == 0
    assert "uftp-store-emptied" in {record.event for record in bench.logged()}


def test_failures_count_until_a_worker_has_lived_for_a_minute(bench: Bench, store: Store) -> None:
    for _ in range(FAULTS):
        kept = begin(bench, store)
        bench.send(announce(7))
        bench.turn()
        kept.tend(1, time.monotonic_ns() + PROBATION_NS)
        kept.blame()
    begin(bench, store)
    assert "uftp-store-emptied" in {record.event for record in bench.logged()}
    for _ in range(2 * FAULTS):
        kept = begin(bench, store)
        kept.blame()
        kept.tend(1, time.monotonic_ns() + PENANCE_NS)
        assert store.open().in_vain == 0
    assert [record.event for record in bench.logged()].count("uftp-store-emptied") == 1


def test_how_far_groups_are_is_written_once_a_second(bench: Bench, store: Store) -> None:
    kept = begin(bench, store)
    bench.send(announce(7))
    bench.turn()
    now_ns = time.monotonic_ns()
    assert kept.tend(1, now_ns) <= now_ns + SHOW_NS
    kept.tend(1, now_ns + PROBATION_NS + SHOW_NS)
    found = store.open().read()
    assert any(records.SHOWN in family for family in found.values())


def test_what_could_not_be_written_is_said(bench: Bench) -> None:
    small = Store.create("test", 0)
    kept = begin(bench, small)
    for group in range(1, 900):
        bench.send(announce(group))
        bench.turn()
    kept.tend(1, time.monotonic_ns() + 2 * SECOND)
    assert "uftp-store-full" in {record.event for record in bench.logged()}
    small.close()
