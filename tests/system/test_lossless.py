"""No session is lost while workers are killed and configurations reloaded, with clients that never stop asking."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import steady
from tests.kit.installed import Proxy, children_of, launch, requires_installed
from tests.kit.lab import Lab
from tests.kit.process import Process
from tests.kit.proxy import STARTED, Configuration, acl, unique_name
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, Way

PORT = 7000
SPARE_FILES = 2000

pytestmark = requires_installed


@dataclass(frozen=True)
class Scene:
    """A proxy between clients that never stop asking and their server."""

    proxy: Proxy
    server: Process
    clients: Process
    folder: Path
    configuration: Configuration

    def asked(self) -> dict[str, int]:
        """Return how the clients stand."""
        counts: dict[str, int] = json.loads(self.clients.ask("report", r"^\{"))
        return counts

    def wait_until_settled(self, count: int) -> None:
        """Wait until every client has a session that has lived for a moment."""
        while self.asked()["known"] < count:
            time.sleep(0.05)  # the clients ask on meanwhile
        time.sleep(0.5)  # 200 ms are promised; nothing tells outsiders

    def write(self, items: str) -> None:
        """Write the configuration with other items in its rule."""
        way = WAY4 if WAY4.server in self.configuration.acls else WAY6
        rule = acl(f"[{way.server}] : {PORT}", f"timeout both 600; {items}")
        text = Configuration(**{**vars(self.configuration), "acls": rule}).text
        (self.folder / "udp-proxy.cfg").write_text(text)

    def end(self, count: int) -> dict[str, int]:
        """Let the clients stop; check that none was ever seen at another port, and return what they have counted."""
        counts: dict[str, int] = json.loads(self.clients.ask("stop", r"^\{", 30))
        heard = json.loads(self.server.ask("report", r"^\{"))
        print(f"{counts}, server {heard}, {counts['sent'] - counts['answered']} datagrams without an answer")
        assert (counts["moved"], counts["known"]) == (0, count)
        assert heard["ports"] == count
        return counts


def start(lab: Lab, folder: Path, way: Way, count: int, rate: int, workers: int = 2) -> Scene:
    """Start everything with so many clients that send so many datagrams a second together."""
    server = lab.server.popen([sys.executable, "-I", steady.__file__, "serve", way.server, str(PORT)])
    logs = f'log-debug {{ file "{folder}/debug.log"; }} log-stats {{ file "{folder}/stats.log"; }}'
    rule = acl(f"[{way.server}] : {PORT}", "timeout both 600;")
    configuration = Configuration(way.listen(PORT), rule, f"nodaemon; {logs}", count + 50, workers, unique_name())
    text = configuration.text.replace(f"workers {workers};", f"workers {workers}; respawn-limit 1000 60;")
    process = launch(lab.proxy, folder, text)
    proxy = Proxy(process.pid, lab.proxy.follow(folder / "debug.log"))
    proxy.wait_for(STARTED)
    server.wait_for("^ready")
    arguments = [sys.executable, "-I", steady.__file__, "ask", str(count), str(rate), way.front, str(PORT)]
    clients = lab.client.popen(arguments)
    scene = Scene(proxy, server, clients, folder, configuration)
    scene.wait_until_settled(count)
    return scene


def kill_worker(proxy: Proxy, index: int) -> None:
    """Kill a worker; return when its replacement has been started."""
    begun = len(proxy.log.lines)
    os.kill(proxy.workers[index], signal.SIGKILL)
    proxy.wait_for(rf"UDPS-710-K Child worker {index} started", begun)


def reload(proxy: Proxy) -> None:
    """Reload, and wait until every child has the new configuration."""
    begun = len(proxy.log.lines)
    proxy.signal(signal.SIGHUP)
    assert "UDPS-771-K" in proxy.wait_for("UDPS-77[12]", begun)


@requires_namespaces
@pytest.mark.parametrize("way", [WAY4, WAY6], ids=["4", "6"])
def test_no_session_is_lost_when_workers_are_killed_one_after_the_other(tmp_path: Path, lab: Lab, way: Way) -> None:
    scene = start(lab, tmp_path, way, count=200, rate=400)
    for turn in range(6):
        kill_worker(scene.proxy, turn % 2)
    scene.end(200)


@requires_namespaces
def test_no_session_and_no_datagram_is_lost_when_the_configuration_is_reloaded(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=200, rate=400)
    for turn in range(6):
        scene.write(f"max-dgrams-out {100_000 + turn};")
        reload(scene.proxy)
    counts = scene.end(200)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
@pytest.mark.night
def test_sixty_kills_in_sixty_seconds_lose_no_session(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=500, rate=1000, workers=3)
    random.seed(4)
    begun = time.monotonic()
    for turn in range(60):
        kill_worker(scene.proxy, random.randrange(3))
        time.sleep(max(begun + turn + 1 - time.monotonic(), 0))
    scene.end(500)


@requires_namespaces
@pytest.mark.night
def test_thirty_reloads_in_thirty_seconds_lose_nothing(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=500, rate=1000)
    begun = time.monotonic()
    for turn in range(30):
        scene.write(f"max-dgrams-out {100_000 + turn};")
        reload(scene.proxy)
        time.sleep(max(begun + turn + 1 - time.monotonic(), 0))
    assert time.monotonic() < begun + 35
    counts = scene.end(500)
    assert counts["answered"] == counts["sent"]


@pytest.fixture
def many_files() -> None:
    """Let the programs that are started from here open as many files as is permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8000 + SPARE_FILES)), hard))


@requires_namespaces
@pytest.mark.alone
@pytest.mark.usefixtures("many_files")
def test_eight_thousand_sessions_survive_reloads_and_no_datagram_is_lost(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=8000, rate=3000)
    for turn in range(4):
        scene.write(f"max-dgrams-out {100_000 + turn};")
        reload(scene.proxy)
    counts = scene.end(8000)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
@pytest.mark.alone
@pytest.mark.usefixtures("many_files")
def test_eight_thousand_sessions_survive_kills(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=8000, rate=3000)
    for turn in range(4):
        kill_worker(scene.proxy, turn % 2)
    scene.end(8000)


@requires_namespaces
@pytest.mark.night
@pytest.mark.usefixtures("many_files")
def test_kills_faster_than_sessions_are_taken_over_lose_none(tmp_path: Path, lab: Lab) -> None:
    scene = start(lab, tmp_path, WAY4, count=4000, rate=2000, workers=1)
    for _ in range(8):
        kill_worker(scene.proxy, 0)
    scene.end(4000)


def resize(scene: Scene, workers: int) -> None:
    """Reload with another number of workers."""
    text = (scene.folder / "udp-proxy.cfg").read_text()
    (scene.folder / "udp-proxy.cfg").write_text(re.sub(r"workers \d+;", f"workers {workers};", text))
    begun = len(scene.proxy.log.lines)
    reload(scene.proxy)
    scene.proxy.wait_for(rf"UDPS-775-K Workers: \d+ before, now {workers};", begun)
    assert len(children_of(scene.proxy.pid)) == workers


@requires_namespaces
@pytest.mark.parametrize("way", [WAY4, pytest.param(WAY6, marks=pytest.mark.night)], ids=["4", "6"])
def test_no_session_and_no_datagram_is_lost_when_the_number_of_workers_changes(
    tmp_path: Path, lab: Lab, way: Way
) -> None:
    scene = start(lab, tmp_path, way, count=200, rate=400)
    for workers in (3, 1, 4, 2):
        resize(scene, workers)
    counts = scene.end(200)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
@pytest.mark.alone
@pytest.mark.night
@pytest.mark.usefixtures("many_files")
def test_eight_thousand_sessions_find_their_workers_when_the_number_of_these_changes(tmp_path: Path, lab: Lab) -> None:
    # Everybody waits for all of them to be taken over: what comes meanwhile has to fit the buffers.
    scene = start(lab, tmp_path, WAY4, count=8000, rate=1500)
    for workers in (4, 1, 3, 2):
        resize(scene, workers)
    counts = scene.end(8000)
    assert counts["answered"] == counts["sent"]
