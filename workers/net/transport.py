"""What the datapath asks of the system: the same for the fast path (mmsg) and its plain twin.

Datagrams are received into the slots of an arena and sent from there. Nothing here raises for what a peer or a full
queue can cause: a call that did not do all it was asked leaves the reason in `error` (an errno).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from workers.net.ancillary import Control
from workers.net.arena import SLOTS, Arena

FlowKey: TypeAlias = int | bytes
"""What finds a client's session on a listener."""


class Part(NamedTuple):
    """One datagram within a slot: size bytes from start on."""

    slot: int
    start: int
    size: int


class Stored(NamedTuple):
    """A datagram as it was received, copied out of its slot: sender, control data and payload."""

    source: bytes
    control: bytes
    payload: bytes


class Transport(Protocol):
    """One worker's system calls.

    error: the errno of the last call that did less than it was asked. slots and counts as in Arena.
    client, target, peer: where in shared memory the raw socket address lies, in bytes; -1: the socket is connected.
    """

    arena: Arena
    error: int
    errors: dict[int, int]

    def adopt(self, sock: socket.SocketType) -> None:
        """Make a socket usable by its descriptor."""
        ...

    def release(self, fd: int) -> None:
        """Forget a descriptor that is to be closed."""
        ...

    def receive(self, fd: int, version: int, most: int = SLOTS) -> int:
        """Receive up to most messages with their senders and control data; 0 when none waits."""
        ...

    def receive_each(self, fds: list[int]) -> list[int]:
        """Take what waits in each socket into slots from 0 on; return how many of each, as far as slots go.

        Where there was none, errors may say why, by its number.
        """
        ...

    def receive_singles(self, socks: list[socket.SocketType]) -> list[int]:
        """Take one datagram from each socket into slots from 0 on; return the sizes of those that had one, in order.

        Where one had none, errors says why, by its number: an errno, 0 for nothing at all.
        """
        ...

    def keys(self, count: int, version: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders: equal exactly for equal addresses."""
        ...

    def key(self, source: bytes) -> FlowKey:
        """Return what keys returns for a raw sender."""
        ...

    def flow_keys(self, count: int, version: int, usual: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders and the destinations they wrote to.

        usual: how many bytes of control data each has that is a single datagram, packet information first.
        """
        ...

    def flow_key(self, source: bytes, destination: bytes) -> FlowKey:
        """Return what flow_keys returns for a raw sender that has written to a packed address."""
        ...

    def source(self, slot: int, version: int) -> bytes:
        """Return the raw socket address of a slot's sender."""
        ...

    def sources(self, first: int, end: int, version: int) -> list[bytes]:
        """Return the raw socket addresses of the senders of slots from first up to end."""
        ...

    def sizes(self, first: int, count: int) -> list[int]:
        """Return how many bytes each slot holds."""
        ...

    def control(self, slot: int) -> Control:
        """Return what the control data of a slot says."""
        ...

    def extras(self, first: int, count: int, usual: int) -> dict[int, Control]:
        """Return the control data of those slots that are trains or have other news: not of the usual length."""
        ...

    def store(self, slot: int, size: int) -> Stored:
        """Copy the first size bytes of a received slot, its sender and its control data."""
        ...

    def restore(self, stored: Stored) -> None:
        """Lay a stored datagram into slot 0, as if it had just been received alone."""
        ...

    def arrange(self, order: list[int], sizes: list[int]) -> None:
        """Lay slots side by side: for sending, SLOTS + i then stands for slot order[i], whose size is sizes[i]."""
        ...

    def send(self, fd: int, first: int, sizes: list[int], target: int, *, trains: bool) -> int:
        """Send slots from first on, of these sizes, on a server-side socket; return how many left.

        trains: equal sizes may leave as one message.
        """
        ...

    def send_one(self, sock: socket.SocketType, slot: int, size: int) -> bool:
        """Send one slot on a connected socket."""
        ...

    def send_each(self, socks: list[socket.SocketType], sizes: list[int], first: int) -> list[tuple[int, int]]:
        """Send slots from first on, each on its own connected socket; return (slot, errno) of those that stayed.

        sizes: of all slots from 0 on.
        """
        ...

    def reply(self, fd: int, first: int, clients: list[int]) -> int:
        """Send the slots from first on, each to its own client, on one socket; return how many left."""
        ...

    def send_part(self, fd: int, part: Part, peer: int, control: bytes) -> bool:
        """Send one datagram out of a slot; the slow way, for what is left over."""
        ...

    def payload(self, part: Part) -> memoryview:
        """Return a view of one datagram in a slot, an arranged one too; copy what is to be kept."""
        ...

    def queue(self, first: int, count: int, segment: int, client: int, control: bytes) -> int:
        """Line up one message: count slots from first on as one train; return how many messages wait.

        segment: bytes of each datagram but the last; 0: the one slot is one datagram. control: as ancillary encodes it.
        """
        ...

    def flush(self, fd: int, first: int) -> int:
        """Send the messages lined up from number first on; return how many left. All left: the line is empty again."""
        ...

    def forget(self) -> None:
        """Empty the line of messages."""
        ...
