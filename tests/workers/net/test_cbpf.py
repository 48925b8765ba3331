"""Programs for sockets: what each chooses, asked of the kernel itself, and how it is written."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from workers.net import cbpf
from workers.net.cbpf import Instruction, Program

SPREAD = 0x9E37_79B1
FAMILIES = {4: (socket.AF_INET, "127.0.0.1", "0.0.0.0"), 6: (socket.AF_INET6, "::1", "::")}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def group(stack: ExitStack, version: int, count: int) -> tuple[list[socket.socket], int]:
    """Return count sockets of one reuseport group on every address, and their port."""
    family, _, wildcard = FAMILIES[version]
    socks, port = [], 0
    for _ in range(count):
        sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((wildcard, port))
        sock.setblocking(False)
        port = sock.getsockname()[1]
        socks.append(sock)
    return socks, port


def readers(socks: list[socket.socket]) -> list[int]:
    """Return the number of the socket that each waiting datagram came to, in the order of the sockets."""
    found = []
    for number, sock in enumerate(socks):
        while True:
            try:
                sock.recv(2000)
            except BlockingIOError:
                break
            found.append(number)
    return found


def send(version: int, target: tuple[str, int], payload: bytes, source: str = "", port: int = 0) -> int:
    """Send from a new socket; return its port."""
    with socket.socket(FAMILIES[version][0], socket.SOCK_DGRAM) as client:
        client.bind((source or FAMILIES[version][1], port))
        client.sendto(payload, target)
        found: int = client.getsockname()[1]
    return found


def spread(address: str, port: int, count: int) -> int:
    """Return what by_client must choose, in plain Python."""
    raw, mixed = ipaddress.ip_address(address).packed, port
    for start in range(0, len(raw), 4):
        mixed = (mixed ^ int.from_bytes(raw[start : start + 4], "big")) * SPREAD & 0xFFFF_FFFF
    return (mixed >> 16) % count


def message(group_id: int) -> bytes:
    return bytes(8) + group_id.to_bytes(4, "big") + b"rest"


@pytest.mark.parametrize("version", [4, 6])
def test_one_socket_gets_everything(stack: ExitStack, version: int) -> None:
    socks, port = group(stack, version, 3)
    cbpf.attach_steering(socks[0], cbpf.always(2))
    for _ in range(20):
        send(version, (FAMILIES[version][1], port), b"x")
    assert readers(socks) == [2] * 20


@pytest.mark.parametrize("version", [4, 6])
def test_the_client_alone_decides_and_clients_are_spread(stack: ExitStack, version: int) -> None:
    socks, port = group(stack, version, 4)
    cbpf.attach_steering(socks[1], cbpf.by_client(version, 4))
    found: Counter[int] = Counter()
    for number in range(100):
        local = FAMILIES[version][1]
        source = f"127.0.{number}.1" if version == 4 else local
        client = send(version, (local, port), b"x", source)
        expected = spread(source, client, 4)
        assert readers(socks) == [expected]
        found[expected] += 1
    assert min(found[number] for number in range(4)) > 5


def test_another_destination_does_not_change_the_choice(stack: ExitStack) -> None:
    socks, port = group(stack, 4, 5)
    cbpf.attach_steering(socks[0], cbpf.by_client(4, 5))
    client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    for number in range(1, 40):
        client.sendto(b"x", (f"127.0.0.{number}", port))
    assert len(set(readers(socks))) == 1


def test_options_in_the_header_do_not_change_the_choice(stack: ExitStack) -> None:
    socks, port = group(stack, 4, 7)
    cbpf.attach_steering(socks[0], cbpf.by_client(4, 7))
    client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    client.sendto(b"x", ("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01" * 40)
    client.sendto(b"x", ("127.0.0.1", port))
    assert readers(socks) == [spread("127.0.0.1", client.getsockname()[1], 7)] * 2


def test_an_extension_header_leaves_the_address_to_decide(stack: ExitStack) -> None:
    socks, port = group(stack, 6, 7)
    cbpf.attach_steering(socks[0], cbpf.by_client(6, 7))
    client = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, b"\x00\x00\x01\x04\x00\x00\x00\x00")
    client.sendto(b"x", ("::1", port))
    assert readers(socks) == [spread("::1", 0, 7)]


def test_messages_of_one_group_meet_and_groups_go_by_their_number(stack: ExitStack) -> None:
    socks, port = group(stack, 4, 3)
    cbpf.attach_steering(socks[0], cbpf.by_group(3))
    for group_id in (0, 1, 5, 0xFFFF_FFFF, 0x8000_0000):
        send(4, ("127.0.0.1", port), message(group_id))
        send(4, ("127.0.0.1", port), message(group_id) * 80)
        assert readers(socks) == [group_id % 3] * 2


def test_a_message_without_a_group_goes_to_the_first(stack: ExitStack) -> None:
    socks, port = group(stack, 4, 3)
    cbpf.attach_steering(socks[0], cbpf.by_group(3))
    for size in (0, 1, 8, 11):
        send(4, ("127.0.0.1", port), b"\xff" * size)
    assert readers(socks) == [0] * 4


@pytest.mark.parametrize("payload", [message(7), message(0xFFFF_FFF0) + bytes(1000), message(1)[:12]])
def test_a_filter_keeps_what_the_program_would_give_its_socket(stack: ExitStack, payload: bytes) -> None:
    kept = []
    for index in range(5):
        socks, port = group(stack, 4, 1)
        cbpf.attach_filter(socks[0], cbpf.keep_group(index, 5))
        send(4, ("127.0.0.1", port), payload)
        kept += [index] * len(readers(socks))
    assert kept == [int.from_bytes(payload[8:12], "big") % 5]


def test_a_filter_leaves_what_is_too_short_to_the_first_socket(stack: ExitStack) -> None:
    for index, expected in ((0, [0, 0, 0]), (1, [])):
        socks, port = group(stack, 4, 1)
        cbpf.attach_filter(socks[0], cbpf.keep_group(index, 2))
        for size in (0, 5, 11):
            send(4, ("127.0.0.1", port), b"\x00" * size)
        assert readers(socks) == expected


def test_a_filter_does_not_cut(stack: ExitStack) -> None:
    socks, port = group(stack, 4, 1)
    cbpf.attach_filter(socks[0], cbpf.keep_group(0, 1))
    send(4, ("127.0.0.1", port), b"z" * 60_000)
    assert socks[0].recv(65_536) == b"z" * 60_000


def test_programs_are_written_as_the_kernel_reads_them() -> None:
    program: Program = (Instruction(0x15, 0x0102_0304, when_true=5, when_false=6), Instruction(0x06, 1))
    assert cbpf.assemble(program) == bytes.fromhex("15000506040302010600000001000000")


def test_a_socket_without_a_group_is_told_apart(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    with pytest.raises(OSError, match="Invalid argument"):
        cbpf.attach_steering(sock, cbpf.always(0))


def test_a_program_the_kernel_does_not_take_is_refused(stack: ExitStack) -> None:
    socks, _ = group(stack, 4, 2)
    with pytest.raises(OSError, match="Invalid argument"):
        cbpf.attach_steering(socks[0], (Instruction(0x15, 0, when_true=9),))
