"""What only the fast path has; what it shares with its plain twin is in test_transport and in tests/property."""

from __future__ import annotations

import errno
import resource
import socket

import pytest

from tests.kit.traffic import let_arrive, udp, waiting
from tests.workers.net.rig import Rig
from workers.net.mmsg import MmsgTransport, disconnect, disconnect_each, drain, find_waiting


def test_a_key_of_ipv4_is_one_small_integer():
    rig = Rig(MmsgTransport)
    with udp() as sock, udp() as peer:
        rig.adopt(sock)
        peer.sendto(b"x", sock.getsockname())
        rig.hear(sock)
        (key,) = rig.transport.keys(1, 4)
    assert isinstance(key, int)
    assert key.bit_length() <= 64


def test_a_descriptor_that_is_none_is_an_error_and_no_exception():
    rig = Rig(MmsgTransport)
    assert rig.transport.receive(-1, 4) == 0
    assert rig.transport.error == errno.EBADF
    assert rig.transport.receive_each([-1]) == [0]
    assert rig.transport.errors == {0: errno.EBADF}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_disconnected_socket_has_neither_peer_nor_port_and_serves_another_peer(host):
    with udp(host) as server, udp(host) as other:
        sock = socket.socket(server.family, socket.SOCK_DGRAM)
        sock.connect(server.getsockname())
        late = sock.getsockname()
        assert disconnect(sock.fileno())
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        assert sock.getsockname()[1] == 0
        server.sendto(b"late", late)
        assert waiting(sock) == []
        sock.connect(other.getsockname())
        sock.send(b"new")
        assert other.recvfrom(10) == (b"new", sock.getsockname())


def test_what_is_no_udp_socket_is_not_disconnected():
    readable, writable = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with readable, writable:
        assert not disconnect(readable.fileno())


def test_a_descriptor_that_is_gone_is_drained_already():
    drain(-1)


def test_draining_throws_away_datagrams_of_every_size_and_errors():
    with udp() as server:
        target = server.getsockname()
        sock = udp()
        sock.connect(target)
        for payload in (b"", b"x", bytes(60_000), b""):
            server.sendto(payload, sock.getsockname())
    sock.send(b"refused")
    sock.setblocking(False)
    let_arrive()
    drain(sock.fileno())
    assert waiting(sock) == []
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_descriptors_with_a_datagram_or_an_error_are_found():
    (server, sock), (closed, refused), (_, idle) = ((near, udp()) for near in (udp(), udp(), udp()))
    for near, far in ((server, sock), (closed, refused)):
        far.connect(near.getsockname())
    closed.close()
    refused.send(b"refused")
    server.sendto(b"waits", sock.getsockname())
    let_arrive()
    assert find_waiting([idle.fileno(), sock.fileno(), refused.fileno()]) == [sock.fileno(), refused.fileno()]
    assert find_waiting([idle.fileno()]) == find_waiting([]) == []


def test_several_sockets_are_disconnected_and_those_that_cannot_be_are_told():
    server, first, second = udp(), udp(), udp()
    for sock in (first, second):
        sock.connect(server.getsockname())
    assert disconnect_each([first.fileno(), 1 << 30, second.fileno()]) == [0, -1, 0]
    for sock in (first, second):
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()


def test_where_nothing_can_be_found_out_all_descriptors_may_hold_something():
    fds = [udp().fileno() for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2, hard))  # poll takes no more descriptors than may be open.
    try:
        found = find_waiting(fds)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == fds
