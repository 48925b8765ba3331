"""A scripted UFTP server: real messages, plain or encrypted, one file in one section. Far simpler than a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kit.uftp_world import MS, PRIVATE, PUBLIC, World
from workers.errors import SealError
from workers.uftp import header, messages, schedule, seal
from workers.uftp.abort import Abort
from workers.uftp.actions import Arrival
from workers.uftp.addresses import host_of
from workers.uftp.announce import Announce
from workers.uftp.extensions import EncInfo
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import Function, Header
from workers.uftp.keying import KeyEntry, KeyInfo, KeyInfoAck
from workers.uftp.keys import EcPrivateKey, PrivateKey, PublicKey, decode_public_key
from workers.uftp.quantise import encode_grtt
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.schedule import Handshake
from workers.uftp.seal import KeyinfoHead
from workers.uftp.suite import KeyExchange, Suite
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg

FILE_ID = 1


@dataclass(frozen=True)
class Cipher:
    """How a server encrypts: its suite and keys."""

    suite: Suite
    key: PrivateKey
    ecdh: EcPrivateKey | None
    random: bytes
    master: bytes
    client_auth: bool = False


@dataclass
class Destination:
    """A station that has registered with the server itself: here always a proxy. leg: in encrypted groups."""

    uid: int
    address: bytes
    leg: Handshake | None = None
    key: PublicKey | None = None
    signature: bytes = b""
    ready: bool = False
    register: Register | None = None


@dataclass
class Server:
    """One transfer to the clients in wanted, from which an ABORT takes one out. heard: every message, opened."""

    world: World
    address: bytes
    uid: int
    wanted: frozenset[int]
    data: bytes = bytes(range(256)) * 40
    group_id: int = 0x12345678
    instance: int = 0
    block_bytes: int = 200
    grtt_s: float = 0.02
    robust: int = 20
    cipher: Cipher | None = None
    heard: list[tuple[Header, object]] = field(default_factory=list)
    proxies: dict[int, Destination] = field(default_factory=dict)
    via: dict[int, int] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    complete: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    aborted: list[Abort] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    sequence: int = 0
    counter: int = 0
    stopped: bool = False
    drift_us: int = 0

    def __post_init__(self) -> None:
        self.grtt_ns = int(self.grtt_s * 1e9)
        self.sealer = None
        if self.cipher is not None:
            group = schedule.derive_group_keys(self.cipher.suite, self.cipher.master, self.cipher.random)
            self.sealer = seal.make_sealer(self.cipher.suite, group, self.cipher.key)
        self.missing = set(range(len(self.blocks)))

    @property
    def blocks(self) -> list[bytes]:
        """The file in pieces."""
        return [self.data[at : at + self.block_bytes] for at in range(0, len(self.data), self.block_bytes)]

    @property
    def done(self) -> bool:
        """Whether every wanted client has left the group in order."""
        return bool(self.left) and self.wanted <= self.left

    def start(self) -> None:
        """Begin the transfer: a turn every GRTT and a half."""
        self._turn()

    def stop(self) -> None:
        """Fall silent."""
        self.stopped = True

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Take in what comes up."""
        head = header.decode(datagram)
        if (head.group_id, head.group_instance) != (self.group_id, self.instance):
            return
        message = messages.decode(head, datagram[16:])
        if head.function == Function.ENCRYPTED:
            message = self._open(head, datagram)
        self.heard.append((head, message))
        handler = self._handler(message)
        if handler is not None:
            handler(head, message, arrival)

    def send(self, message: object, to: bytes = PRIVATE, clear: bool = False) -> None:
        """Send a message to the group, sealed where the group is encrypted."""
        function, sequence = message.FUNCTION, self.sequence % 65536
        self.sequence += 1
        sealed = self.sealer is not None and not clear
        number = Function.ENCRYPTED if sealed else function
        head = Header(number, self.uid, self.group_id, self.instance, sequence, encode_grtt(self.grtt_ns), 0x30)
        if sealed:
            self.counter += 1
            self.world.send(self.address, self.sealer.seal(head.encode(), message.encode(), self.counter), to)
        else:
            self.world.send(self.address, head.encode() + message.encode(), to)

    def announce(self) -> None:
        """Send one ANNOUNCE."""
        extensions = () if self.cipher is None else (self._enc_info(),)
        message = Announce(
            0, self.robust, 0, self.block_bytes, self._stamp(), host_of(PUBLIC), host_of(PRIVATE), extensions
        )
        head = Header(Function.ANNOUNCE, self.uid, self.group_id, self.instance, 0, encode_grtt(self.grtt_ns), 0x30)
        datagram = head.encode() + message.encode()
        if self.cipher is not None and self.cipher.ecdh is not None:
            at = 16 + message.signature_at
            datagram = seal.sign_in_place(datagram, at, self.cipher.key, self.cipher.suite.digest)
        self.world.send(self.address, datagram, PUBLIC)

    def _turn(self) -> None:
        """Do what the stage of the transfer asks for, and come again."""
        if self.stopped or self.done:
            return
        everybody = self.wanted
        if not self._registered:
            self.announce()
            self._confirm(set(self.via))
        elif not everybody <= self.acknowledged:
            self._offer(everybody - self.acknowledged)
        elif not everybody <= self.complete:
            for block in sorted(self.missing):
                self.send(FileSeg(FILE_ID, 0, block, self.blocks[block]))
            self.missing = set()
            self.send(Done(FILE_ID, 0, self._listed(everybody - self.complete)))
        else:
            self.send(Done(0, 0, self._listed(everybody - self.left)))
        self.world.after(int(1.5 * self.grtt_ns) + 4 * MS, self._turn)

    @property
    def _registered(self) -> bool:
        ready = all(proxy.ready or self.cipher is None for proxy in self.proxies.values())
        return ready and self.wanted <= set(self.via)

    def _listed(self, uids: frozenset[int] | set[int]) -> tuple[int, ...]:
        return (*sorted(self.proxies), *sorted(uids))

    def _offer(self, uids: set[int] | frozenset[int]) -> None:
        size, stamp = len(self.data), self._stamp()
        self.send(FileInfo(FILE_ID, 0, size, 0, stamp, b"file", uids=tuple(sorted(uids))))

    def _confirm(self, uids: set[int]) -> None:
        """Send the group's key to proxies that have not proved to have it, and confirm clients."""
        waiting = [proxy for proxy in self.proxies.values() if proxy.leg is not None and not proxy.ready]
        if self.cipher is not None and waiting:
            self.counter += 1
            head = KeyinfoHead(0x40, self.uid, self.counter)
            entries = [KeyEntry(proxy.uid, self._wrap(proxy, head)) for proxy in waiting]
            self.send(KeyInfo(self.counter, tuple(entries)), clear=True)
        if uids:
            for at in range(0, len(uids), self.block_bytes // 4):
                some = sorted(uids)[at : at + self.block_bytes // 4]
                self.send(RegConf((*sorted(self.proxies), *some)), clear=self.cipher is not None)

    def _wrap(self, proxy: Destination, head: KeyinfoHead) -> bytes:
        keys = schedule.derive_session_keys(self.cipher.suite, proxy.leg)
        return seal.wrap_group_master(self.cipher.suite, keys, head, self.cipher.master)

    def _stamp(self) -> Timestamp:
        return Timestamp.from_us(self.world.wall_us + self.drift_us)

    def _enc_info(self) -> EncInfo:
        chosen, cipher = self.cipher.suite, self.cipher
        return EncInfo(
            EncInfo.CLIENT_AUTH if cipher.client_auth else 0,
            chosen.exchange,
            chosen.signature,
            chosen.cipher.number,
            chosen.digest.number,
            cipher.random,
            cipher.key.public.blob,
            cipher.ecdh.public.blob if cipher.ecdh else b"",
            bytes(cipher.key.public.signature_bytes) if cipher.ecdh else b"",
        )

    def _open(self, head: Header, datagram: bytes) -> object:
        proxy = self.proxies[head.source_id]
        return messages.decode_plain(self.sealer.open(datagram, proxy.key))

    def _register(self, head: Header, message: Register, arrival: Arrival) -> None:
        assert message.uids, "a REGISTER without clients makes a proxy a client"
        proxy = self.proxies.setdefault(head.source_id, Destination(head.source_id, arrival.source))
        proxy.register = message
        if self.cipher is not None:
            shared = self._premaster(message)
            private = host_of(PRIVATE)
            leg = Handshake(self.group_id, private, self.cipher.random, message.random, shared)
            proxy.leg = leg
            if self.cipher.client_auth and proxy.key is None:
                proxy.leg = None
                self.via.update(dict.fromkeys(message.uids, head.source_id))
                return
        self.via.update(dict.fromkeys(message.uids, head.source_id))
        self._confirm(set(message.uids))

    def _premaster(self, message: Register) -> bytes:
        if self.cipher.suite.exchange is KeyExchange.RSA:
            return self.cipher.key.decrypt(message.key_info)
        return self.cipher.ecdh.agree(decode_public_key(message.key_info))

    def _client_key(self, head: Header, message: ClientKey, arrival: Arrival) -> None:
        proxy = self.proxies.get(head.source_id)
        if proxy is None or proxy.register is None:
            return
        leg = Handshake(
            self.group_id, host_of(PRIVATE), self.cipher.random, proxy.register.random, self._premaster(proxy.register)
        )
        key = decode_public_key(message.key_blob)
        key.verify(message.signature, leg.signed_bytes(), self.cipher.suite.digest)
        proxy.leg, proxy.key = leg, key
        self._confirm(set(proxy.register.uids))

    def _keyinfo_ack(self, head: Header, message: KeyInfoAck, _arrival: Arrival) -> None:
        proxy = self.proxies[head.source_id]
        blob = proxy.key.blob if self.cipher.client_auth and proxy.key else b""
        wanted = schedule.client_finished(self.cipher.suite, proxy.leg, self.cipher.master, blob)
        if message.verify_data != wanted:
            raise SealError("KEYINFO_ACK", "wrong verify data")
        proxy.ready = True

    def _fileinfo_ack(self, _head: Header, message: FileInfoAck, _arrival: Arrival) -> None:
        self.acknowledged |= set(message.uids)

    def _status(self, _head: Header, message: Status, _arrival: Arrival) -> None:
        naks = int.from_bytes(message.naks, "little")
        assert naks >> len(self.blocks) == 0
        self.missing |= {block for block in range(len(self.blocks)) if naks >> block & 1}

    def _complete(self, _head: Header, message: Complete, _arrival: Arrival) -> None:
        if message.file_id:
            self.complete |= set(message.uids)
            return
        self.left |= set(message.uids)
        self.send(DoneConf(message.uids))

    def _abort(self, _head: Header, message: Abort, _arrival: Arrival) -> None:
        self.aborted.append(message)
        self.wanted -= {message.host}

    def _handler(self, message: object) -> Callable[..., None] | None:
        return {
            Register: self._register,
            ClientKey: self._client_key,
            KeyInfoAck: self._keyinfo_ack,
            FileInfoAck: self._fileinfo_ack,
            Status: self._status,
            Complete: self._complete,
            Abort: self._abort,
        }.get(type(message))
