"""Follow a captured, encrypted transfer as one of its stations would that knows the premaster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.kit.captures import Captured
from tests.workers.uftp.sample_keys import rsa
from workers.uftp import header, messages
from workers.uftp.announce import Announce
from workers.uftp.header import HEADER_BYTES, Header
from workers.uftp.keying import SIGNATURE_AT, Encrypted, KeyInfo, KeyInfoAck
from workers.uftp.keys import PublicKey, decode_public_key
from workers.uftp.register import ClientKey, Register
from workers.uftp.schedule import (
    Handshake,
    KeySet,
    client_finished,
    derive_group_keys,
    derive_session_keys,
)
from workers.uftp.seal import KeyinfoHead, Sealer, check_signature, make_sealer, unwrap_group_master, wrap_group_master
from workers.uftp.suite import SignatureType, choose_suite
from workers.uftp.transfer import FileSeg

Premaster = Callable[[bytes], bytes]
"""From the key info of a REGISTER to the premaster."""


class Step(NamedTuple):
    """One captured datagram, decoded. inside: what an ENCRYPTED held."""

    raw: bytes
    head: Header
    message: object
    inside: object | None = None


class Transfer:
    """One transfer, seen at one place; every proof on the way is checked as it comes by.

    premaster_of None: it is not known; the signatures are checked, and nothing is opened."""

    def __init__(self, datagrams: Iterable[Captured], premaster_of: Premaster | None = None) -> None:
        steps = [step for step in map(_decode, datagrams) if step.head.group_id]
        self.announce = next(step.message for step in steps if isinstance(step.message, Announce))
        self.info = self.announce.encryption
        self.suite = choose_suite(self.info.cipher, self.info.hash, self.info.signature_type, self.info.key_exchange)
        self.server = decode_public_key(self.info.key_blob)
        self.clients: dict[int, PublicKey] = {}
        self.shaken: Handshake | None = None
        self.session: KeySet | None = None
        self.group_master = b""
        self.group: KeySet | None = None
        self.sealer: Sealer | None = None
        self._premaster_of = premaster_of
        handlers = {Announce: self._hear_announce, ClientKey: self._hear_client_key, Encrypted: self._hear_encrypted}
        if premaster_of:
            handlers |= {Register: self._hear_register, KeyInfo: self._hear_keyinfo}
        unmoved = lambda step: step  # noqa: E731 - the rest says nothing about keys
        self.steps = [handlers.get(type(step.message), unmoved)(step) for step in steps]

    def signer(self, head: Header) -> PublicKey | None:
        """Return the key of a datagram's sender: only the server says how large the group is."""
        return self.server if head.group_size else self.clients.get(head.source_id)

    def seen(self, kind: type) -> list[Step]:
        """Return the datagrams that were a message of this kind, in the clear or ENCRYPTED."""
        return [step for step in self.steps if isinstance(step.message, kind)]

    def opened(self, kind: type) -> list[Step]:
        """Return the datagrams that held a message of this kind."""
        return [step for step in self.steps if isinstance(step.inside, kind)]

    def content(self) -> bytes:
        """Return the file."""
        blocks = {(step.inside.section, step.inside.block): step.inside.data for step in self.opened(FileSeg)}
        return b"".join(blocks[place] for place in sorted(blocks))

    def _hear_announce(self, step: Step) -> Step:
        assert self.server.kind == self.suite.exchange.signing_kind
        if self.suite.exchange.uses_ecdh:
            check_signature(step.raw, HEADER_BYTES + step.message.signature_at, self.server, self.suite.digest)
        return step

    def _hear_register(self, step: Step) -> Step:
        if self.shaken is None:
            randoms = self.info.random, step.message.random
            premaster = self._premaster_of(step.message.key_info)
            self.shaken = Handshake(step.head.group_id, self.announce.private, *randoms, premaster)
            self.session = derive_session_keys(self.suite, self.shaken)
        return step

    def _hear_client_key(self, step: Step) -> Step:
        client = self.clients[step.head.source_id] = decode_public_key(step.message.key_blob)
        assert client.blob == step.message.key_blob
        if self.shaken:
            client.verify(step.message.signature, self.shaken.signed_bytes(), self.suite.digest)
        return step

    def _hear_keyinfo(self, step: Step) -> Step:
        head = KeyinfoHead(step.head.version, step.head.source_id, step.message.iv_counter)
        (entry,) = step.message.entries
        self.group_master = unwrap_group_master(self.suite, self.session, head, entry.wrapped)
        assert wrap_group_master(self.suite, self.session, head, self.group_master) == entry.wrapped
        self.group = derive_group_keys(self.suite, self.group_master, self.info.random)
        self.sealer = make_sealer(self.suite, self.group, rsa(512))
        return step

    def _hear_encrypted(self, step: Step) -> Step:
        if self.sealer is None:
            if self.suite.signature is SignatureType.KEYEX:
                check_signature(step.raw, SIGNATURE_AT, self.signer(step.head), self.suite.digest)
            return step
        inside = messages.decode_plain(self.sealer.open(step.raw, self.signer(step.head)))
        if isinstance(inside, KeyInfoAck):
            blob = self.clients[step.head.source_id].blob if self.info.client_auth else b""
            assert inside.verify_data == client_finished(self.suite, self.shaken, self.group_master, blob)
        return step._replace(inside=inside)


def _decode(datagram: Captured) -> Step:
    head = header.decode(datagram.payload)
    return Step(datagram.payload, head, messages.decode(head, datagram.payload[HEADER_BYTES:]))
