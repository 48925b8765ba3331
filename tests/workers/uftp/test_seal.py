from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.captures import FOLDER, Captured, captures, files
from tests.workers.uftp.recorded import Transfer
from tests.workers.uftp.sample_keys import KINDS, ec, key, keys_of, rsa, suite_name, suites
from workers.errors import EngineMisuse, SealError
from workers.uftp.ciphers import CIPHERS
from workers.uftp.finish import Complete, Done
from workers.uftp.hashes import SHA256, SHA384
from workers.uftp.header import GROUP_KEY
from workers.uftp.keying import Encrypted, KeyInfoAck
from workers.uftp.pem import decode_pem
from workers.uftp.register import ClientKey
from workers.uftp.schedule import KeySet
from workers.uftp.seal import (
    KeyinfoHead,
    check_signature,
    make_sealer,
    sign_in_place,
    unwrap_group_master,
    wrap_group_master,
)
from workers.uftp.suite import KeyExchange, SignatureType, Suite
from workers.uftp.transfer import FileInfo

HEADER = bytes.fromhex("40120000" + "0000c0c0" + "9473ab2c" + "01000000")
OWN = rsa(1024)
SIGNED = Suite(CIPHERS[3], SHA256, SignatureType.KEYEX, KeyExchange.RSA)
every_suite = pytest.mark.parametrize("suite", suites(), ids=suite_name)
every_cipher = pytest.mark.parametrize("cipher", CIPHERS.values(), ids=[row.name for row in CIPHERS.values()])
counters = st.integers(0, 2**64 - 1)

RSA_SUITES = {
    "suite_3des_sha1_hmac_rsa512": 512,
    "suite_3des_sha512_keyex_rsa2048": 2048,
    "suite_aes128cbc_sha256_keyex_rsa1024": 1024,
    "suite_aes128ccm_sha512_rsa1024": 1024,
    "suite_aes128gcm_sha384_rsa1024": 1024,
    "suite_aes256cbc_sha384_hmac_rsa2048": 2048,
    "suite_aes256ccm_sha1_rsa512": 512,
}
"""Captures whose server's RSA key is known, and so everything in them."""
ECDH_PREMASTERS = json.loads((FOLDER / "ecdh_premasters.json").read_text())
ECDH_SUITES = sorted(name for name in files("suites") if "ecd" in name)


def pem(name: str):
    return decode_pem((FOLDER / f"{name}.pem").read_bytes())


def flipped(data: bytes, bit: int) -> bytes:
    """Return the data with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def group_of(capture: str) -> list[Captured]:
    """Return the datagrams of a capture's first group."""
    group = next(datagram.payload[GROUP_KEY] for datagram in captures()[capture] if any(datagram.payload[GROUP_KEY]))
    return [datagram for datagram in captures()[capture] if datagram.payload[GROUP_KEY] == group]


@every_suite
@given(sent=st.lists(st.tuples(st.binary(max_size=1_500), counters), min_size=1, max_size=4))
def test_what_is_sealed_is_opened(suite: Suite, sent) -> None:
    own = make_sealer(suite, keys_of(suite), OWN)
    other = make_sealer(suite, keys_of(suite), rsa(512))
    for message, counter in sent:
        datagram = own.seal(HEADER, message, counter)
        assert datagram.startswith(HEADER + counter.to_bytes(8))
        assert Encrypted.decode(datagram[16:]).iv_counter == counter
        assert other.open(datagram, OWN.public) == message


@every_suite
def test_any_flipped_bit_is_refused(suite: Suite) -> None:
    sealer = make_sealer(suite, keys_of(suite), OWN)
    datagram = sealer.seal(HEADER, b"0904000100000000" * 2, 7)
    step = 7 if suite.signature is SignatureType.KEYEX else 1
    for bit in range(0, 8 * len(datagram), step):
        with pytest.raises(SealError):
            sealer.open(flipped(datagram, bit), OWN.public)
    sealer.check(datagram, OWN.public)


@every_suite
def test_any_cut_and_any_byte_too_many_is_refused(suite: Suite) -> None:
    sealer = make_sealer(suite, keys_of(suite), OWN)
    datagram = sealer.seal(HEADER, b"message", 7)
    for wrong in (*(datagram[:size] for size in range(len(datagram))), datagram + b"\0"):
        with pytest.raises(SealError):
            sealer.open(wrong, OWN.public)


@every_suite
def test_a_length_that_is_not_the_datagrams_is_told_before_anything_is_computed(suite: Suite) -> None:
    sealer = make_sealer(suite, keys_of(suite), OWN)
    datagram = sealer.seal(HEADER, b"message", 7)
    for wrong in (datagram[:-1], datagram + b"\0", datagram[:26] + b"\0\0" + datagram[28:]):
        with pytest.raises(SealError, match="announced"):
            sealer.open(wrong, OWN.public)


@every_suite
@given(tail=st.binary(max_size=300), signature_bytes=st.integers(0, 200))
def test_any_bytes_under_right_lengths_are_refused(suite: Suite, tail: bytes, signature_bytes: int) -> None:
    sealer = make_sealer(suite, keys_of(suite), OWN)
    right = {SignatureType.AUTHENC: 0, SignatureType.HMAC: suite.digest.size, SignatureType.KEYEX: 128}
    for size in (right[suite.signature], signature_bytes):
        payload = max(0, len(tail) - size)
        forged = HEADER + bytes(8) + size.to_bytes(2) + payload.to_bytes(2) + tail
        with pytest.raises(SealError):
            sealer.open(forged, OWN.public)


@every_suite
def test_a_message_sealed_with_other_keys_is_refused(suite: Suite) -> None:
    keys = keys_of(suite)
    datagram = make_sealer(suite, keys, OWN).seal(HEADER, b"message", 7)
    strange = KeySet(bytes(len(keys.mac_key)), bytes(range(len(keys.key))), keys.salt)
    signer = rsa(1024, 1).public
    with pytest.raises(SealError):
        make_sealer(suite, strange, OWN).open(datagram, signer)


@every_cipher
@given(master=st.binary(min_size=47, max_size=47), source=st.integers(0, 2**32 - 1), counter=counters)
def test_a_group_master_is_wrapped_and_unwrapped(cipher, master: bytes, source: int, counter: int) -> None:
    suite = Suite(cipher, SHA256, SignatureType.AUTHENC, KeyExchange.RSA)
    head = KeyinfoHead(0x40, source, counter)
    entry = wrap_group_master(suite, keys_of(suite), head, b"\x40" + master)
    assert len(entry) == 48
    assert unwrap_group_master(suite, keys_of(suite), head, entry) == b"\x40" + master


@every_cipher
@given(entry=st.binary(max_size=80))
def test_any_bytes_as_a_wrapped_group_master_are_refused_or_as_long_as_one(cipher, entry: bytes) -> None:
    suite = Suite(cipher, SHA256, SignatureType.AUTHENC, KeyExchange.RSA)
    try:
        master = unwrap_group_master(suite, keys_of(suite), KeyinfoHead(0x40, 1, 1), entry)
    except SealError:
        return
    # Nothing authenticates an entry but its padding, right once in 256; the verify data shows who has the right one.
    assert len(entry) == len(master) == 48


def test_a_key_that_signs_is_wanted_for_keyex() -> None:
    with pytest.raises(EngineMisuse, match="KEYEX"):
        make_sealer(SIGNED, keys_of(SIGNED))


def test_a_signed_message_of_an_unknown_sender_is_refused() -> None:
    sealer = make_sealer(SIGNED, keys_of(SIGNED), OWN)
    with pytest.raises(SealError, match="not known"):
        sealer.open(sealer.seal(HEADER, b"message", 1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_signs_messages_that_go_on_under_anothers_signature(kind: str) -> None:
    server, proxy = key(kind), key(kind, 1)
    datagram = make_sealer(SIGNED, keys_of(SIGNED), server).seal(HEADER, b"message", 3)
    sealer = make_sealer(SIGNED, keys_of(SIGNED), proxy)
    relayed = sealer.relay(datagram, server.public)
    size = proxy.public.signature_bytes
    assert relayed[:28] == datagram[:28]
    assert relayed[28 + size :] == datagram[28 + size :]
    assert sealer.open(relayed, proxy.public) == b"message"
    with pytest.raises(SealError, match="signature"):
        sealer.open(relayed, server.public)
    with pytest.raises(SealError, match="signature"):
        sealer.relay(flipped(datagram, 300), server.public)


def test_a_message_whose_signature_is_not_as_long_as_ours_does_not_go_on() -> None:
    datagram = make_sealer(SIGNED, keys_of(SIGNED), rsa(512)).seal(HEADER, b"message", 3)
    with pytest.raises(SealError, match="another length"):
        make_sealer(SIGNED, keys_of(SIGNED), OWN).relay(datagram, rsa(512).public)


@pytest.mark.parametrize("suite", [s for s in suites() if s.signature is not SignatureType.KEYEX], ids=suite_name)
def test_what_the_group_key_protects_goes_on_as_it_came(suite: Suite) -> None:
    sealer = make_sealer(suite, keys_of(suite))
    assert sealer.relay(b"anything") == b"anything"


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_in_its_place_covers_the_whole_datagram(kind: str) -> None:
    own = key(kind)
    size = own.public.signature_bytes
    signed = sign_in_place(b"before" + b"x" * size + b"behind", 6, own, SHA256)
    check_signature(signed, 6, own.public, SHA256)
    for bit in range(0, 8 * len(signed), 11):
        with pytest.raises(SealError, match="signature"):
            check_signature(flipped(signed, bit), 6, own.public, SHA256)


def test_a_signature_without_room_is_refused() -> None:
    with pytest.raises(SealError, match="room"):
        sign_in_place(bytes(60), 0, rsa(512), SHA256)
    with pytest.raises(SealError, match="wanted 64"):
        check_signature(bytes(70), 10, rsa(512).public, SHA256)
    with pytest.raises(SealError, match="too few"):
        make_sealer(SIGNED._replace(digest=SHA384), keys_of(SIGNED), rsa(512)).seal(HEADER, b"", 1)


@pytest.mark.parametrize(
    ("capture", "owner", "leg"),
    [("b_hmac_rsa_lanB", "srv", "server_to_proxy"), ("b_hmac_rsa_lanC", "cpx", "proxy_to_client")],
)
def test_both_legs_of_a_recorded_transfer_are_opened_completely(capture: str, owner: str, leg: str) -> None:
    secrets = json.loads((FOLDER / "b_hmac_rsa_secrets.json").read_text())[leg]
    transfer = Transfer(captures()[capture], pem(f"b_hmac_rsa_{owner}").decrypt)
    assert transfer.shaken.premaster.hex() == secrets["pm"]
    assert transfer.group_master.hex() == secrets["gm"]
    _is_complete(transfer)


def test_a_recorded_transfer_with_ecdh_is_opened_completely() -> None:
    secrets = json.loads((FOLDER / "vec_gcm_ecdh_secrets.json").read_text())
    transfer = Transfer(captures()["vec_gcm_ecdh_lanC"], lambda _: bytes.fromhex(secrets["pm"]))
    assert transfer.group_master.hex() == secrets["gm"]
    (ack,) = transfer.opened(KeyInfoAck)[:1]
    assert ack.inside.verify_data.hex() == secrets["verify"]
    assert all(step.inside for step in transfer.seen(Encrypted))


@pytest.mark.parametrize("capture", ECDH_PREMASTERS)
def test_what_the_original_server_took_from_a_client_of_ours_is_opened(capture: str) -> None:
    premaster = bytes.fromhex(ECDH_PREMASTERS[capture])
    transfer = Transfer(captures()[capture], lambda _: premaster)
    assert transfer.suite.exchange.uses_ecdh
    assert all(step.inside for step in transfer.seen(Encrypted))
    assert transfer.opened(KeyInfoAck)
    assert transfer.opened(FileInfo)


@pytest.mark.parametrize("capture", RSA_SUITES)
def test_every_recorded_suite_is_opened_completely(capture: str) -> None:
    transfer = Transfer(captures()[capture], pem(f"suites_srv_rsa{RSA_SUITES[capture]}").decrypt)
    _is_complete(transfer)
    assert transfer.clients or not transfer.info.client_auth


def test_every_recorded_suite_carried_the_same_file() -> None:
    digests = {
        hashlib.sha256(Transfer(captures()[capture], pem(f"suites_srv_rsa{bits}").decrypt).content()).hexdigest()
        for capture, bits in RSA_SUITES.items()
    }
    assert len(digests) == 1


@pytest.mark.parametrize("capture", ECDH_SUITES)
def test_the_signatures_of_recorded_suites_with_ecdh_are_taken(capture: str) -> None:
    transfer = Transfer(captures()[capture])
    assert transfer.seen(Encrypted)
    assert transfer.seen(ClientKey) or not transfer.info.client_auth


@pytest.mark.parametrize("capture", ["b_gcm_ecdh_ecdsa_lanA", "b_gcm_ecdh_ecdsa_lanC", "ipv6_response"])
def test_the_signatures_of_other_recorded_transfers_are_taken(capture: str) -> None:
    transfer = Transfer(group_of(capture))
    assert transfer.suite.exchange.uses_ecdh
    assert transfer.seen(Encrypted)


def test_a_recorded_signature_is_not_taken_from_another_key() -> None:
    transfer = Transfer(captures()["suite_aes128cbc_sha256_keyex_ecdsa_p521"])
    step = transfer.seen(Encrypted)[0]
    with pytest.raises(SealError, match="signature"):
        check_signature(step.raw, 28, ec("secp521r1").public, transfer.suite.digest)


def _is_complete(transfer: Transfer) -> None:
    """Check that everything was opened, from the first proof of the group key to the end, and the file is whole."""
    assert all(step.inside for step in transfer.seen(Encrypted))
    assert transfer.opened(KeyInfoAck)
    assert transfer.opened(Done)
    assert transfer.opened(Complete)
    sizes = {step.inside.size_bytes for step in transfer.opened(FileInfo)}
    assert sizes == {len(transfer.content())}
