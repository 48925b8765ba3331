"""What clients answered and the server has not been told yet: gathered into a few messages, sent together.

A slot holds one kind of message about one thing (a file, a section, a status); a group has ten. Everything that waits
is sent one GRTT after the first of it came, a slot that is full at once, and all at once where an eleventh would be
needed. A slot keeps its own set of contributors: one client may wait in several (the original counts it in one and lets
the other never become empty). Sans-I/O; nanoseconds in, microseconds where the wire has them.
Source: UFTP 4.10.2, observed; the longest round trip first: UFTP protocol text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, auto
from typing import NamedTuple

from workers.uftp.extensions import TfmccAck

MAX_SLOTS = 10
UID_BYTES = 4
US_NS = 1_000


class SlotKind(IntEnum):
    """The messages that are gathered; a number, whose hash costs nothing."""

    REGISTER = auto()
    FILEINFO_ACK = auto()
    STATUS = auto()
    COMPLETE = auto()


UNLIMITED = frozenset({SlotKind.STATUS})
"""Kinds that carry no list of clients."""


class SlotKey(NamedTuple):
    """What two contributions must have in common to become one message.

    detail: a STATUS's section, a COMPLETE's status; free_bytes: what a COMPLETE says of the client's disk, -1: nothing.
    """

    kind: SlotKind
    file_id: int = 0
    detail: int = 0
    free_bytes: int = -1


class Member(NamedTuple):
    """Who contributes: its UID and its place among the group's clients."""

    uid: int
    order: int


@dataclass(slots=True)
class Report:
    """Congestion feedback that a STATUS carries: the one kept is the most limiting. rank: smaller limits more.

    held_since_ns: when it came; its timestamp must be moved by the time it was held.
    """

    rank: tuple[int, int]
    extension: TfmccAck
    held_since_ns: int

    def released(self, now_ns: int) -> TfmccAck:
        """Return the extension to send now."""
        held_us = (now_ns - self.held_since_ns) // US_NS
        return replace(self.extension, timestamp=self.extension.timestamp.later(held_us))


@dataclass(slots=True)
class Slot:
    """One message to be. members: UID to place; naks: the union of what is missing, bit i for block i.

    echo_us: of the smallest (timestamp - time of arrival) among the contributors, which had the longest round trip,
    None where the messages have no timestamp; slowest: who that was.
    """

    key: SlotKey
    members: dict[int, int] = field(default_factory=dict)
    partial: bool = True
    naks: int = 0
    echo_us: int | None = None
    slowest: int | None = None
    report: Report | None = None

    def add_echo(self, uid: int, timestamp_us: int, now_ns: int) -> None:
        """Take a contributor's timestamp (microseconds of the server's clock) that arrived now."""
        echo_us = timestamp_us - now_ns // US_NS
        if self.echo_us is None or echo_us < self.echo_us:
            self.echo_us, self.slowest = echo_us, uid

    def timestamp_us(self, now_ns: int) -> int:
        """Return the timestamp to send now: the slowest contributor's, later by the time it was held."""
        return (self.echo_us or 0) + now_ns // US_NS

    def add_report(self, report: Report) -> None:
        """Keep the congestion feedback that limits more."""
        if self.report is None or report.rank < self.report.rank:
            self.report = report

    @property
    def uids(self) -> tuple[int, ...]:
        """The contributors: the slowest first, the others in the order in which the group came to know them."""
        ordered = sorted(self.members, key=self.members.__getitem__)
        if self.slowest is None:
            return tuple(ordered)
        return (self.slowest, *(uid for uid in ordered if uid != self.slowest))


class Pending:
    """A group's slots. members_max: clients one message can list."""

    __slots__ = ("_members_max", "_slots", "since_ns")

    def __init__(self, members_max: int) -> None:
        self._members_max = max(members_max, 1)
        self._slots: dict[SlotKey, Slot] = {}
        self.since_ns = 0
        """Since when something waits."""

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, key: SlotKey, member: Member, now_ns: int) -> tuple[Slot, list[Slot]]:
        """Find or make the slot for a contribution and enter the client.

        Returns the slot, to be filled by the caller, and what must be sent at once to make room for it.
        """
        crowded: list[Slot] = []
        slot = self._slots.get(key)
        if slot is None:
            if len(self._slots) >= MAX_SLOTS:
                crowded = self.take_all()
            if not self._slots:
                self.since_ns = now_ns
            slot = self._slots[key] = Slot(key)
        if key.kind not in UNLIMITED:
            slot.members.setdefault(member.uid, member.order)
        return slot, crowded

    def take_full(self, slot: Slot, now_ns: int) -> list[Slot]:
        """Take the slot out if it holds as many clients as a message can; what remains waits as if it began now."""
        if slot.key.kind in UNLIMITED or len(slot.members) < self._members_max:
            return []
        del self._slots[slot.key]
        self.since_ns = now_ns
        return [slot]

    def take_all(self) -> list[Slot]:
        """Take out everything that waits, in the order in which it began."""
        slots = list(self._slots.values())
        self._slots.clear()
        return slots
