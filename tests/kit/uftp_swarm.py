"""Thousands of UFTP clients in one object: real messages, each client's own, built when its time has come.

What comes down is decoded once and heard by all. A client answers within a random part of the GRTT, as real ones do,
and repeats its REGISTER every four until it is taken in. Sans-I/O: the caller carries datagrams and tells the time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from workers.uftp import header, keys, messages, schedule, seal, suite
from workers.uftp.abort import Abort
from workers.uftp.announce import Announce
from workers.uftp.extensions import EncInfo
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import Function, Header
from workers.uftp.keying import KeyInfo, KeyInfoAck
from workers.uftp.quantise import GRTT_NS
from workers.uftp.register import RegConf, Register
from workers.uftp.schedule import Handshake
from workers.uftp.seal import KeyinfoHead, Sealer
from workers.uftp.suite import KeyExchange, Suite
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg

LOSER_EVERY = 100
"""Every so many-th client misses one block the first time."""
Voice: TypeAlias = Callable[[int, int], bytes]
"""What a client says: given its UID and the time, the datagram, b"" if there is nothing to say any more."""


@dataclass
class Agreement:
    """What an encrypted group's clients have agreed on with the proxy. legs: handshake and key info by UID."""

    head: Header
    info: EncInfo
    private: bytes
    chance: random.Random
    suite: Suite = field(init=False)
    sealer: Sealer | None = None
    legs: dict[int, tuple[Handshake, bytes]] = field(default_factory=dict)
    proofs: dict[int, bytes] = field(default_factory=dict)
    counter: int = 0

    def __post_init__(self) -> None:
        info = self.info
        self.suite = suite.choose_suite(info.cipher, info.hash, info.signature_type, info.key_exchange)
        blob = info.ecdh_blob if self.suite.exchange.uses_ecdh else info.key_blob
        self._peer = keys.decode_public_key(blob)

    def register(self, uid: int) -> tuple[bytes, bytes]:
        """Return a client's random and key info: made once, repeated as they are."""
        if uid not in self.legs:
            mine = self.chance.randbytes(32)
            if self.suite.exchange is KeyExchange.RSA:
                premaster = self.chance.randbytes(48)
                key_info = self._peer.encrypt(premaster)
            else:
                own = keys.make_ec_key(self._peer.curve, self.chance.randbytes)
                premaster, key_info = own.agree(self._peer), own.public.blob
            leg = Handshake(self.head.group_id, self.private, self.info.random, mine, premaster)
            self.legs[uid] = leg, key_info
        return self.legs[uid][0].client_random, self.legs[uid][1]

    def learn(self, head: Header, message: KeyInfo) -> list[int]:
        """Take the group's key for the clients that it is for, once each; return who they are."""
        found = [entry for entry in message.entries if entry.uid in self.legs]
        opening = KeyinfoHead(head.version, head.source_id, message.iv_counter)
        for entry in [entry for entry in found if entry.uid not in self.proofs]:
            leg = self.legs[entry.uid][0]
            session = schedule.derive_session_keys(self.suite, leg)
            master = seal.unwrap_group_master(self.suite, session, opening, entry.wrapped)
            if self.sealer is None:
                group = schedule.derive_group_keys(self.suite, master, self.info.random)
                self.sealer = seal.make_sealer(self.suite, group)
            self.proofs[entry.uid] = schedule.client_finished(self.suite, leg, master)
        return [entry.uid for entry in found]

    def seal(self, head: Header, message: bytes) -> bytes:
        """Return a client's datagram, sealed."""
        self.counter += 1
        return self.sealer.seal(head.encode(), message, self.counter)


class Swarm:
    """Clients with the UIDs from first_uid on. Their progress: the sets of UIDs below; blocks: what all have received.

    ready: who has been taken in, and in an encrypted group has the key; aborted: what a server or proxy gave up;
    said: how many datagrams they have sent, naks: how many of them ask for blocks again.
    """

    def __init__(self, count: int, seed: int = 0, first_uid: int = 0x10000) -> None:
        self.uids = range(first_uid, first_uid + count)
        self.chance = random.Random(seed)
        self.ready: set[int] = set()
        self.complete: set[int] = set()
        self.left: set[int] = set()
        self.aborted: list[Abort] = []
        self.blocks: dict[tuple[int, int], bytes] = {}
        self.naks = 0
        self.said = 0
        self._losers = self.uids[::LOSER_EVERY]
        self._missing: dict[int, tuple[int, int]] = {}
        self._head: Header | None = None
        self._announced: tuple[Timestamp, int] = (Timestamp(), 0)
        self._offered: tuple[int, Timestamp, int] = (0, Timestamp(), 0)
        self._agreement: Agreement | None = None
        self._queue: list[tuple[int, int, int, Voice]] = []
        self._waiting: set[tuple[int, Voice]] = set()
        self._serial = 0

    @property
    def done(self) -> bool:
        """Whether every client has left the group in order."""
        return len(self.left) == len(self.uids)

    @property
    def data(self) -> bytes:
        """The file as far as it has come."""
        return b"".join(self.blocks[place] for place in sorted(self.blocks))

    def next_ns(self) -> int | None:
        """Return when somebody has something to say, None if nobody has."""
        return self._queue[0][0] if self._queue else None

    def due(self, now_ns: int, most: int) -> list[bytes]:
        """Return what is to be sent now, at most so many datagrams."""
        found: list[bytes] = []
        while self._queue and self._queue[0][0] <= now_ns and len(found) < most:
            _, _, uid, voice = heapq.heappop(self._queue)
            self._waiting.discard((uid, voice))
            datagram = voice(uid, now_ns)
            if datagram:
                found.append(datagram)
        self.said += len(found)
        return found

    def hear(self, datagram: bytes, now_ns: int) -> None:
        """Take in what comes down to all."""
        head = header.decode(datagram)
        if head.function != Function.ENCRYPTED:
            message = messages.decode(head, datagram[16:])
        elif self._agreement is not None and self._agreement.sealer is not None:
            message = messages.decode_plain(self._agreement.sealer.open(datagram))
        else:
            return
        handler = self._handlers.get(type(message))
        if handler is not None:
            self._head = head
            handler(head, message, now_ns)

    @cached_property
    def _handlers(self) -> dict[type, Callable[..., None]]:
        return {
            Announce: self._announce,
            RegConf: self._reg_conf,
            KeyInfo: self._keyinfo,
            FileInfo: self._fileinfo,
            FileSeg: self._fileseg,
            Done: self._done,
            DoneConf: self._done_conf,
            Abort: self._abort,
        }

    def _announce(self, head: Header, message: Announce, now_ns: int) -> None:
        first = self._announced[1] == 0
        self._announced = message.timestamp, now_ns
        if message.encryption is not None and self._agreement is None:
            self._agreement = Agreement(head, message.encryption, message.private, self.chance)
        if first:
            self._ask(self.uids, self._register, now_ns)

    def _reg_conf(self, _head: Header, message: RegConf, _now_ns: int) -> None:
        if self._agreement is None:
            self.ready.update(uid for uid in message.uids if uid in self.uids)

    def _keyinfo(self, head: Header, message: KeyInfo, now_ns: int) -> None:
        if self._agreement is not None:
            learned = self._agreement.learn(head, message)
            self.ready.update(learned)
            self._ask(learned, self._prove, now_ns)

    def _fileinfo(self, _head: Header, message: FileInfo, now_ns: int) -> None:
        self._offered = message.file_id, message.timestamp, now_ns
        self._ask(message.uids, self._acknowledge, now_ns)

    def _fileseg(self, _head: Header, message: FileSeg, _now_ns: int) -> None:
        place = message.section, message.block
        if place in self.blocks:
            self._missing = {uid: missing for uid, missing in self._missing.items() if missing != place}
            return
        if len(self.blocks) < len(self._losers):
            self._missing[self._losers[len(self.blocks)]] = place
        self.blocks[place] = message.data

    def _done(self, _head: Header, message: Done, now_ns: int) -> None:
        self._ask(message.uids, self._finish if message.file_id else self._leave, now_ns)

    def _done_conf(self, _head: Header, message: DoneConf, _now_ns: int) -> None:
        self.left.update(uid for uid in message.uids if uid in self.uids)

    def _abort(self, _head: Header, message: Abort, _now_ns: int) -> None:
        self.aborted.append(message)

    def _ask(self, uids: Iterable[int], voice: Voice, now_ns: int) -> None:
        """Have clients speak within the GRTT, unless they are about to."""
        span_ns = GRTT_NS[self._head.grtt]
        for uid in uids:
            if uid in self.uids and (uid, voice) not in self._waiting:
                self._put(uid, voice, now_ns + self.chance.randint(0, span_ns))

    def _put(self, uid: int, voice: Voice, due_ns: int) -> None:
        self._serial += 1
        self._waiting.add((uid, voice))
        heapq.heappush(self._queue, (due_ns, self._serial, uid, voice))

    def _register(self, uid: int, now_ns: int) -> bytes:
        if uid in self.ready:
            return b""
        self._put(uid, self._register, now_ns + 4 * GRTT_NS[self._head.grtt])
        stamp, at_ns = self._announced
        echo = stamp.later((now_ns - at_ns) // 1_000)
        if self._agreement is None:
            return self._say(uid, Register(echo), clear=True)
        return self._say(uid, Register(echo, *self._agreement.register(uid)), clear=True)

    def _prove(self, uid: int, _now_ns: int) -> bytes:
        return self._say(uid, KeyInfoAck(self._agreement.proofs[uid]))

    def _acknowledge(self, uid: int, now_ns: int) -> bytes:
        file_id, stamp, at_ns = self._offered
        return self._say(uid, FileInfoAck(file_id, 0, stamp.later((now_ns - at_ns) // 1_000)))

    def _finish(self, uid: int, _now_ns: int) -> bytes:
        missing = self._missing.get(uid)
        if missing is None:
            self.complete.add(uid)
            return self._say(uid, Complete(self._offered[0], 0))
        section, block = missing
        self.naks += 1
        return self._say(uid, Status(self._offered[0], section, (1 << block).to_bytes(block // 8 + 1, "little")))

    def _leave(self, uid: int, _now_ns: int) -> bytes:
        return b"" if uid in self.left else self._say(uid, Complete(0, 0))

    def _say(self, uid: int, message: messages.Plain, clear: bool = False) -> bytes:
        group, instance = self._head.group_id, self._head.group_instance
        if clear or self._agreement is None:
            return Header(message.FUNCTION, uid, group, instance).encode() + message.encode()
        return self._agreement.seal(Header(Function.ENCRYPTED, uid, group, instance), message.encode())
