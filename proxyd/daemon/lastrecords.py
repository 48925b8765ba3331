"""Last records of sessions that end with this program, though their workers have left them to others.

A worker that comes to rest ends no session, so it writes no record of an end. Where nobody goes on with a session after
all, its slot says what the record has to say, and the note beside it who its client was. Both are the worker's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from proxyd.logs.fields import Field
from workers.contract.custody import Kept, describe
from workers.contract.settings import Settings
from workers.contract.slots import CLOSE_WORDS, TRANSPARENT, CloseReason, Region, SlotFields

EVENT = "session-end"
Record: TypeAlias = tuple[int, tuple[Field, ...]]
"""A session's number in the log, and the fields of its EVENT."""


def records(
    region: Region, kept: Sequence[Kept], laid: Sequence[Kept], generations: Mapping[int, Settings], now_ns: int
) -> Iterator[Record]:
    """Yield a record for each of a worker's sessions that is not among those laid up, or handed over.

    kept: what the parent has of its sessions. generations: the configurations by the low 16 bits of their numbers.
    """
    notes = {item.slot: item.note for item in kept}
    safe = {item.slot for item in laid}
    for slot in region.used():
        if slot in safe:
            continue
        found = region.fields(slot)
        yield region.track(slot), _fields(found, _rule_of(found, generations), notes.get(slot, b""), now_ns)


def _rule_of(slot: SlotFields, generations: Mapping[int, Settings]) -> str | None:
    settings = generations.get(slot.generation)
    return settings.acls[slot.rule].name if settings is not None and slot.rule < len(settings.acls) else None


def _fields(slot: SlotFields, rule: str | None, note: bytes, now_ns: int) -> tuple[Field, ...]:
    """Return the fields of workers.contract.catalogue for a session that a worker would have ended by SHUTDOWN."""
    described = describe(note)
    user, client, server = (
        (None, None, None) if described is None else (described.user, described.client_name, described.server_name)
    )
    return (
        slot.client,
        slot.target,
        slot.flags & TRANSPARENT,
        user,
        CLOSE_WORDS[CloseReason.SHUTDOWN],
        "ACCEPTED",
        "ACCEPTED",
        "OK",
        rule,
        slot.bytes_in,
        slot.received_out,
        slot.received_in,
        slot.bytes_out,
        client or slot.client,
        server or slot.target,
        max(now_ns - slot.opened_ns, 0),
    )
