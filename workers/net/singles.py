"""One datagram a socket, with Python's own socket calls: for sockets that have only one waiting nothing is faster.

The loops are map's, so that a datagram costs its system call and hardly more: a recv_into 0.6 us where recvmmsg through
ctypes costs 1.5 us, a send 1.6 us where sendmmsg costs 2.5 us (2 cores, Python 3.11, Linux 6.18, loopback). Both
transports use it.
"""

from __future__ import annotations

import socket
from operator import getitem

FEW = 3
"""So many sockets are served sooner one by one than by map."""
SIZES_KEPT = 32
"""Views of a slot that are kept, at most: making one costs a third of what sending it does."""

_receive = socket.SocketType.recv_into
_send = socket.SocketType.send


class Cuts(dict[int, memoryview]):
    """The beginnings of one slot, by their sizes: made when asked for, and kept while there are few of them."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view = view

    def __missing__(self, size: int) -> memoryview:
        if len(self) >= SIZES_KEPT:
            self.clear()
        cut = self[size] = self._view[:size]
        return cut


def take_singles(socks: list[socket.SocketType], views: list[memoryview], errors: dict[int, int]) -> list[int]:
    """Receive one datagram from each non-blocking socket, side by side into views; return their sizes.

    errors is emptied, then filled with the errno, by number, of each socket that had none; 0: nothing waited.
    """
    sizes: list[int] = []
    errors.clear()
    total = len(socks)
    while True:
        slot = len(sizes)
        index = slot + len(errors)
        try:
            if total - index > FEW:
                # What came before an error stays in the list.
                sizes.extend(map(_receive, socks[index:] if index else socks, views[slot:] if slot else views))
            else:
                for sock in socks[index:] if index else socks:
                    sizes.append(sock.recv_into(views[slot]))
                    slot += 1
        except (BlockingIOError, InterruptedError):
            errors[len(sizes) + len(errors)] = 0
        except OSError as error:
            errors[len(sizes) + len(errors)] = error.errno or 0
        else:
            return sizes


def send_singles(
    socks: list[socket.SocketType], sizes: list[int], cuts: list[Cuts], first: int
) -> list[tuple[int, int]]:
    """Send slots from number first on, as long as sizes says, each on its connected socket; return (number, errno)
    of those that failed."""
    failed: list[tuple[int, int]] = []
    sent: list[int] = []
    total = len(socks)
    while True:
        index = len(sent) + len(failed)
        slot = first + index
        try:
            if total - index > FEW:
                datagrams = map(getitem, cuts[slot:], sizes[slot:]) if slot else map(getitem, cuts, sizes)
                sent.extend(map(_send, socks[index:] if index else socks, datagrams))
            else:
                for sock in socks[index:] if index else socks:
                    sent.append(sock.send(cuts[slot][sizes[slot]]))
                    slot += 1
        except OSError as error:
            failed.append((first + len(sent) + len(failed), error.errno or 0))
        else:
            return failed
