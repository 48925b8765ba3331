"""Workers that follow one another on the same listeners, and what passes through the last of them."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Iterator, Sequence

from tests.kit.datapath import Datapath, Estate
from tests.kit.session_parts import SECOND
from tests.kit.traffic import Peer, close_all, listen
from workers.adoption import take_over
from workers.contract.settings import AclSettings, Settings
from workers.contract.slots import SLOT, SlotFields

T0 = 1000 * SECOND
NOW = T0 + SECOND


class Line:
    """A line of workers with the same listeners, of which the last one serves. path: that one's datapath."""

    def __init__(self, settings: Settings, listeners: Sequence[socket.socket]) -> None:
        self.settings = settings
        self.listeners = tuple(listeners)
        self.path = Datapath(settings, listeners)

    def die(self, now_ns: int = NOW) -> Estate:
        """Let the worker save what it has begun, and then be killed."""
        self.path.tend(now_ns)
        return self.path.die()

    def succeed(
        self, estate: Estate, now_ns: int = NOW, settings: Settings | None = None, **others: object
    ) -> Datapath:
        """Let the next worker take over."""
        self.path = Datapath(settings or self.settings, self.listeners, estate=estate, **others)
        take_over(self.path.context, self.path.parts, now_ns)
        self.path.parts.journal.flush()
        return self.path

    def renew(self, now_ns: int = NOW, settings: Settings | None = None, **others: object) -> Datapath:
        """Kill the worker and let the next one take over."""
        return self.succeed(self.die(now_ns), now_ns, settings, **others)


@contextlib.contextmanager
def line(*rules: AclSettings, hosts: Sequence[str] = ("127.0.0.1",), **others: object) -> Iterator[Line]:
    """Begin a line of workers with these rules and a listener on each host; the last is held to account."""
    settings, sockets = listen(rules, hosts, **others)
    made = Line(settings, sockets)
    try:
        yield made
        made.path.close()
    finally:
        close_all(sockets)


def ask(path: Datapath, client: socket.socket, server: socket.socket, now_ns: int = T0, payload: bytes = b"q") -> Peer:
    """Send a datagram through; return where the server sees it come from."""
    client.sendto(payload, path.to[0])
    path.settle(now_ns)
    found, proxys = server.recvfrom(100)
    assert found == payload
    return proxys


def answer(path: Datapath, server: socket.socket, client: socket.socket, proxys: Peer, now_ns: int = T0) -> Peer:
    """Let a server answer; return where the client sees it come from."""
    server.sendto(b"a", proxys)
    path.settle(now_ns)
    found, source = client.recvfrom(100)
    assert found == b"a"
    return source[:2]


def spent(path: Datapath) -> list[tuple[int, ...]]:
    """Return what sessions have used."""
    return [
        (session.dgrams_in, session.dgrams_out, session.bytes_in, session.bytes_out, session.wasted_out)
        for session in path.sessions
    ]


def place(field: str) -> int:
    """Return where a field lies in a slot. Source: SLOT, written with native alignment."""
    before = SlotFields._fields.index(field)
    kinds = re.findall(r"\d*[a-zA-Z]", SLOT.format)
    return struct.calcsize(f"@{''.join(kinds[: before + 1])}") - struct.calcsize(f"@{kinds[before]}")
