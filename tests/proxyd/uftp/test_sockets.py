"""The workers' sockets: who gets which datagram, what they are set to, which groups they hear."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from proxyd.errors import SetupError
from proxyd.uftp.sockets import adapt, bind, descriptors
from tests.kit.readiness import is_readable
from tests.kit.uftp_process import LOOPBACK, datagram, make_settings, own_group, raw
from workers.contract.settings import Address, Settings
from workers.contract.uftp import Interface, Mode, UftpSettings


@contextmanager
def bound(settings: UftpSettings, workers: int) -> Iterator[list[socket.socket]]:
    socks = [sock for (sock,) in bind(settings, workers)]
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()


def send(to: tuple[str, int], *payloads: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for payload in payloads:
            sock.sendto(payload, to)


def waiting(sock: socket.socket) -> list[bytes]:
    found = []
    while is_readable(sock):
        found.append(sock.recv(9000))
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_a_group_has_one_worker_for_unicast_and_multicast_alike(workers: int) -> None:
    group = own_group()
    settings = make_settings(Mode.SERVER)
    settings = make_settings(Mode.SERVER, public_groups=(raw(group, settings.target_port),))
    messages = [datagram(9, group_id) for group_id in range(1, 13)]
    multicast = socket.inet_ntoa(group.value.to_bytes(4))
    with bound(settings, workers) as socks:
        for to in ("127.0.0.1", multicast):
            send((to, settings.port), *messages)
            for index, sock in enumerate(socks):
                assert waiting(sock) == messages[(index - 1) % workers :: workers]


def test_what_has_no_group_is_the_first_workers() -> None:
    with bound(make_settings(), 2) as socks:
        port = socks[0].getsockname()[1]
        send(("127.0.0.1", port), b"short", datagram(14, 0))
        assert [len(waiting(sock)) for sock in socks] == [2, 0]


def test_a_group_that_nobody_joined_here_is_not_heard() -> None:
    group = own_group()
    settings = make_settings(Mode.SERVER)
    with bound(settings, 1) as (sock,), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        member = group.value.to_bytes(4) + socket.inet_aton("127.0.0.1")
        other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        send((socket.inet_ntoa(group.value.to_bytes(4)), settings.port), datagram(9, 1))
        assert waiting(sock) == []


def test_a_socket_that_was_passed_is_the_first_workers_and_takes_only_what_is_its_own() -> None:
    group = own_group()
    settings = make_settings(Mode.SERVER)
    settings = make_settings(Mode.SERVER, public_groups=(raw(group, settings.target_port),))
    messages = [datagram(9, group_id) for group_id in range(1, 9)]
    multicast = socket.inet_ntoa(group.value.to_bytes(4))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as passed:
        passed.bind(("0.0.0.0", settings.port))
        passed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        send(("127.0.0.1", settings.port), b"early")
        # One more worker, and one less: of a run before nothing is left.
        for workers in (2, 1):
            socks = [sock for (sock,) in bind(settings, workers, passed.dup())]
            assert socks[0].getsockname() == ("0.0.0.0", settings.port)
            assert waiting(socks[0]) == ([b"early"] if workers == 2 else [])
            for to in ("127.0.0.1", multicast):
                send((to, settings.port), *messages)
                for index, sock in enumerate(socks):
                    assert waiting(sock) == messages[(index - 1) % workers :: workers]
            for sock in socks:
                sock.close()


def test_a_second_proxy_is_refused_the_port() -> None:
    settings = make_settings()
    with bound(settings, 2), pytest.raises(SetupError, match=f"bind port {settings.port}: Address already in use"):
        bind(settings, 1)


def test_options_are_those_of_the_command_line() -> None:
    with bound(make_settings(ttl=200, dscp=46, buffer_bytes=70_000), 1) as (sock,):
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 200
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 46 << 2
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 140_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 140_000
        assert not sock.getblocking()


def test_sockets_of_a_program_before_serve_the_options_and_groups_of_the_next() -> None:
    before, group = make_settings(Mode.SERVER, ttl=3, public_groups=()), own_group()
    with bound(before, 2) as socks:
        after = dataclasses.replace(before, ttl=5, public_groups=(raw(group, before.target_port),))
        for _ in range(2):
            adapt(after, [(sock,) for sock in socks])
        assert [sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) for sock in socks] == [5, 5]
        send((socket.inet_ntoa(group.value.to_bytes(4)), before.port), datagram(9, 1), datagram(9, 2))
        assert sum(len(waiting(sock)) for sock in socks) == 2


def test_sockets_of_ipv6_are_adapted_too() -> None:
    here = Interface("lo", LOOPBACK.number, Address(6, 1))
    before = make_settings(version=6, out_interface=here, interfaces=(here,), ttl=9)
    with bound(before, 1) as (sock,):
        adapt(dataclasses.replace(before, ttl=7), [(sock,)])
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 7


def test_an_ipv6_socket_takes_ipv4_peers_too() -> None:
    here = Interface("lo", LOOPBACK.number, Address(6, 1))
    with bound(make_settings(version=6, out_interface=here, interfaces=(here,), ttl=9), 2) as socks:
        send(("127.0.0.1", socks[0].getsockname()[1]), datagram(9, 2))
        assert len(waiting(socks[0])) == 1
        assert socks[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 9


def test_an_ipv6_socket_hears_ipv4_groups_too() -> None:
    here, group = Interface("lo", LOOPBACK.number, Address(6, 1)), own_group()
    mapped = raw(Address(6, 0xFFFF << 32 | group.value), 1044)
    both = (here, LOOPBACK)
    settings = make_settings(Mode.SERVER, version=6, out_interface=here, interfaces=both, public_groups=(mapped,))
    with bound(settings, 1) as (sock,):
        send((str(IPv4Address(group.value)), sock.getsockname()[1]), datagram(9, 2))
        assert len(waiting(sock)) == 1


def test_an_ipv6_socket_multicasts_to_ipv4_groups_as_it_does_to_its_own() -> None:
    here, text = Interface("lo", LOOPBACK.number, Address(6, 1)), str(IPv4Address(own_group().value))
    settings = make_settings(version=6, out_interface=here, interfaces=(here,), ttl=9)
    with bound(settings, 1) as (sock,), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.bind((text, 0))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(text) + bytes([127, 0, 0, 1]))
        sock.sendto(b"x", (f"::ffff:{text}", member.getsockname()[1]))
        assert waiting(member) == [b"x"]
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 9


def test_a_group_that_cannot_be_joined_ends_the_start_and_frees_the_port() -> None:
    settings = make_settings(Mode.SERVER, public_groups=(raw(Address(4, 0x0A000001), 1),))
    with pytest.raises(SetupError, match=r"join 10\.0\.0\.1"):
        bind(settings, 2)
    with bound(make_settings(port=settings.port), 1):
        pass


def test_groups_take_few_descriptors() -> None:
    frame = Settings("client", (), 10_000, 2, ())
    assert 500 < descriptors(frame, 2) < 700
