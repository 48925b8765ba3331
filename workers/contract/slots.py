"""The shared memory of one worker: a header of counters, and a slot for every session.

The parent makes one region a worker before it forks; the worker writes, everybody else reads. What a session needs
in order to be taken over by another worker stands in its slot (SLOT): peers, rule, limits' consumption, times. Counters
in slots are written at most a second late (workers.loop), peers and rule when a session has lived for a moment. Times
are CLOCK_MONOTONIC nanoseconds, the same clock in every process of the machine.
A region is a memfd: it can be handed to another program, and costs memory only where it was touched. Its size is
sealed: whoever touches memory that a hostile worker has cut off is killed by SIGBUS. Source: fcntl(2), File Sealing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Set
from enum import IntEnum
from typing import NamedTuple

from workers.contract import tallies
from workers.errors import ContractError

MAGIC = 0x7072_6F78_7964_0003
"""Layout version: the last 16 bits count incompatible changes."""
HEADER_BYTES = tallies.END_BYTES
"""The counters, and the rows of rules and listeners behind them; slots follow."""
SLOT_BYTES = 208
SOCKADDR_BYTES = 28

SLOT = struct.Struct("@BBBBIqqqqQQQQQQHH28s28s28s28s")
"""One session. In order: state (0 free, 1 open), kind, flags (1 transparent, 2 its server has answered and nobody else
counts), side (IP version of the server side), listener index; established, last in, last out, first possible deadline
(ns); datagrams in, out; bytes in, out passed; bytes in, out received; rule index, generation (low 16 bits);
client, original destination, target, local server-side address (struct sockaddr_in or sockaddr_in6, zero-padded)."""
TRANSPARENT, ANSWERED = 1, 2
"""The flags."""
GENERATIONS = 1 << 16
"""So many generations of the configuration can be told apart by what of their number stands in a slot."""


class SlotFields(NamedTuple):
    """What SLOT unpacks, in its order. Whoever wrote it may not be believed."""

    state: int
    kind: int
    flags: int
    side: int
    listener: int
    opened_ns: int
    last_in_ns: int
    last_out_ns: int
    check_ns: int
    dgrams_in: int
    dgrams_out: int
    bytes_in: int
    bytes_out: int
    received_in: int
    received_out: int
    rule: int
    generation: int
    client: bytes
    destination: bytes
    target: bytes
    local: bytes


TRACK = struct.Struct("@I")
"""The session's number in the log, at TRACK_OFFSET."""
TRACK_OFFSET = SLOT.size

USED = struct.Struct("@qqqQQQQQQ")
"""The part of a slot that traffic changes: from last in to bytes out received, at USED_OFFSET.

Native alignment writes a word at once: one whose writer is killed in the middle is the old one or the new one."""
USED_OFFSET = 16
OPENED_OFFSET = 8
_OPENED = struct.Struct("=q")

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Counter(IntEnum):
    """The header's 64-bit words. From RECEIVED_OUT on, everything only ever grows."""

    MAGIC = 0
    SLOTS = 1
    SESSIONS = 2
    """Open sessions now."""
    PERMITS = 3
    """Permits taken from the common pool and not yet given back: what a dead worker leaves behind."""
    LOG_LEVEL = 4
    TURNS = 5
    """Loop turns: a worker whose count stands still while datagrams wait is stuck."""
    TOP = 6
    """One more than the highest slot ever used: nobody need look further."""
    DRAINING = 7
    """1 when the worker lets nobody in any more: from then on SESSIONS only falls."""
    SWEPT = 8
    """Since when what traffic changes may be missing in slots (CLOCK_MONOTONIC, ns); 0: nothing is missing."""
    PUBLISHED = 9
    """When these words were last written (CLOCK_MONOTONIC, ns): about ten times a second while there are sessions."""
    OWED = 10
    """Permits among PERMITS that go back to nobody when their sessions end: there may be fewer sessions by now."""
    CARRIED = 11
    """Sessions that the kernel may carry now."""
    RECEIVED_OUT = 16
    FORWARDED_OUT = 17
    BYTES_OUT = 18
    RECEIVED_IN = 19
    FORWARDED_IN = 20
    BYTES_IN = 21
    SESSIONS_OPENED = 22
    LOG_RECORDS = 23
    LOG_SHED = 24
    QUEUE_OVERFLOW = 25
    """Datagrams the kernel dropped because a socket's queue was full: not among the received."""
    DROPS_OUT = 64
    """First of the drops of client datagrams, by DropReason."""
    DROPS_IN = 128
    """First of the drops of server datagrams, by DropReason."""
    CLOSES = 192
    """First of the ended sessions, by CloseReason."""
    LAG = 224
    """First of the turns of the loop by how long they took, a word for each of tallies.LAG_BOUNDS_NS and one more."""
    LAG_NS = 240
    """How long they took together."""
    UFTP_DROPS = 256
    """First of the datagrams with which a UFTP worker did nothing, by workers.uftp.actions.DropReason."""
    UFTP_FACTS = 320
    """First of what else a UFTP worker counts, by workers.uftp.station.Fact."""


class DropReason(IntEnum):
    """Why a received datagram was not forwarded. No datagram is dropped without one."""

    REJECTED = 0
    """No rule accepts its session, or the rule says deny."""
    TABLE_FULL = 1
    NO_PLUG_TO = 2
    NO_TARGET = 3
    """The target's name has no address now."""
    SETUP = 4
    """The session's socket could not be made: descriptors, ports or memory ran out, or no route."""
    LIMIT = 5
    """It exceeded a data limit and ended its session."""
    WRONG_SOURCE = 6
    ONE_WAY = 7
    EXPIRED = 8
    """It came from the server after its session's time had run out."""
    SEND_BUSY = 9
    """The socket or the device took no more (EAGAIN, ENOBUFS)."""
    SEND_REFUSED = 10
    """The peer's host refused earlier datagrams, and the retry met the same."""
    SEND_FAILED = 11
    """Any other error on sending: too large, unreachable, forbidden."""
    NOT_OURS = 12
    """A broadcast: every worker hears it, one of them takes it."""
    OWN = 13
    """The proxy's own datagram came back to it."""
    DRAINING = 14
    NO_SESSION = 15
    """From a server, for a session that has ended in the meantime."""
    NO_SOURCE = 16
    """None of the source addresses its rule permits can be used for its server."""
    SHAPED = 17
    """It went beyond its queue's rate."""
    NAME_PENDING = 18
    """The name of its client or server is being asked for, and enough of that client's waits already."""
    FOREIGN = 19
    """To somebody else's address, on a listener that is not transparent."""
    LAST_HOP = 20
    """A broadcast whose time to live is used up: it has crossed a proxy already."""
    NO_HOST = 21
    """From what is no host's address: what answers it would come back to this machine, or reach a whole network."""


class CloseReason(IntEnum):
    """Why a session ended; the words of the log are in CLOSE_WORDS."""

    DGRAMS_OUT = 0
    DGRAMS_IN = 1
    BYTES_OUT = 2
    BYTES_IN = 3
    DGRAMS_REACHED = 4
    TIMEOUT_SESSION = 5
    TIMEOUT_IN = 6
    TIMEOUT_OUT = 7
    TIMEOUT_BOTH = 8
    ONE_WAY_REPLY = 9
    SHUTDOWN = 10
    FAILURE = 11
    KILLED = 12
    """An administrator has ended it."""


CLOSE_WORDS = tuple(reason.name.lower().replace("_", "-") for reason in CloseReason)


class Region:
    """One worker's shared memory.

    words: the header as unsigned 64-bit integers, indexed by Counter; tallies.FIRST_WORD and what follows are rows.
    memory: the whole region. slot numbers run from 0 to slot_count - 1.
    """

    def __init__(self, fd: int, memory: mmap.mmap, slot_count: int) -> None:
        self.fd = fd
        self.memory = memory
        self.slot_count = slot_count
        self.words = memoryview(memory)[:HEADER_BYTES].cast("Q")

    @classmethod
    def create(cls, name: str, slot_count: int) -> Region:
        """Make a region for slot_count sessions; its descriptor is close-on-exec and survives a fork."""
        size = HEADER_BYTES + slot_count * SLOT_BYTES
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        region = cls(fd, mmap.mmap(fd, size), slot_count)
        region.words[Counter.MAGIC] = MAGIC
        region.words[Counter.SLOTS] = slot_count
        return region

    @classmethod
    def attach(cls, fd: int) -> Region:
        """Map a region made elsewhere. Raises ContractError when its layout is not ours."""
        size = os.fstat(fd).st_size
        if size < HEADER_BYTES:
            raise ContractError(f"a region of {size} bytes is too small")
        region = cls(fd, mmap.mmap(fd, size), (size - HEADER_BYTES) // SLOT_BYTES)
        if region.words[Counter.MAGIC] != MAGIC or region.words[Counter.SLOTS] != region.slot_count:
            raise ContractError("a region of another layout")
        return region

    def offset(self, slot: int) -> int:
        """Return where a slot begins in memory, in bytes."""
        return HEADER_BYTES + slot * SLOT_BYTES

    @property
    def sessions(self) -> int:
        """Return how many sessions the worker has open."""
        return self.words[Counter.SESSIONS]

    def unmap(self) -> None:
        """Take the region out of this process's memory, for good; other processes keep theirs."""
        self.words.release()
        self.memory.close()
        os.close(self.fd)

    def opened(self, slot: int) -> int | None:
        """Return when a slot's session began (CLOCK_MONOTONIC, ns); None where there is none."""
        if not 0 <= slot < min(self.words[Counter.TOP], self.slot_count) or not self.memory[self.offset(slot)]:
            return None
        opened_ns: int = _OPENED.unpack_from(self.memory, self.offset(slot) + OPENED_OFFSET)[0]
        return opened_ns

    def used(self) -> Iterator[int]:
        """Yield the slots of open sessions; none any more once the region is unmapped, however long somebody takes."""
        top = 0 if self.memory.closed else min(self.words[Counter.TOP], self.slot_count)
        for slot in range(top):
            if self.memory.closed:
                return
            if self.memory[self.offset(slot)]:
                yield slot

    def fields(self, slot: int) -> SlotFields:
        """Return what stands in a slot that there is; nothing of it is checked."""
        return SlotFields._make(SLOT.unpack_from(self.memory, self.offset(slot)))

    def track(self, slot: int) -> int:
        """Return the number in the log of a slot's session; it is not checked."""
        track: int = TRACK.unpack_from(self.memory, self.offset(slot) + TRACK_OFFSET)[0]
        return track

    def references(self) -> Iterator[tuple[int, int]]:
        """Yield the listener and the generation of every open session, as numbers in its slot."""
        for slot in self.used():
            found = self.fields(slot)
            yield found.listener, found.generation

    def reset(self, kept: Set[int] = frozenset()) -> None:
        """Forget the sessions of a dead worker but those in the slots kept; its counters stay, so that sums only grow.

        The permits it held for the others are the caller's to give back: see Counter.PERMITS.
        """
        self.words[Counter.SESSIONS] = self.words[Counter.PERMITS] = len(kept)
        self.words[Counter.DRAINING] = self.words[Counter.OWED] = self.words[Counter.CARRIED] = 0
        for slot in range(min(self.words[Counter.TOP], self.slot_count)):
            start = self.offset(slot)
            if self.memory[start] and slot not in kept:
                self.memory[start] = 0
