"""One UFTP machine on a bench: messages in by hand, what it sends decoded, its clock moved by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.kit.uftp_scene import CLIENT_PROXY, CLIENT_PROXY_UID, SERVER, SERVER_PROXY, SERVER_UID
from tests.kit.uftp_world import MS, PRIVATE, PUBLIC, WALL_US, assert_fits, raw, settings_for
from workers.contract.uftp import Mode
from workers.uftp import header, messages
from workers.uftp.actions import Action, Arrival, Note, Send
from workers.uftp.addresses import host_of
from workers.uftp.announce import Announce
from workers.uftp.extensions import Extension
from workers.uftp.header import Function, Header
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine
from workers.uftp.quantise import encode_grtt
from workers.uftp.register import Register
from workers.uftp.timestamp import Timestamp

GROUP = 0x01020304
CLIENT = raw("10.99.3.11")
CLIENT_UID = 0x1111
GRTT = encode_grtt(100 * MS)
"""105.8 ms."""
GRTT_NS = Header(0, 0, grtt=GRTT).grtt_ns
SIZE = 0x50
BLOCK_BYTES = 200


class Sent(NamedTuple):
    """A datagram the machine wants sent, decoded. message: as it was sent, an Encrypted is not opened."""

    to: bytes
    header: Header
    message: messages.Message | messages.Unknown
    payload: bytes


@dataclass
class Bench:
    """A machine and its clock.

    address: its own, by its mode if not told; ring: its keys, None: made on demand; changes: of its settings.
    """

    mode: Mode = Mode.CLIENT
    uid: int = CLIENT_PROXY_UID
    address: bytes = b""
    ring: KeyRing | None = None
    changes: dict[str, object] = field(default_factory=dict)
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.address = self.address or (SERVER_PROXY if self.mode is Mode.SERVER else CLIENT_PROXY)
        entropy = random.Random(3).randbytes
        settings = settings_for(self.mode, self.uid, self.address, **self.changes)
        self.machine = Machine(settings, self.uid, self.ring or KeyRing((), entropy), entropy, self.now_ns)
        self.actions: list[Action] = []
        self._collect()

    def feed(self, datagram: bytes, source: bytes = SERVER, to: bytes = PRIVATE) -> list[Sent]:
        """Give the machine a datagram; return what it wants sent."""
        self.machine.receive(datagram, Arrival(source, to, 1), self.now_ns)
        return self._collect()

    def from_server(self, message: object, uid: int = SERVER_UID, source: bytes = SERVER, **fields: int) -> list[Sent]:
        """Give the machine a message of the group's server."""
        values = {"group_id": GROUP, "grtt": GRTT, "group_size": SIZE} | fields
        return self.feed(Header(message.FUNCTION, uid, **values).encode() + message.encode(), source)

    def from_client(self, message: object, uid: int = CLIENT_UID, source: bytes = CLIENT, **fields: int) -> list[Sent]:
        """Give the machine a client's message."""
        values = {"group_id": GROUP} | fields
        return self.feed(Header(message.FUNCTION, uid, **values).encode() + message.encode(), source)

    def announce(self, *extensions: Extension, **changes: object) -> list[Sent]:
        """Announce the group. changes: of the ANNOUNCE's fields; group_id, instance, source, uid: of its header."""
        head = {name: changes.pop(name) for name in ("group_id", "group_instance", "source", "uid") if name in changes}
        return self.from_server(announcement(*extensions, **changes), **head)

    def register(self, uid: int = CLIENT_UID, **fields: object) -> list[Sent]:
        """Have a client register now, with a timestamp of the server's clock as it is now."""
        source = fields.pop("source", CLIENT)
        return self.from_client(Register(self.stamp(), **fields), uid, source)

    def stamp(self, earlier_ns: int = 0) -> Timestamp:
        """Return a timestamp of the server's clock."""
        return Timestamp.from_us(WALL_US + (self.now_ns - earlier_ns) // 1_000)

    def wait(self, span_ns: int) -> list[Sent]:
        """Let time pass, waking the machine when it wants to be; return what it wants sent."""
        until_ns = self.now_ns + span_ns
        while self.machine.next_deadline_ns() <= until_ns:
            self.now_ns = max(self.machine.next_deadline_ns(), self.now_ns)
            self.machine.expire(self.now_ns)
        self.now_ns = until_ns
        return self._collect()

    def notes(self, event: str) -> list[Note]:
        """Return the notes of an event so far."""
        return [action for action in self.actions if isinstance(action, Note) and action.event == event]

    def taken(self, kind: type) -> list[Action]:
        """Return the actions of a kind so far."""
        return [action for action in self.actions if isinstance(action, kind)]

    def _collect(self) -> list[Sent]:
        fresh, self.machine.actions[:] = list(self.machine.actions), []
        self.actions += fresh
        for action in fresh:
            if isinstance(action, Note):
                assert_fits(action)
        return [_opened(action) for action in fresh if isinstance(action, Send)]


def announcement(*extensions: Extension, **changes: object) -> Announce:
    """Return an ANNOUNCE of the group. changes: of its fields; public, private: raw, or bytes of the address."""
    values = {
        "flags": 0,
        "robust": 20,
        "cc_type": 0,
        "block_bytes": BLOCK_BYTES,
        "timestamp": Timestamp.from_us(WALL_US),
        "public": host_of(PUBLIC),
        "private": host_of(PRIVATE),
        "extensions": extensions,
    }
    return Announce(**(values | changes))


def _opened(action: Send) -> Sent:
    head = header.decode(action.payload)
    return Sent(action.to, head, messages.decode(head, action.payload[16:]), action.payload)


def of(sent: list[Sent], function: Function) -> list[Sent]:
    """Return what was sent under a function's number."""
    return [one for one in sent if one.header.function == function]
