"""Groups as they come from shared memory."""

from __future__ import annotations

import socket
import struct

import pytest

from proxyd.control import protocol
from proxyd.control.groups import Group, read
from proxyd.control.protocol import NUMBER
from workers.contract.groups import GROUP, GroupFlag, GroupPhase

S = 10**9
SERVER = struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", 1044, 0x0A000001)


def record(phase: int = GroupPhase.RECEIVING, flags: int = GroupFlag.GATHERS, **changes: int | bytes) -> bytes:
    values: dict[str, int | bytes] = {
        "clients": 7,
        "ready": 5,
        "file_id": 3,
        "file_bytes": 250,
        "size": 1000,
        "name": b"a.iso",
    } | changes
    of = values.__getitem__
    head = (1, phase, flags, 0x2A, 0xABC, 0x5555, of("clients"), of("ready"), 20_000, of("file_id"), 15, 1300)
    counts = (2 * S, 9 * S, 5 * S, 40, 50_000, of("file_bytes"), of("size"))
    return GROUP.pack(*head, *counts, SERVER, b"", of("name"))


def only(raw: bytes) -> Group:
    (found,) = read(protocol.Groups(1, 12 * S, NUMBER.pack(0) + raw))
    return found


def test_a_record_is_made_readable() -> None:
    found = only(record())
    assert (found.id, found.worker, found.phase, found.encrypted) == ("00000ABC/2A", 1, "receiving", False)
    assert (found.server, found.server_uid, found.to) == ("[10.0.0.1]:1044", "00005555", "-")
    assert (found.clients, found.ready, found.grtt_s, found.robust, found.block_size) == (7, 5, 0.02, 15, 1300)
    assert (found.age_s, found.idle_s, found.datagrams, found.bytes) == (10.0, 3.0, 40, 50_000)
    assert (found.file_id, found.file, found.file_size, found.file_bytes, found.progress) == (
        *(3, "a.iso", 1000, 250, 0.25),
    )


def test_what_a_proxy_does_not_look_at_is_not_known() -> None:
    found = only(record(flags=GroupFlag.ENCRYPTED, file_id=0))
    assert (found.encrypted, found.clients, found.ready) == (True, None, None)
    assert (found.file, found.file_size, found.file_bytes, found.progress) == (None,) * 4


@pytest.mark.parametrize(("passed", "size", "progress"), [(0, 10, 0.0), (99, 10, 1.0), (0, 0, 1.0), (1, 3, 0.3333)])
def test_what_is_sent_twice_does_not_make_more_than_all(passed: int, size: int, progress: float) -> None:
    assert only(record(file_bytes=passed, size=size)).progress == progress


def test_records_that_are_none_are_left_out() -> None:
    rubbish = [record(phase=0), record(phase=200), b"\xff" * GROUP.size]
    raw = b"".join(NUMBER.pack(0) + one for one in (*rubbish, record())) + b"rest"
    assert [found.id for found in read(protocol.Groups(0, 0, raw))] == ["00000ABC/2A"]
