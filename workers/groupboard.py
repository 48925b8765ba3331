"""Writes a UFTP worker's groups into its shared-memory slots, for everybody who shows them. Layout: contract.groups."""

from __future__ import annotations

from collections.abc import Iterable

from workers.contract.groups import GROUP, NAME_BYTES, GroupFlag, GroupPhase
from workers.contract.slots import Counter, Region
from workers.contract.uftp import Mode
from workers.deadlines import NEVER
from workers.uftp.actions import GroupKey
from workers.uftp.groups import Group, Phase

WRITE_NS = 1_000_000_000
SOME = 256
"""Groups written at once: a millisecond."""
_US_NS = 1_000
_OPEN = 1
_PHASES = {
    Phase.REGISTERED: GroupPhase.ANNOUNCED,
    Phase.READY: GroupPhase.KEYED,
    Phase.RECEIVING: GroupPhase.RECEIVING,
}


class GroupBoard:
    """One worker's region. A group keeps its slot as long as it lives."""

    def __init__(self, region: Region, mode: Mode) -> None:
        self._region = region
        self._passes_on = mode is Mode.SERVER
        self._slots: dict[GroupKey, int] = {}
        self._free: list[int] = []
        self._waiting: list[Group] = []
        self._due_ns = 0

    def tend(self, groups: Iterable[Group], downstream: bytes | None, now_ns: int) -> int:
        """Write what is due, at most SOME groups in one call; return when to come again. downstream: a server proxy's.

        Nothing is due where there are no groups, and none is written any more.
        """
        if now_ns >= self._due_ns and not self._waiting:
            self._due_ns = now_ns + WRITE_NS
            self._waiting = list(groups)
            self._clear({group.key for group in self._waiting})
        for group in self._waiting[-SOME:]:
            self._write(group, downstream or b"")
        del self._waiting[-SOME:]
        if self._waiting:
            return now_ns
        return self._due_ns if self._slots else NEVER

    def _clear(self, living: set[GroupKey]) -> None:
        """Free the slots of groups that have ended."""
        for key in self._slots.keys() - living:
            slot = self._slots.pop(key)
            self._region.memory[self._region.offset(slot)] = 0
            self._free.append(slot)

    def _slot(self, key: GroupKey) -> int:
        """Return a group's slot, -1 when there is none for it."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._free.pop() if self._free else len(self._slots)
            if slot >= self._region.slot_count:
                return -1
            self._slots[key] = slot
            words = self._region.words
            words[Counter.TOP] = max(words[Counter.TOP], slot + 1)
        return slot

    def _phase(self, group: Group) -> GroupPhase:
        """Return how far a group has come: nobody sets a plain one up here, it receives once a file is on its way."""
        receives = self._passes_on or (group.crypto is None and group.progress.file_id)
        return GroupPhase.RECEIVING if receives else _PHASES[group.phase]

    def _write(self, group: Group, downstream: bytes) -> None:
        slot = self._slot(group.key)
        if slot < 0:
            return
        terms, progress, clients = group.terms, group.progress, group.clients
        flags = GroupFlag.ENCRYPTED * (group.crypto is not None) | GroupFlag.GATHERS * (not self._passes_on)
        GROUP.pack_into(
            self._region.memory,
            self._region.offset(slot),
            _OPEN,
            self._phase(group),
            flags,
            group.key.instance,
            group.key.group_id,
            terms.server_uid,
            len(clients),
            len(clients) - len(clients.unfinished),
            group.grtt_ns // _US_NS,
            progress.file_id,
            terms.robust,
            terms.block_bytes,
            progress.began_ns,
            group.heard_ns,
            progress.file_ns,
            progress.datagrams,
            progress.payload_bytes,
            progress.file_bytes,
            progress.file_size,
            terms.upstream,
            downstream if self._passes_on else terms.private,
            progress.file_name.rstrip(b"\0")[:NAME_BYTES],
        )
