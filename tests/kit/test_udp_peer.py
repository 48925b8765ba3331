from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.kit.peers import udp_peer
from tests.kit.place import Place

WAIT_S = 5.0


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_an_echo_answers_and_counts(here: Place, family: int, address: str) -> None:
    peer = udp_peer(here, "echo", address)
    with here.socket(family) as first, here.socket(family) as second:
        for sock, payload in ((first, b"abc"), (second, b""), (second, b"x" * 9000)):
            sock.settimeout(WAIT_S)
            sock.sendto(payload, (address, peer.port))
            assert sock.recv(65_536) == payload
    assert peer.counts() == {"received": 3, "bytes": 9003, "sent": 3, "sources": 2}


def test_a_sink_is_silent_and_its_report_counts_all_that_was_sent_before(here: Place) -> None:
    peer = udp_peer(here, "sink", "127.0.0.1")
    with here.socket() as sock:
        for _ in range(500):
            sock.sendto(b"0123456789", ("127.0.0.1", peer.port))
        assert peer.counts() == {"received": 500, "bytes": 5000, "sent": 0, "sources": 1}
        with pytest.raises(BlockingIOError):
            sock.recv(10, socket.MSG_DONTWAIT)


def test_it_ends_with_its_input_and_refuses_another_mode(here: Place) -> None:
    program = Path(__file__).with_name("udp_peer.py")
    assert here.run([sys.executable, program, "sink", "127.0.0.1", "0"]).returncode == 0
    assert here.run([sys.executable, program, "mirror", "127.0.0.1", "0"], check=False).returncode == 64
