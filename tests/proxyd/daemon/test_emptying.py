"""What is taken out of listening sockets: every datagram once, as it came, with where it was sent to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxyd.daemon.emptying import Taken, empty
from proxyd.daemon.sockets import bind_listeners
from tests.kit.traffic import let_arrive
from tests.proxyd.daemon.estates import own_listener
from workers.contract.settings import Address, ListenerSettings
from workers.net import ancillary
from workers.net.plain import from_python

ANY4, ANY6 = ListenerSettings(Address(4, 0), 0), ListenerSettings(Address(6, 0), 0)
LOOPBACK6 = ListenerSettings(Address(6, 1), 0)
UDP_GRO, UDP_SEGMENT = 104, 103


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(stack: ExitStack, listener: ListenerSettings) -> tuple[socket.socket, ListenerSettings]:
    """Return a listener's socket, and its settings with the port that it has."""
    sock = stack.enter_context(bind_listeners([listener], 1)[0][0])
    return sock, ListenerSettings(listener.address, sock.getsockname()[1])


def client(stack: ExitStack, version: int) -> socket.socket:
    return stack.enter_context(socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM))


def take_out(sock: socket.socket, index: int, listener: ListenerSettings) -> list[Taken]:
    """Take everything that was sent."""
    let_arrive()
    return list(empty(sock, index, listener))


@pytest.mark.parametrize(
    ("listener", "host"), [(own_listener(), None), (ANY4, "127.0.0.9"), (ANY6, "::1"), (LOOPBACK6, "::1")]
)
def test_datagrams_come_in_their_order_with_both_ends(
    stack: ExitStack, listener: ListenerSettings, host: str | None
) -> None:
    sock, listener = listen(stack, listener)
    version = listener.address.version
    to = (host or sock.getsockname()[0], listener.port)
    sender = client(stack, version)
    for payload in (b"first", b"", bytes(9000)):
        sender.sendto(payload, to)
    found = take_out(sock, 7, listener)
    assert [taken.waited.payload for taken in found] == [b"first", b"", bytes(9000)]
    assert {taken.waited.listener for taken in found} == {7}
    source = sender.getsockname()
    assert {taken.waited.source[2:4] for taken in found} == {source[1].to_bytes(2)}
    assert {taken.destination for taken in found} == {from_python(version, (*to, 0, 0) if version == 6 else to)}
    assert not any(taken.everybody for taken in found)
    assert take_out(sock, 7, listener) == []


def test_a_train_stays_whole_and_says_how_long_its_parts_are(stack: ExitStack) -> None:
    sock, listener = listen(stack, own_listener())
    sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    sender = client(stack, 4)
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
    sender.sendto(bytes(1050), sock.getsockname())
    (taken,) = take_out(sock, 0, listener)
    assert len(taken.waited.payload) == 1050
    assert ancillary.decode(ancillary.split(taken.waited.control)).train_bytes == 100


def test_what_a_queue_has_lost_is_not_told_to_who_has_another_one(stack: ExitStack) -> None:
    sock, listener = listen(stack, own_listener())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = client(stack, 4)
    for _ in range(64):
        sender.sendto(bytes(1000), sock.getsockname())
    waiting = len(take_out(sock, 0, listener))
    assert 0 < waiting < 64
    sender.sendto(b"after", sock.getsockname())
    (taken,) = take_out(sock, 0, listener)
    assert ancillary.decode(ancillary.split(taken.waited.control)).overflow is None


def test_who_goes_on_sending_is_heard_up_to_a_buffers_worth_of_bytes(stack: ExitStack) -> None:
    sock, listener = listen(stack, own_listener())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    sender = client(stack, 4)
    sender.sendto(bytes(8192), sock.getsockname())
    heard = 0
    for taken in empty(sock, 0, listener):
        heard += len(taken.waited.payload)
        assert heard < 2 * room
        sender.sendto(bytes(8192), sock.getsockname())
        let_arrive()
    assert room <= heard < room + 8192


def test_what_everybody_on_a_network_was_sent_is_marked(stack: ExitStack) -> None:
    sock, listener = listen(stack, ANY4)
    sender = client(stack, 4)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sender.sendto(b"all", ("127.255.255.255", listener.port))
    sender.sendto(b"one", ("127.0.0.3", listener.port))
    assert [(taken.waited.payload, taken.everybody) for taken in take_out(sock, 0, listener)] == [
        (b"all", True),
        (b"one", False),
    ]
