"""Writes down what changes in a machine's groups, before anybody is sent what follows from the change.

A group is written when what matters of it is not what was written last: traffic that only passes changes nothing. Of
its clients those are written that have moved. Counters of encrypted messages are written in advance, so many at once
(workers.uftp.exchange). Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec.structs import replace

from workers.deadlines import NEVER
from workers.uftp import pem, records
from workers.uftp.actions import GroupKey
from workers.uftp.clients import Client
from workers.uftp.exchange import ClientLeg, GroupCrypto
from workers.uftp.fingerprint import fingerprint
from workers.uftp.groups import Group
from workers.uftp.keys import PrivateKey
from workers.uftp.records import (
    ClientRecord,
    CryptoRecord,
    DownstreamRecord,
    GroupRecord,
    LegRecord,
    Secrets,
    Shelf,
    ShownRecord,
    TermsRecord,
)
from workers.uftp.schedule import Handshake

_Mark: TypeAlias = tuple[object, ...]


class Archive:
    """What one machine has written. unsaved: how often there was no room for a group or a client."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._marks: dict[GroupKey, _Mark] = {}
        self._shown: dict[GroupKey, int] = {}
        self._keys: set[bytes] = set()
        self.unsaved = 0

    def save(self, key: GroupKey, group: Group | None) -> None:
        """Write what has changed of a group; None: it has ended."""
        if group is None:
            if key in self._marks:
                self._forget(key)
            return
        mark = _mark(group)
        if mark != self._marks.get(key) and not self._save_group(group, mark):
            return
        if group.clients.changed:
            self._save_clients(group)

    def save_exactly(self, group: Group) -> None:
        """Write a group as it is, with no counter taken in advance: nothing is to be sent after this."""
        if group.crypto is not None:
            group.crypto.reserved = group.crypto.counter
        if self._save_group(group, _mark(group)):
            self._save_clients(group)
            self._save_shown(group)

    def save_shown(self, groups: Iterable[Group]) -> None:
        """Write how far groups are, as far as that is only shown."""
        for group in groups:
            if group.progress.datagrams != self._shown.get(group.key) and group.key in self._marks:
                self._save_shown(group)

    def save_downstream(self, wanted: bytes, proved: Iterable[bytes]) -> None:
        """Write which addresses have proved to have the key with this fingerprint."""
        record = DownstreamRecord(wanted, list(proved))
        self._shelf.put(records.STATION, records.DOWNSTREAM, records.encode(record))

    def save_nonce(self, nonce: int) -> None:
        """Write what a heartbeat must sign."""
        self._shelf.put(records.STATION, records.NONCE, records.name_of(nonce))

    def note_joined(self, private: bytes) -> None:
        """Write that an address is about to be joined."""
        self._shelf.put(records.JOINED, private, b"")

    def note_left(self, private: bytes) -> None:
        """Write that an address was left."""
        self._shelf.drop(records.JOINED, private)

    def adopted(self, key: GroupKey) -> None:
        """Hear that a group is one of ours now as it was written by a predecessor."""
        self._marks[key] = ()

    def keep_keys(self, used: set[bytes]) -> None:
        """Hear which of the keys written, by their fingerprints, are still of use."""
        self._keys = used

    def refuse(self, family: bytes) -> None:
        """Forget a family that a predecessor has left."""
        self._shelf.drop_family(family)

    def refuse_record(self, family: bytes, name: bytes) -> None:
        """Forget a record that a predecessor has left."""
        self._shelf.drop(family, name)

    def _save_group(self, group: Group, mark: _Mark) -> bool:
        key, crypto = group.key, group.crypto
        record = GroupRecord(
            records.VERSION,
            records.record_of(group.terms, TermsRecord),
            group.grtt,
            group.size,
            group.phase.value,
            None if group.setup_ns >= NEVER else group.setup_ns,
            group.sequence,
            group.down_sequence,
            group.warned,
            None if crypto is None else _crypto(crypto),
            group.settled,
            tuple(sorted(group.aliases)),
        )
        known = crypto is None or self._save_key(crypto.own)
        if known and self._shelf.put(records.family_of(key), records.SELF, records.encode(record)):
            self._marks[key] = mark
            return True
        # What stands there is not true any more: better none, since its counters have been used.
        self.unsaved += 1
        self._forget(key)
        return False

    def _forget(self, key: GroupKey) -> None:
        self._marks.pop(key, None)
        self._shown.pop(key, None)
        self._shelf.drop_family(records.family_of(key))

    def _save_clients(self, group: Group) -> None:
        family = records.family_of(group.key)
        for client in group.clients.take_changed():
            if not self._shelf.put(family, records.name_of(client.uid), records.encode(_client(client))):
                self.unsaved += 1
                self._shelf.drop(family, records.name_of(client.uid))

    def _save_shown(self, group: Group) -> None:
        seen = group.progress
        record = replace(records.record_of(seen, ShownRecord), file_name=seen.file_name[: records.NAME_BYTES])
        self._shown[group.key] = seen.datagrams
        self._shelf.put(records.family_of(group.key), records.SHOWN, records.encode(record))

    def _save_key(self, key: PrivateKey) -> bool:
        name = fingerprint(key.public.blob)
        if name not in self._keys:
            if not self._shelf.put(records.KEYS, name, pem.encode_pem(key)):
                return False
            self._keys.add(name)
        return True


def _mark(group: Group) -> _Mark:
    """Return what must not differ from what is written."""
    crypto = group.crypto
    return (
        group.phase,
        group.grtt,
        group.size,
        group.setup_ns,
        group.warned,
        group.settled,
        len(group.aliases),
        0 if crypto is None else crypto.reserved,
        crypto is None or bool(crypto.master),
    )


def _crypto(crypto: GroupCrypto) -> CryptoRecord:
    info, shaken = crypto.info, crypto.shaken
    return CryptoRecord(
        info.flags,
        info.key_exchange,
        info.signature_type,
        info.cipher,
        info.hash,
        info.random,
        info.key_blob,
        info.ecdh_blob,
        info.signature,
        fingerprint(crypto.own.public.blob),
        b"" if crypto.ecdh is None else pem.encode_pem(crypto.ecdh),
        shaken.private,
        _secrets(shaken),
        crypto.master,
        crypto.reserved,
    )


def _client(client: Client[ClientLeg]) -> ClientRecord:
    leg = client.exchange
    return ClientRecord(client.order, client.state.value, client.keyinfos, None if leg is None else _leg(leg))


def _leg(leg: ClientLeg) -> LegRecord:
    settled = leg.shaken is not None and leg.shaken is leg.offered
    return LegRecord(
        None if leg.heard is None else (*leg.heard.timestamp, leg.heard.at_ns),
        None if leg.offered is None else _secrets(leg.offered),
        b"" if leg.key is None else leg.key.blob,
        leg.signature,
        None if leg.shaken is None or settled else _secrets(leg.shaken),
        settled,
    )


def _secrets(shaken: Handshake) -> Secrets:
    return Secrets(shaken.client_random, shaken.premaster)
