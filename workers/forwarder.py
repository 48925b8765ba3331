"""The UFTP data path: batches of datagrams, of which those that only pass through are never decoded.

What matters of a datagram is compared for a whole batch at once by strided views over the arena: function, source ID,
group with its GRTT, and the sender's address. Runs of equal ones that the machine has a way for leave as trains
(`UDP_SEGMENT`) in one sendmmsg; everything else is given to the machine, one by one and in its order.
Source: UFTP 4.10.2, observed (the header); figures: scripts/bench uftp.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple, TypeAlias

from workers.contract.settings import Address
from workers.net.arena import SLOTS, STRIDE_BYTES, Arena
from workers.net.segments import runs
from workers.net.transport import Transport
from workers.outbox import Outbox
from workers.uftp.actions import Arrival, Relay
from workers.uftp.machine import Machine
from workers.wire import sockaddr

SHORTEST = 20
"""Bytes of the smallest datagram that is one."""
HEADER_BYTES = 16
PLACES = 1024
"""Addresses that datagrams go to, at once."""
PLACE_BYTES = 32
MOST_WAYS = 4096
ATTEMPTS = 5
"""How often a full socket is waited for."""
_NO_TRAINS = frozenset((errno.EINVAL, errno.EMSGSIZE, errno.EIO))
"""A route that carries no trains: the datagrams are longer than its MTU, or are encrypted below us."""
_FULL = frozenset((0, errno.EAGAIN, errno.ENOBUFS, errno.EINTR))

_Key: TypeAlias = tuple[int, ...]
_Run: TypeAlias = tuple[int, int, _Key]
"""First slot, how many, and what is the same in all of them."""


class _Way(NamedTuple):
    """How datagrams of one kind go on. place: where the address lies."""

    relay: Relay
    place: int


class _Message(NamedTuple):
    """One message lined up: slots from first on, of these sizes."""

    first: int
    sizes: list[int]
    way: _Way


class Places:
    """Raw addresses in memory that the kernel reads them from; they stay where they are until forget."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, PLACES * PLACE_BYTES)
        self._offsets: dict[bytes, int] = {}

    def offset(self, raw: bytes) -> int:
        """Return where an address lies, written there now if it is new; -1: no room."""
        offset = self._offsets.get(raw)
        if offset is None:
            if len(self._offsets) == PLACES:
                return -1
            offset = self._offsets[raw] = len(self._offsets) * PLACE_BYTES
            self.memory[offset : offset + len(raw)] = raw
        return offset

    def forget(self) -> None:
        """Make room again."""
        self._offsets.clear()


class Headers:
    """What the first bytes of the datagrams in an arena say, and who sent them, for a batch at once."""

    def __init__(self, arena: Arena, version: int) -> None:
        start = arena.payload_offset(0)
        view = arena.bytes[start : start + SLOTS * STRIDE_BYTES]
        words = 1 if version == 4 else 4
        self._columns = (
            view.cast("H")[:: STRIDE_BYTES // 2],
            view.cast("I")[1 :: STRIDE_BYTES // 4],
            view.cast("Q")[1 :: STRIDE_BYTES // 8],
            *(arena.names_q[word::4] for word in range(words)),
        )

    def runs(self, count: int) -> list[_Run]:
        """Return the first count slots as runs of equal datagrams, sequence numbers aside."""
        columns = [column[:count].tolist() for column in self._columns]
        if all(column.count(column[0]) == count for column in columns):
            return [(0, count, tuple(column[0] for column in columns))]
        found, first = [], 0
        for key, same in groupby(zip(*columns, strict=True)):
            length = sum(1 for _ in same)
            found.append((first, length, key))
            first += length
        return found


class Forwarder:
    """The datagrams of one worker's socket. version: the socket's IP version; places: where transport sends to."""

    def __init__(self, sock: socket.socket, version: int, transport: Transport, places: Places) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._version = version
        self._transport = transport
        self._places = places
        self._headers = Headers(transport.arena, version)
        self._ways: dict[_Key, _Way] = {}
        self._generation = -1
        self._line: list[_Message] = []
        self._carries_trains = True

    def receive(self, machine: Machine, outbox: Outbox, now_ns: int) -> int:
        """Take one batch; return how many datagrams it had."""
        count = self._transport.receive(self._fd, self._version)
        if not count:
            return 0
        sizes = self._transport.sizes(0, count)
        outbox.stats.received_out += count
        for first, length, key in self._headers.runs(count):
            if machine.generation != self._generation:
                self._forget_ways(machine, outbox)
            some = sizes[first : first + length]
            whole = min(some) >= SHORTEST
            way = (self._ways.get(key) or self._find_way(machine, first, key)) if whole else None
            if way is None:
                self._flush(outbox)
                self._hand_over(machine, outbox, first, some, now_ns)
            else:
                self._pass_on(machine, outbox, way, first, some, now_ns)
        self._flush(outbox)
        return count

    def _forget_ways(self, machine: Machine, outbox: Outbox) -> None:
        self._flush(outbox)
        self._generation = machine.generation
        self._ways.clear()
        self._places.forget()

    def _find_way(self, machine: Machine, slot: int, key: _Key) -> _Way | None:
        """Ask the machine how datagrams like this one go on; None: it must see each of them."""
        head = bytes(self._transport.arena.payload(slot, HEADER_BYTES))
        relay = machine.route(head, self._transport.source(slot, self._version))
        if relay is None or len(self._ways) >= MOST_WAYS:
            return None
        place = self._places.offset(relay.to) if relay.to else 0
        if place < 0:
            return None
        way = self._ways[key] = _Way(relay, place)
        return way

    def _hand_over(self, machine: Machine, outbox: Outbox, first: int, sizes: list[int], now_ns: int) -> None:
        """Give datagrams to the machine, and do what it says after each."""
        transport = self._transport
        for slot, size in enumerate(sizes, first):
            packet = transport.control(slot).packet
            to, interface = (_destination(packet.destination), packet.interface) if packet else (b"", 0)
            arrival = Arrival(transport.source(slot, self._version), to, interface)
            machine.receive(bytes(transport.arena.payload(slot, size)), arrival, now_ns)
            outbox.carry_out(machine, now_ns)

    def _pass_on(self, machine: Machine, outbox: Outbox, way: _Way, first: int, sizes: list[int], now_ns: int) -> None:
        machine.touch(way.relay, now_ns)
        if not way.relay.to:
            return
        outbox.stats.forwarded_out += len(sizes)
        outbox.stats.bytes_out += sum(sizes)
        for start, length in runs(sizes) if self._carries_trains else [(index, 1) for index in range(len(sizes))]:
            message = _Message(first + start, sizes[start : start + length], way)
            self._transport.queue(message.first, length, sizes[start] if length > 1 else 0, way.place, b"")
            self._line.append(message)

    # --- sending -----------------------------------------------------------------------------------------------------

    def _flush(self, outbox: Outbox) -> None:
        """Send what is lined up, in its order; a full socket is waited for."""
        sent, total, attempts = 0, len(self._line), 0
        while sent < total:
            left = self._transport.flush(self._fd, sent)
            sent += left
            if sent == total:
                break
            attempts = 1 if left else attempts + 1
            if self._transport.error in _FULL and attempts < ATTEMPTS:
                outbox.wait_writable()
            else:
                self._send_otherwise(self._line[sent], outbox)
                sent += 1
        if total:
            self._line.clear()
            self._transport.forget()

    def _send_otherwise(self, message: _Message, outbox: Outbox) -> None:
        """Send the datagrams of a message that does not leave one by one, where it was a train; else give it up."""
        error = self._transport.error
        count = len(message.sizes)
        if count > 1 and error in _NO_TRAINS:
            self._carries_trains = False
            for slot, size in enumerate(message.sizes, message.first):
                outbox.send(bytes(self._transport.arena.payload(slot, size)), message.way.relay.to)
        else:
            outbox.note_unsent(message.way.relay.to, os.strerror(error), count)


@lru_cache(maxsize=1024)
def _destination(packed: bytes) -> bytes:
    """Return the raw form of an address as packet information has it; it has no port."""
    return sockaddr.encode(Address(4 if len(packed) == 4 else 6, int.from_bytes(packed)), 0)
