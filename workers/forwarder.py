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
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple, TypeAlias

from workers.contract.settings import Address
from workers.net.ancillary import UDP_GRO
from workers.net.arena import SLOTS, STRIDE_BYTES, Arena
from workers.net.segments import LONGEST_SEGMENT, TRAIN_BYTES, TRAIN_DATAGRAMS, runs, split
from workers.net.transport import Transport
from workers.outbox import Outbox
from workers.uftp.actions import Arrival, Relay
from workers.uftp.machine import Machine
from workers.wire import sockaddr

SHORTEST = 20
"""Bytes of the smallest datagram that is one."""
HEADER_BYTES = 16
KEY_HEAD = 14
"""Bytes of a key that come from the header: all of it but the sequence number."""
_KEY_BYTES = (0, 1, *range(4, HEADER_BYTES))
_KEY_WORDS = (1, 2, 3)
"""The same in words of four bytes, but for the first two bytes."""
_GROUP_AT = slice(6, 10)
"""Where a key has the group ID."""
USUAL_CONTROL = {4: 32, 6: 40}
"""Bytes of control data that is packet information alone."""
PLACES = 1024
"""Addresses that datagrams go to, at once."""
PLACE_BYTES = 32
MOST_WAYS = 4096
ATTEMPTS = 5
"""How often a full socket is waited for."""
_NO_TRAINS = frozenset((errno.EINVAL, errno.EMSGSIZE, errno.EIO))
"""A route that carries no trains: the datagrams are longer than its MTU, or are encrypted below us."""
_FULL = frozenset((0, errno.EAGAIN, errno.ENOBUFS, errno.EINTR))

_Key: TypeAlias = bytes
_Run: TypeAlias = tuple[int, int, _Key]
"""First slot, how many, and what is the same in all of them."""


class _Way(NamedTuple):
    """How datagrams of one kind go on. place: where the address lies."""

    relay: Relay
    place: int


class _Message(NamedTuple):
    """One message lined up: slots from first on, of these sizes; with segment, a train that came in one slot."""

    first: int
    sizes: list[int]
    way: _Way
    segment: int = 0


class Share(NamedTuple):
    """Which groups are this worker's: those whose ID modulo workers is its number."""

    number: int = 0
    workers: int = 1

    def has(self, key: _Key) -> bool:
        """Tell whether the group of a datagram is this worker's. key: as Headers makes it."""
        return int.from_bytes(key[_GROUP_AT]) % self.workers == self.number


class _Turn(NamedTuple):
    """What one batch is taken with."""

    machine: Machine
    outbox: Outbox
    now_ns: int


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
    """What the first bytes of the datagrams in an arena say, and who sent them, for a batch at once.

    A key is the bytes that must be equal: version and function, source ID, group with GRTT and size, sender. Columns
    are compared as bytes: a strided copy and one comparison cost a fifth of a list of integers.
    """

    def __init__(self, arena: Arena, version: int) -> None:
        start = arena.payload_offset(0)
        view = arena.bytes[start : start + SLOTS * STRIDE_BYTES]
        words = 1 if version == 4 else 4
        self._bytes, self._halves, self._words = view, view.cast("H"), view.cast("I")
        self._columns = (
            (self._halves[:: STRIDE_BYTES // 2], 2),
            (self._words[1 :: STRIDE_BYTES // 4], 4),
            (view.cast("Q")[1 :: STRIDE_BYTES // 8], 8),
            *((arena.names_q[word::4], 8) for word in range(words)),
        )

    def runs(self, count: int) -> list[_Run]:
        """Return the first count slots as runs of equal datagrams, sequence numbers aside."""
        columns = []
        equal, first = True, b""
        for column, width in self._columns:
            raw = column[:count].tobytes()
            columns.append((raw, width))
            one = raw[:width]
            first += one
            equal = equal and raw == one * count
        if equal:
            return [(0, count, first)]
        pieces = [[raw[at : at + width] for at in range(0, len(raw), width)] for raw, width in columns]
        found, slot = [], 0
        for key, same in groupby(map(b"".join, zip(*pieces, strict=True))):
            length = sum(1 for _ in same)
            found.append((slot, length, key))
            slot += length
        return found

    def alike(self, slot: int, size: int, segment: int) -> bool:
        """Tell whether a train has one header all through, sequence numbers aside: column by column, for all at once.

        size: of the whole train. Trains of datagrams whose size is no multiple of four bytes are compared by bytes.
        """
        count, start = -(-size // segment), slot * STRIDE_BYTES
        if segment % 4:
            view = self._bytes[start : start + size]
            head = bytes(view[:HEADER_BYTES])
            return all(view[at::segment].tobytes() == head[at : at + 1] * count for at in _KEY_BYTES)
        start, end, step = start // 4, (start + size) // 4, segment // 4
        halves, words = self._halves[start * 2 : end * 2 : step * 2].tobytes(), self._words
        if halves != halves[:2] * count:
            return False
        for word in _KEY_WORDS:
            column = words[start + word : end : step].tobytes()
            if column != column[:4] * count:
                return False
        return True


class Forwarder:
    """The datagrams of one worker's socket. version: the socket's IP version; places: where transport sends to.

    most: how many slots the next batch fills at most: no more datagrams of a stream than leave as one train.
    """

    def __init__(
        self, sock: socket.socket, version: int, transport: Transport, places: Places, share: Share | None = None
    ) -> None:
        self._sock = sock
        self._share = share or Share()
        self._usual_control = USUAL_CONTROL[version]
        with suppress(OSError):  # kernels before 5.0 have no trains: every datagram comes alone then
            sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        self._fd = sock.fileno()
        self._version = version
        self._transport = transport
        self._places = places
        self._headers = Headers(transport.arena, version)
        self._ways: dict[_Key, _Way] = {}
        self._generation = -1
        self._line: list[_Message] = []
        self.most = SLOTS
        self._carries_trains = True

    def receive(self, machine: Machine, outbox: Outbox, now_ns: int) -> int:
        """Take one batch; return how many slots it filled."""
        count = self._transport.receive(self._fd, self._version, self.most)
        if not count:
            return 0
        sizes = self._transport.sizes(0, count)
        extras = self._transport.extras(0, count, self._usual_control)
        trains = {slot: found.train_bytes for slot, found in extras.items() if 0 < found.train_bytes < sizes[slot]}
        outbox.stats.received_out += count
        turn = _Turn(machine, outbox, now_ns)
        for first, length, key in self._headers.runs(count):
            for start, some in _apart(first, sizes[first : first + length] if length < count else sizes, trains):
                if start in trains:
                    self._take_train(turn, start, sizes[start], trains[start], key)
                else:
                    self._take(turn, start, some, key)
        self._flush(outbox)
        return count

    def _take(self, turn: _Turn, first: int, sizes: list[int], key: _Key) -> None:
        """Take slots with equal datagrams."""
        way = self._way(turn, first, key) if min(sizes) >= SHORTEST else None
        if way is None:
            self._flush(turn.outbox)
            for slot, size in enumerate(sizes, first):
                self._hand_over(turn, slot, self._transport.arena.payload(slot, size))
        elif self._passes(turn, way, len(sizes), sum(sizes)):
            pieces = _pieces(sizes) if self._carries_trains else _singly(len(sizes))
            if len(sizes) == self.most:
                self.most = _whole_trains(sizes[0])
            for start, length in pieces:
                message = _Message(first + start, sizes[start : start + length], way)
                self._transport.queue(message.first, length, sizes[start] if length > 1 else 0, way.place, b"")
                self._line.append(message)

    def _take_train(self, turn: _Turn, slot: int, size: int, segment: int, key: _Key) -> None:
        """Take a train that came in one slot: whole where all its datagrams are equal, else one by one."""
        count = -(-size // segment)
        turn.outbox.stats.received_out += count - 1
        equal = size - (count - 1) * segment >= SHORTEST and self._headers.alike(slot, size, segment)
        way = self._way(turn, slot, key) if equal and self._carries_trains else None
        if way is None:
            self._part_train(turn, slot, self._transport.arena.payload(slot, size), segment, key)
        elif self._passes(turn, way, count, size):
            self._transport.queue(slot, 1, segment, way.place, b"")
            self._line.append(_Message(slot, [size], way, segment))

    def _part_train(self, turn: _Turn, slot: int, view: memoryview, segment: int, key: _Key) -> None:
        """Take the datagrams of a train one by one, in their order."""
        self._flush(turn.outbox)
        for start in range(0, len(view), segment):
            part = view[start : start + segment]
            own = _head(part, 0) + key[KEY_HEAD:] if len(part) >= SHORTEST else None
            if own is not None and not self._share.has(own):
                # Somebody puts datagrams of several groups into one train: here they meet the wrong worker.
                self._sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)
            way = self._ways.get(own) if own is not None and turn.machine.generation == self._generation else None
            if way is None:
                self._hand_over(turn, slot, part)
            else:
                turn.machine.touch(way.relay, turn.now_ns, 1, len(part))
                if way.relay.to:
                    turn.outbox.send(bytes(part), way.relay.to)

    def _way(self, turn: _Turn, slot: int, key: _Key) -> _Way | None:
        """Return how datagrams with this key go on; None: the machine must see each of them."""
        if turn.machine.generation != self._generation:
            self._forget_ways(turn)
        return self._ways.get(key) or self._find_way(turn.machine, slot, key)

    def _forget_ways(self, turn: _Turn) -> None:
        self._flush(turn.outbox)
        self._generation = turn.machine.generation
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

    def _hand_over(self, turn: _Turn, slot: int, payload: memoryview) -> None:
        """Give a datagram to the machine, and do what it says."""
        packet = self._transport.control(slot).packet
        to, interface = (_destination(packet.destination), packet.interface) if packet else (b"", 0)
        arrival = Arrival(self._transport.source(slot, self._version), to, interface)
        turn.machine.receive(bytes(payload), arrival, turn.now_ns)
        turn.outbox.carry_out(turn.machine, turn.now_ns)

    def _passes(self, turn: _Turn, way: _Way, count: int, total: int) -> bool:
        """Count datagrams that need no look inside, of so many bytes in all; tell whether they go anywhere."""
        turn.machine.touch(way.relay, turn.now_ns, count, total)
        if not way.relay.to:
            return False
        turn.outbox.stats.forwarded_out += count
        turn.outbox.stats.bytes_out += total
        return True

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
        error, to = self._transport.error, message.way.relay.to
        sizes = split(message.sizes[0], message.segment) if message.segment else message.sizes
        count = len(sizes)
        if count == 1 or error not in _NO_TRAINS:
            outbox.note_unsent(to, os.strerror(error), count)
            return
        self._carries_trains = False
        arena, slot = self._transport.arena, message.first
        for index, size in enumerate(sizes):
            if message.segment:
                start = index * message.segment
                outbox.send(bytes(arena.payload(slot, start + size)[start:]), to)
            else:
                outbox.send(bytes(arena.payload(slot + index, size)), to)


def _head(view: memoryview, start: int) -> bytes:
    """Return what a key has of the header of the datagram at start."""
    head = bytes(view[start : start + HEADER_BYTES])
    return head[:2] + head[4:]


def _whole_trains(size: int) -> int:
    """Return how many datagrams of a size to take at once, so that all of them leave in trains that are full."""
    train = min(SLOTS, TRAIN_BYTES // size)
    return SLOTS // train * train if size <= LONGEST_SEGMENT else SLOTS


def _singly(count: int) -> Sequence[tuple[int, int]]:
    return [(index, 1) for index in range(count)]


def _pieces(sizes: list[int]) -> Sequence[tuple[int, int]]:
    """Cut datagrams into trains; equal ones, as most are, without looking at each. See workers.net.segments.runs."""
    size, count = sizes[0], len(sizes)
    if not SHORTEST <= size <= LONGEST_SEGMENT or sizes.count(size) != count:
        return runs(sizes)
    step = min(TRAIN_DATAGRAMS, TRAIN_BYTES // size)
    return [(start, min(step, count - start)) for start in range(0, count, step)]


def _apart(first: int, sizes: list[int], trains: dict[int, int]) -> list[tuple[int, list[int]]]:
    """Cut a run of slots so that a train is a piece of its own: (first slot, sizes) of each piece."""
    if not trains:
        return [(first, sizes)]
    pieces: list[tuple[int, list[int]]] = []
    for slot, size in enumerate(sizes, first):
        if pieces and slot not in trains and slot - 1 not in trains:
            pieces[-1][1].append(size)
        else:
            pieces.append((slot, [size]))
    return pieces


@lru_cache(maxsize=1024)
def _destination(packed: bytes) -> bytes:
    """Return the raw form of an address as packet information has it; it has no port."""
    return sockaddr.encode(Address(4 if len(packed) == 4 else 6, int.from_bytes(packed)), 0)
