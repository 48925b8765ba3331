"""Classic BPF programs that choose the worker of a datagram: tables of instructions, and how a socket gets them.

A reuseport program returns the number of the socket, in the order in which the sockets joined their group. It sees the
payload, and the headers only from the network header on. A socket filter returns how many bytes to keep, 0 drops the
datagram; it sees the UDP header before the payload. A load beyond the end makes either return 0.
A reuseport program is not asked for what the `tproxy` statement of nftables delivers: there the kernel's hash decides,
of the client's address and port and of the statement's address, so by the client alone (observed: Linux 6.18).
Nothing is compiled, nothing needs a privilege.
Source: linux/filter.h, linux/bpf_common.h; socket(7), SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF (Linux 4.5);
net/core/sock_reuseport.c, reuseport_detach_prog (Linux 5.3).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from array import array
from typing import NamedTuple, TypeAlias

SO_ATTACH_FILTER = 26
SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_FILTER = 27
_SO_DETACH_REUSEPORT_BPF = 68

_LOAD, _LOAD_HALF, _LOAD_BYTE, _LOAD_HALF_X, _LOAD_LENGTH, _LOAD_NUMBER = 0x20, 0x28, 0x30, 0x48, 0x80, 0x00
_LOAD_HEADER_BYTES = 0xB1
"""X becomes the length of the IPv4 header at this offset."""
_TO_X = 0x07
_MULTIPLY, _SHIFT_RIGHT, _REMAINDER, _XOR_X = 0x24, 0x74, 0x94, 0xAC
_JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST = 0x05, 0x15, 0x35
_RETURN, _RETURN_VALUE = 0x06, 0x16

_NETWORK = 0xFFF0_0000
"""Offsets from here on count from the network header (SKF_NET_OFF)."""
_UDP = 17
_UDP_BYTES = 8
_SOURCE4, _SOURCE6, _NEXT_HEADER6, _PORT6 = 12, 8, 6, 40
_GROUP_ID, _GROUP_ID_END = 8, 12
"""Where a UFTP header has its group ID. Source: UFTP protocol text, common header."""
_WHOLE = 0xFFFF_FFFF
_SPREAD = 0x9E37_79B1
"""An odd number near 2**32 divided by the golden ratio: neighbours end up far from each other."""

_PORT, _ADDRESS4, _ADDRESS6 = slice(2, 4), slice(4, 8), slice(8, 24)
"""Where port and address lie in a raw socket address."""
_RAW4_BYTES = 16

_WORD = struct.Struct(">I")
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")


class Instruction(NamedTuple):
    """One instruction. when_true, when_false: how many instructions a jump skips."""

    code: int
    value: int = 0
    when_true: int = 0
    when_false: int = 0


Program: TypeAlias = tuple[Instruction, ...]

_XOR_AND_SPREAD: Program = (Instruction(_XOR_X), Instruction(_MULTIPLY, _SPREAD), Instruction(_TO_X))


def always(index: int) -> Program:
    """Return the reuseport program that gives every datagram to socket index."""
    return (Instruction(_RETURN, index),)


def by_client(version: int, count: int) -> Program:
    """Return the reuseport program that spreads datagrams over count sockets by their sender's address and port.

    An IPv6 datagram whose UDP header does not follow the IPv6 header at once goes by the address alone.
    """
    return (*_FIRST_WORDS[version], Instruction(_SHIFT_RIGHT, 16), Instruction(_REMAINDER, count), _VALUE)


def socket_of(source: bytes, count: int) -> int:
    """Return the socket that by_client gives a datagram to, by its sender's raw address."""
    found = int.from_bytes(source[_PORT])
    address = source[_ADDRESS4] if len(source) == _RAW4_BYTES else source[_ADDRESS6]
    for (word,) in _WORD.iter_unpack(address):
        found = (word ^ found) * _SPREAD & _WHOLE
    return (found >> 16) % count


def by_group(count: int) -> Program:
    """Return the reuseport program that spreads UFTP messages by group ID mod count; what is too short goes to 0."""
    return (Instruction(_LOAD, _GROUP_ID), Instruction(_REMAINDER, count), _VALUE)


def keep_group(index: int, count: int) -> Program:
    """Return the socket filter that keeps what by_group gives to socket index, and drops all else."""
    keep_short = _WHOLE if index == 0 else 0
    return (
        Instruction(_LOAD_LENGTH),
        Instruction(_JUMP_AT_LEAST, _UDP_BYTES + _GROUP_ID_END, when_true=1),
        Instruction(_RETURN, keep_short),
        Instruction(_LOAD, _UDP_BYTES + _GROUP_ID),
        Instruction(_REMAINDER, count),
        Instruction(_JUMP_EQUAL, index, when_false=1),
        Instruction(_RETURN, _WHOLE),
        Instruction(_RETURN, 0),
    )


def attach_steering(sock: socket.socket, program: Program) -> None:
    """Let program choose the socket in the reuseport group of sock. Raises OSError where sock is in no group.

    A socket alone makes no group: it needs no program. The group keeps the last program that any of its sockets got.
    """
    _attach(sock, SO_ATTACH_REUSEPORT_CBPF, program)


def detach_steering(sock: socket.socket) -> None:
    """Let the kernel's hash choose in the reuseport group of sock, as where there is no program. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)


def attach_filter(sock: socket.socket, program: Program) -> None:
    """Let program decide what sock takes. Raises OSError."""
    _attach(sock, SO_ATTACH_FILTER, program)


def detach(sock: socket.socket) -> None:
    """Take away the programs that sock and its reuseport group have, if they have any. Raises OSError.

    Source: socket(7), SO_DETACH_FILTER; net/core/sock_reuseport.c, reuseport_detach_prog (Linux 5.3).
    """
    with contextlib.suppress(FileNotFoundError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    detach_steering(sock)


def assemble(program: Program) -> bytes:
    """Return a program as the kernel reads it: struct sock_filter, one an instruction."""
    return b"".join(_INSTRUCTION.pack(code, true, false, value) for code, value, true, false in program)


def _attach(sock: socket.socket, option: int, program: Program) -> None:
    code = array("Q", assemble(program))
    address, _ = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, option, _PROGRAM.pack(len(program), address))


def _spread_words(*offsets: int) -> Program:
    """Take in words of the network header, one after the other; X is what the last one is mixed with."""
    return tuple(step for offset in offsets for step in (Instruction(_LOAD, _NETWORK + offset), *_XOR_AND_SPREAD))


_VALUE = Instruction(_RETURN_VALUE)
_FIRST_WORDS: dict[int, Program] = {
    4: (
        Instruction(_LOAD_HEADER_BYTES, _NETWORK),
        Instruction(_LOAD_HALF_X, _NETWORK),
        Instruction(_TO_X),
        *_spread_words(_SOURCE4),
    ),
    6: (
        Instruction(_LOAD_BYTE, _NETWORK + _NEXT_HEADER6),
        Instruction(_JUMP_EQUAL, _UDP, when_false=2),
        Instruction(_LOAD_HALF, _NETWORK + _PORT6),
        Instruction(_JUMP, 1),
        Instruction(_LOAD_NUMBER, 0),
        Instruction(_TO_X),
        *_spread_words(*range(_SOURCE6, _SOURCE6 + 16, 4)),
    ),
}
