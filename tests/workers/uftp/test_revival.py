"""Keys and clients out of their records: each is checked, and a client that does not fit is left out."""

from __future__ import annotations

import pytest

from tests.kit.uftp_scene import P256, Scene, chain, make_cipher, make_ring
from tests.kit.uftp_world import MS
from workers.contract.uftp import Fact
from workers.errors import RevivalError
from workers.uftp import keys, pem, records
from workers.uftp.clients import Clients, ClientState
from workers.uftp.curves import CURVES
from workers.uftp.groups import Group
from workers.uftp.records import ClientRecord, CryptoRecord, GroupRecord, LegRecord, Secrets
from workers.uftp.revival import NOT_OURS, revive_clients, revive_crypto
from workers.uftp.station import Station

SUITES = {"rsa": (4, 3, 1, 1, True), "ecdh": (6, 3, 3, 3, True)}
STRANGER = 0x9999


def running(name: str) -> tuple[Scene, Group, dict[bytes, bytes], Station]:
    """Return a scene in its midst, the client proxy's group, its records, and a station to revive it in."""
    cipher = make_cipher(*SUITES[name])
    ring = make_ring(cipher)
    scene = chain(3, 1, cipher=cipher, ring=ring, server={"data": bytes(20_000), "grtt_s": 0.05})
    scene.below.outlive()
    scene.server.start()
    scene.world.run(150 * MS)
    group = next(iter(scene.below.machine.groups))
    ledger = scene.below.keep.open()
    station = Station(scene.below.settings, scene.below.settings.uid, ring, bytes, scene.world.now_ns)
    return scene, group, ledger.read()[records.family_of(group.key)], station


def crypto_record(found: dict[bytes, bytes], **changes: object) -> CryptoRecord:
    record = records.decode(found[records.SELF], GroupRecord).crypto
    return CryptoRecord(**{name: getattr(record, name) for name in record.__struct_fields__} | changes)


@pytest.mark.parametrize("name", SUITES)
def test_a_groups_keys_seal_and_open_as_before(name: str) -> None:
    _, group, found, station = running(name)
    revived = revive_crypto(station, {}, group.key, crypto_record(found))
    header = b"\x40\x12" + bytes(14)
    datagram = group.crypto.sealer.seal(header, b"\x06\x01\0\0" + bytes(20), 77)
    assert revived.sealer.open(datagram) == b"\x06\x01\0\0" + bytes(20)
    assert revived.counter >= group.crypto.counter
    assert revived.keyinfo_ack() == group.crypto.keyinfo_ack()


OTHER_CURVE = pem.encode_pem(keys.make_ec_key(CURVES[24], lambda count: b"\x01" * count))
RSA_PEM = pem.encode_pem(keys.make_rsa_key(1024, bytes))


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize(
    "changes",
    [
        {"cipher": 99},
        {"hash": 9},
        {"signature_type": 3, "cipher": 4},
        {"key_blob": b""},
        {"own": bytes(20)},
        {"private": bytes(5)},
        {"master": bytes(47)},
        {"leg": Secrets(bytes(32), bytes(30))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_keys_that_cannot_be_are_refused(name: str, changes: dict[str, object]) -> None:
    _, group, found, station = running(name)
    with pytest.raises((*NOT_OURS, RevivalError)):
        revive_crypto(station, {}, group.key, crypto_record(found, **changes))


@pytest.mark.parametrize("text", [b"", b"nonsense", OTHER_CURVE, RSA_PEM], ids=["none", "noise", "curve", "rsa"])
def test_an_ecdh_key_must_be_one_that_agrees_with_the_servers(text: bytes) -> None:
    assert P256.number == 23
    _, group, found, station = running("ecdh")
    with pytest.raises((*NOT_OURS, RevivalError)):
        revive_crypto(station, {}, group.key, crypto_record(found, ecdh=text))


def revived(group: Group, found: dict[bytes, bytes], station: Station) -> Clients:
    group.clients = Clients(100)
    revive_clients(station, group, found)
    return group.clients


def changed(found: dict[bytes, bytes], uid: int, **changes: object) -> dict[bytes, bytes]:
    """Return the records with another one of a client; leg: the changes of its leg."""
    record = records.decode(found[records.name_of(uid)], ClientRecord)
    leg = changes.pop("leg", {})
    if leg is not None:
        leg = LegRecord(**{name: getattr(record.leg, name) for name in LegRecord.__struct_fields__} | leg)
    values = {"order": record.order, "state": record.state, "keyinfos": record.keyinfos, "leg": leg}
    return found | {records.name_of(uid): records.encode(ClientRecord(**values | changes))}


def test_clients_are_taken_in_in_their_order() -> None:
    _, group, found, station = running("ecdh")
    found = changed(changed(found, 0x1111, order=9), 0x1113, order=4)
    clients = revived(group, found, station)
    assert sorted((clients.get(uid).order, uid) for uid in (0x1111, 0x1112, 0x1113))[0][0] == 0
    assert clients.get(0x1111).order == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"state": 77},
        {"leg": None},
        {"leg": {"settled": False}},
        {"leg": {"key": b""}},
        {"leg": {"key": b"\x02\x17\x00\x40" + bytes(64)}},
        {"leg": {"offered": Secrets(bytes(32), bytes(48))}},
        {"leg": {"offered": None}},
    ],
    ids=str,
)
def test_a_client_that_does_not_fit_is_left_out_alone(changes: dict[str, object]) -> None:
    _, group, found, station = running("ecdh")
    clients = revived(group, changed(found, 0x1112, **changes), station)
    assert clients.get(0x1112) is None
    assert len(clients) == 2


def test_a_name_that_no_client_can_have_is_left_out() -> None:
    _, group, found, station = running("ecdh")
    one = found[records.name_of(0x1111)]
    strange = {records.name_of(uid): one for uid in (0, station.uid, group.terms.server_uid)}
    assert len(revived(group, found | strange, station)) == 3
    assert len(revived(group, found | {records.name_of(STRANGER): b"\xc1"}, station)) == 3


def test_a_client_that_had_begun_anew_keeps_what_counted() -> None:
    _, group, found, station = running("ecdh")
    offered = Secrets(b"\1" * 32, b"\2" * 20)
    counts = Secrets(b"\3" * 32, b"\4" * 20)
    leg = {"offered": offered, "shaken": counts, "settled": False}
    client = revived(group, changed(found, 0x1112, leg=leg), station).get(0x1112)
    assert client.exchange.shaken.client_random == counts.random
    assert client.exchange.offered.client_random == offered.random
    assert client.state is ClientState.READY


def test_clients_beyond_the_room_of_the_whole_proxy_are_left_out() -> None:
    _, group, found, station = running("ecdh")
    station.facts[Fact.CLIENTS] = station.settings.max_clients * 10 - 1
    assert len(revived(group, found, station)) == 1
