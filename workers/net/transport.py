"""What the datapath asks of the system: the same for the fast path (mmsg) and its plain twin.

Datagrams are received into the slots of an arena and sent from there. Nothing here raises for what a peer or a full
queue can cause: a call that did not do all it was asked leaves the reason in `error` (an errno).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from workers.net.ancillary import Control
from workers.net.arena import Arena

FlowKey: TypeAlias = int | bytes
"""What finds a client's session on a listener."""


class Transport(Protocol):
    """One worker's system calls.

    error: the errno of the last call that did less than it was asked. slots and counts as in Arena.
    client, target: where in shared memory the raw socket address lies, in bytes; -1: the socket is connected.
    """

    arena: Arena
    error: int

    def adopt(self, sock: socket.SocketType) -> None:
        """Make a socket usable by its descriptor."""
        ...

    def release(self, fd: int) -> None:
        """Forget a descriptor that is to be closed."""
        ...

    def receive(self, fd: int, version: int) -> int:
        """Receive up to SLOTS messages with their senders and control data; 0 when none waits."""
        ...

    def receive_connected(self, fd: int, first: int) -> int:
        """Receive into slots from first on, from a connected socket; 0 when none waits."""
        ...

    def receive_trains(self, fd: int, first: int) -> int:
        """Receive like receive_connected, with control data."""
        ...

    def keys(self, count: int, version: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders: equal exactly for equal addresses."""
        ...

    def flow_keys(self, count: int, version: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders and the destinations they wrote to."""
        ...

    def source(self, slot: int, version: int) -> bytes:
        """Return the raw socket address of a slot's sender."""
        ...

    def sizes(self, first: int, count: int) -> list[int]:
        """Return how many bytes each slot holds."""
        ...

    def control(self, slot: int) -> Control:
        """Return what the control data of a slot says."""
        ...

    def extras(self, first: int, count: int) -> dict[int, Control]:
        """Return the control data of those slots that have more than packet information."""
        ...

    def send(self, fd: int, slots: list[int], sizes: list[int], target: int, *, trains: bool) -> int:
        """Send slots, in order, on a server-side socket; return how many left. trains: equal sizes may leave as one."""
        ...

    def send_part(self, fd: int, slot: int, start: int, size: int, peer: int, control: bytes) -> bool:
        """Send bytes start to start + size of one slot as one datagram; the slow way, for what is left over."""
        ...

    def queue(self, slots: list[int], segment: int, client: int, control: bytes) -> int:
        """Line up one message: the slots as one train if segment is given; return how many messages wait.

        segment: bytes of each datagram but the last; 0: the one slot is one datagram. control: as ancillary encodes it.
        """
        ...

    def flush(self, fd: int, first: int) -> int:
        """Send the messages lined up from number first on; return how many left. All left: the line is empty again."""
        ...

    def forget(self) -> None:
        """Empty the line of messages."""
        ...
