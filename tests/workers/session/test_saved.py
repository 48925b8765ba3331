"""Sessions that another worker has left: what cannot be is refused, and what may be missing is given for good."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.session_parts import PROXY, SECOND, client, rule, server, sock6
from workers.contract.custody import MAX_NOTE_BYTES
from workers.contract.settings import Address, ListenerSettings, SessionKind
from workers.contract.slots import SLOT, CloseReason, SlotFields
from workers.errors import RevivalError
from workers.session.saved import (
    KINDS,
    Note,
    Place,
    flags_of,
    presume_active,
    read_note,
    revive,
    write_note,
)
from workers.session.session import UNLIMITED, Grant, Session, Terms

T0 = 100 * SECOND
NOW = T0 + 9 * SECOND
PLACE = Place(PROXY, transparent=True, device="eth0")
NOTE = Note(*PLACE, "user", "client.example", "server.example")
SAVED = SlotFields(
    state=1,
    kind=KINDS[SessionKind.NORMAL],
    flags=0,
    side=4,
    listener=5,
    opened_ns=T0,
    last_in_ns=T0 + 2 * SECOND,
    last_out_ns=T0 + SECOND,
    check_ns=T0 + 3 * SECOND,
    dgrams_in=2,
    dgrams_out=3,
    bytes_in=20,
    bytes_out=30,
    received_in=21,
    received_out=34,
    rule=0,
    generation=1,
    client=client(1),
    destination=PROXY,
    target=server(),
    local=server(9),
)
TRACK = 77
"""Its number in the log."""
NORMAL = Terms.of(rule(max_dgrams_in=4, max_dgrams_out=4, max_bytes_in=50, max_bytes_out=50, both_ns=10 * SECOND))
ANY_SOCK = Terms.of(rule(kind=SessionKind.ANY_SOCK))


def padded(saved: SlotFields) -> SlotFields:
    """Return a slot's fields as they come out of it."""
    return SlotFields._make(SLOT.unpack(SLOT.pack(*saved)))


def test_a_revived_session_has_left_what_the_one_before_had_left() -> None:
    session = revive(padded(SAVED), TRACK, NOTE, NORMAL, 6, NOW)
    assert (session.slot, session.track) == (6, 77)
    assert (session.client, session.destination, session.target) == (client(1), PROXY, server())
    assert (session.opened_ns, session.last_in_ns, session.last_out_ns) == (T0, T0 + 2 * SECOND, T0 + SECOND)
    assert (session.dgrams_in, session.dgrams_out, session.bytes_in, session.bytes_out) == (2, 3, 20, 30)
    assert (session.dgrams_in_left, session.dgrams_out_left) == (2, 1)
    assert (session.bytes_in_left, session.bytes_out_left) == (30, 20)
    assert (session.wasted_in, session.wasted_out) == (1, 4)
    assert session.check_ns == T0 + 12 * SECOND
    assert session.deadline() == (T0 + 12 * SECOND, CloseReason.TIMEOUT_BOTH)
    assert session.grant == Grant(NORMAL.rule, None, NORMAL, server(), "user", "client.example", "server.example")
    assert session.simple
    assert not session.transparent


def test_a_found_server_stays_the_only_one_and_transparency_stays() -> None:
    saved = SAVED._replace(kind=KINDS[SessionKind.ANY_SOCK], flags=3)
    session = revive(padded(saved), TRACK, NOTE, ANY_SOCK, 6, NOW)
    assert session.fixed
    assert session.transparent
    assert flags_of(session) == 3


def test_addresses_of_ipv6_are_taken_whole() -> None:
    peers = sock6(1, 9), sock6(2, 8), sock6(0xFE80 << 112, 7)[:24] + b"\3\0\0\0"
    saved = SAVED._replace(side=6, client=peers[0], destination=peers[1], target=peers[2])
    session = revive(padded(saved), TRACK, NOTE, NORMAL, 6, NOW)
    assert (session.client, session.destination, session.target) == peers


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("its rule is of another kind", {"kind": KINDS[SessionKind.ANY_PORT]}),
        ("its rule is of another kind", {"kind": 255}),
        ("its rule is of another kind", {"flags": 2}),
        ("its rule is of another kind", {"flags": 4}),
        ("its times cannot be", {"opened_ns": 0}),
        ("its times cannot be", {"opened_ns": -5}),
        ("its times cannot be", {"last_in_ns": T0 - 1}),
        ("its times cannot be", {"last_out_ns": T0 - 1}),
        ("its times cannot be", {"last_in_ns": NOW + 1}),
        ("its times cannot be", {"last_out_ns": (1 << 63) - 1}),
        ("its addresses do not fit each other", {"side": 6}),
        ("its addresses do not fit each other", {"side": 0}),
        ("its addresses do not fit each other", {"destination": sock6(1, 9)}),
        ("an address of it is none", {"client": b""}),
        ("an address of it is none", {"target": b"\1\0"}),
        ("an address of it is none", {"destination": PROXY[:8] + b"\1" * 20}),
        ("an address of it is none", {"client": client(1) + b"\1" * 12}),
        ("its counts cannot be", {"received_in": 19}),
        ("its counts cannot be", {"received_out": 29}),
        ("its counts cannot be", {"received_in": UNLIMITED}),
        ("its counts cannot be", {"received_out": (1 << 64) - 1}),
        ("its limits are used up", {"dgrams_in": 5}),
        ("its limits are used up", {"dgrams_out": 5}),
        ("its limits are used up", {"bytes_in": 51, "received_in": 51}),
        ("its limits are used up", {"bytes_out": 51, "received_out": 51}),
        ("its limits are used up", {"dgrams_in": 4, "dgrams_out": 4}),
    ],
)
def test_what_cannot_be_is_refused_in_words(reason: str, changes: dict[str, int | bytes]) -> None:
    with pytest.raises(RevivalError, match=f"^{reason}$"):
        revive(padded(SAVED._replace(**changes)), TRACK, NOTE, NORMAL, 6, NOW)


@pytest.mark.parametrize("track", [0, 100_000])
def test_a_number_that_no_session_has_is_refused(track: int) -> None:
    with pytest.raises(RevivalError, match=r"^its number cannot be$"):
        revive(padded(SAVED), track, NOTE, NORMAL, 6, NOW)


@given(st.data())
def test_no_slot_makes_a_revival_fail_otherwise(data: st.DataObject) -> None:
    # Most of a real slot, or nobody would come far: a few bytes of it are anything.
    raw = bytearray(SLOT.pack(*SAVED))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    terms = data.draw(st.sampled_from((NORMAL, ANY_SOCK)))
    try:
        session = revive(SlotFields._make(SLOT.unpack(raw)), TRACK, NOTE, terms, 6, NOW)
    except RevivalError:
        return
    assert session.opened_ns <= session.last_in_ns <= NOW
    assert 0 <= session.dgrams_out_left <= terms.dgrams_out
    assert 0 <= session.bytes_in_left <= terms.bytes_in
    assert not session.reached()


# --- notes -----------------------------------------------------------------------------------------------------------


def noted(user: str | None = None, client_name: str | None = None, server_name: str | None = None) -> Session:
    session = Session(NORMAL, T0, 6, 77)
    session.grant = Grant(NORMAL.rule, None, NORMAL, server(), user, client_name, server_name)
    return session


def test_a_note_says_what_the_slot_has_no_place_for() -> None:
    raw = write_note(noted("user", "client.example", "server.example"), PLACE, bytes(4), 3)
    note = read_note(raw)
    assert note == Note(*PLACE, "user", "client.example", "server.example", bytes(4), 3)
    assert note.place == PLACE


def test_a_note_leaves_out_the_names_it_has_no_room_for() -> None:
    long = "n" * 253
    assert read_note(write_note(noted("user", long, long), PLACE)) == Note(*PLACE, "user", long, None)
    wide = "\u4e16" * 120
    assert read_note(write_note(noted(wide, long, long), PLACE)) == Note(*PLACE, wide, None, None)
    assert read_note(write_note(noted("u" * 500, "c", "s"), PLACE)) == Note(*PLACE, None, None, None)
    assert len(write_note(noted(long, long, long), PLACE)) <= MAX_NOTE_BYTES


@given(st.binary(max_size=MAX_NOTE_BYTES))
def test_no_bytes_make_a_note_fail_otherwise(raw: bytes) -> None:
    try:
        note = read_note(raw)
    except RevivalError:
        return
    assert isinstance(note, Note)


@pytest.mark.parametrize(
    "fields",
    [("text", False, None), (PROXY, 1, None), (PROXY, False, 1), (PROXY, False, None, None, None, None, b"", -1)],
)
def test_a_note_of_other_types_or_out_of_bounds_is_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(RevivalError):
        read_note(msgspec.msgpack.encode(fields))


def test_a_listeners_place_tells_it_from_every_other_one() -> None:
    plain = ListenerSettings(Address(4, 0x0A000000), 5300)
    others = (
        plain,
        replace(plain, port=5301),
        replace(plain, transparent=True),
        replace(plain, device="eth0"),
        replace(plain, address=Address(6, 0x0A000000)),
    )
    assert len({Place.of(settings) for settings in others}) == len(others)
    assert Place.of(plain) == Place(PROXY, transparent=False, device=None)


# --- what a slot cannot tell -----------------------------------------------------------------------------------------


def idle_since(last_in_s: float, last_out_s: float, **limits: int) -> Session:
    session = Session(Terms.of(rule(**limits)), T0, 1, 1)
    session.last_in_ns, session.last_out_ns = T0 + round(last_in_s * SECOND), T0 + round(last_out_s * SECOND)
    return session


def test_who_was_active_in_the_last_second_is_taken_to_have_stayed_so_in_that_direction() -> None:
    session = idle_since(4.5, 1, in_ns=20 * SECOND, out_ns=30 * SECOND)
    presume_active(session, T0 + 5 * SECOND, T0 + 6 * SECOND)
    assert (session.last_in_ns, session.last_out_ns) == (T0 + 6 * SECOND, T0 + SECOND)
    assert session.check_ns == T0 + 26 * SECOND


def test_who_was_idle_keeps_his_remaining_time_exactly() -> None:
    session = idle_since(2, 3, both_ns=20 * SECOND)
    presume_active(session, T0 + 5 * SECOND, T0 + 6 * SECOND)
    assert session.deadline() == (T0 + 23 * SECOND, CloseReason.TIMEOUT_BOTH)


def test_who_would_be_over_by_now_may_have_been_saved_by_what_nobody_wrote_down() -> None:
    session = idle_since(0, 0, both_ns=6 * SECOND + SECOND // 2)
    presume_active(session, T0 + 5 * SECOND, T0 + 6 * SECOND)
    assert session.deadline()[0] == T0 + 12 * SECOND + SECOND // 2


def test_the_time_of_a_whole_session_is_known_and_never_longer() -> None:
    session = idle_since(4.5, 4.5, session_ns=6 * SECOND)
    presume_active(session, T0 + 5 * SECOND, T0 + 6 * SECOND)
    assert session.deadline() == (T0 + 6 * SECOND, CloseReason.TIMEOUT_SESSION)
