"""What only the plain twin has: Python's own addresses, and sockets it must know to use."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.traffic import address, udp
from tests.workers.net.rig import Rig
from workers.contract.settings import Address
from workers.net.plain import PlainTransport, from_python, to_python
from workers.wire import sockaddr

addresses = st.one_of(
    st.builds(Address, st.just(4), st.integers(0, 2**32 - 1)),
    st.builds(Address, st.just(6), st.integers(0, 2**128 - 1)),
)


@given(addresses, st.integers(0, 65_535), st.integers(0, 2**32 - 1))
def test_an_address_comes_back_from_python_as_it_was(where: Address, port: int, scope: int):
    raw = sockaddr.encode(where, port, scope)
    assert from_python(where.version, to_python(raw)) == raw


def test_the_raw_form_may_be_longer_than_the_address():
    raw = sockaddr.encode(address("127.0.0.1"), 53).ljust(28, b"\0")
    assert to_python(raw) == ("127.0.0.1", 53)


def test_the_interface_in_the_text_of_an_address_is_passed_over():
    assert from_python(6, ("fe80::1%lo", 53, 0, 1)) == sockaddr.encode(address("fe80::1"), 53, 1)


def test_what_the_system_calls_a_socket_is_understood():
    with udp("::1") as sock:
        assert to_python(from_python(6, sock.getsockname())) == sock.getsockname()


def test_a_released_socket_is_no_longer_known():
    rig = Rig(PlainTransport)
    with udp() as sock:
        fd = rig.adopt(sock)
        rig.transport.release(fd)
        rig.transport.release(fd)
        with pytest.raises(KeyError):
            rig.transport.receive(fd, 4)


def test_a_descriptors_new_socket_takes_the_old_ones_place():
    rig = Rig(PlainTransport)
    with udp() as peer:
        first = udp()
        fd = rig.adopt(first)
        first.close()
        second = udp()
        if second.fileno() != fd:
            second = socket.socket(fileno=socket.dup(second.detach()))
        rig.adopt(second)
        peer.sendto(b"x", second.getsockname())
        assert [message.payload for message in rig.hear(second)] == [b"x"]
