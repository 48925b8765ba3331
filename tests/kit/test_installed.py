from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.kit.installed import (
    TEST_UDP,
    UDP_PROXY,
    assert_balanced,
    children_of,
    pairs,
    pidfile,
    requires_installed,
    serve,
    status_of,
    wait_for_end,
)
from tests.kit.peers import udp_peer
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.process import Process
from tests.kit.proxy import Configuration, acl
from tests.kit.way import connected, port_of


def test_the_commands_lie_beside_this_python() -> None:
    assert {path.parent for path in (UDP_PROXY, TEST_UDP)} == {Path(sys.executable).parent}


def test_words_with_a_value_are_told_from_those_without() -> None:
    assert pairs('x PROXY-EVENT A=1 B="two words" C=<NULL>') == {"A": "1", "B": "two words", "C": "<NULL>"}


def test_pidfiles_have_lower_case_names() -> None:
    assert pidfile("DNS").name == "udp-proxy-dns.pid"


def test_balance_is_demanded_in_each_direction() -> None:
    counts = {"out_received": 3, "out_forwarded": 2, "out_dropped": 1}
    even = {"in_received": 0, "in_forwarded": 0, "in_dropped": 0}
    assert_balanced(counts | even)
    for wrong in ({"in_received": 1}, {"out_dropped": 0}):
        with pytest.raises(AssertionError):
            assert_balanced(counts | even | wrong)


def test_the_end_of_another_process_is_awaited() -> None:
    with Process(["sleep", "600"]) as process:
        assert status_of(process.pid)["Name"] == "sleep"
        assert process.pid in children_of(os.getpid())
        process.signal(signal.SIGKILL)
        wait_for_end(process.pid)
    wait_for_end(process.pid)


@requires_installed
def test_a_running_proxy_tells_its_sessions_records_and_counts(tmp_path: Path, here: Place) -> None:
    peer, port = udp_peer(here, "echo", "127.0.0.1"), free_port()
    rule = acl(f"[127.0.0.1] : {peer.port}", "max-dgrams-out 1; max-dgrams-in 1; timeout both 60;")
    proxy = serve(here, tmp_path, Configuration(f"non-transparent [127.0.0.1] port {port};", rule, workers=3))
    with connected(here, "127.0.0.1", "127.0.0.1", port) as client:
        client.send(b"hello")
        assert client.recv(100) == b"hello"
        assert proxy.worker_of(port_of(client)) in proxy.workers
        reason, record = proxy.end_of(port_of(client))
    assert (reason, record["BYTES-COUT"], record["RULE"]) == ("dgrams-reached", "5", "ALL")
    assert len(proxy.workers) == 3
    assert proxy.totals()["out_forwarded"] == 1
    state = proxy.state_when(lambda state: "opened" in state)
    assert (state["opened"], state["sessions"], state["level"], state["closed-dgrams-reached"]) == (1, 0, 6, 1)


@requires_installed
def test_the_parents_sockets_are_counted_and_grow_when_a_session_is_kept(tmp_path: Path) -> None:
    peer, port = udp_peer(Place(), "echo", "127.0.0.1"), free_port()
    rule = acl(f"[127.0.0.1] : {peer.port}")
    proxy = serve(Place(), tmp_path, Configuration(f"non-transparent [127.0.0.1] port {port};", rule, workers=1))
    without = proxy.sockets
    with connected(Place(), "127.0.0.1", "127.0.0.1", port) as client:
        client.send(b"hello")
        proxy.wait_for_sockets(without + 1)
    assert proxy.sockets == without + 1
    assert proxy.log.stop() == 0
