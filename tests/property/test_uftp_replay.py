"""Recorded sessions of the original programs, put through our machine: it sends what the original proxy sent.

Byte for byte where nothing is left to chance: what is passed on, what is gathered, sealed and wrapped with the recorded
secrets, and the answers to heartbeats. Timestamps may differ by what the machine is quicker or slower.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from tests.kit.captures import FOLDER, Captured, captures
from tests.kit.uftp_world import raw, settings_for
from workers.contract.uftp import Mode, UftpSettings
from workers.uftp import header, messages, pem
from workers.uftp.actions import Arrival, Moved, Send
from workers.uftp.fingerprint import fingerprint
from workers.uftp.header import Function, Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse, HeartbeatResult
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine
from workers.uftp.register import Register
from workers.uftp.schedule import KeySet
from workers.uftp.seal import Sealer, make_sealer
from workers.uftp.suite import choose_suite
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfoAck

SERVER_PROXY_A, SERVER_PROXY_B = "10.99.1.2", "10.99.2.2"
CLIENT_PROXY_B, CLIENT_PROXY_C = "10.99.2.3", "10.99.3.3"
CLIENT_PROXY_UID, SERVER_PROXY_UID = 0xC0C0, 0xA0A0
SLACK_US = 50_000
MULTICAST = ("230.", "231.")


def sock(end: tuple[str, int]) -> bytes:
    return raw(*end)


def to_proxy(lan: Iterable[Captured], own: str) -> list[Captured]:
    """Return what the proxy heard on a LAN."""
    return [one for one in lan if one.source[0] != own and one.target[0].startswith((own, *MULTICAST))]


def by_target(sent: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Return payloads by where they went, in order."""
    found = defaultdict(list)
    for to, payload in sent:
        found[to].append(payload)
    return dict(found)


def from_proxy(*lans: tuple[Iterable[Captured], str]) -> dict[bytes, list[bytes]]:
    """Return what the proxy said."""
    return by_target((sock(one.target), one.payload) for lan, own in lans for one in lan if one.source[0] == own)


def replay(heard: Iterable[Captured], settings: UftpSettings, ring: KeyRing, entropy: Callable[[int], bytes]) -> list:
    """Return the machine's actions when it hears this, each at its time."""
    actions, machine, now_ns = [], None, 0
    ordered = sorted(heard, key=lambda one: one.time_us)
    for one in ordered:
        now_ns = (one.time_us - ordered[0].time_us) * 1_000
        machine = machine or Machine(settings, settings.uid, ring, entropy, now_ns)
        while machine.next_deadline_ns() < now_ns:
            machine.expire(machine.next_deadline_ns())
        machine.receive(one.payload, Arrival(sock(one.source), sock(one.target), 1), now_ns)
        actions += machine.actions
        machine.actions.clear()
    assert machine is not None
    machine.expire(now_ns + 500_000_000)
    return actions + machine.actions


def sends(actions: list) -> dict[bytes, list[bytes]]:
    return by_target((action.to, action.payload) for action in actions if isinstance(action, Send))


def parts(datagram: bytes, sealer: Sealer | None) -> tuple[Header, object, bytes]:
    """Return header and message, an ENCRYPTED opened where the group's key is known, and its counter."""
    head = header.decode(datagram)
    if sealer is None or head.function != Function.ENCRYPTED:
        return head, messages.decode(head, datagram[16:]), b""
    return head, messages.decode_plain(sealer.open(datagram)), datagram[16:24]


def alike(ours: bytes, theirs: bytes, sealer: Sealer | None = None) -> bool:
    """Tell whether two datagrams are the same but for the time in a REGISTER or FILEINFO_ACK, and what is drawn."""
    if ours == theirs:
        return True
    (our_head, our, our_counter), (their_head, their, their_counter) = parts(ours, sealer), parts(theirs, sealer)
    if (our_head, our_counter) != (their_head, their_counter):
        return False
    if not isinstance(our, Register | FileInfoAck) or not isinstance(their, type(our)):
        return False
    if abs(our.timestamp.total_us - their.timestamp.total_us) > SLACK_US:
        return False
    blank = {"timestamp": Timestamp()} | ({"key_info": bytes(4)} if isinstance(our, Register) and our.key_info else {})
    return dataclasses.replace(our, **blank) == dataclasses.replace(their, **blank)


def same(ours: dict[bytes, list[bytes]], theirs: dict[bytes, list[bytes]], sealer: Sealer | None = None) -> None:
    assert set(ours) == set(theirs)
    for to, payloads in theirs.items():
        assert [payload[1] for payload in ours[to]] == [payload[1] for payload in payloads]
        assert [(a, b) for a, b in zip(ours[to], payloads, strict=True) if not alike(a, b, sealer)] == []


def scripted(*draws: bytes) -> Callable[[int], bytes]:
    """Return an entropy that gives each of these once for its length, and zeroes for any other."""
    waiting = defaultdict(list)
    for draw in draws:
        waiting[len(draw)].append(draw)
    return lambda size: waiting[size].pop(0) if waiting[size] else bytes(size - 1) + b"\x01"


@pytest.mark.parametrize("scenario", ["a_plain", "b_hmac_rsa", "b_gcm_ecdh_ecdsa"])
def test_a_server_proxy_sends_what_the_original_sent(scenario: str) -> None:
    above, below = captures()[f"{scenario}_lanA"], captures()[f"{scenario}_lanB"]
    settings = settings_for(
        Mode.SERVER, SERVER_PROXY_UID, raw(SERVER_PROXY_A), downstream=raw(CLIENT_PROXY_B), log_level=0
    )
    heard = to_proxy(above, SERVER_PROXY_A) + to_proxy(below, SERVER_PROXY_B)
    actions = replay(heard, settings, KeyRing((), scripted()), scripted())
    same(sends(actions), from_proxy((above, SERVER_PROXY_A), (below, SERVER_PROXY_B)))


def client_proxy(scenario: str, ring: KeyRing, entropy: Callable[[int], bytes], sealer: Sealer | None = None) -> None:
    above, below = captures()[f"{scenario}_lanB"], captures()[f"{scenario}_lanC"]
    settings = settings_for(Mode.CLIENT, CLIENT_PROXY_UID, raw(CLIENT_PROXY_C), log_level=0)
    heard = to_proxy(above, CLIENT_PROXY_B) + to_proxy(below, CLIENT_PROXY_C)
    actions = replay(heard, settings, ring, entropy)
    same(sends(actions), from_proxy((above, CLIENT_PROXY_B), (below, CLIENT_PROXY_C)), sealer)


def test_a_client_proxy_sends_what_the_original_sent_in_a_plain_session() -> None:
    client_proxy("a_plain", KeyRing((), scripted()), scripted())


def test_a_client_proxy_sends_what_the_original_sent_in_an_encrypted_session() -> None:
    secrets = json.loads((FOLDER / "b_hmac_rsa_secrets.json").read_text())["server_to_proxy"]
    key = pem.decode_pem((FOLDER / "b_hmac_rsa_cpx.pem").read_bytes())
    entropy = scripted(bytes.fromhex(secrets["pm"]), bytes.fromhex(secrets["r2"]))
    group = KeySet(*(bytes.fromhex(secrets[name]) for name in ("ghk", "gk", "gs")))
    sealer = make_sealer(choose_suite(4, 3, 1, 1), group)
    client_proxy("b_hmac_rsa", KeyRing((key,), entropy), entropy, sealer)


def test_heartbeats_are_answered_and_followed_as_the_original_does() -> None:
    outside = [one for one in captures()["c_nat_internet"] if one.payload[1] in (Function.HB_REQ, Function.HB_RESP)]
    decoded = [messages.decode(header.decode(one.payload), one.payload[16:]) for one in outside]
    key = next(message.key_blob for message in decoded if isinstance(message, HeartbeatRequest) and message.key_blob)
    nonces = [
        message.nonce.to_bytes(4)
        for message in decoded
        if isinstance(message, HeartbeatResponse) and message.result == HeartbeatResult.CHALLENGE
    ]
    uid = header.decode(next(one.payload for one in outside if one.payload[1] == Function.HB_RESP)).source_id
    settings = settings_for(Mode.SERVER, uid, raw(SERVER_PROXY_A), downstream_fingerprint=fingerprint(key), log_level=0)
    actions = replay(to_proxy(outside, SERVER_PROXY_B), settings, KeyRing((), scripted()), scripted(*nonces))
    assert len(nonces) == 2
    assert sends(actions) == from_proxy((outside, SERVER_PROXY_B))
    mappings = list(dict.fromkeys(one.source for one in outside if one.payload[1] == Function.HB_REQ))
    assert [action.downstream for action in actions if isinstance(action, Moved)] == [sock(end) for end in mappings]
