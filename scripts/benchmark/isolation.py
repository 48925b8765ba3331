"""Keep others out of the figures: a network namespace of our own, and a priority if one is asked for.

Source: unshare(2), netdevice(7); for priorities, sched(7) "The autogroup feature".
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter_own_network() -> bool:
    """Move this process to a new network namespace that has a loopback interface only; False without the right to."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    return True


def set_session_priority(pid: int, nice: int) -> None:
    """Give the whole session of pid a nice value.

    Where the kernel shares the cores out by session, a process's own value counts only within its session."""
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(nice))
