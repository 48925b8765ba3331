"""What is kept of a worker's sessions, and what of it its replacement is given."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from proxyd.daemon.shared import Shared
from proxyd.daemon.vault import CRASHES, KILLS, Vault
from tests.proxyd.daemon.estates import free
from tests.workers.forked import in_child
from workers.contract.custody import BATCH, Entrusted, Entry, Released, say
from workers.contract.settings import Settings
from workers.contract.slots import SLOT, Counter, Region
from workers.errors import ContractError

SESSIONS = 6


class Scene:
    """A vault of two workers, with what the first one says to it."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.shared = Shared.create(Settings("TEST", (), SESSIONS, 2, ()), 2)
        self.vault = Vault(self.shared, self.epoll)
        self.end = self.vault.open(0)

    @property
    def region(self) -> Region:
        return self.shared.regions[0]

    def begin(self, slot: int, opened_ns: int) -> None:
        """Open a session in the region, and take its permit, as a worker does."""
        os.eventfd_read(self.shared.permits)
        words = self.region.words
        words[Counter.PERMITS] += 1
        words[Counter.SESSIONS] += 1
        words[Counter.TOP] = max(words[Counter.TOP], slot + 1)
        record = (1, 1, 0, 4, 0, opened_ns, *(0,) * 11, *(b"",) * 4)
        SLOT.pack_into(self.region.memory, self.region.offset(slot), *record)

    def entrust(self, *entries: Entry) -> list[int]:
        """Send sessions with fresh sockets; return the inodes of these."""
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in entries]
        assert say(self.end, Entrusted(list(entries)), [sock.fileno() for sock in sockets])
        inodes = [os.fstat(sock.fileno()).st_ino for sock in sockets]
        for sock in sockets:
            sock.close()
        return inodes

    def free_permits(self) -> int:
        for count in range(100):
            try:
                os.eventfd_read(self.shared.permits)
            except BlockingIOError:
                return count
        return 100


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.end.close()
    scene.epoll.close()
    free(scene.shared)


def inodes(scene: Scene, worker: int = 0) -> dict[int, int]:
    return {item.slot: os.fstat(item.fd).st_ino for item in scene.vault.kept(worker)}


def test_what_a_dead_worker_entrusted_is_kept_with_its_permits(scene: Scene) -> None:
    scene.begin(3, 100)
    scene.begin(1, 90)
    first, second = scene.entrust(Entry(3, 100, b"note"), Entry(1, 90, b""))
    assert scene.vault.inherit(0)
    assert [(item.slot, item.opened_ns, item.note) for item in scene.vault.kept(0)] == [(1, 90, b""), (3, 100, b"note")]
    assert inodes(scene) == {1: second, 3: first}
    assert (scene.region.sessions, scene.region.words[Counter.PERMITS]) == (2, 2)
    assert scene.free_permits() == SESSIONS - 2


def test_a_session_that_was_not_entrusted_is_over_and_its_permit_free(scene: Scene) -> None:
    scene.begin(0, 100)
    scene.begin(1, 101)
    scene.entrust(Entry(0, 100, b""))
    assert scene.vault.inherit(0)
    assert [item.slot for item in scene.vault.kept(0)] == [0]
    assert scene.region.opened(1) is None
    assert scene.free_permits() == SESSIONS - 1


@pytest.mark.parametrize("opened_ns", [None, 101])
def test_an_entry_whose_slot_is_free_or_anothers_is_not_kept(scene: Scene, opened_ns: int | None) -> None:
    if opened_ns is not None:
        scene.begin(0, opened_ns)
    scene.entrust(Entry(0, 100, b""))
    assert scene.vault.inherit(0)
    assert scene.vault.kept(0) == ()
    assert len(scene.vault) == 0
    assert scene.region.sessions == 0
    assert scene.free_permits() == SESSIONS


def test_what_is_released_is_closed_and_a_stranger_to_the_vault_does_not_matter(scene: Scene) -> None:
    scene.entrust(Entry(0, 100, b""), Entry(1, 100, b""))
    scene.vault.take(0)
    (descriptor,) = [item.fd for item in scene.vault.kept(0) if item.slot == 0]
    assert say(scene.end, Released([0, 5]))
    scene.vault.take(0)
    assert [item.slot for item in scene.vault.kept(0)] == [1]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_new_entry_stands_in_the_place_of_the_old_one(scene: Scene) -> None:
    scene.entrust(Entry(2, 100, b""))
    (newer,) = scene.entrust(Entry(2, 200, b""))
    scene.vault.take(0)
    assert inodes(scene) == {2: newer}
    assert len(scene.vault) == 1
    (last,) = scene.entrust(Entry(2, 300, b""), Entry(2, 301, b""))[1:]
    scene.vault.take(0)
    assert inodes(scene) == {2: last}
    assert len(scene.vault) == 1


def test_a_slot_that_does_not_exist_is_a_breach_and_nothing_of_it_stays_open(scene: Scene) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    scene.entrust(Entry(0, 1, b""), Entry(SESSIONS, 1, b""))
    with pytest.raises(ContractError, match="does not exist"):
        scene.vault.take(0)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_breach_among_the_last_words_takes_nothing_of_what_was_said_before(scene: Scene) -> None:
    scene.begin(0, 100)
    scene.entrust(Entry(0, 100, b""))
    scene.end.send(b"nonsense")
    assert scene.vault.inherit(0)
    assert [item.slot for item in scene.vault.kept(0)] == [0]


def test_there_are_never_more_than_there_can_be(scene: Scene) -> None:
    most, read_ends = SESSIONS + 2 * BATCH, []
    for number in range(most + 10):
        readable, writable = os.pipe()
        os.close(writable)
        read_ends.append(readable)
        scene.vault.adopt(number % 2, [Entry(number % SESSIONS, number, b"")], [readable])
    assert len(scene.vault) == SESSIONS


def test_where_few_files_may_be_open_what_has_room_is_kept_and_some_are_left_to_others() -> None:
    def act() -> object:
        limit = len(list(Path("/proc/self/fd").iterdir())) + 400
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        with closing(select.epoll()) as epoll:
            vault = Vault(Shared.create(Settings("TEST", (), 1000, 1, ()), 1), epoll)
            end = vault.open(0)
            for slot in range(0, 1000, 100):
                ends = [os.dup(epoll.fileno()) for _ in range(100)]
                say(end, Entrusted([Entry(number, 1, b"") for number in range(slot, slot + 100)]), ends)
                for descriptor in ends:
                    os.close(descriptor)
                vault.take(0)
            return 150 <= len(vault) <= 300, len(os.pipe())

    assert in_child(act) == str((True, 2))


def test_a_worker_can_begin_where_no_more_files_may_be_open_than_its_pair_takes() -> None:
    def act() -> object:
        with closing(select.epoll()) as epoll:
            vault = Vault(Shared.create(Settings("TEST", (), 10, 1, ()), 1), epoll)
            # More than there are, however many the tests before have left open.
            limit = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 50
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            held: list[int] = []
            with suppress(OSError):
                while True:
                    held.append(os.dup(epoll.fileno()))
            for descriptor in held[-2:]:
                os.close(descriptor)
            vault.open(0)
            return sorted(vault.owner(descriptor) is None for descriptor in held[-2:])

    assert in_child(act) == str([False, True])


@pytest.mark.parametrize(("killed", "most"), [(False, CRASHES), (True, KILLS)])
def test_sessions_of_which_replacements_die_are_given_up_and_less_readily_where_somebody_kills_them(
    scene: Scene, killed: bool, most: int
) -> None:
    scene.begin(0, 100)
    scene.entrust(Entry(0, 100, b""))
    scene.region.words[Counter.TURNS] = 1
    assert scene.vault.inherit(0, killed=killed)
    for _ in range(most - 1):
        scene.vault.open(0).close()
        assert scene.vault.inherit(0, killed=killed)
        assert len(scene.vault.kept(0)) == 1
    scene.vault.open(0).close()
    assert not scene.vault.inherit(0, killed=killed)
    assert scene.vault.kept(0) == ()
    assert scene.vault.lost == 1
    assert scene.free_permits() == SESSIONS


def test_a_replacement_that_has_served_makes_the_count_begin_anew(scene: Scene) -> None:
    scene.begin(0, 100)
    scene.entrust(Entry(0, 100, b""))
    for turn in range(3 * CRASHES):
        scene.region.words[Counter.TURNS] += turn % 2
        assert scene.vault.inherit(0)
        scene.vault.open(0).close()
    assert len(scene.vault.kept(0)) == 1


def test_a_worker_serves_when_its_loop_has_turned(scene: Scene) -> None:
    assert not scene.vault.serves(0)
    scene.region.words[Counter.TURNS] += 1
    assert scene.vault.serves(0)
    scene.vault.close(0)
    scene.vault.open(0).close()
    assert not scene.vault.serves(0)


def test_the_loop_finds_the_worker_by_the_descriptor_as_long_as_it_is_heard(scene: Scene) -> None:
    scene.entrust(Entry(0, 100, b""))
    ((descriptor, _),) = scene.epoll.poll(0)
    assert scene.vault.owner(descriptor) == 0
    scene.vault.close(0)
    assert scene.vault.owner(descriptor) is None
    assert scene.epoll.poll(0) == []


def test_a_worker_that_closes_its_end_is_not_heard_any_more(scene: Scene) -> None:
    scene.entrust(Entry(0, 100, b""))
    scene.end.close()
    scene.vault.take(0)
    assert len(scene.vault) == 1
    assert scene.epoll.poll(0) == []


def test_what_is_kept_can_be_kept_for_other_workers_in_other_slots(scene: Scene) -> None:
    inodes = scene.entrust(Entry(0, 100, b"a"), Entry(1, 200, b"b"), Entry(2, 300, b"c"))
    scene.vault.take(0)
    first, second, third = scene.vault.kept(0)
    scene.vault.move([[], [second._replace(slot=5)], [first._replace(slot=3)]])
    assert scene.vault.kept(0) == ()
    assert [(one.slot, one.opened_ns, one.note) for one in scene.vault.kept(1)] == [(5, 200, b"b")]
    assert [(one.slot, one.opened_ns, one.note) for one in scene.vault.kept(2)] == [(3, 100, b"a")]
    assert [os.fstat(one.fd).st_ino for worker in (1, 2) for one in scene.vault.kept(worker)] == [inodes[1], inodes[0]]
    assert len(scene.vault) == 2
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(third.fd)
