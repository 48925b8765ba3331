"""Markings: of sockets, and as control data the kernel takes."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.kit.requirement import has_capabilities
from workers.contract.settings import AclSettings, QueueSettings, Settings
from workers.net import ancillary
from workers.net.marking import (
    SO_MARK,
    SO_PRIORITY,
    Marking,
    control_data,
    lost_priorities,
    takes_priority,
    to_client,
    to_server,
)

CAP_NET_RAW = 13
QUEUES = {"bulk": QueueSettings("bulk", mark=7, priority=5), "slow": QueueSettings("slow", rate_bps=8000)}
RULE = AclSettings("R", True, queue_to_server="bulk", tos_to_server=0x20, queue_to_client="slow", tos_to_client=0)
FAMILIES = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}
requires_raw = pytest.mark.skipif(not has_capabilities(CAP_NET_RAW), reason="missing: CAP_NET_RAW")


def test_a_rule_has_its_queues_marks_and_its_tos_by_direction() -> None:
    assert to_server(RULE, QUEUES) == Marking(0x20, 7, 5)
    assert to_client(RULE, QUEUES) == Marking(0, None, None)
    assert to_server(AclSettings("R", True), QUEUES) == Marking()


def test_a_priority_that_the_kernel_does_not_take_is_left_out_of_answers() -> None:
    rule = AclSettings("R", True, queue_to_client="bulk")
    assert to_client(rule, QUEUES) == Marking(None, 7, 5)
    assert to_client(rule, QUEUES, priority=False) == Marking(None, 7, None)
    settings = Settings("P", (), 1, 1, (rule, RULE), queues=tuple(QUEUES.values()))
    assert lost_priorities(settings) == ("bulk",)


def test_without_a_marking_there_is_no_control_data() -> None:
    assert control_data(4, Marking()) == control_data(6, Marking()) == b""


@requires_raw
@pytest.mark.parametrize("version", [4, 6])
def test_a_socket_carries_its_marking(version: int) -> None:
    family, _ = FAMILIES[version]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for option in Marking(0x68, 0xFFFF_FFFF, 200).options(version):
            sock.setsockopt(*option)
        tos = (0, 1) if version == 4 else (41, 67)
        assert sock.getsockopt(*tos) == 0x68
        assert struct.unpack("=I", sock.getsockopt(socket.SOL_SOCKET, SO_MARK, 4))[0] == 0xFFFF_FFFF
        assert sock.getsockopt(socket.SOL_SOCKET, SO_PRIORITY) == 200


@requires_raw
@pytest.mark.skipif(not takes_priority(), reason="missing: Linux 6.14")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_takes_the_control_data_and_the_datagram_has_its_tos(version: int) -> None:
    family, address = FAMILIES[version]
    with socket.socket(family, socket.SOCK_DGRAM) as receiver, socket.socket(family, socket.SOCK_DGRAM) as sender:
        receiver.bind((address, 0))
        receiver.settimeout(10)
        receiver.setsockopt(*((0, 13) if version == 4 else (41, 66)), 1)
        raw = control_data(version, Marking(0x48, 9, 7))
        items = list(ancillary.split(raw))
        sender.sendmsg([b"x"], items, 0, receiver.getsockname())
        _, ((_, _, tos),), _, _ = receiver.recvmsg(10, 64)
        assert tos[0] == 0x48


def test_the_probe_says_what_the_kernel_does() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        try:
            sock.sendmsg([b"x"], [(socket.SOL_SOCKET, SO_PRIORITY, struct.pack("=I", 1))], 0, sock.getsockname())
            taken = True
        except OSError:
            taken = False
    assert takes_priority() is taken
