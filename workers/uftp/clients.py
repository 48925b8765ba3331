"""The clients of one group behind a client or response proxy: who they are and how far each has come.

A client's state has one writer, `Clients.advance`, and one table. Nothing here walks over all clients: the states that
somebody asks for are kept as counts and sets.
Source: UFTP 4.10.2, observed: a client is known from its first REGISTER or CLIENT_KEY on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from workers.deadlines import NEVER

K = TypeVar("K")
"""What an encrypted group keeps of a client's key exchange."""


class ClientState(Enum):
    """How far a client has come. A plain group only needs to know that it is known."""

    MUTE = auto()
    """Known, but a part of its registration is missing: its CLIENT_KEY or its REGISTER."""
    REGISTERED = auto()
    CONFIRMED = auto()
    """The server has listed it in a REG_CONF: it is to be sent the group's key."""
    READY = auto()
    """It has proved that it has the group's key."""
    DONE = auto()
    """It has left the transfer with a COMPLETE for file 0."""


class ClientInput(Enum):
    """What moves a client on."""

    REGISTERED = auto()
    CONFIRMED = auto()
    PROVED = auto()
    COMPLETED = auto()


_S, _I = ClientState, ClientInput
TRANSITIONS: dict[ClientState, dict[ClientInput, ClientState]] = {
    _S.MUTE: {_I.REGISTERED: _S.REGISTERED},
    _S.REGISTERED: {
        _I.REGISTERED: _S.REGISTERED,
        _I.CONFIRMED: _S.CONFIRMED,
        _I.PROVED: _S.READY,
        _I.COMPLETED: _S.DONE,
    },
    _S.CONFIRMED: {
        _I.REGISTERED: _S.REGISTERED,
        _I.CONFIRMED: _S.CONFIRMED,
        _I.PROVED: _S.READY,
        _I.COMPLETED: _S.DONE,
    },
    _S.READY: {_I.REGISTERED: _S.REGISTERED, _I.PROVED: _S.READY, _I.COMPLETED: _S.DONE},
    _S.DONE: {_I.REGISTERED: _S.REGISTERED, _I.COMPLETED: _S.DONE},
}
"""A missing row: nothing changes."""
FINISHED = frozenset({ClientState.READY, ClientState.DONE})


@dataclass(slots=True, eq=False)
class Client(Generic[K]):
    """One client. order: its place among the group's clients by first appearance; keyinfos: how many it was sent.

    since_ns: when it began to register, from which its time counts; NEVER once it has had the group's key, or was told
    that it took too long.
    """

    uid: int
    order: int
    state: ClientState = ClientState.MUTE
    exchange: K | None = None
    keyinfos: int = 0
    since_ns: int = 0

    @property
    def has_joined(self) -> bool:
        """Whether it has had the group's key: what is said openly under its name since then may be a stranger's."""
        return self.state in FINISHED or self.since_ns == NEVER


class Clients(Generic[K]):
    """A group's clients by UID. limit: how many there may be. changed: those of whom more is known than was taken."""

    __slots__ = ("_by_uid", "_confirmed", "_limit", "_unfinished", "changed")

    def __init__(self, limit: int) -> None:
        self.changed: dict[int, Client[K]] = {}
        self._by_uid: dict[int, Client[K]] = {}
        self._confirmed: dict[int, Client[K]] = {}
        self._unfinished: dict[int, Client[K]] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._by_uid)

    def get(self, uid: int) -> Client[K] | None:
        """Return a known client, None for a stranger."""
        return self._by_uid.get(uid)

    def add(self, uid: int) -> Client[K] | None:
        """Make a client known; return None if there are as many as there may be."""
        if len(self._by_uid) >= self._limit:
            return None
        client: Client[K] = Client(uid, len(self._by_uid))
        self.enter(client)
        self.changed[uid] = client
        return client

    def enter(self, client: Client[K]) -> bool:
        """Take in a client as it is, the last in order; tell whether there was room, and nobody of its UID."""
        if len(self._by_uid) >= self._limit or client.uid in self._by_uid:
            return False
        client.order = len(self._by_uid)
        self._by_uid[client.uid] = client
        self._file(client)
        return True

    def take_changed(self) -> list[Client[K]]:
        """Return the clients of whom more is known than when this was called last."""
        changed = list(self.changed.values())
        self.changed.clear()
        return changed

    def advance(self, client: Client[K], step: ClientInput) -> bool:
        """Move a client on; say whether the table has a row for this."""
        state = TRANSITIONS[client.state].get(step)
        if state is None:
            return False
        client.state = state
        if state in FINISHED:
            client.since_ns = NEVER
        self.changed[client.uid] = client
        self._file(client)
        if step is ClientInput.REGISTERED:
            client.keyinfos = 0
        return True

    def _file(self, client: Client[K]) -> None:
        """Let a client stand where its state belongs."""
        for members, belongs in (
            (self._confirmed, client.state is ClientState.CONFIRMED),
            (self._unfinished, client.state not in FINISHED),
        ):
            if belongs:
                members[client.uid] = client
            else:
                members.pop(client.uid, None)

    @property
    def confirmed(self) -> list[Client[K]]:
        """The clients that are to be sent the group's key, in the order in which they were confirmed."""
        return list(self._confirmed.values())

    def somebody_waits(self, keyinfos_max: int) -> bool:
        """Tell whether a confirmed client has not been sent the group's key so often yet."""
        return any(client.keyinfos < keyinfos_max for client in self._confirmed.values())

    @property
    def unfinished(self) -> list[Client[K]]:
        """The clients that have not proved to have the group's key, in no particular order."""
        return list(self._unfinished.values())

    @property
    def all_finished(self) -> bool:
        """Whether there are clients and each of them is ready or gone."""
        return bool(self._by_uid) and not self._unfinished
