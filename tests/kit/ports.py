"""Free ports on the machine's own loopback, never handed out twice while their taker lives.

Below the system's ephemeral range, so that no outgoing socket sits there by chance.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

FIRST, LAST = 10_000, 29_999
_candidates = itertools.count((os.getpid() * 61) % (LAST - FIRST))
_reservations: list[socket.socket] = []


def free_port(count: int = 1) -> int:
    """Return the first of count adjoining UDP and TCP ports that nobody uses, reserved until this process ends.

    A reservation is an abstract unix socket: the kernel keeps it for the whole machine and drops it with its owner,
    so test runs side by side never meet.
    """
    for candidate in itertools.islice(_candidates, 5_000):
        first = FIRST + candidate % (LAST - FIRST - count)
        if _reserve(range(first, first + count)):
            return first
    raise OSError(f"no {count} free ports from {FIRST} to {LAST}")


def _reserve(ports: range) -> bool:
    """Reserve all the ports, or none."""
    taken: list[socket.socket] = []
    for port in ports:
        reservation = _reserve_one(port)
        if reservation is None:
            for earlier in taken:
                earlier.close()
            return False
        taken.append(reservation)
    _reservations.extend(taken)
    return True


def _reserve_one(port: int) -> socket.socket | None:
    """Reserve one port; None when somebody has it, or has reserved it."""
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0proxyd-test-port-{port}")
        for family, kind in itertools.product(
            (socket.AF_INET, socket.AF_INET6), (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ):
            with contextlib.closing(socket.socket(family, kind)) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(("", port))
    except OSError:
        reservation.close()
        return None
    return reservation
