"""Batches of equal-sized datagrams, received and sent by one system call each.

Everything is allocated once. A header that was filled by receive can be sent as it stands: the source address has
become the destination and the address the datagram came to (IP_PKTINFO) has become the source. So one socket
can echo, or stand for a thousand clients, without a line of Python for each datagram.
Source: recvmmsg(2), sendmmsg(2), ip(7).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from ctypes import Structure, c_int, c_size_t, c_uint, c_void_p

PAYLOAD_BYTES = 100
SLOT_BYTES = 128  # a payload and its padding: two cache lines
SLOT_WORDS = SLOT_BYTES // 8
BATCH_SLOTS = 64

_NAME = struct.Struct("=H2s4s8x")  # sockaddr_in: family, port, address
_CONTROL = struct.Struct("=QiiI4s4s4x")  # cmsghdr; in_pktinfo: interface, local address, header address
_MSG_DONTWAIT = 0x40
_IP_PKTINFO = 8
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 << 20  # of our own sockets: a drop at our end would be booked to the proxy
_NOTHING_NOW = (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED)


class _Vector(Structure):
    _fields_ = (("base", c_void_p), ("length", c_size_t))


class _Header(Structure):
    """A struct mmsghdr."""

    _fields_ = (
        ("name", c_void_p),
        ("name_length", c_uint),
        ("vectors", c_void_p),
        ("vector_count", c_size_t),
        ("control", c_void_p),
        ("control_length", c_size_t),
        ("flags", c_int),
        ("flags_padding", c_int),
        ("length", c_uint),
    )


_HEADER_BYTES = ctypes.sizeof(_Header)
_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (c_int, c_void_p, c_uint, c_int, c_void_p)
_recvmmsg.restype = c_int
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (c_int, c_void_p, c_uint, c_int)
_sendmmsg.restype = c_int


def open_socket(address: str, *, packet_info: bool = False) -> socket.socket:
    """Return a non-blocking UDP socket on a free port, deaf to everything but the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    force = _SO_RCVBUFFORCE if os.geteuid() == 0 else socket.SO_RCVBUF
    sock.setsockopt(socket.SOL_SOCKET, force, _BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)  # spares the kernel the datagram's identifier
    if packet_info:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.bind((address, 0))
    return sock


class Batch:
    """A row of datagrams of PAYLOAD_BYTES each, in one arena with their headers and addresses.

    stamps, tokens: the first and the second word of the payloads; a slice with step SLOT_WORDS has one a slot.
    """

    def __init__(self, slots: int, *, packet_info: bool = False) -> None:
        self.slots = slots
        self._headers = (_Header * slots)()
        self._vectors = (_Vector * slots)()
        self._names = bytearray(slots * _NAME.size)
        self._controls = bytearray(slots * _CONTROL.size)
        self._arena = mmap.mmap(-1, slots * SLOT_BYTES)
        self._base = ctypes.addressof(self._headers)
        words = memoryview(self._arena).cast("Q")
        self.stamps = words
        self.tokens = words[1:]
        self._link(packet_info=packet_info)

    def _link(self, *, packet_info: bool) -> None:
        names = ctypes.addressof(ctypes.c_char.from_buffer(self._names))
        controls = ctypes.addressof(ctypes.c_char.from_buffer(self._controls))
        payloads = ctypes.addressof(ctypes.c_char.from_buffer(self._arena))
        for slot, (header, vector) in enumerate(zip(self._headers, self._vectors, strict=True)):
            vector.base, vector.length = payloads + slot * SLOT_BYTES, PAYLOAD_BYTES
            header.vectors, header.vector_count = ctypes.addressof(vector), 1
            header.name, header.name_length = names + slot * _NAME.size, _NAME.size
            if packet_info:
                header.control, header.control_length = controls + slot * _CONTROL.size, _CONTROL.size

    def address(self, slot: int, source: bytes, target: tuple[str, int]) -> None:
        """Make the slot's datagram go from source, four bytes of an address of this machine, to target."""
        host, port = target
        _NAME.pack_into(self._names, slot * _NAME.size, socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))
        control = (16 + 12, socket.IPPROTO_IP, _IP_PKTINFO, 0, source, bytes(4))
        _CONTROL.pack_into(self._controls, slot * _CONTROL.size, *control)

    def receive(self, fd: int, limit: int = BATCH_SLOTS) -> int:
        """Fill up to limit slots from the first on; return how many, 0 when none waits."""
        count: int = _recvmmsg(fd, self._base, limit, _MSG_DONTWAIT, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in _NOTHING_NOW:
            return 0
        raise OSError(code, os.strerror(code))

    def send(self, fd: int, count: int, first: int = 0) -> None:
        """Send count slots from the first on, however many calls it takes."""
        while count > 0:
            sent: int = _sendmmsg(fd, self._base + first * _HEADER_BYTES, count, 0)
            if sent < 0:
                code = ctypes.get_errno()
                if code not in _NOTHING_NOW:
                    raise OSError(code, os.strerror(code))
                continue
            first += sent
            count -= sent
