"""Announcements that were refused a moment ago: a server repeats them, and judging one can cost a signature.

Remembered by sender and group, for a few seconds, and not more of them than fit a small table. Source: ours.
"""

from __future__ import annotations

from collections import OrderedDict

from workers.uftp.actions import GroupKey
from workers.uftp.timers import SECOND_NS

REMEMBERED_NS = 3 * SECOND_NS
MAX_REMEMBERED = 4_096


class Refusals:
    """Who was refused, and until when that holds."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[bytes, int, GroupKey], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, source: bytes, server_uid: int, key: GroupKey, now_ns: int) -> None:
        """Keep a refusal; the oldest goes if there are too many."""
        self._until[source, server_uid, key] = now_ns + REMEMBERED_NS
        self._until.move_to_end((source, server_uid, key))
        if len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)

    def holds(self, source: bytes, server_uid: int, key: GroupKey, now_ns: int) -> bool:
        """Tell whether this announcement was refused a moment ago."""
        until_ns = self._until.get((source, server_uid, key))
        if until_ns is None:
            return False
        if until_ns > now_ns:
            return True
        del self._until[source, server_uid, key]
        return False
