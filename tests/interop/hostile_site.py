"""Our proxies in a chain, a stranger on every LAN, and a witness of what becomes of what the stranger sends."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.interop.scene import CHAIN, OURS, PRIVATE, PUBLIC, Scene, start_chain
from tests.kit.readiness import is_readable
from workers.uftp import header, messages
from workers.uftp.announce import Announce
from workers.uftp.extensions import Extension
from workers.uftp.header import Function, Header
from workers.uftp.timestamp import Timestamp

PORT = 1044
WITHIN_S = 5.0
ANNOUNCEMENTS = 5
GRTT_BYTE = 0x6A
"""10.5 ms."""
STRANGER_UID = 0x6666
_STATE = re.compile(r"worker \d+, \d+ groups;.*not used: (.*);")


class Peer:
    """A socket of the stranger's on one LAN; groups: which multicast groups it is a member of there."""

    def __init__(self, scene: Scene, lan: int, port: int = 0, groups: tuple[str, ...] = ()) -> None:
        self.address = scene.lans.address4("stranger", lan)
        self.sock = scene.lans["stranger"].socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("" if groups else self.address, port))
        here = socket.inet_aton(self.address)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        for group in groups:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + here)

    def say(self, datagram: bytes, to: str) -> None:
        """Send a datagram to a proxy, or to a group."""
        self.sock.sendto(datagram, (to, PORT))

    def listen(self, group_id: int, within_s: float) -> Iterator[tuple[Header, bytes]]:
        """Give every datagram of a group that comes in time."""
        give_up = time.monotonic() + within_s
        while (left := give_up - time.monotonic()) > 0:
            if is_readable(self.sock, left):
                datagram = self.sock.recv(65536)
                head = header.decode(datagram)
                if head.group_id == group_id:
                    yield head, datagram

    def hear(self, function: int, group_id: int, within_s: float = WITHIN_S) -> tuple[Header, bytes] | None:
        """Return the next datagram of a function and a group, past all others; None if none comes in time."""
        of_group = self.listen(group_id, within_s)
        return next((one for one in of_group if one[0].function == function), None)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class Site:
    """The scene, and for one LAN each: above (LAN 1), between (LAN 2, like a server proxy), below (LAN 3, a client)."""

    def __init__(self, directory: Path, *cproxy: str) -> None:
        self.scene = Scene(CHAIN | {"stranger": {1: 66, 2: 66, 3: 66}}, directory)
        self._options = cproxy
        self._last_group = 0x1000

    def __enter__(self) -> Site:
        self.scene.__enter__()
        start_chain(self.scene, (OURS, OURS), ("--workers", "2"), ("--workers", "2", *self._options))
        self.above = Peer(self.scene, 1)
        self.between = Peer(self.scene, 2)
        self.below = Peer(self.scene, 3, PORT, (PUBLIC, PRIVATE))
        self.sproxy = self.scene.lans.address4("sproxy", 1)
        self.cproxy = self.scene.lans.address4("cproxy", 2)
        self.cproxy_below = self.scene.lans.address4("cproxy", 3)
        self.pids = self._pids()
        return self

    def __exit__(self, *exception: object) -> None:
        for peer in (self.above, self.between, self.below):
            peer.close()
        self.scene.__exit__(*exception)

    def new_group(self) -> int:
        """Return a group ID that was not used before."""
        self._last_group += 1
        return self._last_group

    def announce(self, group_id: int, *extensions: Extension, robust: int = 20) -> bytes:
        """Return the announcement of a plain group of the stranger's."""
        now_us = time.time_ns() // 1000
        addresses = socket.inet_aton(PUBLIC), socket.inet_aton(PRIVATE)
        message = Announce(0, robust, 0, 1300, Timestamp.from_us(now_us), *addresses, extensions)
        head = Header(Function.ANNOUNCE, STRANGER_UID, group_id, 0, 0, GRTT_BYTE, 0x18)
        return head.encode() + message.encode()

    def from_server(self, group_id: int, message: messages.Plain, uid: int = STRANGER_UID) -> bytes:
        """Return a message of the stranger's group."""
        return Header(message.FUNCTION, uid, group_id, 0, 0, GRTT_BYTE, 0x18).encode() + message.encode()

    def from_client(self, uid: int, group_id: int, message: messages.Plain) -> bytes:
        """Return a client's message."""
        return Header(message.FUNCTION, uid, group_id, 0).encode() + message.encode()

    def open_group(self) -> int:
        """Have the client proxy take a group of the stranger's; return its ID.

        Servers announce again: what came just before may have filled the proxy's queue.
        """
        group_id = self.new_group()
        for _ in range(ANNOUNCEMENTS):
            self.between.say(self.announce(group_id), self.cproxy)
            if self.below.hear(Function.ANNOUNCE, group_id, WITHIN_S / ANNOUNCEMENTS):
                return group_id
        raise AssertionError("nobody carries the group on")

    def drops(self, station: str) -> Counter[str]:
        """Return what the two workers of a proxy have counted as not used, by reason."""
        process = self.scene.running[station]
        known = len(process.lines)
        found: Counter[str] = Counter()
        for worker in (0, 1):
            started = process.wait_for(f"Child worker {worker} started")
            os.kill(int(started.rpartition(" ")[2]), signal.SIGRTMIN + 1)
            line = process.wait_for(rf"worker {worker}, \d+ groups;", start=known)
            for count, reason in re.findall(r"(\d+) ([a-z-]+)", _STATE.search(line)[1]):
                found[reason] += int(count)
        return found

    def still_serves(self) -> bool:
        """Tell whether the same processes still pass an announcement through both proxies."""
        group_id = self.new_group()
        self.above.say(self.announce(group_id), PUBLIC)
        return self.below.hear(Function.ANNOUNCE, group_id) is not None and self._pids() == self.pids

    def _pids(self) -> dict[str, list[int]]:
        return {station: sorted(self.scene.lans[station].pids()) for station in ("sproxy", "cproxy")}


def raw_message(function: int, group_id: int, body: bytes, uid: int = STRANGER_UID) -> bytes:
    """Return a datagram with a right header and whatever body, number and length included."""
    return Header(function, uid, group_id, 0, 0, GRTT_BYTE, 0x18).encode() + body


def with_length(datagram: bytes, words: int) -> bytes:
    """Return a datagram whose message claims another header length, in words."""
    return datagram[:17] + struct.pack("B", words) + datagram[18:]
