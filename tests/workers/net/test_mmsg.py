"""What only the fast path has; what it shares with its plain twin is in test_transport and in tests/property."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.kit.traffic import let_arrive, udp, waiting
from tests.workers.net.rig import Rig
from workers.net.mmsg import MmsgTransport, disconnect, drain


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
