"""What leaves for servers: whole runs in one call, and where that fails one by one; more is shown in test_outbound."""

from __future__ import annotations

import pytest

from tests.kit.datapath import datapath
from tests.kit.traffic import both_paths, forward_to, numbered, udp, waiting
from workers.contract.settings import SessionKind
from workers.contract.slots import DropReason

pytestmark = both_paths


@pytest.mark.parametrize("kind", [SessionKind.NORMAL, SessionKind.ANY_PORT, SessionKind.ANY_SOCK])
def test_a_run_leaves_whole_whether_the_server_is_known_or_not(fast_path, kind):
    payloads = numbered(9, 100)
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), kind), fast_path=fast_path) as path,
    ):
        for payload in payloads:
            client.sendto(payload, path.to[0])
        path.settle()
        assert waiting(server) == payloads


def test_what_cannot_leave_is_counted_and_the_session_goes_on(fast_path):
    with udp() as client, datapath(forward_to(("127.0.0.1", 9)), fast_path=fast_path) as path:
        for _ in range(3):
            client.sendto(b"x", path.to[0])
            path.settle()
        assert len(path.sessions) == 1
        assert set(path.drops_out) <= {DropReason.SEND_REFUSED}
