from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.captures import FOLDER
from workers.uftp.hashes import HASHES, SHA1, SHA256
from workers.uftp.keys import decode_public_key
from workers.uftp.schedule import (
    Handshake,
    client_finished,
    derive_group_keys,
    derive_master,
    derive_session_keys,
    prf,
)
from workers.uftp.seal import KeyinfoHead, unwrap_group_master, wrap_group_master
from workers.uftp.suite import choose_suite

# Observed: what UFTP 4.10.2 computes with secret 00..2f, label "key expansion", seed 00..3f.
BLOCKS = {
    "sha1": "023d49a0cea8ad8071bf64519dc8f45be254baaae2f7ae907496c73887024e60aa836ac523a3131c520c"
    "087c868671dbe8ae08ff7971456091fd7d931e1c27a628168866c0b14a54af84961a6d9b148fe0fad46c"
    "2f73088a36a033a9ddc6767c7fcc1362",
    "sha256": "4ac38c4d46e5ff44538c63cd6644009fd1aa1b19a81b76452615cb3f94ce61ea13959bd55c27b051b6f8"
    "14072fa949215ae3dade3e11308a63e56b8b152001fcfc1a0bcc9c40ca6c1a475c50fbe58a223712acd4"
    "7175908ec6d776d75e3f6a5ae1471805",
    "sha384": "724152abe2fd4f3af374fb9420892f7f596f6d7ca573a31a50fb435dfd0c431ed62e5d92aa135958dbf9"
    "035cf97c343b348b6e6a34fc59a40e431d7e8a02fd13f5a67c0018242fba985c9ede819b7c85e73a6584"
    "8e91cc305c9799c887cf82c4eec6438e",
    "sha512": "ad0cd1e9d4315f450346383928b5aee0c01dbca41e10e214825d35e14731efb81d0e8d94a908fcdf73e7"
    "5af11a4fe6f08c7ba89d21f3569f283554da49d6abcc3da1c038bd3096c8da509f54a87e0d11099539b5"
    "5da0653cd4dc5c08bb65aa838430b2c4",
}
ODD_SHA1 = "f036ef75959dd832baac336469e3b8ddf940ba37c9289e7f97c8d730dca0861726650c443ef5568e"

# Observed: a client behind a proxy; ECDH_ECDSA, AES256-GCM, SHA-256, clients authenticate.
SUITE = choose_suite(6, 3, 3, 3)
SHAKEN = Handshake(
    0xC38AE440,
    bytes.fromhex("e605050a"),
    bytes.fromhex("420c026bb4c869cd9be03d17254c6e365b283e226998e7c4df27f55d46d219cf"),
    bytes.fromhex("420c026bd5673b22c91c4158ba6ac9ff8e31e965d414993241d724ac4b011310"),
    bytes.fromhex("4940689a94c79e7c09daf695d8fe0a6d49b1ec6b"),
)
MASTER = "54ff9230501f4523d7dbb68c0dfa70c8a6d0c99b16d87de1ff5ed35fbd0aeb1249e46da72063b9181def83803a77fc5b"
KEYINFO = bytes.fromhex(
    "4005000000005555c38ae440007f3000050300000000000000000002" + "00001111"
    "af8f7b063639dfc782a2f13b0950f141edcd816ebb02e57b177548449a3aba7a49619ccf9ed5c5a3ae575f9a27147162"
)
GROUP_MASTER = "409bb2e95db0b841ad28c0689f6ae947d3bc88fce115059ddec09f9380d75022eba0f8a38d2814114a1b7bf865b7fa60"

RECORDED = json.loads((FOLDER / "vec_gcm_ecdh_secrets.json").read_text())
LEGS = json.loads((FOLDER / "b_hmac_rsa_secrets.json").read_text())


def tls_prf(name: str, secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """Return what TLS 1.2 would compute. Source: RFC 5246, 5."""
    out, chained = b"", label + seed
    while len(out) < size:
        chained = hmac.digest(secret, chained, name)
        out += hmac.digest(secret, chained + label + seed, name)
    return out[:size]


@pytest.mark.parametrize("digest", HASHES.values(), ids=[row.name for row in HASHES.values()])
def test_the_prf_is_that_of_the_original(digest) -> None:
    block = prf(digest, bytes(range(48)), b"key expansion", bytes(range(64)), 100)
    assert block.hex() == BLOCKS[digest.name]


def test_the_halves_of_an_odd_secret_share_a_byte() -> None:
    assert prf(SHA1, bytes(range(47)), b"master secret", b"\xaa" * 64, 40).hex() == ODD_SHA1


@given(secret=st.binary(min_size=1, max_size=70), seed=st.binary(max_size=70))
def test_only_the_first_block_is_that_of_tls(secret: bytes, seed: bytes) -> None:
    ours = prf(SHA256, secret, b"label", seed, 64)
    theirs = tls_prf("sha256", secret, b"label", seed, 64)
    assert ours[:32] == theirs[:32]
    assert ours[32:] != theirs[32:]


@given(size=st.integers(0, 200), more=st.integers(0, 100))
@pytest.mark.parametrize("digest", HASHES.values(), ids=[row.name for row in HASHES.values()])
def test_a_longer_output_begins_with_the_shorter(digest, size: int, more: int) -> None:
    short = prf(digest, b"secret", b"label", b"seed", size)
    assert len(short) == size
    assert prf(digest, b"secret", b"label", b"seed", size + more).startswith(short)


def test_the_keys_of_a_recorded_leg_are_derived() -> None:
    assert derive_master(SUITE, SHAKEN).hex() == MASTER
    keys = derive_session_keys(SUITE, SHAKEN)
    assert keys.key.hex() == "1b9f31effb8e0d87b921717776b3bf5dc84350f978008a338fb4c128f5eb5808"
    assert keys.salt.hex() == "005dffb9"


def test_the_group_keys_come_out_of_a_recorded_keyinfo() -> None:
    head = KeyinfoHead(KEYINFO[0], int.from_bytes(KEYINFO[4:8]), int.from_bytes(KEYINFO[20:28]))
    session = derive_session_keys(SUITE, SHAKEN)
    master = unwrap_group_master(SUITE, session, head, KEYINFO[32:])
    assert master.hex() == GROUP_MASTER
    assert wrap_group_master(SUITE, session, head, master) == KEYINFO[32:]
    assert [part.hex() for part in derive_group_keys(SUITE, master, SHAKEN.server_random)] == [
        "6349ea6d8249b400ecf8320cb9ba83b7d84018ff076e5e1fd98faf95dc86a099",
        "97f89777428a810190b72f18f7feba9a77564bece405634f448a83f191e7582d",
        "8f286b7a",
    ]


def test_the_secrets_of_a_whole_recorded_client_are_derived() -> None:
    suite = choose_suite(RECORDED["kt"], RECORDED["ht"], RECORDED["sig"], RECORDED["ke"])
    fields = (bytes.fromhex(RECORDED[name]) for name in ("priv", "r1", "r2", "pm"))
    shaken = Handshake(RECORDED["gid"], *fields)
    assert shaken.signed_bytes().hex() == RECORDED["vd"]
    assert derive_master(suite, shaken).hex() == RECORDED["ms"]
    session = [part.hex() for part in derive_session_keys(suite, shaken)]
    assert session == [RECORDED["hk"], RECORDED["k"], RECORDED["salt"]]
    group = derive_group_keys(suite, bytes.fromhex(RECORDED["gm"]), shaken.server_random)
    assert [part.hex() for part in group] == [RECORDED["ghk"], RECORDED["gk"], RECORDED["gs"]]
    assert decode_public_key(bytes.fromhex(RECORDED["peer_dh"])).blob.hex() == RECORDED["peer_dh"]
    premaster = hashlib.sha1(bytes.fromhex(RECORDED["shared_x"]), usedforsecurity=False).hexdigest()
    assert premaster == RECORDED["pm"]


@pytest.mark.parametrize("leg", LEGS)
def test_the_secrets_of_both_recorded_legs_of_a_proxy_are_derived(leg: str) -> None:
    suite, secrets = choose_suite(4, 3, 1, 1), LEGS[leg]
    fields = (bytes.fromhex(secrets[name]) for name in ("r1", "r2", "pm"))
    shaken = Handshake(1, bytes(4), *fields)
    assert derive_master(suite, shaken).hex() == secrets["ms"]
    session = [part.hex() for part in derive_session_keys(suite, shaken)]
    assert session == [secrets["hk"], secrets["k"], secrets["salt"]]
    group = derive_group_keys(suite, bytes.fromhex(secrets["gm"]), shaken.server_random)
    assert [part.hex() for part in group] == [secrets["ghk"], secrets["gk"], secrets["gs"]]


def test_verify_data_depends_on_everything_that_was_said() -> None:
    master = bytes.fromhex(GROUP_MASTER)
    seen = {client_finished(SUITE, SHAKEN, master), client_finished(SUITE, SHAKEN, master, b"blob")}
    for name in SHAKEN._fields:
        value = getattr(SHAKEN, name)
        changed = value + 1 if isinstance(value, int) else bytes(len(value))
        seen.add(client_finished(SUITE, SHAKEN._replace(**{name: changed}), master))
    seen.add(client_finished(SUITE, SHAKEN, bytes(48)))
    assert len(seen) == 8
    assert {len(data) for data in seen} == {12}
