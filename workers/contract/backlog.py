"""What waited in listening sockets while no worker was there, for the worker that is to treat it before all else.

The parent takes datagrams out of sockets only when their clients come to other workers from now on, and gives each to
the worker that has the client's session: opaque, with all that the kernel said of it. They go by a memfd, sealed,
which the worker reads once: record after record, in the order in which they came.
Source: memfd_create(2); fcntl(2), File Sealing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from workers.errors import ContractError

_HEADER = struct.Struct("=IHHI")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_GATHERED_BYTES = 1 << 20


class Waited(NamedTuple):
    """A datagram, or train of datagrams, as it was received: by which listener, from whom, with which control data."""

    listener: int
    source: bytes
    control: bytes
    payload: bytes


class Backlog:
    """What is written for one worker. Raises OSError where there can be none.

    count: datagrams, a train as one, that are in it; lost: those that there was no memory for.
    """

    def __init__(self, name: str) -> None:
        self.count = self.lost = 0
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._gathered = bytearray()
        self._waiting = self._size = 0

    def add(self, waited: Waited) -> None:
        """Put one behind the others."""
        listener, source, control, payload = waited
        self._gathered += _HEADER.pack(listener, len(source), len(control), len(payload))
        self._gathered += source + control + payload
        self._waiting += 1
        if len(self._gathered) >= _GATHERED_BYTES:
            self._write()

    def seal(self) -> None:
        """Let nobody change it any more."""
        self._write()
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)

    def close(self) -> None:
        """Close it; who was forked with it has it still."""
        os.close(self.fd)

    def _write(self) -> None:
        """Write what was gathered, all of it or nothing."""
        try:
            os.posix_fallocate(self.fd, self._size, len(self._gathered) or 1)
            self._size += os.pwrite(self.fd, self._gathered, self._size)
            self.count += self._waiting
        except OSError:
            self.lost += self._waiting
        os.ftruncate(self.fd, self._size)
        self._gathered.clear()
        self._waiting = 0


def read_backlog(fd: int) -> Iterator[Waited]:
    """Yield what was left, in its order, and close the descriptor. Raises ContractError where it is no backlog."""
    try:
        size = os.fstat(fd).st_size
        memory = mmap.mmap(fd, size, prot=mmap.PROT_READ) if size else b""
    finally:
        os.close(fd)
    offset = 0
    while offset < size:
        if size - offset < _HEADER.size:
            raise ContractError("a backlog that ends within a header")
        listener, *lengths = _HEADER.unpack_from(memory, offset)
        offset += _HEADER.size
        if sum(lengths) > size - offset:
            raise ContractError("a backlog that ends within a datagram")
        parts = []
        for length in lengths:
            parts.append(bytes(memory[offset : offset + length]))
            offset += length
        yield Waited(listener, *parts)
