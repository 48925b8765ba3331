"""What a worker writes down so that its replacement can go on: a memfd with a log of records, readable at any instant.

The parent makes one a worker and keeps the descriptor; the worker alone maps it, after the fork: what is written there
may be secret. A record belongs to a family and has a name in it; a newer one takes its place. The log is in one half of
the memory; when it is more than twice what counts, what counts is copied to the other half, and one word switches over.
A record counts from the moment its length and checksum stand before it, written last: whoever dies in the middle of
writing has written nothing. What is read was written by a process that may have been broken into: nothing is believed
but its bounds, and a store that three replacements have read in vain, or with which three have failed, is emptied by
the next.
Source: memfd_create(2), fcntl(2) File Sealing, madvise(2) MADV_REMOVE.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from workers.errors import ContractError

MAGIC = 0x7072_6F78_7374_0001
"""Layout version: the last 16 bits count incompatible changes."""
HEADER_BYTES = 4096
LEAST_HALF_BYTES = 65536
LEAST_BYTES = HEADER_BYTES + 2 * LEAST_HALF_BYTES
SPARE_BYTES = 1 << 18
"""How long a log may always become, however little of it counts."""
KEPT_FREE = 8
"""The part of a half, one in so many, that only what is dropped may fill."""
READINGS = 3
"""How often a store is read by somebody who then does not live to say that it was good."""
FAULTS = 3
"""How often somebody may fail who lives with it, before anybody says that it is over."""

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_WORD = 8
_HEAD = struct.Struct("=BBHI")
"""What a record begins with: what it does, the bytes of its family, of its name, and of its value."""
_LENGTH = 0xFFFF_FFFF


class _Word(IntEnum):
    MAGIC = 0
    ACTIVE = 1
    """Which half has the log."""
    READINGS = 2
    """How often it was read since somebody said that it was good."""
    FAULTS = 3
    """How often its writer has failed of itself."""


class _Deed(IntEnum):
    PUT = 0
    DROP = 1
    DROP_FAMILY = 2


class _Entry(NamedTuple):
    deed: int
    family: bytes
    name: bytes
    value: bytes


class _Family:
    """Where the newest record of each name lies; room: bytes that all of them take."""

    __slots__ = ("places", "room")

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.room = 0


class Store:
    """The memory as a descriptor, close-on-exec, which survives a fork."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls, name: str, size_bytes: int) -> Store:
        """Make a store; memory is taken only where something is written. Raises OSError."""
        half = max(size_bytes, LEAST_BYTES) - HEADER_BYTES >> 1 & -mmap.PAGESIZE
        size = HEADER_BYTES + 2 * half
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(fd, MAGIC.to_bytes(_WORD, sys.byteorder), 0)
        return cls(fd)

    def open(self) -> Ledger:
        """Map the memory. Raises ContractError when it is too small to be a store."""
        size = os.fstat(self.fd).st_size
        half = (size - HEADER_BYTES >> 1) & -mmap.PAGESIZE
        if half < LEAST_HALF_BYTES:
            raise ContractError(f"a store of {size} bytes is too small")
        return Ledger(mmap.mmap(self.fd, HEADER_BYTES + 2 * half), half)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class Ledger:
    """The records of a store, for its one writer. To be read once, before anything is written.

    emptied: whether it had to be emptied when it was read.
    """

    def __init__(self, memory: mmap.mmap, half_bytes: int) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("Q")
        self._half_bytes = half_bytes
        self._most_put = half_bytes - _WORD - half_bytes // KEPT_FREE
        self._families: dict[bytes, _Family] = {}
        self._live = 0
        self.emptied = False
        self._begin(0)

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> dict[bytes, dict[bytes, bytes]]:
        """Return all that counts, values by family and name, in the order in which each was first written.

        What is no record ends the log. A store of another layout, or one that was read in vain too often, is emptied
        instead.
        """
        words = self._words
        in_vain = words[_Word.READINGS]
        self._begin(words[_Word.ACTIVE] & 1)
        if in_vain >= READINGS or words[_Word.FAULTS] >= FAULTS or words[_Word.MAGIC] != MAGIC:
            self.emptied = True
            self.clear()
            words[_Word.READINGS], words[_Word.FAULTS], words[_Word.MAGIC] = 1, 0, MAGIC
            return {}
        words[_Word.READINGS] = min(in_vain, READINGS) + 1
        while (entry := self._entry(self._at)) is not None:
            room = _room(_encode(entry))
            self._note(entry, self._at, room)
            self._at += room
        self._words[self._at // _WORD] = 0
        return {
            family: {name: self._value(place) for name, place in found.places.items()}
            for family, found in self._families.items()
        }

    @property
    def in_vain(self) -> int:
        """How often the store was read, by this process too, since somebody said that it was good."""
        return self._words[_Word.READINGS]

    def approve(self) -> None:
        """Say that what was read is good: whoever read it has lived with it for a while."""
        self._words[_Word.READINGS] = 0

    def blame(self) -> None:
        """Say that its writer fails, which what is written may be the reason for."""
        self._words[_Word.FAULTS] = min(self._words[_Word.FAULTS], FAULTS) + 1

    def absolve(self) -> None:
        """Say that earlier failures have nothing to do with what is written."""
        self._words[_Word.FAULTS] = 0

    # --- writing -----------------------------------------------------------------------------------------------------

    def put(self, family: bytes, name: bytes, value: bytes) -> bool:
        """Write a record in the place of an older one of that name; tell whether there was room."""
        return self._write(_Entry(_Deed.PUT, family, name, value))

    def drop(self, family: bytes, name: bytes) -> None:
        """Forget a record; no matter if there is none."""
        found = self._families.get(family)
        if found is not None and name in found.places:
            self._write(_Entry(_Deed.DROP, family, name, b""))

    def drop_family(self, family: bytes) -> None:
        """Forget a family with all its records; no matter if there is none."""
        if family in self._families:
            self._write(_Entry(_Deed.DROP_FAMILY, family, b"", b""))

    def clear(self) -> None:
        """Forget everything."""
        self._families = {}
        self._tidy()

    def _write(self, entry: _Entry) -> bool:
        """Write a record if there is room, what counts being copied to the other half if that makes some."""
        body = _encode(entry)
        room, used = _room(body), self._at - self._start
        most = self._most_put if entry.deed is _Deed.PUT else self._half_bytes - _WORD
        if used + room > most or used + room > max(2 * self._live, SPARE_BYTES):
            # Not again and again where nearly all of it counts.
            if used - self._live >= self._half_bytes // KEPT_FREE or 2 * self._live < used:
                self._tidy()
                used = self._at - self._start
            if used + room > most:
                return False
        self._lay(entry, body)
        return True

    def _tidy(self) -> None:
        """Copy what counts to the other half, and go on there."""
        entries = list(self._living())
        active, old_start = self._words[_Word.ACTIVE] & 1, self._start
        self._begin(1 - active)
        self._words[self._at // _WORD] = 0
        for entry in entries:
            self._lay(entry, _encode(entry))
        self._words[_Word.ACTIVE] = 1 - active
        with contextlib.suppress(OSError):
            self._memory.madvise(mmap.MADV_REMOVE, old_start, self._half_bytes)

    def _begin(self, half: int) -> None:
        """Take a half, as if there were nothing in it."""
        self._start = self._at = HEADER_BYTES + half * self._half_bytes
        self._families = {}
        self._live = 0

    def _lay(self, entry: _Entry, body: bytes) -> None:
        """Write a record behind the end; the word that makes it count comes last. body: as it stands in the log."""
        at, room = self._at, _room(body)
        end = at + room
        self._memory[at + _WORD : at + _WORD + len(body)] = body
        self._words[end // _WORD] = 0
        self._words[at // _WORD] = zlib.crc32(body) << 32 | len(body)
        self._note(entry, at, room)
        self._at = end

    # --- what counts -------------------------------------------------------------------------------------------------

    def _note(self, entry: _Entry, at: int, room: int) -> None:
        """Take in what a record does. at: where it lies; room: the bytes that it takes."""
        if entry.deed == _Deed.DROP_FAMILY:
            gone = self._families.pop(entry.family, None)
            self._live -= gone.room if gone is not None else 0
            return
        found = self._families.get(entry.family)
        if found is None:
            found = self._families[entry.family] = _Family()
        older = found.places.get(entry.name)
        change = 0 if older is None else -self._room_at(older)
        if entry.deed == _Deed.PUT:
            change += room
            found.places[entry.name] = at
        elif older is not None:
            del found.places[entry.name]
        found.room += change
        self._live += change
        if not found.places:
            del self._families[entry.family]

    def _living(self) -> Iterator[_Entry]:
        for family, found in self._families.items():
            for name, place in found.places.items():
                yield _Entry(_Deed.PUT, family, name, self._value(place))

    def _entry(self, at: int) -> _Entry | None:
        """Return the record that lies there, None where the log ends."""
        end = self._start + self._half_bytes - _WORD
        if at + _WORD + _HEAD.size > end:
            return None
        word = self._words[at // _WORD]
        length, start = word & _LENGTH, at + _WORD
        if not _HEAD.size <= length <= end - start:
            return None
        body = self._memory[start : start + length]
        deed, family, name, value = _HEAD.unpack_from(body)
        if zlib.crc32(body) != word >> 32 or _HEAD.size + family + name + value != length or deed > _Deed.DROP_FAMILY:
            return None
        name_at = _HEAD.size + family
        value_at = name_at + name
        entry = _Entry(deed, body[_HEAD.size : name_at], body[name_at:value_at], body[value_at:])
        return entry if at + _room(body) <= end else None

    def _room_at(self, at: int) -> int:
        return _WORD + (((self._words[at // _WORD] & _LENGTH) + _WORD - 1) & -_WORD)

    def _value(self, at: int) -> bytes:
        start = at + _WORD
        _, family, name, value = _HEAD.unpack_from(self._memory, start)
        value_at = start + _HEAD.size + family + name
        return self._memory[value_at : value_at + value]


def _encode(entry: _Entry) -> bytes:
    """Return a record as it stands in the log, behind its word."""
    deed, family, name, value = entry
    return _HEAD.pack(deed, len(family), len(name), len(value)) + family + name + value


def _room(body: bytes) -> int:
    """Return the bytes that a record takes, its word and what fills the last one up included."""
    return _WORD + ((len(body) + _WORD - 1) & -_WORD)
