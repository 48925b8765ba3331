"""What of a worker's counters there is one of for each rule, listener and server: rows in the header of its region.

A row is found by its key, a hash of what it counts for, not by a place in the configuration: so a worker that replaces
another one, with other rules perhaps, goes on with the rows that are there, and whoever reads needs only the names.
Sources of the keys: rule_key, line_key, target_key. A row costs memory only once it is used. All in a row only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from workers.contract.settings import HostName, Sock

FIRST_WORD = 512
"""Where the rows begin, in 64-bit words of the header: behind what there is one of for the whole worker."""
NO_RULE = ""
"""In the place of a rule's name: no rule has decided."""
OTHERS = "(others)"
"""In the place of the name of every rule, or listener, that finds no row of its own."""


class Area(NamedTuple):
    """Rows of one kind. first: the word where they begin. columns: words a row, its key first."""

    first: int
    rows: int
    columns: int

    @property
    def end(self) -> int:
        """The word behind the last row."""
        return self.first + self.rows * self.columns


class RuleColumn(IntEnum):
    """A rule's row. ACCEPTED and REJECTED count searches that it decided; UNOPENED, accepted ones without a session."""

    KEY = 0
    ACCEPTED = 1
    REJECTED = 2
    UNOPENED = 3
    """The table was full, or the socket could not be made."""


class LineColumn(IntEnum):
    """A listener's row: datagrams received, payload bytes forwarded, datagrams lost in its full queue."""

    KEY = 0
    RECEIVED = 1
    BYTES = 2
    LOST = 3


class TargetColumn(IntEnum):
    """The row of a server that rules plug to: when it was last heard of (CLOCK_MONOTONIC, ns), 0: never."""

    KEY = 0
    ANSWERED = 1
    REFUSED = 2
    """Its host, or a router, has said that nobody takes datagrams there."""


RULES = Area(FIRST_WORD, 4096, len(RuleColumn))
LINES = Area(RULES.end, 256, len(LineColumn))
TARGETS = Area(LINES.end, 256, len(TargetColumn))
END_BYTES = TARGETS.end * 8

_BASIS, _PRIME, _MASK = 0xCBF2_9CE4_8422_2325, 0x100_0000_01B3, (1 << 64) - 1


@lru_cache(maxsize=RULES.rows)
def rule_key(name: str, kind: str) -> int:
    """Return the key of a rule's row. kind: of its sessions, as the configuration has it; "" where it denies."""
    return _key(f"rule\0{name}\0{kind}")


@lru_cache(maxsize=LINES.rows)
def line_key(address: bytes, device: str | None, *, transparent: bool) -> int:
    """Return the key of a listener's row. address: raw."""
    return _key(f"line\0{address.hex()}\0{device or ''}\0{int(transparent)}")


@lru_cache(maxsize=TARGETS.rows)
def target_key(plug_to: Sock) -> int:
    """Return the key of the row of a server, as rules name it; all rules that plug to it have one row."""
    host = plug_to.host
    return _key(f"target\0{host.name if isinstance(host, HostName) else tuple(host)}\0{plug_to.port}")


def _key(text: str) -> int:
    """Return a hash that is never 0: that marks a free row. Nobody gains by two names with one key.

    Not of hashlib, which brings OpenSSL into every process: 3 MB. Source: FNV-1a, 64 bits (Fowler, Noll, Vo).
    """
    value = _BASIS
    for byte in text.encode("utf-8", "surrogateescape"):
        value = (value ^ byte) * _PRIME & _MASK
    return value or 1


OTHERS_KEY = _key(OTHERS)


class Rows:
    """The rows of one kind in the header of a region; words: the header."""

    def __init__(self, words: memoryview, area: Area) -> None:
        self._words = words
        self._area = area

    def read(self) -> dict[int, tuple[int, ...]]:
        """Return every row that is used, its key first, by its key."""
        words, columns = self._words, self._area.columns
        return {key: tuple(words[start : start + columns]) for key, start in self._used()}

    def _used(self) -> Iterator[tuple[int, int]]:
        """Yield key and first word of the rows in use: they are taken in order, and looking further costs memory."""
        area, words = self._area, self._words
        for start in range(area.first, area.end, area.columns):
            key = words[start]
            if not key:
                return
            yield key, start

    def claim(self, wanted: Iterable[int]) -> dict[int, int]:
        """Find or take a row for each key; return the word where each begins, by its key.

        Rows that nobody wants any more are taken last. The last row is for all keys that find none: OTHERS_KEY is in
        the answer then, and they are not.
        """
        area = self._area
        keys, places = list(dict.fromkeys(wanted)), dict(self._used())
        last = area.end - area.columns
        needed = set(keys)
        fresh = range(area.first + len(places) * area.columns, last, area.columns)
        spare = (start for key, start in places.items() if key not in needed and start != last)
        free = chain(fresh, spare)
        starts: dict[int, int] = {}
        for key in keys:
            start = places.get(key) or next(free, None)
            if start is None:
                starts[OTHERS_KEY] = self._take(last, OTHERS_KEY)
            else:
                starts[key] = self._take(start, key)
        return starts

    def _take(self, start: int, key: int) -> int:
        """Make a row a key's: what it counted for another one is forgotten."""
        words = self._words
        if words[start] != key:
            for word in range(start + 1, start + self._area.columns):
                words[word] = 0
            words[start] = key
        return start


LAG_BOUNDS_NS = tuple(
    int(seconds * 1e9)
    for seconds in (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
)
"""Upper bounds of the buckets in which turns of the loop are counted by how long they took; one more has the rest."""
