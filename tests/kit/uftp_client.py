"""A scripted UFTP client: real messages, plain or encrypted. It does what uftpd is seen to do behind a proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kit.uftp_server import FILE_ID
from tests.kit.uftp_world import World
from workers.errors import SealError
from workers.uftp import header, keys, messages, schedule, seal, suite
from workers.uftp.abort import Abort
from workers.uftp.actions import Arrival
from workers.uftp.announce import Announce
from workers.uftp.extensions import EncInfo, Extension
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import Function, Header
from workers.uftp.keying import KeyInfo, KeyInfoAck
from workers.uftp.keys import EcPublicKey, PrivateKey, PublicKey
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.schedule import Handshake
from workers.uftp.seal import KeyinfoHead, Sealer
from workers.uftp.suite import KeyExchange, Suite
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg

MAX_FILE_BYTES = 1 << 20
"""A stranger may say that a file is larger."""


@dataclass
class Client:
    """One receiver of one group. key: its own, in groups that authenticate clients or sign with keys.

    behind: the address of its response proxy, b"" where it answers whoever announces; extensions: what it adds to its
    STATUS; mute: neither hears nor says anything; false_proof: its KEYINFO_ACK proves nothing.
    """

    world: World
    address: bytes
    uid: int
    key: PrivateKey | None = None
    behind: bytes = b""
    proxy_key: PublicKey | None = None
    proxy_ecdh: EcPublicKey | None = None
    extensions: tuple[Extension, ...] = ()
    heard: list[tuple[Header, object]] = field(default_factory=list)
    head: Header | None = None
    upstream: bytes = b""
    announced: tuple[Timestamp, int] = (Timestamp(), 0)
    registered: bool = False
    blocks: dict[int, bytes] = field(default_factory=dict)
    size: int | None = None
    block_bytes: int = 0
    left: bool = False
    aborted: bool = False
    suite: Suite | None = None
    info: EncInfo | None = None
    leg: Handshake | None = None
    key_info: bytes = b""
    sealer: Sealer | None = None
    counter: int = 0
    mute: bool = False
    false_proof: bool = False
    spoiled: int = 0

    @property
    def data(self) -> bytes:
        """The file as far as it has come."""
        return b"".join(self.blocks[number] for number in sorted(self.blocks))

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Take in what comes down."""
        head = header.decode(datagram)
        if self.mute or self.aborted or (self.head is not None and head.source_id != self.head.source_id):
            return
        if self.head is not None and head.group_id != self.head.group_id:
            return
        if head.function == Function.ENCRYPTED:
            if self.sealer is None:
                return
            try:
                message = messages.decode_plain(self.sealer.open(datagram, self._signer()))
            except SealError:
                self.spoiled += 1
                return
        else:
            message = messages.decode(head, datagram[16:])
        self.heard.append((head, message))
        if isinstance(message, Announce):
            self._announce(head, message, datagram, arrival)
        elif self.head is not None and not self.left:
            handler = self._handler(message)
            if handler is not None:
                handler(head, message)

    def say(self, message: object, clear: bool = False) -> None:
        """Send a message up, sealed once the group's key is known."""
        sealed = self.sealer is not None and not clear
        number = Function.ENCRYPTED if sealed else message.FUNCTION
        head = Header(number, self.uid, self.head.group_id, self.head.group_instance)
        to = self.behind or self.upstream
        if sealed:
            self.counter += 1
            self.world.send(self.address, self.sealer.seal(head.encode(), message.encode(), self.counter), to)
        else:
            self.world.send(self.address, head.encode() + message.encode(), to)

    def register(self) -> None:
        """Send REGISTER, and CLIENT_KEY where it is wanted."""
        stamp, at_ns = self.announced
        echo = stamp.later((self.world.now_ns - at_ns) // 1_000)
        random = self.leg.client_random if self.leg else bytes(32)
        self.say(Register(echo, random, self.key_info), clear=True)
        if self.info is not None and self.info.client_auth and self.leg is not None and self.key is not None:
            signature = self.key.sign(self.leg.signed_bytes(), self.suite.digest)
            self.say(ClientKey(self.key.public.blob, signature), clear=True)

    def _announce(self, head: Header, message: Announce, datagram: bytes, arrival: Arrival) -> None:
        if self.registered:
            return
        first = self.head is None
        self.head, self.upstream, self.block_bytes = head, arrival.source, message.block_bytes
        self.announced = (message.timestamp, self.world.now_ns)
        if message.encryption is not None and self.leg is None:
            self._agree(head, message, datagram)
        if first:
            self._register_until_heard()

    def _agree(self, head: Header, message: Announce, datagram: bytes) -> None:
        info = message.encryption
        self.info = info
        self.suite = suite.choose_suite(info.cipher, info.hash, info.signature_type, info.key_exchange)
        signer = keys.decode_public_key(info.key_blob)
        if info.ecdh_blob:
            seal.check_signature(datagram, 16 + message.signature_at, signer, self.suite.digest)
        random = self.world.chance.randbytes(32)
        if self.suite.exchange is KeyExchange.RSA:
            premaster = self.world.chance.randbytes(48)
            self.key_info = (self.proxy_key or signer).encrypt(premaster)
        else:
            peer = self.proxy_ecdh or keys.decode_public_key(info.ecdh_blob)
            own = keys.make_ec_key(peer.curve, self.world.chance.randbytes)
            premaster, self.key_info = own.agree(peer), own.public.blob
        self.leg = Handshake(head.group_id, message.private, info.random, random, premaster)

    def _signer(self) -> PublicKey:
        return keys.decode_public_key(self.info.key_blob)

    def _register_until_heard(self) -> None:
        if not self.registered and not self.aborted and not self.mute:
            self.register()
            self.world.after(4 * self.head.grtt_ns, self._register_until_heard)

    def _reg_conf(self, _head: Header, message: RegConf) -> None:
        if self.info is None and self.uid in message.uids:
            self.registered = True

    def _keyinfo(self, head: Header, message: KeyInfo) -> None:
        entry = next((entry for entry in message.entries if entry.uid == self.uid), None)
        if entry is None or self.leg is None:
            return
        session = schedule.derive_session_keys(self.suite, self.leg)
        opening = KeyinfoHead(head.version, head.source_id, message.iv_counter)
        master = seal.unwrap_group_master(self.suite, session, opening, entry.wrapped)
        group = schedule.derive_group_keys(self.suite, master, self.info.random)
        self.sealer = self.sealer or seal.make_sealer(self.suite, group, self.key)
        self.registered = True
        blob = self.key.public.blob if self.info.client_auth else b""
        proof = schedule.client_finished(self.suite, self.leg, master, blob)
        self.say(KeyInfoAck(bytes(len(proof)) if self.false_proof else proof))

    def _fileinfo(self, _head: Header, message: FileInfo) -> None:
        if self.uid in message.uids:
            self.registered = True
            self.size = min(message.size_bytes, MAX_FILE_BYTES)
            self.say(FileInfoAck(FILE_ID, 0, message.timestamp))

    def _fileseg(self, _head: Header, message: FileSeg) -> None:
        self.blocks[message.block] = message.data

    def _done(self, _head: Header, message: Done) -> None:
        if self.uid not in message.uids or (message.file_id and self.size is None):
            return
        if message.file_id == 0:
            self.say(Complete(0, 0))
            return
        count = -(-self.size // self.block_bytes)
        missing = set(range(count)) - set(self.blocks)
        if missing:
            naks = sum(1 << block for block in missing)
            self.say(Status(FILE_ID, 0, naks.to_bytes((count + 7) // 8, "little"), self.extensions))
        else:
            self.say(Complete(FILE_ID, 0))

    def _done_conf(self, _head: Header, message: DoneConf) -> None:
        self.left = self.left or self.uid in message.uids

    def _abort(self, _head: Header, message: Abort) -> None:
        self.aborted = self.aborted or message.host in (0, self.uid)

    def _handler(self, message: object) -> Callable[..., None] | None:
        return {
            RegConf: self._reg_conf,
            KeyInfo: self._keyinfo,
            FileInfo: self._fileinfo,
            FileSeg: self._fileseg,
            Done: self._done,
            DoneConf: self._done_conf,
            Abort: self._abort,
        }.get(type(message))
