"""What is easily lost without a word: answers in a full socket, dumps, warnings, a dying proxy's last records."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.kit import crowd, peers
from tests.kit.installed import Proxy, launch, requires_installed, serve, status_of
from tests.kit.lab import Lab
from tests.kit.proxy import STARTED, Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, port_of

PORT = 7000
RULE = acl(f"[{WAY4.server}] : {PORT}", "timeout both 60;")

pytestmark = requires_installed


@requires_namespaces
def test_answers_that_come_while_a_worker_is_busy_wait_or_are_counted(tmp_path: Path, lab: Lab) -> None:
    burst = 500
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), RULE, workers=1))
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"question")
        _, source = server.recvfrom(100)
        (worker,) = proxy.workers
        os.kill(worker, signal.SIGSTOP)
        while status_of(worker)["State"].split()[0] != "T":
            os.sched_yield()
        for _ in range(burst):
            server.sendto(bytes(1000), source)
        os.kill(worker, signal.SIGCONT)
        assert proxy.worker_of(port_of(client)) == worker
        proxy.state_when(lambda state: state.get("received-in", 0) + state.get("queue-overflow", 0) == burst)


@requires_namespaces
def test_the_warning_of_a_full_table_tells_how_many_sessions_there_are(tmp_path: Path, lab: Lab) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), RULE, sessions=24, workers=4))
    with ExitStack() as stack:
        for _ in range(25):
            stack.enter_context(WAY4.client_socket(lab, PORT)).send(b"hello")
        assert "Session table full (24), datagram from" in proxy.wait_for("UDPP-720-W")


@requires_namespaces
def test_dumps_are_as_long_as_data_limit_allows(tmp_path: Path, lab: Lab) -> None:
    items = "nodaemon; log-debug { level full; data-limit 4; }"
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), RULE, items))
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        assert proxy.wait_for("UDPP-990-F").endswith("5 bytes: 68656c6c")


@requires_namespaces
def test_sessions_that_end_with_the_proxy_are_in_the_stats_log_or_counted_as_shed(tmp_path: Path, lab: Lab) -> None:
    sessions = 3000
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    logs = f'nodaemon; log-debug {{ file "{tmp_path}/debug.log"; }} log-stats {{ file "{tmp_path}/stats.log"; }}'
    process = launch(lab.proxy, tmp_path, Configuration(WAY4.listen(PORT), RULE, logs, sessions, workers=1).text)
    proxy = Proxy(process.pid, lab.proxy.follow(tmp_path / "debug.log"))
    proxy.wait_for(STARTED)
    clients = lab.client.popen([sys.executable, "-I", crowd.__file__, str(sessions), WAY4.front, str(PORT)])
    clients.wait_for("^ready")
    assert json.loads(clients.ask("ask", r"^\{"))["answered"] == sessions
    assert process.stop() == 0
    debug, stats = ((tmp_path / f"{name}.log").read_text() for name in ("debug", "stats"))
    shed = sum(int(number) for number in re.findall(r"UDPS-730-W (\d+) log records shed", debug))
    assert debug.count("UDPP-821-N") + debug.count("UDPP-710-I") + stats.count("UDPP-888-I") + shed == 3 * sessions
