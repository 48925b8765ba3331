"""A stranger on the network: sends proxies what no peer of theirs sends, under any address it likes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.kit.uftp_world import World, raw
from workers.uftp.abort import Abort
from workers.uftp.announce import Announce
from workers.uftp.header import HEADER_BYTES, Function, Header
from workers.uftp.register import ClientKey, Register
from workers.uftp.timestamp import Timestamp

FLOOD = 60


@dataclass
class Sight:
    """What a stranger has seen of a site: datagrams that went by, addresses, and IDs of groups that may be live."""

    heard: Sequence[bytes]
    addresses: Sequence[bytes]
    group_ids: Sequence[int]
    server_uid: int


class Stranger:
    """Its datagrams are drawn from chance alone."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self._tricks: tuple[Callable[[Sight], list[bytes]], ...] = (
            self.replays,
            self.spoiled,
            self.spoiled,
            self.noise,
            self.announcements,
            self.registrations,
            self.aborts,
        )

    def attack(self, sight: Sight, victims: Sequence[bytes]) -> None:
        """Play a trick or two on a victim, each datagram from an address that may be anybody's."""
        victim = self.chance.choice(victims)
        for _ in range(self.chance.randint(1, 3)):
            own = raw(f"192.0.2.{self.chance.randrange(1, 255)}", self.chance.randrange(1, 65536))
            for datagram in self.chance.choice(self._tricks)(sight):
                source = self.chance.choice(sight.addresses) if self.chance.random() < 0.5 else own
                self.world.send(source, datagram, victim)

    def replays(self, sight: Sight) -> list[bytes]:
        """Return datagrams as they went by."""
        return [self.chance.choice(sight.heard) for _ in range(20)] if sight.heard else []

    def spoiled(self, sight: Sight) -> list[bytes]:
        """Return datagrams that went by, with bytes changed, cut off or added."""
        return [self._spoil(self.chance.choice(sight.heard)) for _ in range(40)] if sight.heard else []

    def noise(self, sight: Sight) -> list[bytes]:
        """Return datagrams of a live group, with a header that is right and a message that is chance."""
        found = []
        for _ in range(30):
            function = self.chance.choice((*Function, 200))
            body = bytes((function, self.chance.randrange(12))) + self.chance.randbytes(self.chance.randrange(90))
            found.append(self._head(sight, function, self._group_id(sight)).encode() + body)
        return found

    def announcements(self, sight: Sight) -> list[bytes]:
        """Return announcements of many groups at once, some of them impossible, with whatever patience they claim."""
        found = []
        for number in range(FLOOD):
            # Every eighth is announced to one address, and names no other.
            public = bytes((230, 4, 4, 1)) if number % 8 else bytes(4)
            private = bytes((self.chance.choice((225, 239, 10)), 0, 0, number)) if number % 8 else bytes(4)
            robust, block = self.chance.randrange(256), self.chance.choice((0, 1, 200, 1300, 65535))
            message = Announce(self.chance.choice((0, 0, 4)), robust, 0, block, Timestamp(), public, private)
            head = self._head(sight, Function.ANNOUNCE, self.chance.getrandbits(32))
            flagged = (
                message if not message.flags & 4 else Announce(4, robust, 0, block, Timestamp(), bytes(16), bytes(16))
            )
            found.append(head.encode() + flagged.encode())
        return found

    def registrations(self, sight: Sight) -> list[bytes]:
        """Return registrations of many clients in a group that may be live."""
        group_id = self._group_id(sight)
        found = []
        for _ in range(FLOOD):
            uid = self.chance.getrandbits(32)
            head = Header(Function.REGISTER, uid, group_id, 0)
            random = self.chance.randbytes(32)
            key_info = self.chance.randbytes(self.chance.choice((0, 0, 68, 128)))
            found.append(head.encode() + Register(Timestamp(self.chance.getrandbits(32)), random, key_info).encode())
        blob, signature = self.chance.randbytes(68), self.chance.randbytes(68)
        found.append(Header(Function.CLIENT_KEY, 7, group_id, 0).encode() + ClientKey(blob, signature).encode())
        return found

    def aborts(self, sight: Sight) -> list[bytes]:
        """Return what ends clients, files and groups, if it is believed."""
        hosts = (0, 0xC0C0, 0xA0A0, self.chance.getrandbits(32))
        uids = (sight.server_uid, 0xC0C0, self.chance.getrandbits(32))
        head = Header(Function.ABORT, self.chance.choice(uids), self._group_id(sight), 0)
        return [head.encode() + Abort(host, b"no", self.chance.randrange(2)).encode() for host in hosts]

    def _group_id(self, sight: Sight) -> int:
        return self.chance.choice(sight.group_ids) if sight.group_ids else self.chance.getrandbits(32)

    def _head(self, sight: Sight, function: int, group_id: int) -> Header:
        chance = self.chance
        uid = chance.choice((sight.server_uid, 0, 0xC0C0, chance.getrandbits(32)))
        return Header(function, uid, group_id, chance.randrange(2), 0, chance.randrange(256), chance.randrange(256))

    def _spoil(self, datagram: bytes) -> bytes:
        spoiled = bytearray(datagram)
        for _ in range(self.chance.randrange(1, 6)):
            near = min(len(spoiled), HEADER_BYTES + 30) if self.chance.random() < 0.8 else len(spoiled)
            spoiled[self.chance.randrange(near)] = self.chance.randrange(256)
        if self.chance.random() < 0.3:
            del spoiled[self.chance.randrange(len(spoiled)) :]
        if self.chance.random() < 0.1:
            spoiled += self.chance.randbytes(self.chance.choice((1, 4, 40, 9000)))
        return bytes(spoiled)
