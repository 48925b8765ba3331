"""Gives memory back that only the start has needed, before children are forked that would share it or copy it.

Libraries are read all over while they are loaded: OpenSSL's seven megabytes would count as the parent's for ever, who
runs no more of it. Pages that are as they are in their file are let go, and come back when they are used.
Source: madvise(2), MADV_DONTNEED; malloc_trim(3); proc_pid_smaps(5).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_MADV_DONTNEED = 4
_ALTERED = frozenset(("Anonymous:", "Swap:"))
"""What a mapping must have none of: such pages are not in the file."""

_libc = ctypes.CDLL(None)
_madvise = _libc.madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_madvise.restype = ctypes.c_int
_malloc_trim = getattr(_libc, "malloc_trim", None)


def give_back() -> None:
    """Let go of what is free, and of what can be read again; where that cannot be done, all stays as it is."""
    if _malloc_trim is not None:
        _malloc_trim(0)
    with suppress(OSError):
        for start, size in unaltered(Path("/proc/self/smaps").read_text(errors="surrogateescape").splitlines()):
            _madvise(start, size, _MADV_DONTNEED)


def unaltered(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield start and size of those mappings of files that nobody can have written to. lines: as smaps has them."""
    found: tuple[int, int] | None = None
    for line in lines:
        words = line.split(None, 5)
        if not words[0].endswith(":"):
            if found is not None:
                yield found
            found = _readable_only(words)
        elif words[0] in _ALTERED and words[1] != "0":
            found = None
    if found is not None:
        yield found


def _readable_only(words: list[str]) -> tuple[int, int] | None:
    """Return start and size of the private mapping of a file that cannot be written to; None for any other."""
    if len(words) < 6 or not words[5].startswith("/") or words[1][1] != "-" or words[1][3] != "p":
        return None
    start, _, end = words[0].partition("-")
    return int(start, 16), int(end, 16) - int(start, 16)
