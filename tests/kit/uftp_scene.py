"""Whole scenes in the world: a server, its proxies, their clients, on their LANs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.kit.uftp_client import Client
from tests.kit.uftp_server import Cipher, Server
from tests.kit.uftp_world import PRIVATE, PUBLIC, SECOND, ProxyNode, Weather, World, raw, settings_for
from workers.contract.uftp import Mode
from workers.uftp import keys, suite
from workers.uftp.curves import CURVES
from workers.uftp.keyring import KeyRing
from workers.uftp.keys import PrivateKey
from workers.uftp.suite import KeyExchange

SERVER, SERVER_PROXY, CLIENT_PROXY = raw("10.99.1.1"), raw("10.99.1.2"), raw("10.99.3.3")
RESPONSE_PROXY = raw("10.99.1.9")
SERVER_UID, SERVER_PROXY_UID, CLIENT_PROXY_UID, RESPONSE_PROXY_UID = 0x5555, 0xA0A0, 0xC0C0, 0xD0D0
FIRST_CLIENT = 0x1111
P256 = CURVES[23]
FINE = Weather()


def client_address(number: int) -> bytes:
    """Return the address of a LAN's number-th client."""
    return raw(f"10.99.{3 + number // 200}.{11 + number % 200}")


@dataclass
class Scene:
    """Everybody in it; above: the server proxy, below: the client or response proxy."""

    world: World
    server: Server
    above: ProxyNode | None
    below: ProxyNode
    clients: list[Client] = field(default_factory=list)

    @property
    def proxies(self) -> list[ProxyNode]:
        """All machines."""
        return [node for node in (self.above, self.below) if node is not None]

    def run(self, seconds: float = 60.0) -> bool:
        """Let the transfer run until the server is done; return whether it is."""
        self.server.start()
        return self.world.run(self.world.now_ns + int(seconds * SECOND), lambda: self.server.done)

    def settle(self, seconds: float = 30.0) -> None:
        """Let time pass after the end."""
        self.server.stop()
        for client in self.clients:
            client.mute = True
        self.world.run(self.world.now_ns + int(seconds * SECOND))


def chain(clients: int = 2, seed: int = 0, weather: Weather = FINE, **changes: object) -> Scene:
    """Return server, server proxy, client proxy and clients. changes: cipher, ring, server (a dict), below, above."""
    world = World(seed, weather)
    uids = range(FIRST_CLIENT, FIRST_CLIENT + clients)
    cipher = changes.get("cipher")
    server = Server(world, SERVER, SERVER_UID, frozenset(uids), cipher=cipher, **changes.get("server", {}))
    above = settings_for(
        Mode.SERVER, SERVER_PROXY_UID, SERVER_PROXY, downstream=CLIENT_PROXY, **changes.get("above", {})
    )
    below = settings_for(Mode.CLIENT, CLIENT_PROXY_UID, CLIENT_PROXY, **changes.get("below", {}))
    upper = ProxyNode(world, SERVER_PROXY, above)
    lower = ProxyNode(world, CLIENT_PROXY, below, changes.get("ring"))
    world.add(server, "A")
    world.add(upper, "A", groups=(PUBLIC,))
    world.add(lower, "C")
    scene = Scene(world, server, upper, lower)
    _people(scene, uids, "C", b"", cipher)
    return scene


def response(clients: int = 2, seed: int = 0, weather: Weather = FINE, **changes: object) -> Scene:
    """Return server, response proxy and clients on one LAN. changes: cipher, ring, server, below."""
    world = World(seed, weather)
    uids = range(FIRST_CLIENT, FIRST_CLIENT + clients)
    cipher = changes.get("cipher")
    server = Server(world, SERVER, SERVER_UID, frozenset(uids), cipher=cipher, **changes.get("server", {}))
    settings = settings_for(Mode.RESPONSE, RESPONSE_PROXY_UID, RESPONSE_PROXY, **changes.get("below", {}))
    node = ProxyNode(world, RESPONSE_PROXY, settings, changes.get("ring"))
    world.add(server, "A")
    world.add(node, "A", groups=(PUBLIC,))
    scene = Scene(world, server, None, node)
    _people(scene, uids, "A", RESPONSE_PROXY, cipher)
    ring = changes.get("ring")
    for client in scene.clients:
        client.proxy_key = ring.first().public if ring else None
        client.proxy_ecdh = ring.ecdh.public if ring and ring.ecdh else None
    return scene


def _people(scene: Scene, uids: range, lan: str, behind: bytes, cipher: Cipher | None) -> None:
    for number, uid in enumerate(uids):
        key = _like(cipher.key, scene.world) if cipher is not None and cipher.client_auth else None
        client = Client(scene.world, client_address(number), uid, key, behind)
        scene.clients.append(client)
        scene.world.add(client, lan, groups=(PUBLIC, PRIVATE))


_MADE: dict[str, PrivateKey] = {}


def _like(key: PrivateKey, world: World) -> PrivateKey:
    """Return a key of the type and size of another: RSA keys are made once, since that takes long."""
    title = key.public.title
    if title not in _MADE:
        _MADE[title] = make_key(key.public.kind, world)
    return _MADE[title]


def make_key(kind: int, world: World) -> PrivateKey:
    """Return a key of a blob's kind: RSA of 1,024 bits, or on P-256."""
    if kind == keys.RSA_BLOB:
        return keys.make_rsa_key(1024, world.chance.randbytes)
    return keys.make_ec_key(P256, world.chance.randbytes)


def make_cipher(cipher: int, digest: int, signature: int, exchange: int, client_auth: bool = False) -> Cipher:
    """Return how a server encrypts, with keys of its own."""
    world = World(7)
    chosen = suite.choose_suite(cipher, digest, signature, exchange)
    key = make_key(chosen.exchange.signing_kind, world)
    ecdh = None if chosen.exchange is KeyExchange.RSA else keys.make_ec_key(P256, world.chance.randbytes)
    random, master = world.chance.randbytes(32), b"\x40" + world.chance.randbytes(47)
    return Cipher(chosen, key, ecdh, random, master, client_auth)


def make_ring(cipher: Cipher, ecdh: bool = False) -> KeyRing:
    """Return a ring with one key of the type and size of the server's, for proxies; ecdh: a response proxy's key."""
    world = World(8)
    own = make_key(cipher.key.public.kind, world)
    long_lived = keys.make_ec_key(P256, world.chance.randbytes) if ecdh else None
    return KeyRing((own,), world.chance.randbytes, long_lived)
