"""How far a group has come, as its server's datagrams show it."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import Bench
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER
from tests.kit.uftp_world import MS, PRIVATE
from workers.contract.uftp import Mode
from workers.uftp.actions import Arrival, Relay, Send
from workers.uftp.groups import Group, Progress
from workers.uftp.header import Function
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileSeg

DOWN = {"downstream": CLIENT_PROXY}


def info(file_id: int, size: int, name: bytes) -> FileInfo:
    return FileInfo(file_id, 0, size, 0, Timestamp.from_us(0), name)


def only(one: Bench) -> Group:
    (group,) = one.machine.groups
    return group


@pytest.mark.parametrize("mode", list(Mode))
def test_a_file_begins_with_its_announcement_and_not_again_when_that_is_repeated(mode: Mode) -> None:
    one = Bench(mode, now_ns=5 * MS, changes=DOWN if mode is Mode.SERVER else {})
    one.announce()
    one.wait(MS)
    one.from_server(info(1, 900, b"a.iso\0\0\0"))
    progress = only(one).progress
    assert (progress.began_ns, progress.file_ns) == (5 * MS, 6 * MS)
    assert (progress.file_id, progress.file_size, progress.file_name) == (1, 900, b"a.iso\0\0\0")
    one.from_server(FileSeg(1, 0, 0, b"x" * 200))
    passed = progress.file_bytes
    assert passed > 200
    one.wait(MS)
    one.from_server(info(1, 900, b"a.iso\0\0\0"))
    assert (progress.file_ns, progress.file_bytes > passed) == (6 * MS, True)
    one.from_server(info(2, 1, b"b\0\0\0"))
    assert (progress.file_id, progress.file_bytes, progress.file_ns) == (2, 0, 7 * MS)


def test_datagrams_that_are_never_looked_at_are_counted_by_their_size_downstream_only() -> None:
    one = Bench(Mode.SERVER, changes=DOWN)
    one.announce()
    group = only(one)
    before = group.progress.datagrams, group.progress.payload_bytes
    one.machine.touch(Relay(b"down", group.key, group.grtt, group.size), 1, 3, 4000)
    one.machine.touch(Relay(b"up", group.key, -1, -1), 1, 5, 6000)
    after = group.progress.datagrams, group.progress.payload_bytes
    assert (after[0] - before[0], after[1] - before[1]) == (3, 4000)


def test_an_announcement_of_a_file_that_cannot_be_read_passes_on_as_it_came() -> None:
    one = Bench()
    one.announce()
    head = one.from_server(info(1, 1, b"a\0\0\0"))[0].payload[:16]
    broken = head + bytes((Function.FILEINFO, 99, 0, 0))
    one.machine.receive(broken, Arrival(SERVER, PRIVATE, 1), 0)
    assert [action.payload for action in one.machine.actions if isinstance(action, Send)] == [broken]
    assert only(one).progress.file_id == 1


def test_a_progress_begins_with_nothing() -> None:
    assert (Progress(7).began_ns, Progress(7).payload_bytes, Progress(7).file_id) == (7, 0, 0)
