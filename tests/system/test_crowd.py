"""Ten thousand sessions at once in four workers on one machine: all answered and counted, little memory."""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path

import pytest

from tests.kit import crowd, peers
from tests.kit.installed import Proxy, launch, requires_installed, status_of
from tests.kit.lab import Lab
from tests.kit.process import Process
from tests.kit.proxy import STARTED, Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, Way

PORT = 7000
SESSIONS = 10_000
SPARE_FILES = 100
BYTES_A_SESSION = 1500

pytestmark = requires_installed

enough_files = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < SESSIONS + SPARE_FILES,
    reason=f"missing: the right to open {SESSIONS + SPARE_FILES} files at once (ulimit -n)",
)


def resident_bytes(pids: list[int]) -> int:
    """Return the memory that processes have for themselves, and what of the shared regions they have touched."""
    statuses = [status_of(pid) for pid in pids]
    return 1024 * sum(int(status[name].split()[0]) for status in statuses for name in ("RssAnon", "RssShmem"))


@pytest.fixture
def many_files() -> None:
    """Let the programs that are started from here open as many files as is permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, SESSIONS + SPARE_FILES)), hard))


@requires_namespaces
@enough_files
@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(("way", "fast_path"), [(WAY4, "on"), (WAY6, "off")], ids=["4-on", "6-off"])
def test_ten_thousand_sessions_are_answered_and_counted_and_end_in_order(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    server = peers.udp_peer(lab.server, "echo", way.server, PORT)
    proxy, process = start(lab, tmp_path, way, fast_path)
    workers = proxy.workers
    before = resident_bytes(workers)
    clients = lab.client.popen([sys.executable, "-I", crowd.__file__, str(SESSIONS), way.front, str(PORT)])
    clients.wait_for("^ready")
    for rounds in (1, 2):
        said = clients.ask("ask", r"^\{", within_s=60)
        assert json.loads(said) == {"asked": SESSIONS, "answered": SESSIONS, "foreign": 0}
        state = proxy.state_when(lambda state, count=rounds * SESSIONS: state.get("forwarded-in") == count)
        assert state["opened"] == state["sessions"] == SESSIONS
        assert state["received-in"] == state["received-out"] == state["forwarded-out"] == rounds * SESSIONS
    assert server.counts()["sources"] == SESSIONS
    growth = (resident_bytes(workers) - before) / SESSIONS
    print(f"{growth:.0f} bytes a session; {before / 4e6:.1f} MB a worker before")
    assert growth <= BYTES_A_SESSION
    with way.client_socket(lab, PORT) as late:
        late.send(b"me too")
        state = proxy.state_when(lambda state: state.get("dropped-out-table-full") == 1)
    assert state["received-out"] == state["forwarded-out"] + 1
    assert_logged(proxy, tmp_path)
    assert process.stop() == 0
    assert " killed " not in (tmp_path / "debug.log").read_text()


def start(lab: Lab, folder: Path, way: Way, fast_path: str) -> tuple[Proxy, Process]:
    """Start a proxy for so many with its logs in files, which nobody is too slow to read."""
    logs = f'log-debug {{ file "{folder}/debug.log"; }} log-stats {{ file "{folder}/stats.log"; }}'
    rule = acl(f"[{way.server}] : {PORT}", "timeout both 600;")
    items = f"nodaemon; fast-path {fast_path}; {logs}"
    process = launch(lab.proxy, folder, Configuration(way.listen(PORT), rule, items, SESSIONS, workers=4).text)
    proxy = Proxy(process.pid, lab.proxy.follow(folder / "debug.log"))
    proxy.wait_for(STARTED)
    return proxy, process


def assert_logged(proxy: Proxy, folder: Path) -> None:
    """Check that every session's beginning is in the log, or counted among what was shed; that is told each second."""
    wanted, sums = 2 * SESSIONS, [0]

    def complete(_state: dict[str, int]) -> bool:
        text = (folder / "debug.log").read_text()
        shed = sum(int(number) for number in re.findall(r"UDPS-730-W (\d+) log records shed", text))
        sums.append(text.count("UDPP-821-N") + text.count("UDPP-710-I") + shed)
        return sums[-1] >= wanted

    proxy.state_when(complete)
    # The client that found no room has a search and a warning too.
    assert sums[-1] <= wanted + 2
