"""Parts of a group that was written down, as objects again: its keys, and its clients with theirs. Each is checked.

A client that does not fit is left out: it registers anew. Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

from workers.deadlines import NEVER
from workers.errors import DecodeError, KeyRefused, PeerError, RevivalError, SealError
from workers.uftp import exchange, keys, pem, records, schedule, suite
from workers.uftp.actions import GroupKey
from workers.uftp.clients import FINISHED, Client, ClientState
from workers.uftp.exchange import ClientLeg, GroupCrypto, Heard
from workers.uftp.extensions import EncInfo
from workers.uftp.groups import Group
from workers.uftp.keys import EcPrivateKey, EcPublicKey, PrivateKey, PublicKey
from workers.uftp.records import ClientRecord, CryptoRecord, DamagedError, LegRecord, Secrets
from workers.uftp.registration import check_name
from workers.uftp.schedule import MASTER_BYTES, Handshake
from workers.uftp.station import Station
from workers.uftp.suite import Suite
from workers.uftp.timestamp import Timestamp

NOT_OURS = (DamagedError, DecodeError, PeerError, SealError, KeyRefused)
"""What a record raises that is not what it must be, beside RevivalError."""
ECDH_PREMASTER_BYTES = 20
_STATES = {state.value: state for state in ClientState}


# --- keys -------------------------------------------------------------------------------------------------------------


def revive_crypto(
    station: Station, own: Mapping[bytes, PrivateKey], key: GroupKey, record: CryptoRecord
) -> GroupCrypto:
    """Return the keys of a group. own: keys that were written down, by fingerprint.

    Raises RevivalError, KeyRefused, and what the exchange raises.
    """
    info = EncInfo(
        record.flags,
        record.key_exchange,
        record.signature_type,
        record.cipher,
        record.hash,
        record.random,
        record.key_blob,
        record.ecdh_blob,
        record.signature,
    )
    chosen = suite.choose_suite(info.cipher, info.hash, info.signature_type, info.key_exchange)
    server_key = exchange.server_key_of(chosen, info)
    exchange.refuse_weak(chosen, server_key, station.settings.crypto)
    ours = own.get(record.own) or station.ring.find(record.own)
    if ours is None or not keys.fits(ours.public, server_key):
        raise RevivalError("its key is not there")
    if len(record.private) not in (4, 16) or len(record.master) not in (0, MASTER_BYTES):
        raise RevivalError("secrets of another size")
    shaken = _handshake(chosen, record.leg, Handshake(key.group_id, record.private, info.random, b"", b""))
    session = schedule.derive_session_keys(chosen, shaken)
    ecdh = _revive_ecdh(chosen, info, record.ecdh)
    crypto = GroupCrypto(chosen, info, server_key, ours, ecdh, shaken, session, record.master)
    crypto.counter = crypto.reserved = record.reserved
    crypto.rehearse()
    if crypto.master:
        crypto.be_sealed()
    return crypto


def _revive_ecdh(chosen: Suite, info: EncInfo, text: bytes) -> EcPrivateKey | None:
    if not chosen.exchange.uses_ecdh:
        return None
    ours, peer = pem.decode_pem(text), keys.decode_public_key(info.ecdh_blob)
    if not isinstance(ours, EcPrivateKey) or not isinstance(peer, EcPublicKey) or not keys.fits(ours.public, peer):
        raise RevivalError("its ECDH key is another")
    return ours


def _handshake(chosen: Suite, secrets: Secrets, base: Handshake) -> Handshake:
    wanted = ECDH_PREMASTER_BYTES if chosen.exchange.uses_ecdh else keys.RSA_PREMASTER_BYTES
    if len(secrets.premaster) != wanted:
        raise RevivalError("secrets of another size")
    return base._replace(client_random=secrets.random, premaster=secrets.premaster)


# --- clients ----------------------------------------------------------------------------------------------------------


def revive_clients(station: Station, group: Group, found: Mapping[bytes, bytes]) -> None:
    """Take in a group's clients in their order; one that is none is left out, and registers anew."""
    revived = []
    for uid in records.uids_in(iter(found)):
        try:
            record = records.decode(found[records.name_of(uid)], ClientRecord)
            revived.append((record.order, _revive_client(station, group, uid, record)))
        except (*NOT_OURS, RevivalError):
            continue
    for _, client in sorted(revived, key=itemgetter(0))[: station.room]:
        group.clients.enter(client)


def _revive_client(station: Station, group: Group, uid: int, record: ClientRecord) -> Client[ClientLeg]:
    state = _STATES.get(record.state)
    check_name(station, group, uid)
    if state is None:
        raise RevivalError("no such state")
    leg = None if record.leg is None or group.crypto is None else _revive_leg(group.crypto, record.leg)
    if group.crypto is not None and state is not ClientState.MUTE and (leg is None or not leg.proved):
        raise RevivalError("further than its keys are")
    since_ns = NEVER if state in FINISHED else group.heard_ns
    return Client(uid, 0, state, leg, record.keyinfos, since_ns)


def _revive_leg(crypto: GroupCrypto, record: LegRecord) -> ClientLeg:
    leg = ClientLeg(signature=record.signature)
    if record.heard is not None:
        leg.heard = Heard(Timestamp(*record.heard[:2]), record.heard[2])
    if record.offered is not None:
        leg.offered = _handshake(crypto.suite, record.offered, crypto.shaken)
    if record.key:
        leg.key = _client_key(crypto, record.key)
    if record.settled:
        leg.shaken = leg.offered
    elif record.shaken is not None:
        leg.shaken = _handshake(crypto.suite, record.shaken, crypto.shaken)
    if leg.shaken is not None:
        if leg.key is None and crypto.client_auth:
            raise RevivalError("a client without its key")
        leg.session = schedule.derive_session_keys(crypto.suite, leg.shaken)
    return leg


def _client_key(crypto: GroupCrypto, blob: bytes) -> PublicKey:
    key = keys.decode_public_key(blob)
    if key.kind != crypto.suite.exchange.signing_kind:
        raise RevivalError("a client's key of another type")
    return key
