"""What changes in a group is written down once, before anything is sent that rests on it."""

from __future__ import annotations

import pytest

from tests.kit.uftp_scene import Scene, chain, make_cipher, make_ring
from tests.kit.uftp_world import MS
from workers.uftp import records
from workers.uftp.archive import Archive
from workers.uftp.exchange import COUNTERS_AHEAD
from workers.uftp.groups import Group
from workers.uftp.header import Function
from workers.uftp.records import ClientRecord, GroupRecord

GCM = (6, 3, 3, 3, True)


class Paper:
    """A shelf that remembers every stroke of the pen. room: how many records it takes."""

    def __init__(self) -> None:
        self.found: dict[bytes, dict[bytes, bytes]] = {}
        self.strokes: list[tuple[bytes, bytes]] = []
        self.room = 1_000_000

    def put(self, family: bytes, name: bytes, value: bytes) -> bool:
        if len(self.strokes) >= self.room:
            return False
        self.strokes.append((family, name))
        self.found.setdefault(family, {})[name] = value
        return True

    def drop(self, family: bytes, name: bytes) -> None:
        self.found.get(family, {}).pop(name, None)

    def drop_family(self, family: bytes) -> None:
        self.found.pop(family, None)


def running(cipher: bool = True, at_ms: int = 150) -> tuple[Scene, Group, Paper, Archive]:
    made = make_cipher(*GCM) if cipher else None
    ring = make_ring(made) if made else None
    scene = chain(3, 1, cipher=made, ring=ring, server={"data": bytes(20_000), "grtt_s": 0.05})
    paper = Paper()
    archive = Archive(paper)
    scene.below.machine.adopt(archive, {}, 0)
    scene.server.start()
    scene.world.run(at_ms * MS)
    return scene, next(iter(scene.below.machine.groups)), paper, archive


def test_a_group_and_its_clients_are_written_as_they_become_known() -> None:
    _, group, paper, _ = running()
    found = paper.found[records.family_of(group.key)]
    assert {records.SELF, *(records.name_of(uid) for uid in (0x1111, 0x1112, 0x1113))} <= set(found)
    assert records.decode(found[records.SELF], GroupRecord).crypto.master == group.crypto.master
    states = {records.decode(found[records.name_of(uid)], ClientRecord).state for uid in (0x1111, 0x1112)}
    assert states == {group.clients.get(0x1111).state.value}


def test_nothing_is_written_where_nothing_changes() -> None:
    scene, group, paper, archive = running()
    before = len(paper.strokes)
    archive.save(group.key, group)
    assert len(paper.strokes) == before
    scene.below.machine.touch(scene.below.machine.route(header_of(scene), scene.above.address), scene.world.now_ns)
    assert len(paper.strokes) == before


def header_of(scene: Scene) -> bytes:
    """Return the header of the newest sealed datagram of the server's that came down."""
    return next(
        data[:16]
        for _, source, data, to in reversed(scene.world.sent)
        if (source, to) == (scene.above.address, scene.below.address) and data[1] == Function.ENCRYPTED
    )


def test_counters_are_written_before_they_are_used() -> None:
    _, group, paper, archive = running()
    family = records.family_of(group.key)
    for _ in range(3 * COUNTERS_AHEAD):
        group.crypto.next_counter()
        archive.save(group.key, group)
        assert records.decode(paper.found[family][records.SELF], GroupRecord).crypto.reserved >= group.crypto.counter
    assert sum(stroke == (family, records.SELF) for stroke in paper.strokes[-4:]) >= 3


def test_a_group_that_ends_is_forgotten_with_its_clients() -> None:
    scene, group, paper, _ = running()
    assert scene.run()
    scene.settle()
    assert records.family_of(group.key) not in paper.found


@pytest.mark.parametrize("cipher", [False, True])
def test_a_group_for_which_there_is_no_room_leaves_nothing_behind(cipher: bool) -> None:
    _, group, paper, archive = running(cipher)
    paper.room = 0
    group.grtt += 1
    archive.save(group.key, group)
    assert records.family_of(group.key) not in paper.found
    assert archive.unsaved == 1


def test_a_client_for_which_there_is_no_room_leaves_nothing_behind() -> None:
    _, group, paper, archive = running()
    paper.room = 0
    group.clients.changed[0x1111] = group.clients.get(0x1111)
    archive.save(group.key, group)
    assert records.name_of(0x1111) not in paper.found[records.family_of(group.key)]
    assert records.name_of(0x1112) in paper.found[records.family_of(group.key)]
    assert archive.unsaved == 1


def test_what_is_written_in_the_end_has_no_counter_in_advance() -> None:
    _, group, paper, archive = running()
    archive.save_exactly(group)
    record = records.decode(paper.found[records.family_of(group.key)][records.SELF], GroupRecord)
    assert record.crypto.reserved == group.crypto.counter
    assert record.sequence == group.sequence
    assert records.SHOWN in paper.found[records.family_of(group.key)]


def test_a_key_is_written_once() -> None:
    _, group, paper, archive = running()
    for _ in range(5):
        group.grtt += 1
        archive.save(group.key, group)
    assert sum(family == records.KEYS for family, _ in paper.strokes) == 1


def test_how_far_a_group_is_is_written_when_it_has_moved() -> None:
    _, group, paper, archive = running()
    archive.save_shown([group])
    before = len(paper.strokes)
    archive.save_shown([group])
    assert len(paper.strokes) == before
    group.progress.count(1, 100)
    archive.save_shown([group])
    assert len(paper.strokes) == before + 1
