"""The list of what is left: it comes back as it was, and what does not fit is refused or read as far as it can be."""

from __future__ import annotations

import msgspec
import pytest

from proxyd.daemon import inventory
from proxyd.daemon.inventory import (
    Bundle,
    EstateLeft,
    Identity,
    InventoryError,
    Manifest,
    Numbering,
    PlaceLeft,
    SessionLeft,
)
from workers.contract.settings import Address, ListenerSettings

LAYOUT = [0xA1, 208]
LISTENER = ListenerSettings(Address(4, 0x7F000001), 53)


def identify(descriptor: int) -> Identity:
    """Tell open files apart as a kernel would in which 7 and 8 are one."""
    return Identity(1, 7 if descriptor == 8 else descriptor)


def estate(**changes: object) -> EstateLeft:
    left = EstateLeft(
        generation=3,
        texts={2: "old", 3: "new"},
        extra=0,
        retired=0,
        max_sessions=10,
        permits=2,
        regions=[3, 4],
        stores=[],
        sessions=[SessionLeft(1, 9, 123, b"note", 5)],
    )
    return msgspec.structs.replace(left, **changes)


def manifest(left: EstateLeft, **changes: object) -> Manifest:
    whole = Manifest(
        version=inventory.VERSION,
        program="udp-proxy",
        name="DNS",
        release="1.0",
        process=4711,
        listeners=[inventory.describe(LISTENER)],
        sockets=[[0], [1]],
        identities=[Identity(1, number) for number in range(6)],
        layout=LAYOUT,
        estate=inventory.seal(left),
    )
    return msgspec.structs.replace(whole, **changes)


def bundle(whole: Manifest) -> Bundle:
    return Bundle(inventory.write(whole), tuple(range(100, 100 + len(whole.identities))))


def test_a_list_comes_back_as_it_was_left() -> None:
    left = estate(rates=5, names={"host": [(4, bytes(4))]}, private=b"key")
    found = inventory.read(bundle(manifest(left, pidfile=PlaceLeft("/run/x.pid", 5))), LAYOUT)
    assert found.estate == left
    assert found.why == ""
    assert found.manifest.pidfile == PlaceLeft("/run/x.pid", 5)
    assert found.descriptors == (100, 101, 102, 103, 104, 105)


@pytest.mark.parametrize(
    "listener",
    [
        LISTENER,
        ListenerSettings(Address(6, 1 << 127), 69, transparent=True, device="eth0"),
        ListenerSettings(Address(6, 0), 1),
    ],
)
def test_a_listener_comes_back_as_it_was_left(listener: ListenerSettings) -> None:
    assert inventory.listener_of(inventory.describe(listener)) == listener


def test_a_path_that_is_no_text_cannot_be_left() -> None:
    with pytest.raises(OSError, match="Invalid"):
        inventory.write(manifest(estate(), pidfile=PlaceLeft("/run/\udcff.pid", 1)))


def test_an_address_of_no_version_is_refused() -> None:
    with pytest.raises(InventoryError, match="an address of 5 bytes"):
        inventory.listener_of(inventory.ListenerLeft(bytes(5), 1, False, None))


def test_another_layout_leaves_the_listeners_and_says_so() -> None:
    found = inventory.read(bundle(manifest(estate(), layout=[0xA0, 208])), LAYOUT)
    assert found.estate is None
    assert found.why == "shared memory is laid out as a0 d0, not as a1 d0"
    assert found.manifest.sockets == [[0], [1]]


def test_another_form_of_the_second_part_leaves_the_listeners_and_says_so() -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode({"generation": "three"}))
    found = inventory.read(bundle(manifest(estate(), estate=raw)), LAYOUT)
    assert found.estate is None
    assert found.why.startswith("what was left is written otherwise")
    assert found.manifest.listeners == [inventory.describe(LISTENER)]


def test_fields_of_newer_code_do_not_matter() -> None:
    data = msgspec.msgpack.decode(inventory.write(manifest(estate())))
    data["novelty"] = 1
    newer = Bundle(msgspec.msgpack.encode(data), tuple(range(6)))
    assert inventory.read(newer, LAYOUT).manifest.name == "DNS"


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x93\x01\x02\x03", b"x" * 1000])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(InventoryError, match="not a list"):
        inventory.read(Bundle(raw, ()), LAYOUT)
    with pytest.raises(InventoryError, match="not a list"):
        inventory.arrange(raw, {})


def test_another_version_of_the_list_is_refused() -> None:
    with pytest.raises(InventoryError, match="version 2, where 1 is understood"):
        inventory.read(bundle(manifest(estate(), version=2)), LAYOUT)


def test_descriptors_too_few_are_refused() -> None:
    whole = bundle(manifest(estate()))
    with pytest.raises(InventoryError, match="5 descriptors, the list has 6"):
        inventory.read(Bundle(whole.manifest, whole.descriptors[1:]), LAYOUT)


@pytest.mark.parametrize(
    "changes",
    [
        {"sockets": []},
        {"sockets": [[0], []]},
        {"sockets": [[0], [6]]},
        {"sockets": [[0], [-1]]},
        {"sockets": [[0]]},
        {"control": PlaceLeft("/run/x.ctl", 6)},
        {"estate": inventory.seal(estate(permits=6))},
        {"estate": inventory.seal(estate(regions=[3]))},
        {"estate": inventory.seal(estate(regions=[3, -1]))},
        {"estate": inventory.seal(estate(stores=[1]))},
        {"estate": inventory.seal(estate(rates=9))},
        {"estate": inventory.seal(estate(generation=4))},
        {"estate": inventory.seal(estate(retired=1))},
        {"estate": inventory.seal(estate(extra=2))},
        {"leash": 6},
        {"monitor": -1},
        {"estate": inventory.seal(estate(sessions=[SessionLeft(2, 0, 1, b"", 5)]))},
        {"estate": inventory.seal(estate(sessions=[SessionLeft(0, -1, 1, b"", 5)]))},
        {"estate": inventory.seal(estate(sessions=[SessionLeft(0, 0, 1, b"", 6)]))},
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InventoryError, match="do not fit each other"):
        inventory.read(bundle(manifest(estate(), **changes)), LAYOUT)


def test_an_open_file_that_is_named_twice_has_one_number() -> None:
    numbering = Numbering(identify)
    assert [numbering.number(descriptor) for descriptor in (5, 7, 8, 5, 9)] == [0, 1, 1, 0, 2]
    assert numbering.descriptors == [5, 7, 9]
    assert numbering.identities == [Identity(1, 5), Identity(1, 7), Identity(1, 9)]


def test_descriptors_in_no_order_are_put_into_that_of_the_list() -> None:
    whole = inventory.write(manifest(estate()))
    found = {Identity(1, number): 50 - number for number in (3, 1, 0, 5, 4, 2, 77)}
    assert inventory.arrange(whole, found) == Bundle(whole, (50, 49, 48, 47, 46, 45))
    del found[Identity(1, 2)]
    assert inventory.arrange(whole, found).descriptors == (50, 49, inventory.MISSING, 47, 46, 45)


@pytest.mark.parametrize(
    ("lost", "sessions"), [({5}, 0), ({2}, None), ({3}, None), ({4, 5}, None)], ids=["session", "permits", "one", "two"]
)
def test_without_some_descriptors_as_much_is_used_as_can_be(lost: set[int], sessions: int | None) -> None:
    whole = bundle(manifest(estate()))
    descriptors = [inventory.MISSING if number in lost else fd for number, fd in enumerate(whole.descriptors)]
    found = inventory.read(Bundle(whole.manifest, tuple(descriptors)), LAYOUT)
    assert (None if found.estate is None else len(found.estate.sessions)) == sessions
    assert found.why == ("" if found.estate else f"{len(lost)} of 6 descriptors are missing")


def test_without_a_listener_nothing_is_used() -> None:
    whole = bundle(manifest(estate()))
    with pytest.raises(InventoryError, match="listeners too"):
        inventory.read(Bundle(whole.manifest, (inventory.MISSING, *whole.descriptors[1:])), LAYOUT)
