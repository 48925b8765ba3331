"""Writes sessions into their shared-memory slots, so that they can be shown now and taken over by another worker.

Addresses are written when a session begins, because the datapath sends from there; the whole slot once it has lived
for a moment, and whatever traffic changes about once a second. Whoever reads a slot when its writer is dead finds it
whole: it is marked open when it is complete, and every later change is one word, or addresses of one copy each.
With the slot goes the session's socket, where there is a parent to keep it (workers.custodian).
Layout: workers.contract.slots.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

from workers.contract.slots import (
    GENERATIONS,
    HEADER_BYTES,
    SLOT,
    SLOT_BYTES,
    SOCKADDR_BYTES,
    TRACK,
    TRACK_OFFSET,
    USED,
    USED_OFFSET,
    Counter,
    Region,
)
from workers.custodian import Custodian, hand_over
from workers.deadlines import NEVER
from workers.net import ancillary
from workers.net.plain import PythonAddress, from_python
from workers.session.saved import KINDS, OPEN, Place, flags_of, write_note
from workers.session.session import Session
from workers.wire.sockaddr import V4_BYTES

FLAGS_OFFSET, LISTENER_OFFSET = 2, 4
CLIENT_OFFSET = SLOT.size - 4 * SOCKADDR_BYTES
DESTINATION_OFFSET = CLIENT_OFFSET + SOCKADDR_BYTES
TARGET_OFFSET = DESTINATION_OFFSET + SOCKADDR_BYTES
_CLOSED = 0
_LISTENER = struct.Struct("@I")


class Keeper:
    """Writes one worker's region.

    rules: the configuration's, by name; generation: its number. places: of its listeners, in their order.
    custody: where sockets are entrusted to the parent, None: nobody keeps them.
    """

    def __init__(
        self,
        region: Region,
        rules: dict[str, int],
        generation: int,
        places: Sequence[Place] = (),
        custody: socket.socket | None = None,
    ) -> None:
        self._region = region
        self._memory = region.memory
        self._rules = rules
        self._generation = generation % GENERATIONS
        self._places = places
        self._custodian = None if custody is None else Custodian(custody, self._describe)
        self._since_ns = self._began_ns = 0
        self._top = region.words[Counter.TOP]

    @property
    def entrusting(self) -> bool:
        """Whether the parent gets sockets, so that closing one here does not close it everywhere."""
        return self._custodian is not None

    def target_offset(self, slot: int) -> int:
        """Return where the raw address of a slot's target lies in the region."""
        return self._region.offset(slot) + TARGET_OFFSET

    def greet(self, sessions: list[Session]) -> None:
        """Write the addresses that the datapath sends to, and note where."""
        memory, first = self._memory, HEADER_BYTES + CLIENT_OFFSET
        for session in sessions:
            client = session.client
            session.client_at = client_at = first + session.slot * SLOT_BYTES
            memory[client_at : client_at + len(client)] = client
            if not session.connected:
                target_at = client_at + TARGET_OFFSET - CLIENT_OFFSET
                memory[target_at : target_at + len(session.target)] = session.target

    def keep(self, sessions: Iterable[Session]) -> None:
        """Write the whole slots of sessions that have lived for a moment, and entrust their sockets to the parent."""
        lasting = [session for session in sessions if session.sock is not None]
        for session in lasting:
            self._write(session)
        if self._custodian is not None:
            self._custodian.entrust(lasting)

    def retarget(self, session: Session) -> None:
        """Write a session's server anew, which has only now been found."""
        slot, start, target = self._region.offset(session.slot), self.target_offset(session.slot), session.target
        self._memory[start : start + len(target)] = target
        if self._memory[slot]:
            self._memory[slot + FLAGS_OFFSET] = flags_of(session)

    def clear(self, sessions: list[Session]) -> None:
        """Mark the slots of sessions free."""
        memory = self._memory
        kept: list[int] = []
        for session in sessions:
            _note_answer(session)
            start = HEADER_BYTES + session.slot * SLOT_BYTES
            if memory[start]:
                memory[start] = _CLOSED
                kept.append(session.slot)
        if kept and self._custodian is not None:
            self._custodian.release(kept)

    # --- sessions that another worker began --------------------------------------------------------------------------

    def resume(self, session: Session) -> None:
        """Take on a session whose slot is written and whose socket the parent has: here its listener has this index."""
        _LISTENER.pack_into(self._memory, self._region.offset(session.slot) + LISTENER_OFFSET, session.listener)
        self.greet([session])

    def disown(self, slots: Sequence[int]) -> None:
        """Mark the slots of sessions free that are not gone on with."""
        for slot in slots:
            if 0 <= slot < self._region.slot_count:
                self._memory[self._region.offset(slot)] = _CLOSED
        if self._custodian is not None:
            self._custodian.release(slots)

    # --- now and then ------------------------------------------------------------------------------------------------

    def begin_sweep(self, now_ns: int) -> None:
        """Begin a sweep over all sessions: what traffic changed since the one before is written again."""
        self._since_ns, self._began_ns = self._began_ns, now_ns
        if not self._region.words[Counter.SWEPT]:
            self._region.words[Counter.SWEPT] = now_ns

    def sweep(self, sessions: list[Session]) -> None:
        """Write what changed since the last sweep, in slots that are written at all."""
        since_ns = self._since_ns
        for session in sessions:
            if session.last_in_ns >= since_ns or session.last_out_ns >= since_ns:
                self._save(session)
                _note_answer(session)

    def end_sweep(self) -> None:
        """Note that all sessions have been swept."""
        self._region.words[Counter.SWEPT] = self._began_ns

    def tend(self, now_ns: int) -> int:
        """Tell the parent what is due; return when to call again. Raises ChannelClosedError when it is gone."""
        return NEVER if self._custodian is None else self._custodian.tend(now_ns)

    def freeze(self, sessions: Iterable[Session]) -> bool:
        """Leave nothing unsaved of sessions whose slots are written; tell whether the parent has all their sockets."""
        for session in sessions:
            self._save(session)
        self._region.words[Counter.SWEPT] = 0
        return self._custodian is None or hand_over(self._custodian)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _save(self, session: Session) -> None:
        start = HEADER_BYTES + session.slot * SLOT_BYTES
        if session.sock is not None and self._memory[start]:
            USED.pack_into(self._memory, start + USED_OFFSET, *_used(session))

    def _write(self, session: Session) -> None:
        start, side = HEADER_BYTES + session.slot * SLOT_BYTES, 4 if len(session.target) == V4_BYTES else 6
        if session.slot >= self._top:
            self._top = self._region.words[Counter.TOP] = session.slot + 1
        SLOT.pack_into(
            self._memory,
            start,
            _CLOSED,
            KINDS[session.terms.rule.kind],
            flags_of(session),
            side,
            session.listener,
            session.opened_ns,
            *_used(session),
            self._rules[session.terms.rule.name],
            self._generation,
            session.client,
            session.destination,
            session.target,
            _local(side, session.sock.getsockname()),
        )
        TRACK.pack_into(self._memory, start + TRACK_OFFSET, session.track)
        self._memory[start] = OPEN

    def _describe(self, session: Session) -> bytes:
        """Return the note that goes with a session's socket."""
        place, control = self._places[session.listener], session.reply_control
        origin = ancillary.decode(ancillary.split(control)).packet if control else None
        return write_note(session, place, *((origin.local, origin.interface) if origin is not None else ()))


def _note_answer(session: Session) -> None:
    """Note when a session's server has answered last; before that, last_in_ns is when the session began."""
    tally, answered_ns = session.terms.tally, session.last_in_ns
    if answered_ns > tally.answered_ns and answered_ns > session.opened_ns:
        tally.answered_ns = answered_ns


def _local(side: int, name: PythonAddress) -> bytes:
    """Return the raw form of a socket's own address."""
    raw = _host(side, name[0], name[3] if len(name) > 3 else 0)
    return raw[:2] + name[1].to_bytes(2, "big") + raw[4:]


@lru_cache(maxsize=64)
def _host(side: int, host: str, scope: int) -> bytes:
    """Return the raw form of an address with port 0: there are few, and decoding one takes 1.5 us."""
    return from_python(side, (host, 0, 0, scope))


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
