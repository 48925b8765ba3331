"""The datapath without its loop."""

from __future__ import annotations

import pytest

from tests.kit.datapath import datapath
from tests.kit.traffic import forward_to, udp
from workers.contract.settings import Limits
from workers.contract.slots import CloseReason, DropReason


def test_a_turn_forwards_and_what_happened_can_be_read():
    limits = Limits(max_bytes_in=1)
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname(), limits=limits), level=9) as path:
        client.sendto(b"x", path.to[0])
        assert path.turn() == 1
        _, upstream = server.recvfrom(10)
        (session,) = path.sessions
        assert session.sock.getsockname() == upstream
        server.sendto(b"yy", upstream)
        path.settle(5)
        assert path.sessions == []
        assert path.drops_in == {DropReason.LIMIT: 1}
        assert path.drops_out == {}
        assert path.closes == {CloseReason.BYTES_IN: 1}
        assert [record.fields[2:] for record in path.logged("payload")] == [(1, b"x"), (2, b"yy")]


def test_a_turn_without_anything_to_read_ends_in_time():
    with datapath(forward_to(("127.0.0.1", 9))) as path:
        assert path.turn(within_s=0) == 0


def test_what_is_not_accounted_for_fails_its_test():
    with pytest.raises(AssertionError, match="received is not forwarded"), datapath() as path:
        path.parts.stats.received_out += 1
