"""Days of a site's operation in the world: transfers, restarts, bad weather and hostile datagrams, all from one seed.

A server proxy, a client proxy and a response proxy live through it. Servers on LAN A send to clients on LAN C, behind
the client proxy, and on LAN A, behind the response proxy. The client proxy shows itself to the server proxy by its
heartbeats.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache

from tests.kit.uftp_client import Client
from tests.kit.uftp_hostile import Sight, Stranger
from tests.kit.uftp_scene import FINE, P256, make_cipher, make_key
from tests.kit.uftp_server import Cipher, Server
from tests.kit.uftp_world import (
    MS,
    PRIVATE,
    PUBLIC,
    SECOND,
    ProxyNode,
    Station,
    Weather,
    World,
    raw,
    settings_for,
)
from workers.contract.uftp import Fact, HeartbeatSettings, Mode, UftpSettings
from workers.errors import DecodeError, SealError
from workers.uftp import keys
from workers.uftp.actions import Arrival
from workers.uftp.fingerprint import fingerprint
from workers.uftp.keyring import KeyRing
from workers.uftp.keys import PrivateKey

HOUR = 3600 * SECOND
ABOVE, BELOW, RESPONSE = raw("10.99.1.2"), raw("10.99.3.3"), raw("10.99.1.9")
SERVER_UID = 0x5555
SPECS = (None, None, (6, 3, 3, 1), (4, 3, 1, 3, True), (3, 3, 2, 1, True))
"""How transfers are encrypted: many not at all; AES256-GCM, AES256-CBC with ECDSA and client keys, KEYEX with RSA."""
MAX_GROUPS, MAX_CLIENTS, CLIENTS_FACTOR = 40, 30, 10
LONGEST_S = 15
TRANSFERS_AN_HOUR, ATTACKS_AN_HOUR = 1.5, 2.0
HEARTBEAT_S = 120
_PEER_ERRORS = (DecodeError, SealError, AssertionError, KeyError)
"""What a scripted server or client raises when a stranger speaks to it: it is simpler than a real one."""


@dataclass
class Member:
    """A station that takes part in one group and is deaf to all others, and to what it cannot make sense of."""

    station: Station
    group: bytes

    @property
    def address(self) -> bytes:
        """The station's."""
        return self.station.address

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Pass on what concerns the group."""
        if datagram[8:12] == self.group:
            with contextlib.suppress(*_PEER_ERRORS):
                self.station.receive(datagram, arrival)


@dataclass
class Transfer:
    """One transfer while it goes on."""

    server: Server
    clients: list[Client] = field(default_factory=list)

    @property
    def group(self) -> bytes:
        """Its group ID, as it stands in headers."""
        return self.server.group_id.to_bytes(4)


@cache
def _cipher(spec: tuple[int, ...] | None) -> Cipher | None:
    return None if spec is None else make_cipher(*spec)


@cache
def _own_keys() -> tuple[PrivateKey, ...]:
    """Return the keys of all proxies and clients: one for each kind of server key; the second agrees with clients."""
    world = World(8)
    return tuple(make_key(kind, world) for kind in (keys.RSA_BLOB, keys.EC_BLOB))


def _key_like(cipher: Cipher) -> PrivateKey:
    return next(key for key in _own_keys() if key.public.kind == cipher.key.public.kind)


@cache
def _agreement_key() -> keys.EcPrivateKey:
    return keys.make_ec_key(P256, World(9).chance.randbytes)


def _settings(address: bytes) -> UftpSettings:
    limits = {"max_groups": MAX_GROUPS, "max_clients": MAX_CLIENTS}
    if address == BELOW:
        beats = HeartbeatSettings((ABOVE,), HEARTBEAT_S * SECOND)
        return settings_for(Mode.CLIENT, 0xC0C0, BELOW, heartbeats=beats, **limits)
    if address == RESPONSE:
        return settings_for(Mode.RESPONSE, 0xD0D0, RESPONSE, **limits)
    wanted = fingerprint(_own_keys()[0].public.blob)
    return settings_for(Mode.SERVER, 0xA0A0, ABOVE, downstream_fingerprint=wanted, **limits)


class Operation:
    """A site. fair: neither bad weather, nor restarts, nor strangers. ended: how many transfers ended how.

    most: the greatest that each of the proxies' gauges was seen at; said: what proxies sent, by function.
    """

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.chance = self.world.chance
        self.fair = False
        self.running: list[Transfer] = []
        self.ended: Counter[str] = Counter()
        self.most: Counter[Fact] = Counter()
        self.said: Counter[int] = Counter()
        self.proxies: dict[bytes, ProxyNode] = {}
        self._heard: deque[bytes] = deque(maxlen=400)
        self._serial = 0
        self._stranger = Stranger(self.world, self.chance)
        for address in (ABOVE, BELOW, RESPONSE):
            self.start_proxy(address)
        self._tend()

    def start_proxy(self, address: bytes) -> None:
        """Start a proxy, or start it anew with an empty memory."""
        old = self.proxies.get(address)
        if old is not None:
            old.world = World()  # what it still has in mind happens to nobody
            old.close()
        for members in self.world.members.values():
            members.discard(address)
        ring = KeyRing(_own_keys(), self.chance.randbytes, _agreement_key() if address == RESPONSE else None)
        self.proxies[address] = node = ProxyNode(self.world, address, _settings(address), ring)
        node.outlive()
        self.world.add(node, "C" if address == BELOW else "A", groups=() if address == BELOW else (PUBLIC,))

    def kill_proxy(self) -> None:
        """Let a proxy's process die, at once or in the midst of what it does next; another goes on with its groups."""
        node = self.proxies[self.chance.choice((ABOVE, BELOW, RESPONSE))]
        if self.chance.random() < 0.5:
            node.die_at = self.chance.randrange(4)
        else:
            node.die()

    def run(self, hours: float) -> None:
        """Let the site work for so long, then let everything that was begun come to its end."""
        end_ns = self.world.now_ns + int(hours * HOUR)
        for act, an_hour in ((self.begin, TRANSFERS_AN_HOUR), (self.attack, ATTACKS_AN_HOUR)):
            at_ns = self.world.now_ns
            while (at_ns := at_ns + int(self.chance.expovariate(an_hour) * HOUR)) < end_ns:
                self.world.at(at_ns, act)
        self.world.run(end_ns + 2 * LONGEST_S * SECOND)

    def rest(self, hours: float) -> None:
        """Let time pass in which nobody but the proxies says anything."""
        self.world.run(self.world.now_ns + int(hours * HOUR))

    def begin(self) -> Transfer:
        """Begin a transfer to some clients; it ends by itself, or after LONGEST_S seconds."""
        self._serial += 1
        serial = self._serial
        uids = [serial << 8 | number for number in range(1, 2 + self.chance.randrange(4))]
        server = Server(
            self.world,
            raw(f"10.99.1.{20 + serial % 200}"),
            SERVER_UID,
            frozenset(uids),
            group_id=self.chance.getrandbits(31) + 1,
            cipher=_cipher(self.chance.choice(SPECS)),
        )
        transfer = Transfer(server)
        self.running.append(transfer)
        self.world.add(Member(server, transfer.group), "A")
        for uid in uids:
            late_ns = 0 if self.fair or self.chance.random() < 0.8 else self.chance.randrange(5 * SECOND)
            self.world.after(late_ns, lambda uid=uid: self._join(transfer, uid))
        self.world.after(MS, server.start)
        self.world.after(LONGEST_S * SECOND, lambda: self._end(transfer))
        if not self.fair:
            self._spoil(transfer)
        return transfer

    def attack(self) -> None:
        """Have a stranger play its tricks."""
        addresses = [ABOVE, BELOW, RESPONSE, *(transfer.server.address for transfer in self.running)]
        addresses += [client.address for transfer in self.running for client in transfer.clients]
        live = [transfer.server.group_id for transfer in self.running]
        self._stranger.attack(Sight(self._heard, addresses, live, SERVER_UID), (ABOVE, BELOW, RESPONSE))

    def calm(self) -> None:
        """From now on the weather is fine, and nobody is hostile."""
        self.fair, self.world.weather = True, FINE

    def _join(self, transfer: Transfer, uid: int) -> None:
        """Let a client take part: every third behind the response proxy, the others behind the client proxy."""
        cipher, behind = transfer.server.cipher, RESPONSE if uid % 3 == 0 else b""
        address = raw(f"10.99.{1 if behind else 3}.{230 + uid % 20}", 2000 + uid // 256 % 60000)
        key = _key_like(cipher) if cipher is not None else None
        client = Client(self.world, address, uid, key, behind)
        if behind and key is not None:
            client.proxy_key, client.proxy_ecdh = key.public, _agreement_key().public
        transfer.clients.append(client)
        self.world.add(Member(client, transfer.group), "A" if behind else "C", groups=(PUBLIC, PRIVATE))

    def _spoil(self, transfer: Transfer) -> None:
        """Let things go wrong in a transfer's first seconds."""
        slowest = self.chance.choice((1, 5, 60)) * MS
        self.world.weather = Weather(
            self.chance.choice((0, 0.02, 0.2)), self.chance.choice((0, 0.1)), (MS // 5, slowest)
        )
        mishaps = (
            (0.05, lambda: self.start_proxy(self.chance.choice((ABOVE, BELOW, RESPONSE)))),
            (0.30, self.kill_proxy),
            (0.30, self.kill_proxy),
            (0.10, transfer.server.stop),
            (0.10, lambda: self._restart(transfer)),
            (0.15, lambda: setattr(self.chance.choice(transfer.clients), "mute", True) if transfer.clients else None),
            (0.40, self.attack),
            (0.40, self.attack),
        )
        for likely, mishap in mishaps:
            if self.chance.random() < likely:
                self.world.after(self.chance.randrange(6 * SECOND), mishap)

    def _restart(self, transfer: Transfer) -> None:
        """Let the server begin again with the same group ID: another instance."""
        old = transfer.server
        old.stop()
        transfer.server = Server(
            self.world,
            old.address,
            old.uid,
            old.wanted,
            group_id=old.group_id,
            instance=old.instance + 1,
            cipher=old.cipher,
        )
        self.world.add(Member(transfer.server, transfer.group), "A")
        transfer.server.start()

    def _end(self, transfer: Transfer) -> None:
        """Take away who took part."""
        self.running.remove(transfer)
        self.ended["done" if transfer.server.done else "given up"] += 1
        transfer.server.stop()
        for client in transfer.clients:
            client.mute = True
        for address in (transfer.server.address, *(client.address for client in transfer.clients)):
            self.world.stations.pop(address, None)
            for addresses in (*self.world.lans.values(), *self.world.members.values()):
                addresses.discard(address)

    def _tend(self) -> None:
        """Every ten seconds: keep count of what was sent and how much is held, and forget the rest."""
        self._heard.extend(payload for _, _, payload, _ in self.world.sent[-100:] if payload)
        self.said.update(sent[1] for _, source, sent, _ in self.world.sent if source in self.proxies and len(sent) > 1)
        self.world.sent.clear()
        for node in self.proxies.values():
            node.notes.clear()
            node.moved.clear()
            for fact in (Fact.GROUPS, Fact.CLIENTS):
                self.most[fact] = max(self.most[fact], node.machine.facts[fact])
        self.world.after(10 * SECOND, self._tend)
