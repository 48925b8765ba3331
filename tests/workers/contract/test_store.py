"""A worker's store: what was written is read again, whatever instant its writer dies at, and whatever was in it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.contract.store import FAULTS, HEADER_BYTES, LEAST_BYTES, READINGS, SPARE_BYTES, Ledger, Store
from workers.errors import ContractError

Model = dict[bytes, dict[bytes, bytes]]
FAMILIES, NAMES = st.sampled_from([b"", b"a", b"bb"]), st.sampled_from([b"", b"1", b"22", b"333"])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), FAMILIES, NAMES, st.binary(max_size=40)),
        st.tuples(st.just("drop"), FAMILIES, NAMES),
        st.tuples(st.just("drop_family"), FAMILIES),
        st.tuples(st.just("reopen")),
    ),
    max_size=60,
)


@contextlib.contextmanager
def a_store(size_bytes: int = LEAST_BYTES) -> Iterator[Store]:
    store = Store.create("test store", size_bytes)
    yield store
    store.close()


def opened(store: Store) -> tuple[Ledger, Model]:
    ledger = store.open()
    found = ledger.read()
    ledger.approve()
    return ledger, found


def carry_out(model: Model, deed: str, *words: bytes) -> None:
    if deed == "put":
        model.setdefault(words[0], {})[words[1]] = words[2]
    elif deed == "drop":
        model.get(words[0], {}).pop(words[1], None)
        if not model.get(words[0], {1: 1}):
            del model[words[0]]
    else:
        model.pop(words[0], None)


@given(deeds=DEEDS)
def test_what_was_written_last_is_what_is_read(deeds: list[tuple[str, bytes]]) -> None:
    with a_store() as store:
        model: Model = {}
        ledger, _ = opened(store)
        for deed, *words in deeds:
            if deed == "reopen":
                ledger, found = opened(store)
                assert found == model
            else:
                getattr(ledger, deed)(*words)
                carry_out(model, deed, *words)
        assert opened(store)[1] == model


def test_a_log_is_tidied_long_before_its_half_is_full_and_the_memory_given_back() -> None:
    with a_store(64 << 20) as store:
        ledger, _ = opened(store)
        for number in range(20_000):
            assert ledger.put(b"one", b"name", number.to_bytes(8) * 100)
        assert os.fstat(store.fd).st_blocks * 512 < HEADER_BYTES + 2 * SPARE_BYTES
        assert opened(store)[1] == {b"one": {b"name": (19_999).to_bytes(8) * 100}}


def test_a_full_store_takes_nothing_new_and_loses_nothing() -> None:
    with a_store() as store:
        ledger, _ = opened(store)
        written = 0
        while ledger.put(b"family", written.to_bytes(2), bytes(1000)):
            written += 1
        assert written > 40
        assert not ledger.put(b"family", b"more", bytes(1000))
        assert len(opened(store)[1][b"family"]) == written


def test_what_is_dropped_from_a_full_store_is_gone_and_makes_room() -> None:
    with a_store() as store:
        ledger, _ = opened(store)
        names = iter(range(60_000))
        while ledger.put(b"family", next(names).to_bytes(2), bytes(200)):
            pass
        for number in range(100):
            ledger.drop(b"family", number.to_bytes(2))
        assert ledger.put(b"family", b"new", bytes(1000))
        found = opened(store)[1][b"family"]
        assert b"new" in found
        assert not any(number.to_bytes(2) in found for number in range(100))


def test_dropping_the_same_again_and_again_never_runs_out_of_room() -> None:
    with a_store() as store:
        ledger, _ = opened(store)
        while ledger.put(b"rest", os.urandom(8), bytes(500)):
            pass
        for _ in range(5_000):
            ledger.put(b"one", b"", b"")
            ledger.drop_family(b"one")
        assert b"one" not in opened(store)[1]


def write_for_ever(store: Store, ready: int) -> None:
    """Write pairs of records that belong together, in a store that is tidied all the time."""
    ledger, _ = opened(store)
    os.write(ready, b"!")
    number = 0
    while True:
        number += 1
        ledger.put(b"pair", b"first", number.to_bytes(8) * 50)
        ledger.put(b"pair", b"second", number.to_bytes(8) * 150)
        ledger.put(b"gone", b"", bytes(800))
        ledger.drop_family(b"gone")


@pytest.mark.parametrize("instant", range(12))
def test_a_store_whose_writer_is_killed_can_be_read(instant: int) -> None:
    with a_store() as store:
        heard, ready = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(store, ready)
            finally:
                os._exit(1)
        os.close(ready)
        assert os.read(heard, 1) == b"!"
        os.close(heard)
        for _ in range(1_000 * (instant + 1)):
            os.getppid()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pair = opened(store)[1].get(b"pair", {})
        numbers = [int.from_bytes(value[:8]) for value in pair.values()]
        assert [value == value[:8] * (len(value) // 8) for value in pair.values()] == [True] * len(pair)
        assert len(pair) < 2 or 0 <= numbers[0] - numbers[1] <= 1


@given(st.data())
def test_a_store_with_anything_in_it_is_read_without_an_error(data: st.DataObject) -> None:
    with a_store() as store:
        ledger, _ = opened(store)
        for number in range(20):
            ledger.put(b"family", bytes((number,)), bytes(30))
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(16, HEADER_BYTES + 2_000))
            os.pwrite(store.fd, data.draw(st.binary(min_size=1, max_size=16)), at)
        before = opened(store)[1]
        ledger, _ = opened(store)
        ledger.put(b"new", b"name", b"value")
        assert opened(store)[1] == before | {b"new": {b"name": b"value"}}


def test_a_store_that_was_read_in_vain_too_often_is_empty() -> None:
    with a_store() as store:
        opened(store)[0].put(b"family", b"name", b"value")
        for _ in range(READINGS):
            assert store.open().read() == {b"family": {b"name": b"value"}}
        ledger = store.open()
        assert ledger.read() == {}
        assert ledger.emptied
        assert ledger.in_vain == 1
        assert store.open().read() == {}


def test_a_store_that_its_writers_fail_with_is_empty_unless_somebody_absolves_it() -> None:
    with a_store() as store:
        opened(store)[0].put(b"family", b"name", b"value")
        for _ in range(FAULTS):
            ledger, found = opened(store)
            assert found
            ledger.blame()
        ledger, found = opened(store)
        assert ledger.emptied
        assert found == {}
        ledger.put(b"family", b"name", b"value")
        for _ in range(2 * FAULTS):
            ledger, found = opened(store)
            assert found
            ledger.blame()
            ledger.absolve()


def test_a_store_of_another_layout_is_emptied_and_serves_again() -> None:
    with a_store() as store:
        opened(store)[0].put(b"family", b"name", b"value")
        os.pwrite(store.fd, bytes(8), 0)
        ledger, found = opened(store)
        assert found == {}
        assert ledger.emptied
        ledger.put(b"family", b"name", b"other")
        assert opened(store)[1] == {b"family": {b"name": b"other"}}


def test_what_is_too_small_is_no_store() -> None:
    small = Store(os.memfd_create("test store"))
    os.ftruncate(small.fd, LEAST_BYTES - 1)
    with pytest.raises(ContractError):
        small.open()
    small.close()


def test_nobody_can_cut_a_store_off() -> None:
    with a_store() as store:
        with pytest.raises(PermissionError):
            os.ftruncate(store.fd, HEADER_BYTES)
        with pytest.raises(PermissionError):
            os.ftruncate(store.fd, 1 << 30)
