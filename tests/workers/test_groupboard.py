"""A worker's groups in its shared memory."""

from __future__ import annotations

from tests.kit.uftp_bench import GROUP as GROUP_ID
from tests.kit.uftp_bench import GRTT_NS, Bench, announcement
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_UID
from tests.kit.uftp_world import PRIVATE
from workers.contract.groups import GROUP, GroupFlag, GroupPhase
from workers.contract.slots import Counter, Region
from workers.contract.uftp import Mode
from workers.deadlines import NEVER
from workers.groupboard import SOME, WRITE_NS, GroupBoard
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo


def read(region: Region) -> list[tuple[object, ...]]:
    """Return the open records, in their order."""
    slots = range(region.words[Counter.TOP])
    records = [GROUP.unpack_from(region.memory, region.offset(slot)) for slot in slots]
    return [record for record in records if record[0]]


def tend(one: Bench, board: GroupBoard, now_ns: int) -> int:
    return board.tend(one.machine.groups, one.machine.downstream, now_ns)


def test_a_group_is_written_with_all_that_is_known_of_it() -> None:
    one, region = Bench(now_ns=7), Region.create("test", 4)
    board = GroupBoard(region, Mode.CLIENT)
    one.announce()
    one.register()
    tend(one, board, 0)
    assert read(region)[0][1] == GroupPhase.ANNOUNCED
    one.now_ns = 20
    one.from_server(FileInfo(3, 0, 5000, 0, Timestamp.from_us(0), b"a.iso\0\0\0"))
    assert tend(one, board, WRITE_NS) == 2 * WRITE_NS
    (record,) = read(region)
    _, phase, flags, instance, group_id, uid, clients, ready, grtt_us, file_id, robust, block_bytes = record[:12]
    assert (phase, flags, instance, group_id, uid) == (
        GroupPhase.RECEIVING,
        GroupFlag.GATHERS,
        0,
        GROUP_ID,
        SERVER_UID,
    )
    terms = announcement()
    assert (clients, ready, grtt_us, file_id) == (1, 0, GRTT_NS // 1000, 3)
    assert (robust, block_bytes) == (terms.robust, terms.block_bytes)
    began, heard, file_began, datagrams, passed, of_file, size, server, to, name = record[12:]
    assert (began, heard, file_began, size) == (7, 20, 20, 5000)
    assert (datagrams, passed > 0, of_file) == (1, True, 0)
    assert (server[: len(SERVER)], to[: len(PRIVATE)], name.rstrip(b"\0")) == (SERVER, PRIVATE, b"a.iso")


def test_a_server_proxys_groups_go_to_its_downstream_and_have_no_clients() -> None:
    one, region = Bench(Mode.SERVER, changes={"downstream": CLIENT_PROXY}), Region.create("test", 4)
    one.announce()
    tend(one, GroupBoard(region, Mode.SERVER), 0)
    (record,) = read(region)
    assert record[1:3] == (GroupPhase.RECEIVING, 0)
    assert record[20][: len(CLIENT_PROXY)] == CLIENT_PROXY


def test_groups_are_written_once_a_second_and_only_while_there_are_any() -> None:
    one, region = Bench(), Region.create("test", 4)
    board = GroupBoard(region, Mode.CLIENT)
    assert tend(one, board, 0) == NEVER
    one.announce()
    assert tend(one, board, WRITE_NS - 1) == NEVER
    assert read(region) == []
    assert tend(one, board, WRITE_NS) == 2 * WRITE_NS
    assert len(read(region)) == 1


def test_the_slot_of_a_group_that_has_ended_is_another_ones() -> None:
    one, region = Bench(), Region.create("test", 2)
    board = GroupBoard(region, Mode.CLIENT)
    one.announce()
    tend(one, board, 0)
    one.wait(3600 * WRITE_NS)
    assert tend(one, board, one.now_ns) == NEVER
    assert read(region) == []
    for group_id in (8, 9, 10):
        one.announce(group_id=group_id)
    tend(one, board, one.now_ns + WRITE_NS)
    assert {record[4] for record in read(region)} < {8, 9, 10}
    assert (len(read(region)), region.words[Counter.TOP]) == (2, 2)


def test_many_groups_are_written_part_by_part() -> None:
    one, region = Bench(), Region.create("test", SOME + 9)
    board = GroupBoard(region, Mode.CLIENT)
    for group_id in range(1, SOME + 10):
        one.announce(group_id=group_id)
    assert tend(one, board, 5) == 5
    assert len(read(region)) == SOME
    assert tend(one, board, 6) == 5 + WRITE_NS
    assert len(read(region)) == SOME + 9


def test_a_slot_between_others_is_used_again() -> None:
    one, region = Bench(), Region.create("test", 4)
    board = GroupBoard(region, Mode.CLIENT)
    one.announce(group_id=8)
    one.wait(20 * GRTT_NS // 2)
    one.announce(group_id=9)
    tend(one, board, one.now_ns)
    one.wait(20 * GRTT_NS - 20 * GRTT_NS // 4)
    assert [group.key.group_id for group in one.machine.groups] == [9]
    tend(one, board, one.now_ns)
    one.announce(group_id=10)
    tend(one, board, one.now_ns + WRITE_NS)
    assert [record[4] for record in read(region)] == [10, 9]
