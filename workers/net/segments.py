"""Trains: equal-sized datagrams of one flow that travel through one system call as one message. Pure arithmetic.

A received train of T bytes in segments of S is ceil(T / S) datagrams, only the last of which may be shorter.
Source: udp(7), UDP_GRO and UDP_SEGMENT.
"""

from __future__ import annotations

from collections.abc import Sequence

TRAIN_DATAGRAMS = 64
"""The kernel takes no more in one message (UDP_MAX_SEGMENTS of Linux 4.18 to 6.8; later ones take 128)."""
TRAIN_BYTES = 65_000
"""A train is one IP packet to the first half of the kernel: headers included it must stay under 65,536 bytes."""
LONGEST_SEGMENT = 8_900
"""Longer datagrams are sent alone: no interface carries them unfragmented."""


def split(size: int, segment: int) -> list[int]:
    """Return the payload sizes of the datagrams in one received message; segment 0: it is a single one."""
    if segment <= 0 or size <= segment:
        return [size]
    whole, rest = divmod(size, segment)
    return [segment] * whole + [rest] if rest else [segment] * whole


def runs(sizes: list[int]) -> Sequence[tuple[int, int]]:
    """Cut datagrams into what can leave as one message each: (first, count) pairs that cover sizes in order."""
    total, size = len(sizes), sizes[0]
    if sizes.count(size) == total <= TRAIN_DATAGRAMS and 0 < size <= LONGEST_SEGMENT and size * total <= TRAIN_BYTES:
        return ((0, total),)
    pieces, first = [], 0
    while first < total:
        count = _run(sizes, first, total)
        pieces.append((first, count))
        first += count
    return pieces


def _run(sizes: list[int], first: int, total: int) -> int:
    size = sizes[first]
    if not 0 < size <= LONGEST_SEGMENT:
        return 1
    most = min(total - first, TRAIN_DATAGRAMS, TRAIN_BYTES // size)
    count = 1
    while count < most and sizes[first + count] == size:
        count += 1
    if count < most and 0 < sizes[first + count] < size:
        count += 1
    return count
