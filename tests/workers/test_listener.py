"""What the datapath knows of a listener."""

from __future__ import annotations

import socket

import pytest

from tests.kit.traffic import UDP_GRO, listen
from workers.listener import Listener
from workers.wire import sockaddr


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
