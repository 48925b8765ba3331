"""Sessions that end by time: each limit by its own name, never early, and nothing of them is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, Way, port_of

PORT = 7000

pytestmark = requires_installed


def expiring(way: Way, limits: list[str], fast_path: str) -> Configuration:
    """Return a proxy with one listener and one rule a limit."""
    rules = "".join(
        f"session-acl A{number} {{ to {{ * }} port {PORT + number}; accept; plug-to [{way.server}] : {PORT};"
        f" timeout {limit}; }}\n"
        for number, limit in enumerate(limits)
    )
    listen = f"non-transparent [{way.front}] port {PORT} to {PORT + len(limits) - 1};"
    return Configuration(listen, rules, f"nodaemon; fast-path {fast_path};")


@requires_namespaces
@pytest.mark.parametrize(("way", "fast_path"), [(WAY4, "on"), (WAY6, "off")], ids=["4-on", "6-off"])
def test_each_time_limit_ends_its_session_and_says_which_it_was(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    limits = ["session", "in", "out", "both"]
    others = {
        "session": "both 60",
        "in": "session 60 out 60 both 60",
        "out": "session 60 in 60 both 60",
        "both": "in 9",
    }
    texts = [f"{name} 1 {others[name]}" for name in limits]
    proxy = serve(lab.proxy, tmp_path, expiring(way, texts, fast_path))
    clients = [way.client_socket(lab, PORT + number) for number in range(len(limits))]
    with way.server_socket(lab, PORT) as server:
        for client in clients:
            client.send(b"question")
            assert server.recv(100) == b"question"
        for name, client in zip(limits, clients, strict=True):
            reason, record = proxy.end_of(port_of(client))
            assert reason == f"timeout-{name}"
            assert (record["STATUS"], record["RESULT"]) == ("ACCEPTED", "OK")
            assert float(record["DURATION"]) >= 1.0
    assert_balanced(totals := proxy.totals())
    assert (totals["sessions"], totals["opened"]) == (0, len(limits))
    for client in clients:
        client.close()


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_a_late_answer_is_lost_and_the_next_question_begins_a_new_session(
    tmp_path: Path, lab: Lab, fast_path: str
) -> None:
    proxy = serve(lab.proxy, tmp_path, expiring(WAY4, ["both 1"], fast_path))
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"question")
        _, source = server.recvfrom(100)
        assert proxy.end_of(port_of(client))[0] == "timeout-both"
        server.sendto(b"late answer", source)
        begun = len(proxy.log.lines)
        client.send(b"another")
        assert server.recvfrom(100)[0] == b"another"
        proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(client)} ", begun)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(100)
