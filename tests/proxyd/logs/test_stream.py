"""Standard error and its kin: readers that are slow, gone, or share the descriptor with somebody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.logs.sinks import MAX_WAITING_BYTES
from proxyd.logs.stream import Stream
from tests.kit.requirement import requires_root

NOBODY = 65534


class Pipe:
    """A pipe whose reader is the test."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def read(self) -> bytes:
        """Return all that is in the pipe now."""
        parts = []
        while True:
            try:
                part = os.read(self.reader, 1 << 20)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    os.close(made.writer)


@pytest.fixture
def guarded(pipe: Pipe) -> Iterator[Stream]:
    """A stream that could not open its pipe once more: as a user who did not make the pipe."""
    os.seteuid(NOBODY)
    try:
        stream = Stream(pipe.writer)
    finally:
        os.seteuid(0)
    yield stream
    stream.close()


def drain(pipe: Pipe, stream: Stream) -> bytes:
    read = b""
    while stream.waiting:
        read += pipe.read()
        stream.flush()
    return read + pipe.read()


def test_lines_reach_the_pipe_at_the_flush(pipe: Pipe) -> None:
    stream = Stream(pipe.writer)
    stream.write("head ", "body")
    assert pipe.read() == b""
    stream.flush()
    assert pipe.read() == b"head body\n"
    stream.close()


def test_the_descriptor_of_others_stays_blocking_and_open(pipe: Pipe) -> None:
    stream = Stream(pipe.writer)
    assert os.get_blocking(pipe.writer)
    assert not os.get_inheritable(stream.fileno())
    stream.close()
    assert os.write(pipe.writer, b"still open") == 10


def test_a_slow_reader_gets_whole_lines_up_to_the_bound_and_the_rest_is_counted(pipe: Pipe) -> None:
    stream = Stream(pipe.writer)
    for number in range(3 * MAX_WAITING_BYTES // 1000):
        stream.write("", f"{number:08d} " + "x" * 990)
        stream.flush()
    assert not stream.healthy
    written = drain(pipe, stream).splitlines()
    assert len(written) + stream.trouble.shed == 3 * MAX_WAITING_BYTES // 1000
    assert stream.trouble.shed > 0
    assert {len(line) for line in written} == {999}
    assert stream.healthy
    stream.close()


def test_a_reader_that_is_gone_costs_what_waits_and_no_more(pipe: Pipe) -> None:
    stream = Stream(pipe.writer)
    keep = os.dup(pipe.reader)
    os.close(pipe.reader)
    os.close(keep)
    stream.write("", "one")
    stream.write("", "two")
    stream.flush()
    assert not stream.waiting
    assert stream.trouble.take() == ("Broken pipe", 2)
    stream.close()
    pipe.reader = os.open("/dev/null", os.O_RDONLY)


def test_a_socket_of_the_service_manager_is_written_to_without_blocking() -> None:
    ours, theirs = socket.socketpair()
    stream = Stream(ours.fileno())
    assert os.get_blocking(ours.fileno())
    for _ in range(MAX_WAITING_BYTES // 1000):
        stream.write("", "x" * 999)
    stream.flush()
    assert stream.waiting
    read = b""
    while stream.waiting:
        read += theirs.recv(1 << 20)
        stream.flush()
    stream.close()
    ours.close()
    while more := theirs.recv(1 << 20):
        read += more
    assert read == (b"x" * 999 + b"\n") * (MAX_WAITING_BYTES // 1000)
    theirs.close()


def test_a_file_is_appended_where_its_descriptor_stands(tmp_path: Path) -> None:
    path = tmp_path / "errors"
    with path.open("wb", buffering=0) as file:
        file.write(b"before\n")
        stream = Stream(file.fileno())
        stream.write("", "ours")
        stream.close()
        file.write(b"after\n")
    assert path.read_bytes() == b"before\nours\nafter\n"


@requires_root
def test_a_pipe_that_cannot_be_opened_again_is_written_to_while_it_has_room(pipe: Pipe, guarded: Stream) -> None:
    for number in range(500):
        guarded.write("", f"{number:08d} " + "x" * 990)
    guarded.flush()
    assert guarded.waiting
    assert os.get_blocking(pipe.writer)
    assert len(drain(pipe, guarded).splitlines()) == 500


def test_closing_gives_a_slow_reader_a_moment_only(pipe: Pipe) -> None:
    stream = Stream(pipe.writer)
    for _ in range(500):
        stream.write("", "x" * 999)
    stream.close()
    assert stream.fileno() == -1
    stream.close()
    assert pipe.read().count(b"\n") + stream.trouble.shed == 500
    assert stream.trouble.shed > 0
