"""The fast path's plain twin: the same contract in Python's own socket calls, a datagram a call.

An operator forces it with `fast-path off`; tests run every scenario on both. Source: socket(7), recvmsg(2), sendmsg(2).
"""

from __future__ import annotations

import mmap
import socket
from collections.abc import Sequence
from typing import TypeAlias

from workers.contract.settings import Address
from workers.net import ancillary
from workers.net.ancillary import Control
from workers.net.arena import CONTROL_BYTES, PAYLOAD_BYTES, SLOTS, Arena
from workers.net.segments import runs
from workers.net.singles import Cuts, send_singles, take_singles
from workers.net.transport import FlowKey, Part, Stored
from workers.wire import sockaddr

PythonAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_Queued: TypeAlias = tuple[range, int, int, bytes]


def to_python(raw: bytes) -> PythonAddress:
    """Return a raw socket address as Python's socket calls take it."""
    address, port = sockaddr.decode(raw)
    text = socket.inet_ntop(
        _FAMILIES[address.version], address.value.to_bytes(16 if address.version == 6 else 4, "big")
    )
    return (text, port) if address.version == 4 else (text, port, 0, sockaddr.scope_of(raw))


def from_python(version: int, address: PythonAddress) -> bytes:
    """Return the raw form of an address that Python's socket calls gave."""
    host = address[0].partition("%")[0]
    value = int.from_bytes(socket.inet_pton(_FAMILIES[version], host), "big")
    return sockaddr.encode(Address(version, value), address[1], address[3] if len(address) > 3 else 0)


class PlainTransport:
    """See workers.net.transport.Transport. shared: the worker's region, where clients' and targets' addresses lie."""

    def __init__(self, arena: Arena, shared: mmap.mmap) -> None:
        self.arena = arena
        self.error = 0
        self.errors: dict[int, int] = {}
        self._views = [arena.payload(slot, PAYLOAD_BYTES) for slot in range(SLOTS)]
        self._cuts = [Cuts(view) for view in self._views]
        self._shared = shared
        self._sockets: dict[int, socket.SocketType] = {}
        self._sizes = [0] * SLOTS
        self._order = list(range(SLOTS))
        self._sources = [b""] * SLOTS
        self._controls: list[list[tuple[int, int, bytes]]] = [[] for _ in range(SLOTS)]
        self._queue: list[_Queued] = []

    def adopt(self, sock: socket.SocketType) -> None:
        """Make a socket usable by its descriptor."""
        self._sockets[sock.fileno()] = sock

    def release(self, fd: int) -> None:
        """Forget a descriptor that is to be closed."""
        self._sockets.pop(fd, None)

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, fd: int, version: int, most: int = SLOTS) -> int:
        """Receive up to most messages with their senders and control data; 0 when none waits."""
        return self._receive(fd, 0, version, most)

    def receive_each(self, fds: list[int]) -> list[int]:
        """Take what waits in each socket into slots from 0 on; return how many of each, as far as slots go.

        Where there was none, errors may say why, by its number.
        """
        counts: list[int] = []
        cursor = 0
        self.errors.clear()
        for fd in fds:
            count = self._receive(fd, cursor, 0)
            if not count and self.error:
                self.errors[len(counts)] = self.error
            counts.append(count)
            cursor += count
            if cursor == SLOTS:
                break
        return counts

    def receive_singles(self, socks: list[socket.SocketType]) -> list[int]:
        """Take one datagram from each socket into slots from 0 on; return the sizes of those that had one, in order.

        Where one had none, errors says why, by its number: an errno, 0 for nothing at all.
        """
        sizes = take_singles(socks, self._views, self.errors)
        self._sizes[: len(sizes)] = sizes
        return sizes

    def _receive(self, fd: int, first: int, version: int, end: int = SLOTS) -> int:
        slot = first
        while slot < end and self._receive_one(fd, slot, version):
            slot += 1
        return slot - first

    def _receive_one(self, fd: int, slot: int, version: int) -> bool:
        view = self.arena.payload(slot, PAYLOAD_BYTES)
        try:
            size, items, _, address = self._sockets[fd].recvmsg_into([view], CONTROL_BYTES)
        except (BlockingIOError, InterruptedError):
            self.error = 0
            return False
        except OSError as error:
            self.error = error.errno or 0
            return False
        self._sizes[slot] = size
        self._controls[slot] = items
        if version:
            self._sources[slot] = from_python(version, address)
        return True

    def keys(self, count: int, version: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders: the raw address."""
        del version
        return list(self._sources[:count])

    def key(self, source: bytes) -> FlowKey:
        """Return what keys returns for a raw sender."""
        return source

    def flow_keys(self, count: int, version: int, usual: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders and the destinations they wrote to."""
        del version, usual
        packets = [self.control(slot).packet for slot in range(count)]
        return [self._sources[slot] + (packet.destination if packet else b"") for slot, packet in enumerate(packets)]

    def flow_key(self, source: bytes, destination: bytes) -> FlowKey:
        """Return what flow_keys returns for a raw sender that has written to a packed address."""
        return source + destination

    def source(self, slot: int, version: int) -> bytes:
        """Return the raw socket address of a slot's sender."""
        del version
        return self._sources[slot]

    def sources(self, first: int, end: int, version: int) -> list[bytes]:
        """Return the raw socket addresses of the senders of slots from first up to end."""
        del version
        return self._sources[first:end]

    def sizes(self, first: int, count: int) -> list[int]:
        """Return how many bytes each slot holds."""
        return self._sizes[first : first + count]

    def control(self, slot: int) -> Control:
        """Return what the control data of a slot says."""
        return ancillary.decode(iter(self._controls[slot]))

    def store(self, slot: int, size: int) -> Stored:
        """Copy the first size bytes of a received slot, its sender and its control data."""
        control = b"".join(ancillary.item(*item) for item in self._controls[slot])
        return Stored(self._sources[slot], control, bytes(self._views[slot][:size]))

    def restore(self, stored: Stored) -> None:
        """Lay a stored datagram into slot 0, as if it had just been received alone."""
        source, control, payload = stored
        self._sources[0] = source
        self._controls[0] = list(ancillary.split(control))
        self._views[0][: len(payload)] = payload
        self._sizes[0] = len(payload)

    def extras(self, first: int, count: int, usual: int) -> dict[int, Control]:
        """Return the control data of those slots that are trains or have other news."""
        del usual
        found = {slot: self.control(slot) for slot in range(first, first + count)}
        return {slot: extra for slot, extra in found.items() if extra.train_bytes or extra.overflow is not None}

    # --- sending -----------------------------------------------------------------------------------------------------

    def arrange(self, order: list[int], sizes: list[int]) -> None:
        """Lay slots side by side: for sending, SLOTS + i then stands for slot order[i], whose size is sizes[i]."""
        self._order = list(range(SLOTS)) + order
        self._sizes[SLOTS:] = sizes

    def send(self, fd: int, first: int, sizes: list[int], target: int, *, trains: bool) -> int:
        """Send slots from first on, of these sizes, on a server-side socket; return how many left."""
        pieces = runs(sizes) if trains else [(index, 1) for index in range(len(sizes))]
        for start, length in pieces:
            self.queue(first + start, length, sizes[start] if length > 1 else 0, target, b"")
        left = self.flush(fd, 0)
        self.forget()
        return sum(length for _, length in pieces[:left])

    def send_one(self, sock: socket.SocketType, slot: int, size: int) -> bool:
        """Send one slot on a connected socket."""
        slot = self._order[slot]
        try:
            sock.send(self._views[slot][:size])
        except OSError as error:
            self.error = error.errno or 0
            return False
        return True

    def send_each(self, socks: list[socket.SocketType], sizes: list[int], first: int) -> list[tuple[int, int]]:
        """Send slots from first on, each on its own connected socket; return (slot, errno) of those that stayed.

        sizes: of all slots from 0 on.
        """
        return send_singles(socks, sizes, self._cuts, first)

    def reply(self, fd: int, first: int, clients: list[int]) -> int:
        """Send the slots from first on, each to its own client, on one socket; return how many left."""
        for sent, client in enumerate(clients):
            if not self._send(fd, [self._payload(first + sent)], client, b""):
                return sent
        return len(clients)

    def _payload(self, slot: int) -> memoryview:
        return self.arena.payload(self._order[slot], self._sizes[slot])

    def send_part(self, fd: int, part: Part, peer: int, control: bytes) -> bool:
        """Send one datagram out of a slot; the slow way, for what is left over."""
        return self._send(fd, [self.payload(part)], peer, control)

    def payload(self, part: Part) -> memoryview:
        """Return a view of one datagram in a slot, an arranged one too; copy what is to be kept."""
        return self.arena.payload(self._order[part.slot], part.start + part.size)[part.start :]

    def queue(self, first: int, count: int, segment: int, client: int, control: bytes) -> int:
        """Line up one message: count slots from first on as one train; return how many messages wait."""
        self._queue.append((range(first, first + count), segment, client, control))
        return len(self._queue)

    def flush(self, fd: int, first: int) -> int:
        """Send the messages lined up from number first on; return how many left. All left: the line is empty again."""
        for sent, (slots, segment, client, control) in enumerate(self._queue[first:]):
            payloads = [self._payload(slot) for slot in slots]
            train = ancillary.segment(segment) if segment else b""
            if not self._send(fd, payloads, client, control + train):
                return sent
        sent = len(self._queue) - first
        self._queue.clear()
        return sent

    def forget(self) -> None:
        """Empty the line of messages."""
        self._queue.clear()

    def _send(self, fd: int, payloads: list[memoryview], peer: int, control: bytes) -> bool:
        items = list(ancillary.split(control))
        address = to_python(self._shared[peer : peer + sockaddr.V6_BYTES]) if peer >= 0 else None
        try:
            self._sockets[fd].sendmsg(payloads, items, 0, address)
        except OSError as error:
            self.error = error.errno or 0
            return False
        return True
