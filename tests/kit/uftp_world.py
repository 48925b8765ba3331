"""A network of UFTP stations and proxies' machines without sockets or clocks: seeded loss, duplicates and reordering.

A station has an address and is given datagrams; what it sends is delivered later, to one address or to the members of a
multicast group on the sender's LANs. Machines' actions are carried out as the process around them would.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from proxyd.logs.lines import plan_event
from workers.contract.catalogue import EVENTS
from workers.contract.settings import Address
from workers.contract.store import Store
from workers.contract.uftp import Interface, Mode, UftpSettings
from workers.deadlines import NEVER
from workers.uftp.actions import Arrival, Join, Leave, Moved, Note, Send
from workers.uftp.addresses import host_of, is_multicast
from workers.uftp.archive import Archive
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine
from workers.wire import sockaddr

MS = 1_000_000
SECOND = 1_000_000_000
PORT = 1044
WALL_US = 1_800_000_000_000_000
"""The servers' wall clock when the world's clock is 0."""


def raw(text: str, port: int = PORT) -> bytes:
    """Return the raw socket address of a dotted one."""
    return sockaddr.encode(Address(4, int.from_bytes(bytes(map(int, text.split("."))))), port)


PUBLIC, PRIVATE = raw("230.4.4.1"), raw("230.5.5.10")


class Station(Protocol):
    """Whoever lives in the world."""

    address: bytes

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Take in a datagram."""
        ...


@dataclass(frozen=True)
class Weather:
    """What the network does to datagrams: chances of loss and duplication, and the span of delays, in nanoseconds."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_ns: tuple[int, int] = (MS, MS)


@dataclass
class World:
    """Everybody, the clock, and what is on its way. lans: LAN name to the addresses on it."""

    seed: int = 0
    weather: Weather = Weather()
    now_ns: int = 0
    stations: dict[bytes, Station] = field(default_factory=dict)
    lans: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    members: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    sent: list[tuple[int, bytes, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0

    @property
    def wall_us(self) -> int:
        """The wall clock of every station, in microseconds since 1970."""
        return WALL_US + self.now_ns // 1_000

    def add(self, station: Station, *lans: str, groups: tuple[bytes, ...] = ()) -> None:
        """Let a station live on LANs, a member of groups."""
        self.stations[station.address] = station
        for lan in lans:
            self.lans[lan].add(station.address)
        for group in groups:
            self.members[host_of(group)].add(station.address)

    def at(self, when_ns: int, act: Callable[[], None]) -> None:
        """Have something done at a time, not before now."""
        self._serial += 1
        heapq.heappush(self._events, (max(when_ns, self.now_ns), self._serial, act))

    def after(self, delay_ns: int, act: Callable[[], None]) -> None:
        """Have something done a while from now."""
        self.at(self.now_ns + delay_ns, act)

    def send(self, source: bytes, payload: bytes, to: bytes) -> None:
        """Put a datagram on its way."""
        self.sent.append((self.now_ns, source, payload, to))
        if not is_multicast(host_of(to)):
            self._carry(source, payload, to, to)
            return
        neighbours = set().union(*(lan for lan in self.lans.values() if source in lan))
        for member in sorted(neighbours & self.members[host_of(to)] - {source}):
            self._carry(source, payload, to, member)

    def run(self, until_ns: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until it is done, or until then; return whether it is done."""
        while not done():
            if not self._events or self._events[0][0] > until_ns:
                self.now_ns = max(self.now_ns, until_ns)
                return done()
            self.now_ns, _, act = heapq.heappop(self._events)
            act()
        return True

    def _carry(self, source: bytes, payload: bytes, to: bytes, reader: bytes) -> None:
        if self.chance.random() < self.weather.loss:
            return
        copies = 2 if self.chance.random() < self.weather.duplicates else 1
        for _ in range(copies):
            self.after(self.chance.randint(*self.weather.delay_ns), lambda: self._deliver(source, payload, to, reader))

    def _deliver(self, source: bytes, payload: bytes, to: bytes, reader: bytes) -> None:
        station = self.stations.get(reader)
        if station is not None:
            station.receive(payload, Arrival(source, to, 1))


class ProxyNode:
    """A machine in the world. notes, joined: what it has asked for; moved: downstream addresses it has proved.

    keep: what it writes down to outlive its death; die_at: how many actions more it carries out, None: it lives on.
    """

    def __init__(self, world: World, address: bytes, settings: UftpSettings, ring: KeyRing | None = None) -> None:
        self.world = world
        self.address = address
        self.settings = settings
        self.notes: list[Note] = []
        self.joined: Counter[bytes] = Counter()
        self.moved: list[bytes] = []
        self.deaths = 0
        self.die_at: int | None = None
        self.keep: Store | None = None
        entropy = random.Random(world.chance.random()).randbytes
        self._entropy = entropy
        self._throw_away = ring is None
        self._ring = ring or KeyRing((), entropy)
        self._begin()

    def outlive(self) -> None:
        """Write down from now on what a successor needs. To be called before it is given anything."""
        self.keep = Store.create("a machine in the world", 4 << 20)
        self._begin()

    def close(self) -> None:
        """Let go of what was written down."""
        if self.keep is not None:
            self.keep.close()
            self.keep = None

    def die(self) -> None:
        """Be killed, and live on as a replacement, which has the same socket and nothing else but what was kept."""
        self.deaths += 1
        self.die_at = None
        # A replacement is forked from the parent, which has made no key on demand.
        if self._throw_away:
            self._ring = KeyRing((), self._entropy)
        self._begin()

    def freeze(self) -> None:
        """End in good order for a replacement."""
        self.machine.freeze(self.world.now_ns)
        self._settle()
        self.die()

    def _begin(self) -> None:
        now_ns = self.world.now_ns
        self.machine = Machine(self.settings, self.settings.uid, self._ring, self._entropy, now_ns)
        if self.keep is not None:
            ledger = self.keep.open()
            kept = ledger.read()
            ledger.approve()
            self.machine.adopt(Archive(ledger), kept, now_ns)
        self._woken_ns = NEVER
        self._settle()

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Give the machine a datagram and do what it says."""
        self.machine.receive(datagram, arrival, self.world.now_ns)
        self._settle()

    def said(self, event: str) -> list[Note]:
        """Return the notes of an event."""
        return [note for note in self.notes if note.event == event]

    def _settle(self) -> None:
        actions, self.machine.actions[:] = list(self.machine.actions), []
        for action in actions:
            if self.die_at is not None:
                if not self.die_at:
                    self.die()
                    return
                self.die_at -= 1
            self._carry_out(action)
        due_ns = self.machine.next_deadline_ns()
        if due_ns < self._woken_ns:
            self._woken_ns = due_ns
            self.world.at(due_ns, lambda: self._wake(due_ns))

    def _wake(self, due_ns: int) -> None:
        if due_ns != self._woken_ns:
            return
        self._woken_ns = NEVER
        self.machine.expire(self.world.now_ns)
        self._settle()

    def _carry_out(self, action: object) -> None:
        if isinstance(action, Send):
            self.world.send(self.address, action.payload, action.to)
        elif isinstance(action, Note):
            assert_fits(action)
            self.notes.append(action)
        elif isinstance(action, Join):
            self.machine.note_joined(action.group)
            self.joined[action.group] = 1
            self.world.members[host_of(action.group)].add(self.address)
        elif isinstance(action, Leave):
            self.joined[action.group] = 0
            self.world.members[host_of(action.group)].discard(self.address)
            self.machine.note_left(action.group)
        elif isinstance(action, Moved):
            self.moved.append(action.downstream)


def assert_fits(note: Note) -> None:
    """Fail where a line for the log has other fields than its row in the catalogue: its worker would be killed."""
    plan_event(EVENTS[note.event]).values(("", *note.fields))


def settings_for(mode: Mode, uid: int, address: bytes, **changes: object) -> UftpSettings:
    """Return a proxy's settings on one interface."""
    version, value = 4, int.from_bytes(host_of(address))
    interface = Interface("lan0", 1, Address(version, value))
    base = UftpSettings(
        mode=mode,
        uid=uid,
        version=version,
        port=PORT,
        target_port=PORT,
        own=address,
        out_interface=interface,
        interfaces=(interface,),
        public_groups=() if mode is Mode.CLIENT else (PUBLIC,),
        log_level=5,
    )
    return replace(base, **changes)
