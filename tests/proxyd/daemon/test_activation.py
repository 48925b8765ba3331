"""Sockets that a service manager has passed: each is a listener's, or the start is refused in words."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest

from proxyd.daemon import inventory
from proxyd.daemon.activation import Given
from proxyd.daemon.bequest import identify
from proxyd.daemon.inventory import Manifest
from proxyd.errors import SetupError
from tests.kit.requirement import requires_root
from workers.contract.settings import Address, ListenerSettings

LOCAL, LOCAL6, ANY6 = Address(4, 0x7F00_0001), Address(6, 1), Address(6, 0)
Passed = tuple[socket.socket, ListenerSettings]


@pytest.fixture
def passed() -> Iterator[Passed]:
    """A bound socket, and the listener that it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock, ListenerSettings(LOCAL, sock.getsockname()[1])


def given(*sockets: socket.socket, name: str = "a.socket") -> Given:
    return Given({os.dup(sock.fileno()): name for sock in sockets})


def bound6(host: str, *, only: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    sock.bind((host, 0))
    return sock


def test_a_listener_takes_a_duplicate_of_its_socket_as_often_as_it_asks(passed: Passed) -> None:
    sock, listener = passed
    units = given(sock)
    units.require_wanted([listener])
    for _ in range(2):
        taken = units.take(listener)
        assert taken is not None
        assert taken.getsockname() == sock.getsockname()
        assert not taken.getblocking()
        assert not taken.get_inheritable()
        taken.close()
    assert units.name(listener) == "a.socket"
    units.close()


def test_a_transparent_listener_of_the_same_place_has_it_too(passed: Passed) -> None:
    sock, listener = passed
    units = given(sock)
    assert units.name(ListenerSettings(listener.address, listener.port, transparent=True)) == "a.socket"
    units.close()


def test_what_was_not_passed_is_nobodys(passed: Passed) -> None:
    _, listener = passed
    assert Given().take(listener) is None
    assert Given().name(listener) is None
    Given().require_wanted([listener])


def test_every_socket_that_no_listener_wants_is_told(passed: Passed) -> None:
    sock, listener = passed
    with bound6("::1", only=True) as other:
        units, port = given(sock, other), other.getsockname()[1]
        with pytest.raises(SetupError) as caught:
            units.require_wanted([ListenerSettings(LOCAL, listener.port % 65535 + 1)])
    assert caught.value.reason == (
        f"[127.0.0.1]:{listener.port} of a.socket is no listener of the configuration; "
        f"[::1]:{port} of a.socket is no listener of the configuration"
    )
    units.close()


@pytest.mark.parametrize(("only", "one_family", "wanted"), [(False, True, "ipv6-only"), (True, False, "both")])
def test_a_socket_that_hears_the_wrong_families_is_refused(only: bool, one_family: bool, wanted: str) -> None:
    with bound6("::", only=only) as sock:
        units, listener = given(sock), ListenerSettings(ANY6, sock.getsockname()[1])
        with pytest.raises(SetupError, match=f"of a.socket needs BindIPv6Only={wanted}$"):
            units.require_wanted([listener], one_family=one_family)
        units.require_wanted([listener], one_family=not one_family)
        units.close()


def test_the_same_place_twice_is_refused(passed: Passed) -> None:
    sock, listener = passed
    with pytest.raises(SetupError, match=rf"\[127.0.0.1\]:{listener.port} is passed twice, by a.socket and a.socket"):
        given(sock, sock)


@pytest.mark.parametrize(
    ("descriptor", "why"),
    [
        (lambda: os.memfd_create("x"), "is no socket"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach(), "no UDP socket: ListenDatagram="),
        (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(), "no UDP socket: ListenDatagram="),
    ],
    ids=["file", "stream", "local"],
)
def test_what_is_no_socket_for_datagrams_is_refused(descriptor: object, why: str) -> None:
    assert callable(descriptor)
    with pytest.raises(SetupError, match=f"of a.socket {why}|a.socket is {why}"):
        Given({descriptor(): "a.socket"})


@requires_root
def test_of_a_wildcard_the_device_counts() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        units = given(sock)
        assert units.name(ListenerSettings(Address(4, 0), port, device="lo")) == "a.socket"
        with pytest.raises(SetupError, match=rf"\[0.0.0.0\]:{port} on lo of a.socket is no listener"):
            units.require_wanted([ListenerSettings(Address(4, 0), port)])
        units.close()


def left(listener: ListenerSettings, *sockets: socket.socket) -> Manifest:
    """Return what a run leaves of a listener, a socket a worker."""
    return Manifest(
        version=inventory.VERSION,
        program="udp-proxy",
        name="X",
        release="1",
        process=1,
        listeners=[inventory.describe(listener)],
        sockets=[[number] for number in range(len(sockets))],
        identities=[identify(sock.fileno()) for sock in sockets],
        layout=[],
        estate=msgspec.Raw(msgspec.msgpack.encode(None)),
    )


def test_what_was_laid_up_has_to_hold_the_very_socket_that_is_passed(passed: Passed) -> None:
    sock, listener = passed
    units = given(sock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert units.misfit(left(listener, sock, other)) == ""
        assert "of a.socket is another socket than was laid up" in units.misfit(left(listener, other, other))
        assert units.misfit(left(ListenerSettings(LOCAL, 1), other)) == ""
    units.close()


def test_the_log_tells_which_listeners_are_the_managers(passed: Passed) -> None:
    sock, listener = passed
    units, notes = given(sock), []

    class Log:
        def note(self, event: str, *fields: str | int | bytes | None) -> None:
            notes.append((event, *fields))

    units.note([listener, ListenerSettings(LOCAL, 1)], Log())
    assert notes == [("socket-given", f"[127.0.0.1]:{listener.port}", "a.socket")]
    units.close()
