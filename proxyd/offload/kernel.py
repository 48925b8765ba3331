"""The kernel's BPF tables and programs by the bpf system call: made, loaded, attached, filled.

Making and attaching needs CAP_BPF and CAP_NET_ADMIN; filling a table, only its descriptor.
Source: bpf(2); linux/bpf.h, union bpf_attr.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from enum import IntEnum

from proxyd.offload.errors import OffloadError

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}
"""Of the system call, on machines that the assembler is written for."""
_CREATE, _UPDATE, _DELETE, _LOAD, _LINK = 0, 2, 3, 5, 28
_CLASSIFIER, _INGRESS = 3, 46
ON_DEMAND, MAPPABLE = 1, 1 << 10
_LICENCE = b"Apache-2.0\0"
_LOG_BYTES = 65_536
_ATTR_BYTES = 144

_libc = ctypes.CDLL(None, use_errno=True)


class TableKind(IntEnum):
    """Kinds of tables."""

    HASH = 1
    ARRAY = 2
    ARRAY_OF_TABLES = 12


def make_table(kind: TableKind, key: int, value: int, entries: int, *, flags: int = 0, inner: int = 0) -> int:
    """Return the descriptor of a new table. key, value: bytes of each; inner: a table as it is to hold them.

    Raises OffloadError.
    """
    return _bpf("make a table", _CREATE, struct.pack("=IIIIII", kind, key, value, entries, flags, inner))


def put(table: int, key: bytes, value: bytes, *, new: bool = False) -> None:
    """Put an entry into a table, in place of an older one unless it must be new.

    Raises OffloadError, where it is full for example.
    """
    held = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    _bpf("fill a table", _UPDATE, struct.pack("=IxxxxQQQ", table, *map(ctypes.addressof, held), new))


def remove(table: int, key: bytes) -> None:
    """Take an entry out of a table, if it is there."""
    held = ctypes.create_string_buffer(key, len(key))
    try:
        _bpf("empty a table", _DELETE, struct.pack("=IxxxxQQQ", table, ctypes.addressof(held), 0, 0))
    except OffloadError as error:
        if error.code != errno.ENOENT:
            raise


def load_program(code: bytes) -> int:
    """Load a program for datagrams that come in; return its descriptor. Raises OffloadError."""
    text, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(_LICENCE)
    addresses = ctypes.addressof(text), ctypes.addressof(licence)
    attr = struct.pack("=IIQQ", _CLASSIFIER, len(code) // 8, *addresses)
    return _bpf("load the program", _LOAD, attr)


def attach(program: int, interface: int) -> int:
    """Have a program see what comes in by an interface, until the descriptor returned is closed. Raises OffloadError.

    Source: linux/bpf.h, BPF_LINK_CREATE, BPF_TCX_INGRESS (Linux 6.6).
    """
    return _bpf("attach the program", _LINK, struct.pack("=IIII", program, interface, _INGRESS, 0))


def _bpf(step: str, command: int, attr: bytes) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OffloadError(step, errno.ENOSYS)
    buffer = ctypes.create_string_buffer(attr, _ATTR_BYTES)
    result: int = _libc.syscall(number, command, buffer, _ATTR_BYTES)
    if result < 0:
        raise OffloadError(step, ctypes.get_errno())
    return result
