"""Groups that were written down are gone on with as they were; what does not fit is refused alone, whatever it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.uftp_operation import Member
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER_PROXY, Scene, chain, make_cipher, make_ring, response
from tests.kit.uftp_world import MS, PRIVATE, ProxyNode, World, raw, settings_for
from workers.contract.settings import Address
from workers.contract.store import Ledger
from workers.contract.uftp import Fact, Mode, ServerEntry
from workers.uftp import records
from workers.uftp.abort import Abort
from workers.uftp.actions import Arrival, Leave, Send
from workers.uftp.adoption import nonce_of
from workers.uftp.finish import Complete, Status
from workers.uftp.groups import Group
from workers.uftp.header import Function, Header
from workers.uftp.records import GroupRecord, TermsRecord
from workers.uftp.register import Register
from workers.uftp.timestamp import Timestamp

SUITES = {
    "plain": None,
    "hmac": (4, 3, 1, 1, True),
    "gcm": (6, 3, 3, 3, True),
    "keyex": (4, 3, 2, 3, True),
    "open": (3, 2, 1, 2),
}
Kept = dict[bytes, dict[bytes, bytes]]


def halfway(name: str = "plain", make: object = chain, at_ms: int = 150) -> Scene:
    """Return a scene in the middle of its transfer, with nothing on its way up."""
    cipher = None if SUITES[name] is None else make_cipher(*SUITES[name])
    ring = None if cipher is None else make_ring(cipher, ecdh=make is response)
    scene = make(3, 1, cipher=cipher, ring=ring, server={"data": bytes(20_000), "grtt_s": 0.05})
    for node in scene.proxies:
        node.outlive()
    scene.server.start()
    scene.world.run(at_ms * MS)
    return scene


def kept_of(node: ProxyNode) -> Kept:
    return opened(node).read()


def opened(node: ProxyNode) -> Ledger:
    assert node.keep is not None
    ledger = node.keep.open()
    ledger.approve()
    return ledger


def rewrite(node: ProxyNode, family: bytes, name: bytes, value: bytes) -> None:
    ledger = opened(node)
    ledger.read()
    ledger.put(family, name, value)


def facts_of(group: Group) -> Iterator[tuple[str, object]]:
    """Yield everything of a group that must survive, by name."""
    yield from (("key", group.key), ("terms", group.terms), ("phase", group.phase), ("warned", group.warned))
    yield from (("grtt", group.grtt), ("size", group.size), ("clients", len(group.clients)))
    yield from (("settled", group.settled), ("aliases", group.aliases))
    yield "unfinished", {client.uid for client in group.clients.unfinished}
    yield "confirmed", {client.uid for client in group.clients.confirmed}
    crypto = group.crypto
    if crypto is not None:
        yield from (("master", crypto.master), ("session", crypto.session), ("shaken", crypto.shaken))
        yield from (("suite", crypto.suite), ("info", crypto.info), ("own", crypto.own.public.blob))
        yield "ecdh", crypto.ecdh and crypto.ecdh.public.blob
        yield "sealed", crypto.sealer is not None
    for uid in range(0x1111, 0x1114):
        client = group.clients.get(uid)
        if client is not None:
            yield f"client {uid}", (client.order, client.state)
            leg = client.exchange
            if leg is not None:
                yield f"leg {uid}", (leg.heard, leg.offered, leg.shaken, leg.session, leg.signature)
                yield f"key {uid}", leg.key and leg.key.blob


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("make", [chain, response])
@pytest.mark.parametrize("at_ms", [20, 40, 60, 90, 120, 200])
def test_a_group_is_gone_on_with_as_it_was(name: str, make: object, at_ms: int) -> None:
    scene = halfway(name, make, at_ms)
    for node in scene.proxies:
        before = [dict(facts_of(group)) for group in node.machine.groups]
        counters = [group.crypto.counter for group in node.machine.groups if group.crypto]
        node.die()
        assert [dict(facts_of(group)) for group in node.machine.groups] == before
        after = [group.crypto.counter for group in node.machine.groups if group.crypto]
        assert all(new >= old for new, old in zip(after, counters, strict=True))
        assert node.machine.facts[Fact.GROUPS] == len(before)
        assert node.machine.facts[Fact.CLIENTS] == sum(found["clients"] for found in before)


def test_what_was_shown_of_a_group_is_shown_again() -> None:
    scene = halfway(at_ms=200)
    scene.below.machine.save_shown()
    before = dataclasses.asdict(next(iter(scene.below.machine.groups)).progress)
    assert before["datagrams"] > 20
    assert before["file_name"]
    scene.below.die()
    assert dataclasses.asdict(next(iter(scene.below.machine.groups)).progress) == before


def refused(node: ProxyNode) -> list[str]:
    return [str(note.fields[0]) for note in node.said("uftp-not-adopted")]


def only_group(node: ProxyNode) -> tuple[bytes, GroupRecord]:
    family = next(family for family in kept_of(node) if records.group_of(family))
    return family, records.decode(kept_of(node)[family][records.SELF], GroupRecord)


def change(node: ProxyNode, **changes: object) -> None:
    """Write another record of the one group."""
    family, record = only_group(node)
    values = {name: getattr(record, name) for name in record.__struct_fields__} | changes
    rewrite(node, family, records.SELF, records.encode(GroupRecord(**values)))


def with_terms(node: ProxyNode, **changes: object) -> None:
    terms = only_group(node)[1].terms
    values = {name: getattr(terms, name) for name in terms.__struct_fields__} | changes
    change(node, terms=TermsRecord(**values))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 99}, "version 99"),
        ({"phase": 9}, "phase"),
        ({"phase": 0}, "phase"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(changes: dict[str, object], why: str) -> None:
    scene = halfway()
    change(scene.below, **changes)
    scene.below.die()
    assert len(refused(scene.below)) == 1
    assert why in refused(scene.below)[0]
    assert not scene.below.machine.facts[Fact.GROUPS]
    assert not any(records.group_of(family) for family in kept_of(scene.below))


@pytest.mark.parametrize(
    "changes",
    [
        {"private": raw("10.0.0.1")},
        {"private": b""},
        {"public": PRIVATE + bytes(12)},
        {"upstream": b""},
        {"upstream": bytes(16)},
    ],
)
def test_an_address_that_no_group_can_have_is_refused(changes: dict[str, bytes]) -> None:
    scene = halfway()
    with_terms(scene.below, **changes)
    scene.below.die()
    assert len(refused(scene.below)) == 1


def test_a_group_whose_server_is_not_listed_any_more_ends() -> None:
    scene = halfway()
    scene.below.settings = dataclasses.replace(
        scene.below.settings, servers=(ServerEntry(0x7777, Address(4, 0x0A630102), None),)
    )
    scene.below.die()
    assert refused(scene.below) == ["not in the list of servers"]


OTHER, STRANGER = raw("10.99.3.30"), raw("10.99.3.66")


def came_up(node: ProxyNode, message: object, source: bytes) -> bool:
    """Have a server proxy hear a message of its one group; tell whether it goes on."""
    (group,) = node.machine.groups
    head = Header(message.FUNCTION, 0xC0C0, group.key.group_id, group.key.instance)
    node.machine.actions.clear()
    node.machine.receive(head.encode() + message.encode(), Arrival(source, SERVER_PROXY, 1), node.world.now_ns)
    sent = [action for action in node.machine.actions if isinstance(action, Send)]
    node.machine.actions.clear()
    return [action.to for action in sent] == [group.terms.upstream]


def announced() -> Scene:
    """Return a scene whose server proxy has a group, and has not heard of its downstream."""
    scene = halfway(at_ms=1)
    (group,) = scene.above.machine.groups
    assert (group.settled, group.aliases) == (False, set())
    return scene


def test_who_was_taken_for_the_downstream_still_is() -> None:
    node = announced().above
    assert came_up(node, Register(Timestamp()), OTHER)
    node.die()
    for message in (Status(1, 0, b""), Complete(1, 0), Abort(0, b"x")):
        assert came_up(node, message, OTHER)
        assert not came_up(node, message, STRANGER)


@pytest.mark.parametrize("routed", [False, True])
def test_who_was_too_late_to_be_taken_for_the_downstream_still_is(routed: bool) -> None:
    node = announced().above
    (group,) = node.machine.groups
    head = Header(Function.COMPLETE, 0xC0C0, group.key.group_id, group.key.instance).encode()
    if routed:
        assert node.machine.route(head, CLIENT_PROXY) is not None
    else:
        assert came_up(node, Complete(1, 0), CLIENT_PROXY)
    node.die()
    assert not came_up(node, Register(Timestamp()), STRANGER)


def test_a_server_proxy_whose_downstream_is_found_takes_no_aliases_over() -> None:
    node = announced().above
    assert came_up(node, Register(Timestamp()), OTHER)
    node.settings = dataclasses.replace(node.settings, downstream=None, downstream_fingerprint=bytes(20))
    node.die()
    assert [group.aliases for group in node.machine.groups] == [set()]


def test_an_alias_of_the_other_family_is_refused() -> None:
    node = announced().above
    change(node, aliases=(bytes(16),))
    node.die()
    assert refused(node) == ["not a host's address"]


def test_what_a_predecessor_of_version_1_has_written_is_refused_by_name() -> None:
    scene = halfway()
    family, record = only_group(scene.below)
    values = [getattr(record, name) for name in record.__struct_fields__]
    rewrite(scene.below, family, records.SELF, msgspec.msgpack.encode([1, *values[1:10]]))
    scene.below.die()
    assert refused(scene.below) == ["written as version 1"]


def test_a_server_proxy_takes_no_keys_over() -> None:
    scene = halfway("gcm")
    scene.above.keep = scene.below.keep
    scene.above.die()
    assert refused(scene.above) == ["keys in a proxy that has none"]


def test_no_more_groups_and_clients_are_taken_over_than_there_may_be() -> None:
    scene = halfway()
    scene.below.settings = dataclasses.replace(scene.below.settings, max_clients=2)
    scene.below.die()
    assert scene.below.machine.facts[Fact.CLIENTS] == 2
    scene.below.settings = dataclasses.replace(scene.below.settings, max_groups=0)
    scene.below.die()
    assert refused(scene.below) == ["too many groups"]


def test_a_key_that_is_gone_is_taken_from_what_was_written_down() -> None:
    scene = halfway("gcm")
    scene.below = replaced(scene.below, make_ring(make_cipher(*SUITES["gcm"])))
    assert not refused(scene.below)
    assert scene.below.machine.facts[Fact.GROUPS] == 1


def test_without_its_key_a_group_is_refused() -> None:
    scene = halfway("gcm")
    ledger = opened(scene.below)
    ledger.read()
    ledger.drop_family(records.KEYS)
    scene.below = replaced(scene.below, make_ring(make_cipher(*SUITES["hmac"])))
    assert refused(scene.below) == ["its key is not there"]


def replaced(node: ProxyNode, ring: object) -> ProxyNode:
    """Return another proxy in the place of one, with keys of its own and what that one has written."""
    other = ProxyNode(node.world, node.address, node.settings, ring)
    other.keep = node.keep
    other.die()
    return other


def test_addresses_that_no_group_needs_are_left() -> None:
    scene = halfway(make=response)
    other = raw("230.9.9.9")
    rewrite(scene.below, records.JOINED, other, b"")
    rewrite(scene.below, records.JOINED, b"nonsense", b"")
    scene.below.joined[other] = 1
    scene.below.die()
    assert scene.below.joined[other] == 0
    assert scene.below.joined[PRIVATE] == 1
    assert set(kept_of(scene.below)[records.JOINED]) == {PRIVATE}


def proved_node(fingerprint: bytes) -> ProxyNode:
    world = World(5)
    settings = settings_for(Mode.SERVER, 0xA0A0, SERVER_PROXY, downstream_fingerprint=fingerprint)
    node = ProxyNode(world, SERVER_PROXY, settings)
    node.outlive()
    return node


def test_a_downstream_address_that_was_proved_is_known_again_for_the_same_key_only() -> None:
    node = proved_node(bytes(20))
    node.machine.move_downstream(CLIENT_PROXY)
    node.die()
    assert node.machine.downstream == CLIENT_PROXY
    node.settings = dataclasses.replace(node.settings, downstream_fingerprint=bytes(19) + b"\1")
    node.die()
    assert node.machine.downstream is None


def test_a_challenge_outlives_who_made_it() -> None:
    node = proved_node(bytes(20))
    nonce = nonce_of(kept_of(node))
    assert nonce
    node.die()
    assert nonce_of(kept_of(node)) == nonce


@pytest.mark.parametrize("name", ["plain", "gcm"])
@given(data=st.data())
def test_whatever_is_written_nothing_breaks(name: str, data: st.DataObject) -> None:
    scene = halfway(name)
    node = scene.below
    kept = kept_of(node)
    places = [(family, member) for family, found in kept.items() for member in found]
    for _ in range(data.draw(st.integers(1, 4))):
        family, member = data.draw(st.sampled_from(places))
        raw_record = bytearray(kept[family][member])
        if raw_record:
            at = data.draw(st.integers(0, len(raw_record) - 1))
            raw_record[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        rewrite(node, family, member, bytes(raw_record))
    for station in (scene.server, *scene.clients):
        # Scripted ones may fail at what comes of it.
        scene.world.stations[station.address] = Member(station, scene.server.group_id.to_bytes(4))
    node.die()
    scene.world.run(scene.world.now_ns + 3_000 * MS)
    node.freeze()


def test_a_machine_that_freezes_leaves_nothing() -> None:
    scene = halfway(make=response)
    machine = scene.below.machine
    machine.freeze(scene.world.now_ns)
    assert not [action for action in machine.actions if isinstance(action, Leave)]
