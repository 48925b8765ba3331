"""What differs between two configurations, and what is read of live sessions."""

from __future__ import annotations

import dataclasses

from proxyd.control.protocol import Change
from proxyd.daemon.rehearsal import changes, seated
from workers.contract.settings import AclSettings, Address, Limits, ListenerSettings, QueueSettings, Settings
from workers.contract.slots import SLOT, Counter, Region
from workers.wire.sockaddr import encode

HOME = ListenerSettings(Address(4, 127 << 24 | 1), 53)
OTHER = ListenerSettings(Address(6, 1), 54, True)
A, B = AclSettings("A", True), AclSettings("B", False)
BEFORE = Settings("TEST", (HOME,), 10, 1, (A, B))


def found(**fields: object) -> list[tuple[str, str, str]]:
    after = dataclasses.replace(BEFORE, generation=2, **fields)  # type: ignore[arg-type]
    return [(change.what, change.how, change.name) for change in changes(BEFORE, after)]


def test_the_same_configuration_changes_nothing() -> None:
    assert found() == []


def test_listeners_come_and_go() -> None:
    assert found(listeners=(OTHER,)) == [
        ("listener", "added", "transparent [::1] port 54"),
        ("listener", "removed", "non-transparent [127.0.0.1] port 53"),
    ]


def test_rules_come_and_go_and_change_and_move() -> None:
    changed = dataclasses.replace(B, accept=True)
    assert found(acls=(A, AclSettings("C", True))) == [("session-acl", "added", "C"), ("session-acl", "removed", "B")]
    assert found(acls=(A, changed)) == [("session-acl", "changed", "B")]
    assert found(acls=(B, A)) == [("session-acl", "moved", "A, B")]


def test_of_limits_each_is_told_with_its_values() -> None:
    changed = dataclasses.replace(A, limits=Limits(max_bytes_in=7, both_ns=5_000_000_000))
    (change,) = changes(BEFORE, dataclasses.replace(BEFORE, acls=(changed, B)))
    assert change == Change("session-acl", "changed", "A", "max-bytes-in none -> 7; timeout both none -> 5")


def test_other_settings_are_told_by_name_and_numbers_with_their_values() -> None:
    after = dataclasses.replace(BEFORE, max_sessions=20, queues=(QueueSettings("Q"),))
    assert list(changes(BEFORE, after)) == [
        Change("setting", "changed", "max-sessions", "10 -> 20"),
        Change("setting", "changed", "queue", ""),
    ]


def test_settings_have_the_words_of_the_configuration_and_say_when_they_count_later() -> None:
    after = dataclasses.replace(BEFORE, fast_path=False, workers=3, control=None)
    assert list(changes(BEFORE, after)) == [
        Change("setting", "changed", "workers", "1 -> 3"),
        Change("setting", "changed", "fast-path", "on -> off"),
        Change("setting", "changed", "control", "from the next start on"),
    ]
    assert next(changes(BEFORE, after, "it cannot")).detail == "1 -> 3; from the next start on: it cannot"


def test_live_sessions_are_read_and_nonsense_is_left_out() -> None:
    region = Region.create("TEST", 4)
    region.words[Counter.TOP] = 3
    ends = [encode(Address(4, 0x0A000001), 9), encode(Address(6, 1), 53)]
    SLOT.pack_into(region.memory, region.offset(0), 1, 1, 1, 4, 0, 70, *(0,) * 11, *ends, b"", b"")
    SLOT.pack_into(region.memory, region.offset(1), 1, 1, 0, 4, 0, 71, *(0,) * 11, b"\xff" * 28, ends[1], b"", b"")
    (session,) = seated(region)
    assert (session.slot, session.opened_ns, session.transparent) == (0, 70, True)
    assert (session.client_text, session.destination_text) == ("[10.0.0.1]:9", "[::1]:53")
    region.unmap()
