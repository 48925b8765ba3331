"""What waited for a worker, written by the parent and read once."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from workers.contract.backlog import Backlog, Waited, read_backlog
from workers.errors import ContractError


def test_what_is_written_is_read_in_its_order_and_the_descriptor_is_closed() -> None:
    backlog = Backlog("test")
    written = [Waited(3, b"source", b"", b""), Waited(0, b"s" * 28, b"c" * 192, bytes(65_507))] * 40
    for waited in written:
        backlog.add(waited)
    backlog.seal()
    assert (backlog.count, backlog.lost) == (80, 0)
    fd = os.dup(backlog.fd)
    backlog.close()
    assert list(read_backlog(fd)) == written
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_nobody_writes_to_what_is_sealed() -> None:
    backlog = Backlog("test")
    backlog.seal()
    with pytest.raises(PermissionError):
        os.write(backlog.fd, b"more")
    assert list(read_backlog(os.dup(backlog.fd))) == []
    backlog.close()


@pytest.mark.parametrize("size", [1, 11, 12, 20])
def test_what_is_no_backlog_is_a_breach_of_the_contract(size: int) -> None:
    fd = os.memfd_create("test")
    os.write(fd, b"\xff" * size)
    with pytest.raises(ContractError, match="a backlog that ends within"):
        list(read_backlog(fd))


@pytest.fixture
def _little_room() -> Iterator[None]:
    """Let no file become larger than 3 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_little_room")
def test_what_there_is_no_room_for_is_counted_and_what_is_written_stays() -> None:
    backlog = Backlog("test")
    backlog.add(Waited(0, b"first", b"", b""))
    backlog.add(Waited(0, b"second", b"", bytes(1 << 20)))
    for _ in range(3):
        backlog.add(Waited(0, b"third", b"", bytes(2 << 20)))
    backlog.seal()
    assert (backlog.count, backlog.lost) == (2, 3)
    assert [waited.source for waited in read_backlog(os.dup(backlog.fd))] == [b"first", b"second"]
    backlog.close()
