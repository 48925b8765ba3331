"""Writes sessions into their shared-memory slots, so that they can be shown now and taken over by another worker.

Addresses are written when a session begins, because the datapath sends from there; the whole slot once it has lived
for a moment, and whatever traffic changes about once a second. Layout: workers.contract.slots.
"""

from __future__ import annotations

from workers.contract.settings import SessionKind
from workers.contract.slots import HEADER_BYTES, SLOT, SLOT_BYTES, SOCKADDR_BYTES, USED, USED_OFFSET, Counter, Region
from workers.net.plain import from_python
from workers.session.session import Session
from workers.wire.sockaddr import V4_BYTES

FLAGS_OFFSET = 2
CLIENT_OFFSET = SLOT.size - 4 * SOCKADDR_BYTES
DESTINATION_OFFSET = CLIENT_OFFSET + SOCKADDR_BYTES
TARGET_OFFSET = DESTINATION_OFFSET + SOCKADDR_BYTES
KEEP_NS = 200_000_000
"""A session that has lived this long is worth a whole slot; a shorter one costs two addresses."""
_OPEN = 1
_KINDS = {kind: number for number, kind in enumerate(SessionKind)}


class Keeper:
    """Writes one worker's region. rules: the configuration's, by name; generation: its number."""

    def __init__(self, region: Region, rules: dict[str, int], generation: int) -> None:
        self._region = region
        self._memory = region.memory
        self._rules = rules
        self._generation = generation & 0xFFFF
        self._since_ns = self._began_ns = 0

    def target_offset(self, slot: int) -> int:
        """Return where the raw address of a slot's target lies in the region."""
        return self._region.offset(slot) + TARGET_OFFSET

    def greet(self, sessions: list[Session]) -> None:
        """Write the addresses that the datapath sends to, and note where."""
        memory = self._memory
        for session in sessions:
            client = session.client
            session.client_at = client_at = HEADER_BYTES + session.slot * SLOT_BYTES + CLIENT_OFFSET
            memory[client_at : client_at + len(client)] = client
            if not session.connected:
                target_at = client_at + TARGET_OFFSET - CLIENT_OFFSET
                memory[target_at : target_at + len(session.target)] = session.target

    def retarget(self, session: Session) -> None:
        """Write a session's server anew, which has only now been found."""
        slot, start, target = self._region.offset(session.slot), self.target_offset(session.slot), session.target
        self._memory[start : start + len(target)] = target
        if self._memory[slot]:
            self._memory[slot + FLAGS_OFFSET] = session.transparent | session.fixed << 1

    def clear(self, sessions: list[Session]) -> None:
        """Mark the slots of sessions free."""
        memory = self._memory
        for session in sessions:
            start = HEADER_BYTES + session.slot * SLOT_BYTES
            if memory[start]:
                memory[start] = 0

    def sweep(self, sessions: list[Session], now_ns: int) -> None:
        """Write what changed since the last sweep, in slots of sessions that have lived for KEEP_NS."""
        for session in sessions:
            if session.sock is None or now_ns - session.opened_ns < KEEP_NS:
                continue
            start = self._region.offset(session.slot)
            if not self._memory[start]:
                self._keep(session)
            elif session.last_in_ns >= self._since_ns or session.last_out_ns >= self._since_ns:
                USED.pack_into(self._memory, start + USED_OFFSET, *_used(session))

    def begin_sweep(self, now_ns: int) -> None:
        """Begin a sweep over all sessions: what traffic changed since the one before is written again."""
        self._since_ns, self._began_ns = self._began_ns, now_ns

    def _keep(self, session: Session) -> None:
        """Write a whole slot."""
        words = self._region.words
        words[Counter.TOP] = max(words[Counter.TOP], session.slot + 1)
        side = 4 if len(session.target) == V4_BYTES else 6
        local = from_python(side, session.sock.getsockname())
        SLOT.pack_into(
            self._memory,
            self._region.offset(session.slot),
            _OPEN,
            _KINDS[session.terms.rule.kind],
            session.transparent | session.fixed << 1,
            side,
            session.listener,
            session.opened_ns,
            *_used(session),
            self._rules[session.terms.rule.name],
            self._generation,
            session.client,
            session.destination,
            session.target,
            local,
        )


def _used(session: Session) -> tuple[int, ...]:
    return (
        session.last_in_ns,
        session.last_out_ns,
        session.check_ns,
        session.dgrams_in,
        session.dgrams_out,
        session.bytes_in,
        session.bytes_out,
        session.bytes_in + session.wasted_in,
        session.bytes_out + session.wasted_out,
    )
