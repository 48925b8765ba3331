"""What the datapath knows of a listener."""

from __future__ import annotations

import socket

import pytest

from tests.kit.readiness import is_readable
from tests.kit.traffic import UDP_GRO, WAIT_S, listen, udp
from workers.listener import Listener
from workers.wire import sockaddr

OPTIONS = {
    (4, "ttl"): (socket.IPPROTO_IP, 12),
    (4, "tos"): (socket.IPPROTO_IP, 13),
    (6, "tos"): (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS),
}


@pytest.mark.parametrize(
    ("host", "version", "wildcard"), [("127.0.0.2", 4, False), ("0.0.0.0", 4, True), ("::1", 6, False), ("::", 6, True)]
)
def test_a_listener_is_its_socket_with_its_settings(host, version, wildcard):
    settings, (sock,) = listen([], [host])
    listener = Listener.of(7, sock, settings.listeners[0])
    assert (listener.index, listener.fd, listener.version, listener.wildcard) == (7, sock.fileno(), version, wildcard)
    assert sockaddr.decode(listener.raw) == (settings.listeners[0].address, sock.getsockname()[1])
    assert listener.port == sock.getsockname()[1]
    assert listener.overflow == 0


def test_a_listener_delivers_trains():
    settings, (sock,) = listen([])
    assert sock.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 0
    Listener.of(0, sock, settings.listeners[0])
    assert sock.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("more", [(), ("ttl",), ("tos",), ("ttl", "tos")])
def test_it_is_known_how_much_control_data_comes_with_every_datagram(host, more):
    settings, (sock,) = listen([], [host])
    version = 6 if ":" in host else 4
    for what in more:
        if (version, what) in OPTIONS:
            sock.setsockopt(*OPTIONS[version, what], 1)
    usual = Listener.of(0, sock, settings.listeners[0]).usual
    with udp("::1" if version == 6 else "127.0.0.1") as client:
        client.sendto(b"x", (client.getsockname()[0], sock.getsockname()[1]))
        _, items, _, _ = receive_message(sock)
    assert sum(socket.CMSG_SPACE(len(data)) for _, _, data in items) == usual


def receive_message(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
    assert is_readable(sock, WAIT_S)
    return sock.recvmsg(10, 200)


def test_a_reading_that_is_behind_the_last_says_nothing_new():
    settings, (sock,) = listen([])
    listener = Listener.of(0, sock, settings.listeners[0])
    assert [listener.note_overflow(count) for count in (10, 9, 10, 12)] == [10, 0, 0, 2]
