"""What the parent lets the monitor know: its children as processes, and how the last reload went.

Shared memory that the parent writes and the monitor reads, made before the first fork and nameless: nobody else can
come by it, and a child that has no business with it takes it out of its memory. A value is one word, written at once;
what belongs together may be seen half new for a moment, which does no harm to a figure.
Source: mmap(2), MAP_SHARED and MAP_ANONYMOUS; proc(5), stat, statm and fd.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from proxyd.daemon.roster import Child, Role, State

ROWS = 1024
LOOK_NS = 5_000_000_000
"""How often processes are looked at: it costs some 50 us for each."""
UNKNOWN = (1 << 64) - 1
_ROW_WORDS = 8
_FIRST_ROW = 16
_ROLES = tuple(Role)
_STATES = tuple(State)
PARENT = "parent"
_PARENT_ROLE = len(_ROLES)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Word(IntEnum):
    """Single words. Instants in milliseconds since 1970; 0: not yet."""

    ROWS = 0
    RELOADS = 1
    FAILED_RELOADS = 2
    LAST_FAILED = 3
    """1 when the last reload was refused, and the configuration before it goes on."""
    LAST_RELOAD_MS = 4
    STUCK = 5
    """Workers that let datagrams wait."""


class Column(IntEnum):
    """A process's row. LIVES counts the processes that its place has had."""

    ROLE = 0
    INDEX = 1
    PID = 2
    LIVES = 3
    STATE = 4
    CPU_NS = 5
    RSS_BYTES = 6
    DESCRIPTORS = 7


class Process(NamedTuple):
    """One process. rss_bytes, descriptors None: not known. cpu_ns: of this place's present process."""

    name: str
    pid: int
    lives: int
    state: str
    cpu_ns: int
    rss_bytes: int | None
    descriptors: int | None


class Reloads(NamedTuple):
    """How often the configuration was read again. last_unix: seconds since 1970, None: never."""

    done: int
    failed: int
    last_failed: bool
    last_unix: float | None


class Board:
    """The parent's side writes (`look`, `note_…`), the monitor's reads (`processes`, `reloads`, `stuck`)."""

    def __init__(self) -> None:
        size = (_FIRST_ROW + ROWS * _ROW_WORDS) * 8
        self._memory = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._words = memoryview(self._memory).cast("Q")
        self._due_ns = 0
        self._seen: list[tuple[int, State]] = []

    def unmap(self) -> None:
        """Take it out of this process's memory, for good."""
        self._words.release()
        self._memory.close()

    # --- the parent's -------------------------------------------------------------------------------------------------

    def look(self, children: Sequence[Child], now_ns: int) -> None:
        """Write down who is there, at once when that has changed, and what they have used, every now and then."""
        seen = [(child.pid, child.state) for child in children]
        if now_ns < self._due_ns and seen == self._seen:
            return
        self._due_ns, self._seen = now_ns + LOOK_NS, seen
        self._write_row(0, (_PARENT_ROLE, 0, os.getpid(), 1, _STATES.index(State.READY)))
        for row, child in enumerate(children[: ROWS - 1], start=1):
            state = _STATES.index(child.state)
            self._write_row(row, (_ROLES.index(child.role), child.index, child.pid, child.lives, state))
        self._words[Word.ROWS] = min(len(children) + 1, ROWS)

    def note_reload(self, *, failed: bool) -> None:
        """Write down that the configuration was read again just now."""
        words = self._words
        words[Word.FAILED_RELOADS if failed else Word.RELOADS] += 1
        words[Word.LAST_FAILED] = failed
        words[Word.LAST_RELOAD_MS] = time.time_ns() // 1_000_000

    def note_stuck(self, workers: int) -> None:
        """Write down how many workers do nothing while datagrams wait for them."""
        self._words[Word.STUCK] = workers

    def _write_row(self, row: int, head: tuple[int, ...]) -> None:
        start = _FIRST_ROW + row * _ROW_WORDS
        for word, value in enumerate((*head, *measure(head[Column.PID])), start):
            self._words[word] = value

    # --- the monitor's ------------------------------------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """Return the parent and its children."""
        return [process for row in range(min(self._words[Word.ROWS], ROWS)) for process in self._read_row(row)]

    def _read_row(self, row: int) -> Iterable[Process]:
        start = _FIRST_ROW + row * _ROW_WORDS
        role, index, pid, lives, state, cpu_ns, rss, descriptors = self._words[start : start + _ROW_WORDS]
        if role == _PARENT_ROLE:
            name = PARENT
        elif _ROLES[role] is Role.WORKER:
            name = f"{_ROLES[role].value} {index}"
        else:
            name = _ROLES[role].value
        yield Process(
            name,
            pid,
            lives,
            _STATES[state].value,
            cpu_ns,
            None if rss == UNKNOWN else rss,
            None if descriptors == UNKNOWN else descriptors,
        )

    @property
    def stuck(self) -> int:
        """How many workers do nothing while datagrams wait for them."""
        return self._words[Word.STUCK]

    @property
    def reloads(self) -> Reloads:
        """How reloads went."""
        words = self._words
        last_ms = words[Word.LAST_RELOAD_MS]
        return Reloads(
            words[Word.RELOADS], words[Word.FAILED_RELOADS], bool(words[Word.LAST_FAILED]), last_ms / 1e3 or None
        )


def measure(pid: int, proc: Path = Path("/proc")) -> tuple[int, int, int]:
    """Return what a process has used: processor time (ns), memory (bytes) and descriptors, UNKNOWN where none is told.

    How many descriptors another user's process has open is told since Linux 6.2 only.
    """
    cpu_ns, rss, descriptors = 0, UNKNOWN, UNKNOWN
    place = proc / str(pid)
    # It may end at any moment, or have ended; no process has the number 0.
    with suppress(OSError, ValueError, IndexError):
        fields = (place / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        cpu_ns = (int(fields[11]) + int(fields[12])) * _TICK_NS
        rss = int((place / "statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
        descriptors = (place / "fd").stat().st_size or _count(place / "fd")
    return cpu_ns, rss, descriptors


def _count(folder: Path) -> int:
    try:
        return len(os.listdir(folder))  # noqa: PTH208 - pathlib makes an object of each of thousands of names
    except OSError:
        return UNKNOWN
