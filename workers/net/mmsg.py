"""The fast path: recvmmsg and sendmmsg over one mmap, through ctypes, with nothing compiled.

Message headers are laid out once and hold the slots' addresses for good: a receive or a send stores only what differs
from the last one, and what a whole batch needs (sizes, lengths to reset) is copied by strided views. Calls are made
without argtypes on purpose: prepared c_void_p objects and small integers convert in a third of the time (740 ns against
1,230 ns for an empty recvmmsg), and PyDLL keeps the interpreter lock that nobody else wants. Every pointer passed is
one of the objects prepared here. Its plain twin is workers.net.plain; tests compare the two.
Source: recvmmsg(2), sendmmsg(2), struct mmsghdr of 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import select
import socket
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

from workers.net import ancillary
from workers.net.ancillary import Control
from workers.net.arena import CONTROL_BYTES, NAME_BYTES, PAYLOAD_BYTES, SLOTS, Arena
from workers.net.headers import (
    ANSWER,
    ANSWER_CONTROL,
    ANSWER_CONTROLS,
    FULL_CONTROLS,
    FULL_NAMES,
    IOV_SEND,
    IOVEC,
    MMSGHDR,
    SPARE,
    WORD,
    Headers,
)
from workers.net.segments import runs
from workers.net.singles import Cuts, send_singles, take_singles
from workers.net.transport import FlowKey, Part, Stored
from workers.wire.sockaddr import V4_BYTES, V6_BYTES

_libc = ctypes.PyDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_sendmmsg = _libc.sendmmsg
_recv = _libc.recv
_poll = _libc.poll
_connect = ctypes.PyDLL(None).connect
"""Nobody asks why it failed: without a copy of errno it takes 60 ns less, once a session."""

_MSG_DONTWAIT = 0x40
_IDLE = {errno.EAGAIN, errno.EINTR}
_DRAINED = _IDLE | {errno.EBADF}
_UNSPECIFIED = ctypes.create_string_buffer(V4_BYTES)
_UNSPECIFIED_EACH, _LENGTH_EACH = repeat(_UNSPECIFIED), repeat(V4_BYTES)
_POLLED = mmap.mmap(-1, SLOTS * WORD)
"""An array of struct pollfd: a word each, of descriptor, what is asked and what was found. Source: poll(2)."""
_POLLED_WORDS = memoryview(_POLLED).cast("Q")
_POLLED_AT = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(_POLLED)))
_ASKED = select.POLLIN << 32
_FOUND_SHIFT = 48
_NOTHING = ctypes.c_void_p(0)
_SEGMENT = bytearray(ancillary.segment(0))
_SEGMENT_AT = 16
"""Where the size lies in the control item of a train."""


@lru_cache(maxsize=1024)
def _decode_control(raw: bytes) -> Control:
    """Decode control data; most datagrams of a client, and of a stream, have the same."""
    return ancillary.decode(ancillary.split(raw))


def _address_of(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _pointers(base: int, offsets: Iterable[int]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(base + offset) for offset in offsets]


class _Receiver:
    """The receiving half; see workers.net.transport.Transport."""

    def __init__(self, arena: Arena, headers: Headers) -> None:
        self.arena = arena
        self.error = 0
        self.errors: dict[int, int] = {}
        self._views = [arena.payload(slot, PAYLOAD_BYTES) for slot in range(SLOTS)]
        self._cuts = [Cuts(view) for view in self._views]
        self._memory = arena.bytes
        self._headers = headers
        self._named_at = _pointers(headers.base, headers.named)
        self._connected_at = _pointers(headers.base, headers.connected)
        self._control_lengths = headers.control_lengths
        self._send_sizes = headers.send_sizes
        self._version = 0
        self._spent = SLOTS

    def adopt(self, sock: socket.SocketType) -> None:
        """Nothing to do: descriptors are enough here."""

    def release(self, fd: int) -> None:
        """Nothing to do."""

    def receive(self, fd: int, version: int, most: int = SLOTS) -> int:
        """Receive up to most messages with their senders and control data; 0 when none waits."""
        if version != self._version:
            self._headers.name_lengths[:] = FULL_NAMES
            self._version = version
        spent = self._spent
        self._control_lengths[:spent] = FULL_CONTROLS[:spent]
        count: int = _recvmmsg(fd, self._named_at[0], most, _MSG_DONTWAIT, None)
        if count <= 0:
            self._spent = 0
            return self._failed(count)
        self._spent = count
        self._send_sizes[:count] = self._headers.named_sizes[:count]
        return count

    def receive_each(self, fds: list[int]) -> list[int]:
        """Take what waits in each socket into slots from 0 on; return how many of each, as far as slots go.

        Where there was none, errors may say why, by its number.
        """
        at, call, errors = self._connected_at, _recvmmsg, self.errors
        counts: list[int] = []
        cursor = 0
        errors.clear()
        for fd in fds:
            count = call(fd, at[cursor], SLOTS - cursor, _MSG_DONTWAIT, None)
            if count < 0:
                if (code := ctypes.get_errno()) not in _IDLE:
                    errors[len(counts)] = code
                count = 0
            counts.append(count)
            cursor += count
            if cursor == SLOTS:
                break
        self._send_sizes[:cursor] = self._headers.connected_sizes[:cursor]
        return counts

    def receive_singles(self, socks: list[socket.SocketType]) -> list[int]:
        """Take one datagram from each socket into slots from 0 on; return the sizes of those that had one, in order.

        Where one had none, errors says why, by its number: an errno, 0 for nothing at all.
        """
        sizes = take_singles(socks, self._views, self.errors)
        self._send_sizes[: len(sizes)] = memoryview(array("I", sizes))
        return sizes

    def _failed(self, count: int) -> int:
        code = ctypes.get_errno() if count < 0 else 0
        self.error = 0 if code in _IDLE else code
        return 0

    def keys(self, count: int, version: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders: family, port and address in one integer for IPv4."""
        if version == 4:
            return self.arena.names_q[: count * 4 : 4].tolist()
        return [self.source(slot, version) for slot in range(count)]

    def key(self, source: bytes) -> FlowKey:
        """Return what keys returns for a raw sender."""
        return int.from_bytes(source[:WORD], sys.byteorder) if len(source) == V4_BYTES else source

    def flow_keys(self, count: int, version: int, usual: int) -> Sequence[FlowKey]:
        """Return a key for each of the first slots' senders and the destinations they wrote to.

        usual: how many bytes of control data each has that is a single datagram, packet information first.
        """
        if version == 4 and usual and self._control_lengths[:count].tolist().count(usual) == count:
            destinations = self._headers.packets4[: count * CONTROL_BYTES // WORD : CONTROL_BYTES // WORD].tolist()
            names = self.arena.names_q[: count * 4 : 4].tolist()
            return [name << 32 | word & 0xFFFF_FFFF for name, word in zip(names, destinations, strict=True)]
        found: list[FlowKey] = []
        for slot in range(count):
            packet = self.control(slot).packet
            to = packet.destination if packet else b""
            if version == 4:
                found.append(self.arena.names_q[slot * 4] << 32 | int.from_bytes(to, sys.byteorder))
            else:
                found.append(self.source(slot, version) + to)
        return found

    def flow_key(self, source: bytes, destination: bytes) -> FlowKey:
        """Return what flow_keys returns for a raw sender that has written to a packed address."""
        if len(source) == V4_BYTES:
            name = int.from_bytes(source[:WORD], sys.byteorder)
            return name << 32 | int.from_bytes(destination, sys.byteorder)
        return source + destination

    def source(self, slot: int, version: int) -> bytes:
        """Return the raw socket address of a slot's sender."""
        start = slot * NAME_BYTES
        return bytes(self._memory[start : start + (V4_BYTES if version == 4 else V6_BYTES)])

    def sources(self, first: int, end: int, version: int) -> list[bytes]:
        """Return the raw socket addresses of the senders of slots from first up to end."""
        return list(_names(end - first, version).unpack_from(self._memory, first * NAME_BYTES))

    def sizes(self, first: int, count: int) -> list[int]:
        """Return how many bytes each slot holds."""
        return self._send_sizes[first : first + count].tolist()

    def control(self, slot: int) -> Control:
        """Return what the control data of a slot says."""
        start = self.arena.control_offset(slot)
        return _decode_control(bytes(self._memory[start : start + self._control_lengths[slot]]))

    def store(self, slot: int, size: int) -> Stored:
        """Copy the first size bytes of a received slot, its sender and its control data."""
        name, control = self.arena.name_offset(slot), self.arena.control_offset(slot)
        return Stored(
            bytes(self._memory[name : name + NAME_BYTES]),
            bytes(self._memory[control : control + self._control_lengths[slot]]),
            bytes(self._views[slot][:size]),
        )

    def restore(self, stored: Stored) -> None:
        """Lay a stored datagram into slot 0, as if it had just been received alone."""
        source, control, payload = stored
        name, start = self.arena.name_offset(0), self.arena.control_offset(0)
        self._memory[name : name + len(source)] = source
        self._memory[start : start + len(control)] = control
        self._views[0][: len(payload)] = payload
        self._control_lengths[0] = len(control)
        self._send_sizes[0] = len(payload)
        self._spent = max(self._spent, 1)

    def extras(self, first: int, count: int, usual: int) -> dict[int, Control]:
        """Return the control data of those slots that are trains or have other news: not of the usual length."""
        lengths = self._control_lengths[first : first + count].tolist()
        if lengths.count(usual) == count:
            return {}
        return {slot: self.control(slot) for slot, length in enumerate(lengths, first) if length != usual}


class MmsgTransport(_Receiver):
    """See workers.net.transport.Transport. shared: the worker's region, where clients' and targets' addresses lie."""

    def __init__(self, arena: Arena, shared: mmap.mmap) -> None:
        headers = Headers(arena, _address_of(arena.memory))
        super().__init__(arena, headers)
        self._base = headers.base
        self._shared = _address_of(shared)
        self._q = headers.words
        self._single_at = _pointers(headers.base, headers.single)
        self._answer_at = _pointers(headers.base, headers.answer)
        self._reply_at = _pointers(headers.base, headers.reply)
        self._spare_at = ctypes.c_void_p(headers.base + SPARE)
        self._payload_at = [headers.base + arena.payload_offset(slot) for slot in range(SLOTS)]
        self._order: list[int] = []
        self._attached = [(0, b"")] * SLOTS
        self._waiting = 0

    def arrange(self, order: list[int], sizes: list[int]) -> None:
        """Lay slots side by side: for sending, SLOTS + i then stands for slot order[i], whose size is sizes[i]."""
        count, at = len(order), self._payload_at
        self._order = order
        self._headers.arranged_at[:count] = memoryview(array("Q", [at[slot] for slot in order]))
        self._headers.arranged_sizes[:count] = memoryview(array("I", sizes))

    def send(self, fd: int, first: int, sizes: list[int], target: int, *, trains: bool) -> int:
        """Send slots from first on, of these sizes, on a server-side socket; return how many left.

        trains: equal sizes may leave as one message.
        """
        count = len(sizes)
        if target < 0 and (count == 1 or not trains):
            sent: int = _sendmmsg(fd, self._single_at[first], count, 0)
            if sent < count:
                self.error = ctypes.get_errno() if sent < 0 else 0
            return max(sent, 0)
        pieces = runs(sizes) if trains else [(index, 1) for index in range(count)]
        for start, length in pieces:
            self.queue(first + start, length, sizes[start] if length > 1 else 0, target, b"")
        left = self.flush(fd, 0)
        if left == len(pieces):
            return count
        self.forget()
        return sum(length for _, length in pieces[:left])

    def send_one(self, sock: socket.SocketType, slot: int, size: int) -> bool:
        """Send one slot on a connected socket."""
        if slot >= SLOTS:
            slot = self._order[slot - SLOTS]
        try:
            sock.send(self._cuts[slot][size])
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
        count = len(clients)
        if count == 1:
            self._headers.reply_names[first] = self._shared + clients[0]
            if _sendmmsg(fd, self._reply_at[first], 1, 0) == 1:
                return 1
            self.error = ctypes.get_errno()
            return 0
        self._headers.reply_names[first : first + count] = memoryview(array("Q", [self._shared + at for at in clients]))
        sent: int = _sendmmsg(fd, self._reply_at[first], count, 0)
        if sent == count:
            return count
        self.error = ctypes.get_errno() if sent < 0 else 0
        return max(sent, 0)

    def send_part(self, fd: int, part: Part, peer: int, control: bytes) -> bool:
        """Send one datagram out of a slot; the slow way, for what is left over."""
        slot, start, size = part
        iov = SPARE + MMSGHDR
        self._q[iov // WORD] = self._q[(IOV_SEND + slot * IOVEC) // WORD] + start
        self._q[iov // WORD + 1] = size
        area = iov + IOVEC
        self._memory[area : area + len(control)] = control
        name = self._shared + peer if peer >= 0 else 0
        pointer = self._base + area if control else 0
        self._headers.write(SPARE, (name, V6_BYTES, self._base + iov, 1, pointer, len(control)))
        if _sendmmsg(fd, self._spare_at, 1, 0) == 1:
            return True
        self.error = ctypes.get_errno()
        return False

    def payload(self, part: Part) -> memoryview:
        """Return a view of one datagram in a slot, an arranged one too; copy what is to be kept."""
        slot, start, size = part
        return self.arena.payload(slot if slot < SLOTS else self._order[slot - SLOTS], start + size)[start:]

    def queue(self, first: int, count: int, segment: int, client: int, control: bytes) -> int:
        """Line up one message: count slots from first on as one train; return how many messages wait."""
        q, index = self._q, self._waiting
        header = (ANSWER + index * MMSGHDR) // WORD
        q[header] = self._shared + client if client >= 0 else 0
        q[header + 2] = self._base + IOV_SEND + first * IOVEC
        q[header + 3] = count
        if segment or control:
            self._attach(header, index, segment, control)
        else:
            q[header + 5] = 0
        self._waiting = index = index + 1
        return index

    def _attach(self, header: int, index: int, segment: int, control: bytes) -> None:
        """Give a lined-up message its control data: where it leaves from, and how it is cut.

        The trains of a stream are all cut alike: what the last message in this place had is still there.
        """
        length = len(control) + (len(_SEGMENT) if segment else 0)
        if (segment, control) != self._attached[index]:
            self._attached[index] = (segment, control)
            start = ANSWER_CONTROLS + index * ANSWER_CONTROL
            if segment:
                _SEGMENT[_SEGMENT_AT : _SEGMENT_AT + 2] = segment.to_bytes(2, "little")
                control = control + _SEGMENT
            self._memory[start : start + length] = control
            self._q[header + 4] = self._base + start
        self._q[header + 5] = length

    def flush(self, fd: int, first: int) -> int:
        """Send the messages lined up from number first on; return how many left. All left: the line is empty again."""
        count = self._waiting - first
        sent: int = _sendmmsg(fd, self._answer_at[first], count, 0)
        if sent == count:
            self._waiting = 0
            return count
        self.error = ctypes.get_errno() if sent < 0 else 0
        return max(sent, 0)

    def forget(self) -> None:
        """Empty the line of messages."""
        self._waiting = 0


@lru_cache(maxsize=2 * SLOTS)
def _names(count: int, version: int) -> struct.Struct:
    """Return the layout of so many slots' senders: cut out by one call, an address costs half of what a slice does."""
    length = V4_BYTES if version == 4 else V6_BYTES
    return struct.Struct(f"{length}s{NAME_BYTES - length}x" * count)


def disconnect(fd: int) -> bool:
    """Take a connected socket's peer and port away, so that it can serve another one. Source: udp(7), connect(2)."""
    return bool(_connect(fd, _UNSPECIFIED, V4_BYTES) == 0)


def disconnect_each(fds: Iterable[int]) -> list[int]:
    """Do what disconnect does for several sockets; return a number for each, 0 where it was done."""
    return list(map(_connect, fds, _UNSPECIFIED_EACH, _LENGTH_EACH))


def find_waiting(fds: Sequence[int]) -> list[int]:
    """Return those descriptors, of SLOTS at most, in which a datagram or an error waits."""
    count = len(fds)
    _POLLED_WORDS[:count] = memoryview(array("Q", [fd | _ASKED for fd in fds]))
    found = _poll(_POLLED_AT, count, 0)
    if not found:
        return []
    if found < 0:
        # Nothing was looked at: any of them may hold something.
        return list(fds)
    return [fd for fd, word in zip(fds, _POLLED_WORDS[:count].tolist(), strict=True) if word >> _FOUND_SHIFT]


def drain(fd: int) -> None:
    """Throw away what still waits in a socket, and its pending errors."""
    while _recv(fd, _NOTHING, 0, _MSG_DONTWAIT) >= 0 or ctypes.get_errno() not in _DRAINED:
        pass
