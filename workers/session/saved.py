"""A session as its worker left it, for the worker that goes on with it: its slot, and the note beside. Sans-I/O.

Both are untrusted input: whoever wrote them may have been somebody else's by then. What cannot be, or does not fit the
session's rule, is refused with RevivalError; nothing else is raised.
Source: workers.contract.slots (SLOT), workers.contract.custody (Entry).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from workers.contract.custody import MAX_NOTE_BYTES, Described
from workers.contract.settings import ListenerSettings, SessionKind
from workers.contract.slots import ANSWERED, SOCKADDR_BYTES, TRANSPARENT, SlotFields
from workers.errors import RevivalError
from workers.session.engine import LAST_TRACK
from workers.session.session import UNLIMITED, Grant, Session, Terms
from workers.wire import sockaddr
from workers.wire.sockaddr import V4_BYTES

OPEN = 1
KINDS = {kind: number for number, kind in enumerate(SessionKind)}
"""How a slot names the kinds of session."""
LAG_NS = 1_000_000_000
"""How long what traffic changes may be missing in a slot, once the last sweep is done."""
_IPV4, _IPV6 = sockaddr.FAMILY.pack(sockaddr.AF_INET), sockaddr.FAMILY.pack(sockaddr.AF_INET6)
_PADDING, _NO_FLOW = bytes(SOCKADDR_BYTES - 8), bytes(4)
_NAMES = ("server_name", "client_name", "user")
"""What a note can do without, the least important first."""


def flags_of(session: Session) -> int:
    """Return a session's flags as its slot has them."""
    trail = session.trail
    return session.transparent | (ANSWERED if trail is not None and trail.fixed else 0)


class Place(NamedTuple):
    """What makes a listener the same one in another configuration: its raw address, and how it listens."""

    raw: bytes
    transparent: bool
    device: str | None

    @classmethod
    def of(cls, settings: ListenerSettings) -> Place:
        """Return a listener's place."""
        return cls(sockaddr.encode(settings.address, settings.port), settings.transparent, settings.device)


class Note(Described, frozen=True, array_like=True):
    """What a slot has no place for: much the same for all sessions of a listener, so that it costs little to keep."""

    @property
    def place(self) -> Place:
        """The place of the session's listener."""
        return Place(self.raw, self.transparent, self.device)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Note)


def write_note(session: Session, place: Place, local: bytes = b"", interface: int = 0) -> bytes:
    """Return a session's note; names are left out where there is no room for them."""
    grant = session.grant
    note = Note(*place, grant.user, grant.client_name, grant.server_name, local, interface)
    data = _encoder.encode(note)
    for name in _NAMES:
        if len(data) <= MAX_NOTE_BYTES:
            break
        note = msgspec.structs.replace(note, **{name: None})
        data = _encoder.encode(note)
    return data


def read_note(data: bytes) -> Note:
    """Return what a note says. Raises RevivalError."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RevivalError("its note cannot be read") from error


def revive(saved: SlotFields, track: int, note: Note, terms: Terms, slot: int, now_ns: int) -> Session:
    """Return the session that a slot describes; the caller gives it listener, key and socket. Raises RevivalError."""
    _check_kind(saved, terms)
    _require(0 < saved.opened_ns <= min(saved.last_in_ns, saved.last_out_ns), "its times cannot be")
    _require(max(saved.last_in_ns, saved.last_out_ns) <= now_ns, "its times cannot be")
    _require(0 < track <= LAST_TRACK, "its number cannot be")
    session = Session(terms, saved.opened_ns, slot, track)
    session.last_in_ns, session.last_out_ns = saved.last_in_ns, saved.last_out_ns
    session.client, session.destination, session.target = map(_address, (saved.client, saved.destination, saved.target))
    _require(session.client[:2] == session.destination[:2], "its addresses do not fit each other")
    _require(saved.side == (4 if len(session.target) == V4_BYTES else 6), "its addresses do not fit each other")
    session.transparent = bool(saved.flags & TRANSPARENT)
    if session.trail is not None:
        session.trail.fixed = bool(saved.flags & ANSWERED)
    _spend(session, saved)
    names = note.user, note.client_name, note.server_name
    session.grant = Grant(terms.rule, None, terms, session.target, *names)
    session.check_ns = session.deadline()[0]
    return session


def presume_active(session: Session, swept_ns: int, until_ns: int) -> None:
    """Take a session for active up to until_ns where it may have been, and its slot cannot tell (Counter.SWEPT).

    It may have been, if it was in the second before, or if it would be over by now and nobody has ended it. So one
    that is alive is never ended early, and one that is not lives on for a second as a rule.
    """
    recent_ns = swept_ns - LAG_NS
    brink = session.deadline()[0] < until_ns + LAG_NS
    if brink or session.last_in_ns >= recent_ns:
        session.last_in_ns = max(session.last_in_ns, until_ns)
    if brink or session.last_out_ns >= recent_ns:
        session.last_out_ns = max(session.last_out_ns, until_ns)
    session.check_ns = session.deadline()[0]


def _check_kind(saved: SlotFields, terms: Terms) -> None:
    _require(saved.kind == KINDS[terms.rule.kind], "its rule is of another kind")
    permitted = TRANSPARENT | (ANSWERED if terms.behaviour.fixes else 0)
    _require(not saved.flags & ~permitted, "its rule is of another kind")


def _spend(session: Session, saved: SlotFields) -> None:
    """Take from a new session's budgets what it has used. Raises RevivalError where they do not have that much."""
    _require(saved.bytes_in <= saved.received_in < UNLIMITED, "its counts cannot be")
    _require(saved.bytes_out <= saved.received_out < UNLIMITED, "its counts cannot be")
    session.dgrams_in_left -= saved.dgrams_in
    session.dgrams_out_left -= saved.dgrams_out
    session.bytes_in_left -= saved.bytes_in
    session.bytes_out_left -= saved.bytes_out
    session.wasted_in = saved.received_in - saved.bytes_in
    session.wasted_out = saved.received_out - saved.bytes_out
    left = session.dgrams_in_left, session.dgrams_out_left, session.bytes_in_left, session.bytes_out_left
    _require(min(left) >= 0 and not session.reached(), "its limits are used up")


def _address(raw: bytes) -> bytes:
    """Return a slot's address without its padding. Raises RevivalError where it is none."""
    if raw[:2] == _IPV4 and raw[8:] == _PADDING:
        return raw[:V4_BYTES]
    _require(raw[:2] == _IPV6 and raw[4:8] == _NO_FLOW, "an address of it is none")
    return raw


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RevivalError(reason)
