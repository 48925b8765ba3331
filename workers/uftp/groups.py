"""One transfer that passes through this proxy, and the table of them all.

A group keeps what its first ANNOUNCE said (Terms), what its server's newest datagram said of the round-trip time, how
far it has come, its clients, what waits to be sent up, and its deadlines. Sans-I/O: the clock is an argument.
Source: UFTP 4.10.2, observed; limits and bounded waiting: ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from workers.deadlines import NEVER
from workers.uftp.actions import GroupKey
from workers.uftp.aggregate import UID_BYTES, Pending
from workers.uftp.clients import Client, Clients
from workers.uftp.exchange import ClientLeg, GroupCrypto
from workers.uftp.quantise import GRTT_NS
from workers.uftp.timers import SECOND_NS

MIN_PATIENCE_NS = SECOND_NS
MAX_PATIENCE_NS = 3600 * SECOND_NS
"""No group outlives an hour of silence, whatever GRTT it claims (1,000 s are possible, times 255)."""
MIN_LULL_NS, MAX_LULL_NS, LULL_ROUND_TRIPS = 2 * SECOND_NS, 10 * SECOND_NS, 4
"""A silence in which a server that lives would have spoken: it repeats everything after three round trips."""
MIN_KEYINFO_WAIT_NS = 10_000_000
"""A server's own floor of the GRTT: with 1 us in a header, KEYINFO would be repeated without end."""
MAX_BODY_BYTES = 8_192
"""What a message of ours carries at most, whatever block size was announced: 4.10.2 reads 9,000 bytes."""
_SEQUENCES = 1 << 16


class Phase(Enum):
    """How far a group's set-up has come."""

    REGISTERED = auto()
    """Announced."""
    READY = auto()
    """The group's key is known."""
    RECEIVING = auto()
    """Set-up is over: everybody is ready, or it has taken too long."""


class PhaseInput(Enum):
    """What moves a group on."""

    KEYED = auto()
    ALL_READY = auto()
    DEADLINE = auto()


_P, _I = Phase, PhaseInput
TRANSITIONS: dict[Phase, dict[PhaseInput, Phase]] = {
    _P.REGISTERED: {_I.KEYED: _P.READY, _I.DEADLINE: _P.RECEIVING},
    _P.READY: {_I.ALL_READY: _P.RECEIVING, _I.DEADLINE: _P.RECEIVING},
    _P.RECEIVING: {},
}
"""A missing row: nothing changes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a group's first ANNOUNCE said. Addresses are raw; private, public: with the clients' port, b"" for none.

    announced_us: the server's clock when it announced: no client can have heard anything earlier.
    """

    server_uid: int
    upstream: bytes
    robust: int
    cc_type: int
    block_bytes: int
    announced_us: int
    public: bytes
    private: bytes

    @property
    def body_bytes(self) -> int:
        """How many bytes of list or map a message of ours may carry."""
        return min(self.block_bytes, MAX_BODY_BYTES)

    @property
    def uids_max(self) -> int:
        """How many clients a message of ours may list."""
        return max(self.body_bytes // UID_BYTES, 1)


@dataclass(slots=True, eq=False)
class Progress:
    """What has passed on to the clients' side of a group: to be shown, nothing is decided by it.

    began_ns: when the group began. Of the newest file that was announced openly: file_id, 0 for none; file_bytes, what
    passed since file_ns, when it was announced first; file_size, in bytes; file_name, as on the wire.
    """

    began_ns: int = 0
    datagrams: int = 0
    payload_bytes: int = 0
    file_id: int = 0
    file_ns: int = 0
    file_bytes: int = 0
    file_size: int = 0
    file_name: bytes = b""

    def count(self, datagrams: int, size: int) -> None:
        """Count datagrams with so many bytes of payload in all."""
        self.datagrams += datagrams
        self.payload_bytes += size
        self.file_bytes += size

    def begin_file(self, file_id: int, size: int, name: bytes, now_ns: int) -> None:
        """Take over what an announcement of a file says; its repetitions change nothing."""
        if (file_id, name) != (self.file_id, self.file_name):
            self.file_id, self.file_size, self.file_name = file_id, size, name
            self.file_bytes, self.file_ns = 0, now_ns


@dataclass(slots=True, eq=False)
class Group:
    """One transfer. grtt, size: the bytes of the server's newest header; heard_ns: when something last happened here.

    setup_ns, keyinfo_ns: when set-up must be over and when the group's key is sent again, NEVER if not; keyinfo_queue:
    to whom. crypto: None in a plain group, and always in a server proxy, which looks at nothing. progress: to be shown.
    settled, aliases: of a server proxy: whether nobody else is taken for its downstream any more, since that has said
    something from where it is reached or the server has come to its files, and the hosts that were taken for it.
    registered: of a server proxy: the UIDs whose REGISTER has passed, as far as they are remembered.
    """

    key: GroupKey
    terms: Terms
    grtt: int
    size: int
    heard_ns: int
    setup_ns: int
    clients: Clients[ClientLeg]
    pending: Pending
    crypto: GroupCrypto | None = None
    phase: Phase = Phase.REGISTERED
    keyinfo_ns: int = NEVER
    keyinfo_queue: dict[int, Client[ClientLeg]] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    sequence: int = 0
    down_sequence: int = 0
    warned: bool = False
    settled: bool = False
    aliases: set[bytes] = field(default_factory=set)
    registered: set[int] = field(default_factory=set)

    @property
    def grtt_ns(self) -> int:
        """The round-trip time of the whole group."""
        return GRTT_NS[self.grtt]

    @property
    def patience_ns(self) -> int:
        """How long nothing may happen."""
        return patience_ns(self.terms.robust, self.grtt)

    @property
    def pending_ns(self) -> int:
        """When what waits must go: a round trip after the first of it came; NEVER if nothing waits."""
        return self.pending.since_ns + self.grtt_ns if self.pending else NEVER

    @property
    def silence_ns(self) -> int:
        """When the group ends unless something happens; never while something waits to be sent."""
        return self.heard_ns + self.patience_ns if not self.pending else NEVER

    @property
    def lull_ns(self) -> int:
        """When the group ends unless something happens, where others have more need of its place."""
        lull_ns = min(max(LULL_ROUND_TRIPS * self.grtt_ns, MIN_LULL_NS), MAX_LULL_NS)
        return min(self.silence_ns, self.heard_ns + lull_ns)

    @property
    def due_ns(self) -> int:
        """The earliest of the group's deadlines."""
        return min(self.pending_ns, self.silence_ns, self.setup_ns, self.keyinfo_ns)

    def advance(self, step: PhaseInput) -> bool:
        """Move the set-up on; say whether anything has changed."""
        phase = TRANSITIONS[self.phase].get(step)
        if phase is None:
            return False
        self.phase = phase
        return True

    def hear(self, grtt: int, size: int) -> bool:
        """Take over what a server's header says; say whether the round-trip time is another one now."""
        changed = self.grtt != grtt
        self.grtt, self.size = grtt, size
        return changed

    def next_sequence(self) -> int:
        """Return the number of the next message of our own to the server."""
        sequence = self.sequence
        self.sequence = (sequence + 1) % _SEQUENCES
        return sequence

    def next_down_sequence(self) -> int:
        """Return the number of the next message of our own to the clients."""
        sequence = self.down_sequence
        self.down_sequence = (sequence + 1) % _SEQUENCES
        return sequence

    def queue_waiting(self) -> None:
        """Queue the clients that still want the group's key and have not been sent it too often: ROBUST times."""
        confirmed, often = self.clients.confirmed, self.terms.robust
        self.keyinfo_queue = {client.uid: client for client in confirmed if client.keyinfos < often}

    def keyinfo_again(self, now_ns: int) -> None:
        """Set the time for the next KEYINFO: two round trips from now if somebody waits for one, else never."""
        wait_ns = max(2 * self.grtt_ns, MIN_KEYINFO_WAIT_NS)
        self.keyinfo_ns = now_ns + wait_ns if self.clients.somebody_waits(self.terms.robust) else NEVER


def patience_ns(robust: int, grtt: int) -> int:
    """Return how long set-up may take and silence may last: ROBUST round trips, a second at least, an hour at most."""
    return min(max(robust * GRTT_NS[grtt], MIN_PATIENCE_NS), MAX_PATIENCE_NS)


class Groups:
    """All groups by their key. limit: how many there may be. closed: whether no other one is taken, room or not.

    looked_ns: when it was looked last which of them are quiet. generation: a number that changes when a group goes, or
    who speaks in it: what is known of it elsewhere is void.
    """

    __slots__ = ("_by_key", "_limit", "closed", "generation", "looked_ns")

    def __init__(self, limit: int) -> None:
        self._by_key: dict[GroupKey, Group] = {}
        self._limit = limit
        self.closed = False
        self.generation = 0
        self.looked_ns = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_key.values())

    @property
    def full(self) -> bool:
        """Whether no other group is taken."""
        return self.closed or len(self._by_key) >= self._limit

    @property
    def crowded(self) -> bool:
        """Whether three quarters of all places are taken."""
        return 4 * len(self._by_key) >= 3 * self._limit

    def get(self, key: GroupKey) -> Group | None:
        """Return a group, None if it is not known."""
        return self._by_key.get(key)

    def add(self, group: Group) -> None:
        """Enter a group under its key."""
        self._by_key[group.key] = group

    def remove(self, group: Group) -> None:
        """Forget a group."""
        del self._by_key[group.key]
        self.generation += 1
