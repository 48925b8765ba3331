"""The system calls by which a process gives up capabilities, all or all but some: capset and prctl, by way of ctypes.

Nothing is decided here; workers.privilege says what is called, in which order, and proves the outcome.
Source: capabilities(7), capset(2), prctl(2); linux/capability.h, linux/prctl.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

from workers.errors import PrivilegeError

_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_TIMERSLACK = 29
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_WORD = 0xFFFF_FFFF


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)
_capget = _libc.capget
_capget.argtypes = (ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capget.restype = ctypes.c_int
_capset = _libc.capset
_capset.argtypes = (ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capset.restype = ctypes.c_int
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_prctl.restype = ctypes.c_int


class CapabilitySets(NamedTuple):
    """A process's capability sets, one bit a capability."""

    effective: int
    permitted: int
    inheritable: int


def read_capabilities() -> CapabilitySets:
    """Return this process's capability sets."""
    data = (_Data * 2)()
    _check("capget", _capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data))
    return CapabilitySets(*(getattr(data[0], name) | getattr(data[1], name) << 32 for name in CapabilitySets._fields))


def keep_permitted(keep: bool) -> None:
    """Let the permitted set survive a change of user, or not; the effective set never does."""
    _check("prctl", _prctl(_PR_SET_KEEPCAPS, keep, 0, 0, 0))


def drop_capabilities(kept: int = 0) -> None:
    """Empty the effective, permitted, inheritable and ambient sets.

    kept: what stays effective and permitted, one bit a capability. Raises PrivilegeError where that is not permitted.
    """
    low, high = kept & _WORD, kept >> 32
    data = (_Data * 2)(_Data(low, low, 0), _Data(high, high, 0))
    _check("capset", _capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data))
    _check("prctl", _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))


def bounding_set() -> int:
    """Return the bounding set, one bit a capability; the kernel tells where the list ends."""
    found, capability = 0, 0
    while (state := _prctl(_PR_CAPBSET_READ, capability, 0, 0, 0)) >= 0:
        found |= state << capability
        capability += 1
    return found


def drop_bounding_set() -> None:
    """Empty the bounding set. Raises PrivilegeError without CAP_SETPCAP."""
    left = bounding_set()
    for capability in range(left.bit_length()):
        if left >> capability & 1:
            _check("prctl", _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))


def forbid_new_privileges() -> None:
    """Let no program that this process or its children may start gain privileges."""
    _check("prctl", _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def new_privileges_are_forbidden() -> bool:
    """Tell whether forbid_new_privileges is in force."""
    return bool(_prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


def forbid_dumps() -> None:
    """Keep other processes of the same user from reading or tracing this one, and the kernel from dumping it."""
    _check("prctl", _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def sharpen_timers() -> None:
    """Wake this thread when its sleeps end, not up to 50 us later. Source: prctl(2), PR_SET_TIMERSLACK."""
    _check("prctl", _prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0))


def _check(call: str, result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise PrivilegeError(f"{call}: {os.strerror(code)} ({errno.errorcode.get(code, code)})")
