"""The keys of one encrypted group in a proxy: its leg to the server, its clients' legs, and the group's own.

Upstream the proxy is a client: its random, its premaster, its signing key. Downstream it stands for the server: the
server's random, its own keys. Everything refused is a SealError or PeerError. Entropy is an argument.
Source: UFTP 4.10.2, observed: tests/vectors/uftp; the comparison of ECDH curves and what is refused as weak: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from workers.contract.uftp import CryptoSettings
from workers.errors import KeyRefused, PeerError, SealError
from workers.uftp import keys, schedule, seal, suite
from workers.uftp.announce import Announce
from workers.uftp.extensions import RANDOM_BYTES, EncInfo
from workers.uftp.hashes import equal
from workers.uftp.header import HEADER_BYTES, Header
from workers.uftp.keying import KeyEntry, KeyInfo, KeyInfoAck
from workers.uftp.keyring import Entropy, KeyRing, can_be_shown
from workers.uftp.keys import EcPrivateKey, EcPublicKey, PrivateKey, PublicKey, RsaPublicKey
from workers.uftp.register import ClientKey, Register
from workers.uftp.schedule import Handshake, KeySet
from workers.uftp.seal import KeyinfoHead, Sealer
from workers.uftp.suite import KeyExchange, SignatureType, Suite
from workers.uftp.timestamp import Timestamp

COUNTERS_AHEAD = 1024
"""How many counters are taken in advance: what is written down of a group is written anew once for so many."""
_COUNTER_BASE_BITS, _COUNTER_BASE_AT = 29, 32
"""A group's first counter is drawn, so that a proxy that has lost all of a group, and takes it anew with the same keys
of its server's, does not count in the same place again."""


class OwnSide(NamedTuple):
    """What this proxy brings to a key exchange. fresh_ecdh: a key of its own for each group, else the ring's one."""

    ring: KeyRing
    terms: CryptoSettings
    entropy: Entropy
    fresh_ecdh: bool


class Heard(NamedTuple):
    """When a REGISTER came, and the timestamp in it."""

    timestamp: Timestamp
    at_ns: int


@dataclass(slots=True, eq=False)
class ClientLeg:
    """What is known of one client's keys.

    heard: its newest REGISTER; offered: what that brought; key, signature: of its newest CLIENT_KEY. shaken, session:
    what counts, set together when the client may take part: with client authentication once its signature fits.
    """

    heard: Heard | None = None
    offered: Handshake | None = None
    key: PublicKey | None = None
    signature: bytes = b""
    shaken: Handshake | None = None
    session: KeySet | None = None

    @property
    def proved(self) -> bool:
        """Whether the client's registration is complete."""
        return self.session is not None


@dataclass(slots=True, eq=False)
class GroupCrypto:
    """An encrypted group. info: of its first ANNOUNCE; own: the key that stands for the server's, ecdh: with ECDH only;
    shaken, session: the leg to the server; master, sealer: of the group, empty until the server's KEYINFO has come.
    counter: the last that was used; reserved: no other process, going on with this group, may use one up to here.
    """

    suite: Suite
    info: EncInfo
    server_key: PublicKey
    own: PrivateKey
    ecdh: EcPrivateKey | None
    shaken: Handshake
    session: KeySet
    master: bytes = b""
    sealer: Sealer | None = None
    counter: int = 0
    reserved: int = 0
    _signed: bytes = b""

    @property
    def client_auth(self) -> bool:
        """Whether clients, and so the proxy, must show a key and sign with it."""
        return self.info.client_auth

    @property
    def weak(self) -> str:
        """What is weak about the group's protection, empty if nothing is."""
        return ", ".join(suite.weaknesses(self.suite, self.server_key))

    def next_counter(self) -> int:
        """Return the counter of the next message or KEYINFO; none comes twice.

        Whoever keeps the group for a successor writes `reserved` down before the message leaves.
        """
        self.counter += 1
        if self.counter > self.reserved:
            self.reserved = self.counter + COUNTERS_AHEAD
        return self.counter

    # --- upstream: the proxy as a client

    def key_info(self) -> bytes:
        """Return what a REGISTER of ours carries: the premaster, encrypted anew, or our ECDH key. Raises SealError."""
        if isinstance(self.server_key, RsaPublicKey) and self.ecdh is None:
            return self.server_key.encrypt(self.shaken.premaster)
        return self.ecdh.public.blob if self.ecdh else b""

    def client_key(self) -> ClientKey:
        """Return our CLIENT_KEY. Raises SealError."""
        self._signed = self._signed or self.own.sign(self.shaken.signed_bytes(), self.suite.digest)
        return ClientKey(self.own.public.blob, self._signed)

    def rehearse(self) -> None:
        """Encrypt and sign once: what these keys cannot do refuses the group now, not its clients later.

        Raises SealError."""
        self.key_info()
        if self.client_auth or self.suite.signature is SignatureType.KEYEX:
            self.client_key()

    def take_master(self, header: Header, keyinfo: KeyInfo, entry: KeyEntry) -> None:
        """Learn the group's keys from our entry in the server's KEYINFO. Raises SealError."""
        head = KeyinfoHead(header.version, header.source_id, keyinfo.iv_counter)
        self.master = seal.unwrap_group_master(self.suite, self.session, head, entry.wrapped)
        self.be_sealed()

    def be_sealed(self) -> None:
        """Make what seals and opens the group's messages, of its master."""
        group = schedule.derive_group_keys(self.suite, self.master, self.info.random)
        self.sealer = seal.make_sealer(self.suite, group, self.own)

    def keyinfo_ack(self) -> KeyInfoAck:
        """Return the proof for the server that we have the group's key."""
        blob = self.own.public.blob if self.client_auth else b""
        return KeyInfoAck(schedule.client_finished(self.suite, self.shaken, self.master, blob))

    # --- downstream: the proxy as the server

    def rewrite(self, datagram: bytes, announce: Announce) -> bytes:
        """Return an ANNOUNCE of the group with our keys in the place of the server's, signed anew with ECDH.

        Raises PeerError if it is not of this group's keys, SealError if its signature does not fit.
        """
        info = announce.encryption
        if info is None or (info.key_blob, len(info.ecdh_blob), len(info.signature)) != (
            self.info.key_blob,
            len(self.info.ecdh_blob),
            len(self.info.signature),
        ):
            raise PeerError("an announcement with other keys than before")
        signature_at = HEADER_BYTES + announce.signature_at
        if self.ecdh is not None:
            seal.check_signature(datagram, signature_at, self.server_key, self.suite.digest)
        ecdh_blob = self.ecdh.public.blob if self.ecdh else b""
        start = signature_at - len(info.ecdh_blob) - len(info.key_blob)
        ours = self.own.public.blob + ecdh_blob
        if start + len(ours) != signature_at:
            raise PeerError("our keys do not fit into its announcement")
        rewritten = datagram[:start] + ours + datagram[signature_at:]
        if self.ecdh is None:
            return rewritten
        return seal.sign_in_place(rewritten, signature_at, self.own, self.suite.digest)

    def hear_register(self, leg: ClientLeg, message: Register) -> None:
        """Take in a client's half of the key exchange; one that is repeated costs nothing. Raises SealError."""
        if leg.offered is not None and leg.offered.client_random == message.random:
            return
        premaster = self._premaster(message.key_info)
        leg.offered = self.shaken._replace(client_random=message.random, premaster=premaster)

    def hear_client_key(self, leg: ClientLeg, message: ClientKey) -> None:
        """Take in a client's signing key and its signature. Raises SealError, PeerError for another key than proved."""
        key = keys.decode_public_key(message.key_blob)
        if key.kind != self.suite.exchange.signing_kind:
            raise SealError("key blob", "of the wrong type for this key exchange")
        if leg.proved and leg.key is not None and leg.key.blob != key.blob:
            raise PeerError("another key than the one it has proved to own")
        leg.key, leg.signature = key, message.signature

    def conclude(self, leg: ClientLeg) -> bool:
        """Finish a client's registration if all of it is there, and say whether it is. Raises SealError."""
        if leg.offered is None or (self.client_auth and leg.key is None):
            return False
        if self.client_auth and leg.key is not None:
            leg.key.verify(leg.signature, leg.offered.signed_bytes(), self.suite.digest)
        if leg.shaken is not leg.offered:
            leg.shaken, leg.session = leg.offered, schedule.derive_session_keys(self.suite, leg.offered)
        return True

    def wrap(self, leg: ClientLeg, uid: int, head: KeyinfoHead) -> KeyEntry:
        """Return a client's entry of a KEYINFO; its registration must be complete."""
        if leg.session is None:
            raise SealError("client", "has not registered completely")
        return KeyEntry(uid, seal.wrap_group_master(self.suite, leg.session, head, self.master))

    def has_key(self, leg: ClientLeg, ack: KeyInfoAck) -> bool:
        """Tell whether a client's KEYINFO_ACK proves that it has the group's key."""
        if leg.shaken is None or not self.master:
            return False
        blob = leg.key.blob if self.client_auth and leg.key is not None else b""
        return equal(ack.verify_data, schedule.client_finished(self.suite, leg.shaken, self.master, blob))

    def _premaster(self, key_info: bytes) -> bytes:
        if self.ecdh is None:
            if isinstance(self.own, EcPrivateKey):
                raise SealError("key info", "RSA key exchange without an RSA key")
            return self.own.decrypt(key_info)
        peer = keys.decode_public_key(key_info)
        if not isinstance(peer, EcPublicKey):
            raise SealError("key info", "not an ECDH key")
        return self.ecdh.agree(peer)


def accept(datagram: bytes, group_id: int, announce: Announce, info: EncInfo, own: OwnSide) -> GroupCrypto:
    """Return what a client or response proxy needs for an encrypted group.

    datagram: the whole ANNOUNCE. Raises SealError or PeerError: the group cannot be taken.
    """
    chosen = suite.choose_suite(info.cipher, info.hash, info.signature_type, info.key_exchange)
    server_key = server_key_of(chosen, info)
    refuse_weak(chosen, server_key, own.terms)
    key = own.ring.fitting(server_key)
    if key is None:
        raise PeerError(f"no proxy key compatible with the server's ({server_key.title})")
    if info.client_auth and not can_be_shown(key):
        raise PeerError(f"{key.public.title}: too long for a CLIENT_KEY")
    ecdh, premaster = _agree(chosen.exchange, info, own)
    if ecdh is not None:
        seal.check_signature(datagram, HEADER_BYTES + announce.signature_at, server_key, chosen.digest)
    shaken = Handshake(group_id, announce.private, info.random, own.entropy(RANDOM_BYTES), premaster)
    crypto = GroupCrypto(chosen, info, server_key, key, ecdh, shaken, schedule.derive_session_keys(chosen, shaken))
    crypto.counter = crypto.reserved = _draw_base(own.entropy)
    crypto.rehearse()
    return crypto


def _draw_base(entropy: Entropy) -> int:
    drawn = int.from_bytes(entropy(4)) >> 32 - _COUNTER_BASE_BITS
    return drawn << _COUNTER_BASE_AT


def server_key_of(chosen: Suite, info: EncInfo) -> PublicKey:
    """Return the server's key, of the type that its suite has. Raises SealError."""
    server_key = keys.decode_public_key(info.key_blob)
    if server_key.kind != chosen.exchange.signing_kind:
        raise SealError("key blob", "of the wrong type for this key exchange")
    return server_key


def _agree(exchange: KeyExchange, info: EncInfo, own: OwnSide) -> tuple[EcPrivateKey | None, bytes]:
    """Return our ECDH key, None with RSA, and the premaster of the leg to the server."""
    if not exchange.uses_ecdh:
        return None, own.entropy(keys.RSA_PREMASTER_BYTES)
    peer = keys.decode_public_key(info.ecdh_blob)
    if not isinstance(peer, EcPublicKey):
        raise SealError("ECDH key", "not on a curve")
    ours = _own_ecdh(peer, own)
    return ours, ours.agree(peer)


def _own_ecdh(peer: EcPublicKey, own: OwnSide) -> EcPrivateKey:
    if own.fresh_ecdh:
        try:
            return own.ring.make_ecdh(peer.curve)
        except KeyRefused as error:
            raise PeerError(error.why) from error
    if own.ring.ecdh is None:
        raise PeerError("no ECDH key of ours: a response proxy needs -e for this group")
    if own.ring.ecdh.public.curve != peer.curve:
        raise PeerError(f"our ECDH key is on {own.ring.ecdh.public.curve.name}, the server's on {peer.curve.name}")
    return own.ring.ecdh


def refuse_weak(chosen: Suite, server_key: PublicKey, terms: CryptoSettings) -> None:
    """Return if the settings take a group of this suite. Raises PeerError."""
    if isinstance(server_key, RsaPublicKey) and server_key.bits < terms.min_rsa_bits:
        raise PeerError(f"an RSA key of {server_key.bits} bits, {terms.min_rsa_bits} at least are wanted")
    found = suite.weaknesses(chosen, server_key)
    if terms.strong_only and found:
        raise PeerError(f"weak: {', '.join(found)}")
