"""This proxy as a UFTP station: who it is, what it knows, and where what it decides goes.

Every part of the engine is given the station; it holds no protocol of its own. Sans-I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from workers.contract.catalogue import EVENTS, LEVELS
from workers.contract.events import LEVEL_BASE
from workers.contract.uftp import DropReason, Fact, Mode, UftpSettings
from workers.uftp.actions import Action, GroupKey, Note, Send
from workers.uftp.downstream import Downstream
from workers.uftp.exchange import OwnSide
from workers.uftp.groups import Group, Groups
from workers.uftp.keyring import Entropy, KeyRing
from workers.uftp.lists import Lists
from workers.uftp.membership import Memberships
from workers.uftp.refusals import Refusals
from workers.uftp.timers import Ration, Timers

ABORTS_A_SECOND, ABORTS_AT_ONCE = 100, 200
"""An ABORT of 324 bytes can be asked for with 40: what all strangers together get of them is bounded."""
KEYINFOS_A_SECOND, KEYINFOS_AT_ONCE = 8_000, 32
"""Of KEYINFO for all clients at once a client's socket must hold the burst. The original pauses 120 us after each."""
CLIENTS_FACTOR = 10
"""All groups together may have ten times the clients that one may have."""

_LEVEL_OF = {
    name: min(LEVELS[line.letter] for line in event.lines) - LEVEL_BASE
    for name, event in EVENTS.items()
    if name.startswith("uftp-")
}


class Rations(NamedTuple):
    """How much of what others can ask for is sent in a second."""

    aborts: Ration
    keyinfos: Ration


class Station:
    """One proxy. uid: its own. actions: what the caller is to do, in order; drops, facts: counts."""

    def __init__(self, settings: UftpSettings, uid: int, ring: KeyRing, entropy: Entropy, now_ns: int) -> None:
        self.settings = settings
        self.uid = uid
        self.ring = ring
        self.entropy = entropy
        self.actions: list[Action] = []
        self.drops: Counter[DropReason] = Counter()
        self.facts: Counter[Fact] = Counter()
        self.groups = Groups(settings.max_groups)
        self.timers: Timers[GroupKey] = Timers()
        self.lists = Lists(settings)
        self.memberships = Memberships(settings)
        self.refusals = Refusals()
        self.rations = Rations(
            Ration(ABORTS_A_SECOND, ABORTS_AT_ONCE, now_ns), Ration(KEYINFOS_A_SECOND, KEYINFOS_AT_ONCE, now_ns)
        )
        self.log_level = settings.log_level
        self.downstream = Downstream(settings)

    @property
    def mode(self) -> Mode:
        """Which of the three proxies it is."""
        return self.settings.mode

    @property
    def has_room(self) -> bool:
        """Whether another client may become known, in whatever group."""
        return self.room > 0

    @property
    def room(self) -> int:
        """How many clients more may become known."""
        return max(self.settings.max_clients * CLIENTS_FACTOR - self.facts[Fact.CLIENTS], 0)

    @property
    def own_side(self) -> OwnSide:
        """What the proxy brings to the key exchange of a group."""
        fresh = self.settings.mode is Mode.CLIENT
        return OwnSide(self.ring, self.settings.crypto, self.entropy, fresh)

    def send(self, payload: bytes, to: bytes) -> None:
        """Have a datagram sent."""
        self.actions.append(Send(payload, to))

    def note(self, event: str, group: Group | None, *fields: int | str | bytes | None, file_id: int = 0) -> None:
        """Have a line logged, if the log wants its level. group: what its prefix names."""
        if _LEVEL_OF[event] <= self.log_level:
            self.actions.append(Note(event, group.key if group else None, file_id, fields))

    def note_refused(self, event: str, key: GroupKey, *fields: int | str | bytes) -> None:
        """Have a line logged about a group that is not taken."""
        if _LEVEL_OF[event] <= self.log_level:
            self.actions.append(Note(event, key, 0, fields))

    def move_downstream(self, to: bytes) -> None:
        """Take over a downstream address that a heartbeat has proved; what is known of ways elsewhere is void."""
        if to != self.downstream.current:
            self.downstream.move(to)
            self.groups.generation += 1

    def drop(self, reason: DropReason) -> None:
        """Count a datagram that nothing is done with."""
        self.drops[reason] += 1


def pack_uids(uids: Iterable[int]) -> bytes:
    """Return UIDs as a field of a log line: four bytes each."""
    return b"".join(uid.to_bytes(4) for uid in uids)
