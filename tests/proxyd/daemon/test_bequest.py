"""What one estate leaves, and what the next begins with: settings, listeners, memory, sessions, each as it was."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon import bequest, inventory, sockets
from proxyd.daemon.bequest import Left, Legacy, identify, pack
from proxyd.daemon.inventory import Bundle, InventoryError
from proxyd.daemon.pidfile import Pidfile
from proxyd.daemon.spawn import Estate
from proxyd.errors import SetupError
from tests.proxyd.daemon.estates import an_estate, own_listener
from workers.contract.custody import Kept
from workers.contract.messages import Names
from workers.contract.settings import QueueSettings, Settings
from workers.contract.slots import Counter

NOTE = b"note"


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    """An estate of two workers in its third generation, with a listener of the second that takes nobody new."""
    queues = (QueueSettings("slow", rate_bps=8000),)
    with an_estate(tmp_path / "log", workers=2, queues=queues, generation=3) as found:
        retired = own_listener()
        found.listeners = tuple(
            (*group, *more) for group, more in zip(found.listeners, sockets.bind_listeners([retired], 2), strict=True)
        )
        found.extra, found.retired = (retired,), 1
        found.texts = {2: "second", 3: "third"}
        found.shared.regions[1].words[Counter.SESSIONS_OPENED] = 77
        yield found


def dup(bundle: Bundle) -> Bundle:
    """Return a bundle as it comes out of a lane: with descriptors of its own."""
    return Bundle(bundle.manifest, tuple(os.dup(descriptor) for descriptor in bundle.descriptors))


def leave(estate: Estate, **changes: object) -> Legacy:
    left = Left([[], []], Names({"host": [(4, bytes(4))]}), b"private")
    return bequest.read(dup(pack(estate, left._replace(**changes))), "process 1")


def recompile(estate: Estate) -> dict[str, Settings]:
    return {
        "second": dataclasses.replace(estate.settings, generation=1, respawn_count=2),
        "third": dataclasses.replace(estate.settings, generation=1, listeners=(), fast_path=False),
    }


def test_the_next_begins_with_what_was_left(estate: Estate) -> None:
    legacy = leave(estate)
    ours = dataclasses.replace(estate.settings, app_user="somebody", max_sessions=5, fast_path=True)
    past = legacy.revive(ours, recompile(estate).__getitem__)
    assert past.whole
    assert legacy.why == ""
    assert past.settings.listeners == estate.settings.listeners
    assert (past.extra, past.retired) == (estate.extra, 1)
    assert (past.settings.generation, past.settings.max_sessions, past.settings.fast_path) == (3, 10, False)
    assert past.settings.app_user == "somebody", "its processes are new ones"
    assert {number: found.respawn_count for number, found in past.earlier.items()} == {2: 2}
    assert past.earlier[2].generation == 2
    assert past.texts == {2: "second", 3: "third"}
    assert past.names == Names({"host": [(4, bytes(4))]})
    assert [[sock.getsockname() for sock in group] for group in past.listeners] == [
        [sock.getsockname() for sock in group] for group in estate.listeners
    ]
    assert past.shared is not None
    assert past.shared.regions[1].words[Counter.SESSIONS_OPENED] == 77
    assert past.shared.max_sessions == 10
    assert past.shared.rates is not None
    assert legacy.inventory.estate is not None
    assert legacy.inventory.estate.private == b"private"
    close(legacy, past)


def close(legacy: Legacy, past: bequest.Past) -> None:
    legacy.close_unused()
    for group in past.listeners:
        sockets.close_all(group)


def test_memory_is_shared_and_not_copied(estate: Estate) -> None:
    legacy = leave(estate)
    past = legacy.revive(estate.settings, recompile(estate).__getitem__)
    estate.shared.regions[0].words[Counter.RECEIVED_IN] = 5
    assert past.shared is not None
    assert past.shared.regions[0].words[Counter.RECEIVED_IN] == 5
    assert os.eventfd_read(past.shared.permits) == 1
    close(legacy, past)


def test_sessions_come_by_worker_and_one_socket_of_two_sessions_twice(estate: Estate) -> None:
    with ExitStack() as stack:
        one, two = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        kept = [(Kept(3, 30, NOTE, one.fileno()),), (Kept(1, 10, b"", two.fileno()), Kept(2, 20, b"", two.fileno()))]
        legacy = leave(estate, kept=kept)
        past = legacy.revive(estate.settings, recompile(estate).__getitem__)
        found = legacy.kept(past)
        assert {
            worker: [tuple(entry) for entry in map(msgspec.structs.astuple, entries)]
            for worker, (entries, _) in found.items()
        } == {0: [(3, 30, NOTE)], 1: [(1, 10, b""), (2, 20, b"")]}
        assert [identify(fd) for fd in found[1][1]] == [identify(two.fileno())] * 2
        assert len({*found[0][1], *found[1][1]}) == 3, "each can be closed by itself"
        for _, descriptors in found.values():
            for descriptor in descriptors:
                os.close(descriptor)
        close(legacy, past)


def test_places_are_shared_only_where_they_are_the_same(estate: Estate, tmp_path: Path) -> None:
    estate.pidfile = Pidfile.take(tmp_path / "x.pid")
    legacy = leave(estate)
    left = legacy.manifest.pidfile
    assert left is not None
    assert legacy.place(left, tmp_path / "y.pid") is None
    descriptor = legacy.place(left, tmp_path / "x.pid")
    assert descriptor is not None
    assert identify(descriptor) == identify(estate.pidfile.descriptor)
    os.close(descriptor)
    assert leave(estate, places=False).manifest.pidfile is None
    estate.pidfile.remove()


@pytest.mark.parametrize("why", ["another layout", "a text that is not understood", "a region of another size"])
def test_where_not_all_can_be_used_the_listeners_are(estate: Estate, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = dup(pack(estate, Left([[], []], None)))
    if why == "another layout":
        parts = msgspec.msgpack.decode(bundle.manifest)
        bundle = Bundle(msgspec.msgpack.encode({**parts, "layout": [1, 2, 3]}), bundle.descriptors)
    if why == "a region of another size":
        estate.shared.regions[0].words[Counter.SLOTS] = 7
    legacy = bequest.read(bundle, "process 1")

    def compile_text(text: str) -> Settings:
        if why == "a text that is not understood":
            raise SetupError("compile", "no such keyword")
        return recompile(estate)[text]

    past = legacy.revive(estate.settings, compile_text)
    assert not past.whole
    assert legacy.why
    assert legacy.kept(past) == {}
    assert past.settings.listeners == estate.standing
    assert len(past.listeners[1]) == 2
    close(legacy, past)


def test_an_older_text_that_is_not_understood_costs_only_its_own_sessions(estate: Estate) -> None:
    def compile_text(text: str) -> Settings:
        if text == "second":
            raise SetupError("compile", "no such keyword")
        return recompile(estate)[text]

    legacy = leave(estate)
    past = legacy.revive(estate.settings, compile_text)
    assert past.whole
    assert past.earlier == {}
    close(legacy, past)


def test_what_is_no_list_is_refused_and_nothing_of_it_stays_open(estate: Estate) -> None:
    bundle = dup(pack(estate, Left([[], []], None)))
    with pytest.raises(InventoryError):
        bequest.read(Bundle(b"nonsense", bundle.descriptors), "process 1")
    for descriptor in bundle.descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_what_is_not_used_is_closed_once(estate: Estate) -> None:
    legacy = leave(estate)
    first = legacy.take(0)
    legacy.close_unused()
    legacy.close_unused()
    os.fstat(first)
    os.close(first)
    assert legacy.manifest.version == inventory.VERSION
