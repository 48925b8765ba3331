"""UDP sockets and configurations for tests of the datapath: loopback only, every wait with an end."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import pytest

from proxyd.daemon.demands import wishes
from proxyd.daemon.sockets import bind_listeners
from tests.kit.lab import PREFIX
from tests.kit.place import Namespace, Place
from tests.kit.readiness import is_readable
from workers.contract.settings import AclSettings, Address, Limits, ListenerSettings, SessionKind, Settings, Sock

UDP_SEGMENT, UDP_GRO = 103, 104
WAIT_S = 20.0
"""How long a test waits for what must come, on however busy a machine."""
LARGEST4, LARGEST6 = 65_507, 65_527
"""The longest payload of a datagram, by IP version."""
BUFFER_BYTES = 8 * 1024 * 1024
SO_RCVBUFFORCE = 33

Peer = tuple[str, int]

both_paths = pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "plain"])
"""Mark a test that runs over the fast path, and over its plain twin."""


_numbers = itertools.count()


@contextlib.contextmanager
def network_of_its_own(*commands: str) -> Iterator[Namespace]:
    """Make a network namespace with nothing but its loopback, and carry out `ip` commands in it."""
    _marked()  # The markers' way is outside, whatever happens to the network inside.
    # Named as the lab's are, so that what a killed test run leaves behind is swept away with them.
    namespace = Namespace(f"{PREFIX}-{os.getpid()}-{next(_numbers)}-alone")
    try:
        namespace.make()
        namespace.configure(commands)
        yield namespace
    finally:
        namespace.close()


def address(text: str) -> Address:
    """Return a numeric address as the settings hold it."""
    parsed = ipaddress.ip_address(text)
    return Address(parsed.version, int(parsed))


def forward_to(
    target: Peer, kind: SessionKind = SessionKind.NORMAL, limits: Limits | None = None, name: str = "ALL"
) -> AclSettings:
    """Return a rule that takes everybody to one target."""
    plug = Sock(address(target[0]), target[1])
    return AclSettings(name, accept=True, plug_to=plug, kind=kind, limits=limits or Limits())


def listen(
    rules: Sequence[AclSettings],
    hosts: Sequence[str] = ("127.0.0.1",),
    *,
    place: Place | None = None,
    transparent: bool = False,
    **others: object,
) -> tuple[Settings, tuple[socket.socket, ...]]:
    """Bind a socket on each host, on a free port, as the parent does; return settings that say so, and the sockets."""
    wanted = tuple(ListenerSettings(address(host), 0, transparent) for host in hosts)
    values = {"max_sessions": 100, "workers": 1, **others}
    settings = Settings("TEST", wanted, acls=tuple(rules), **values)
    (sockets,) = (place or Place()).call(lambda: bind_listeners(wanted, 1, wishes(settings)))
    bound = tuple(replace(listener, port=sock.getsockname()[1]) for listener, sock in zip(wanted, sockets, strict=True))
    return replace(settings, listeners=bound), sockets


def udp(host: str = "127.0.0.1", port: int = 0, place: Place | None = None) -> socket.socket:
    """Return a bound socket that waits WAIT_S for what it shall receive, with room for a burst."""
    sock = (place or Place()).socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    for option in (socket.SO_RCVBUF, SO_RCVBUFFORCE):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        except PermissionError:
            break
    sock.settimeout(WAIT_S)
    sock.bind((host, port))
    return sock


def send_train(sock: socket.socket, payloads: Sequence[bytes], target: Peer) -> None:
    """Send datagrams as one train: all as long as the first, only the last may be shorter."""
    size = struct.pack("=H", len(payloads[0]))
    sock.sendmsg([b"".join(payloads)], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)], 0, target)


@cache
def _marked() -> socket.socket:
    """Return a socket that sends to itself."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect(sock.getsockname())
    sock.settimeout(WAIT_S)
    return sock


def let_arrive() -> None:
    """Return when every datagram that has left anybody on this machine's loopback, in any namespace, has arrived.

    Each processor has one queue for what it sent to itself; where much is going on, another task empties it later. What
    was in it before a marker has arrived when the marker has.
    """
    processors = os.sched_getaffinity(0)
    try:
        for processor in processors:
            os.sched_setaffinity(0, {processor})
            _marked().send(b"marker")
            _marked().recv(10)
    finally:
        os.sched_setaffinity(0, processors)


def receive(sock: socket.socket, count: int) -> list[bytes]:
    """Return the next count datagrams. Raises TimeoutError when they do not come."""
    return [sock.recv(65_536) for _ in range(count)]


def waiting(sock: socket.socket) -> list[bytes]:
    """Return what has been sent to a socket, none of which is still on its way."""
    let_arrive()
    found: list[bytes] = []
    while is_readable(sock):
        found.append(sock.recv(65_536))
    return found


def numbered(count: int, size: int = 8, mark: int = 0) -> list[bytes]:
    """Return payloads of size bytes each (at least 8) that tell a flow's mark and their own number."""
    return [struct.pack("!II", mark, number).ljust(size, b".") for number in range(count)]


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close sockets."""
    for sock in sockets:
        sock.close()
