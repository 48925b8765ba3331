"""The program is started anew while clients never stop asking: no session is lost, and if it fails nothing changes."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import steady
from tests.kit.installed import UDP_PROXY, launch, pidfile, requires_installed, wait_for_end
from tests.kit.lab import Lab
from tests.kit.process import Process
from tests.kit.proxy import ENV, STARTED, Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, Way

PORT = 7000
PRIVILEGED = 53
"""A port that the old program, which starts the new one, has a right to still."""
PROXYCTL = Path(sys.executable).with_name("proxyctl")
TIMEOUT = "timeout both 600;"
MANY, SPARE_FILES = 8000, 2000
WITHIN_S = 120.0
"""A program that is started anew is started twice, each time from nothing; the machine may be busy."""

pytestmark = requires_installed


@dataclass
class Scene:
    """A proxy in the background between clients that never stop asking and their server."""

    lab: Lab
    folder: Path
    name: str
    way: Way
    log: Process
    server: Process
    clients: Process

    @property
    def pid(self) -> int:
        """The proxy's process, by its pidfile."""
        return int(pidfile(self.name).read_text())

    def asked(self) -> dict[str, int]:
        """Return how the clients stand."""
        counts: dict[str, int] = json.loads(self.clients.ask("report", r"^\{"))
        return counts

    def write(self, rule: str = TIMEOUT, proxy: str = "", **changes: object) -> None:
        """Write the configuration, with other items."""
        logs = f'log-debug {{ file "{self.folder}/debug.log"; }} log-stats {{ file "{self.folder}/stats.log"; }}'
        acls = acl(f"[{self.way.server}] : {PORT}", rule)
        whole = {"listen": self.way.listen(PORT), "acls": acls, "proxy": f"{logs} {proxy}", "name": self.name}
        (self.folder / "udp-proxy.cfg").write_text(Configuration(**{**whole, **changes}).text)  # type: ignore[arg-type]

    def ctl(self, *words: str) -> Process:
        """Run proxyctl where the proxy runs, to its end."""
        process = self.lab.proxy.popen([PROXYCTL, "-n", self.name, *words])
        process.wait(WITHIN_S)
        return process

    def upgrade(self) -> str:
        """Have the proxy upgraded; return what is said of it, once the new program serves and the old one has ended."""
        old, begun = self.pid, len(self.log.lines)
        process = self.ctl("upgrade")
        assert process.wait() == 0, process.output
        self.log.wait_for("UDPS-763-K Taken over", begun)
        assert self.pid != old
        wait_for_end(old)
        # Before its own configuration serves in all children, nobody else may take over from it.
        self.log.wait_for("UDPS-771-K", begun)
        return process.output

    def wait_for_workers(self, count: int, begun: int) -> None:
        """Wait until there are so many workers, by the log from line begun on, and all serve."""
        found = self.log.wait_for(rf"UDPS-775-K Workers: \d before, now {count}; ", begun)
        self.log.wait_for("UDPS-771-K", self.log.lines.index(found, begun))

    def end(self, count: int) -> dict[str, int]:
        """Let the clients stop; check that none was ever seen at another port, and return what they have counted."""
        counts: dict[str, int] = json.loads(self.clients.ask("stop", r"^\{", 30))
        heard = json.loads(self.server.ask("report", r"^\{"))
        print(f"{counts}, server {heard}, {counts['sent'] - counts['answered']} datagrams without an answer")
        assert (counts["moved"], counts["known"]) == (0, count)
        assert heard["ports"] == count
        return counts


@pytest.fixture
def scene(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path, name: str) -> Scene:
    """100 clients with a session each, over IPv4 unless the test asks for another way."""
    return begin(lab, tmp_path, name, getattr(request, "param", WAY4))


def begin(lab: Lab, tmp_path: Path, name: str, way: Way, count: int = 100, rate: int = 300) -> Scene:
    """Start a proxy and clients with a session each, that ask so often a second together."""
    server = lab.server.popen([sys.executable, "-I", steady.__file__, "serve", way.server, str(PORT)])
    server.wait_for("^ready")
    (tmp_path / "debug.log").touch()
    log = lab.proxy.follow(tmp_path / "debug.log")
    scene = Scene(lab, tmp_path, name, way, log, server, server)
    scene.write(sessions=count + 1000)
    started = lab.proxy.popen([UDP_PROXY, "-f", tmp_path / "udp-proxy.cfg"])
    assert started.wait() == 0, started.output
    arguments = [sys.executable, "-I", steady.__file__, "ask", str(count), str(rate), way.front, str(PORT)]
    scene.clients = lab.client.popen(arguments)
    while scene.asked()["known"] < count:
        time.sleep(0.05)  # the clients ask on meanwhile
    time.sleep(0.5)  # a session is safe from 200 ms on; nothing tells outsiders
    return scene


@requires_namespaces
@pytest.mark.parametrize(("scene", "upgrades"), [(WAY4, 5), (WAY6, 1)], ids=["4", "6"], indirect=["scene"])
def test_upgrades_lose_no_session_and_no_datagram(scene: Scene, upgrades: int) -> None:
    for _ in range(upgrades):
        scene.upgrade()
    counts = scene.end(100)
    assert counts["answered"] == counts["sent"]
    assert "100 sessions" in scene.log.wait_for("UDPS-763-K Taken over")


@requires_namespaces
@pytest.mark.night
def test_upgrades_to_other_numbers_of_workers_lose_no_session_and_no_datagram(scene: Scene) -> None:
    for workers in (3, 1, 2):
        begun = len(scene.log.lines)
        scene.write(workers=workers)
        scene.upgrade()
        scene.wait_for_workers(workers, begun)
    counts = scene.end(100)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
def test_a_new_program_brings_its_own_configuration_and_sessions_keep_the_rules_that_they_began_with(
    scene: Scene,
) -> None:
    more = f"{scene.way.listen(PORT)} {scene.way.listen(PRIVILEGED)}"
    scene.write("timeout both 600; max-dgrams-out 1;", listen=more, sessions=1500, workers=3)
    begun = len(scene.log.lines)
    scene.upgrade()
    scene.wait_for_workers(3, begun)
    status = json.loads(scene.ctl("status", "--json").output)
    assert [one["address"] for one in status["listeners"]] == [
        f"[{scene.way.front}]:{PORT}",
        f"[{scene.way.front}]:{PRIVILEGED}",
    ]
    assert status["proxy"]["max_sessions"] == 1500
    before = scene.asked()["answered"]
    while scene.asked()["answered"] < before + 300:
        time.sleep(0.05)  # the clients ask on meanwhile
    scene.write(listen=f"{more} transparent [{scene.way.front}] port {PRIVILEGED + 1};")
    scene.upgrade()
    scene.end(100)


@requires_namespaces
@pytest.mark.parametrize(
    ("proxy", "listen", "why"),
    [
        pytest.param('chroot-dir "/nowhere/at/all";', "", "/nowhere/at/all", marks=pytest.mark.night),
        ("", "non-transparent [192.0.2.1] port 7001;", r"bind \[192.0.2.1\]:7001"),
        ("nonsense;", "", "nonsense"),
    ],
    ids=["no root for the workers", "an address that is not here", "a broken configuration"],
)
def test_a_new_program_that_does_not_come_up_changes_nothing_and_says_why(
    scene: Scene, proxy: str, listen: str, why: str
) -> None:
    old = scene.pid
    scene.write(proxy=proxy, listen=f"{scene.way.listen(PORT)} {listen}")
    process = scene.ctl("upgrade")
    assert process.wait() == 1, process.output
    assert re.search(why, process.output), process.output
    assert scene.pid == old
    scene.write()
    scene.upgrade()
    counts = scene.end(100)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
def test_a_new_program_that_is_killed_in_the_middle_costs_no_session(scene: Scene) -> None:
    old, begun = scene.pid, len(scene.log.lines)
    process = scene.lab.proxy.popen([UDP_PROXY, "--takeover", "--foreground", "-f", scene.folder / "udp-proxy.cfg"])
    scene.log.wait_for(rf"\[{process.pid}\.0\]: UDPS-763-K Taken over", begun)
    process.signal(signal.SIGKILL)
    found = scene.log.wait_for("UDPS-76[12]-", begun)
    if "UDPS-762-E" in found:
        assert scene.pid == old
        scene.upgrade()
        scene.end(100)


SLOW = """
import sys, time
from pathlib import Path
from proxyd.daemon.heir import Heir
claim = Heir.claim
def claim_later(self):
    while not Path(sys.argv[0]).with_name("go").exists():
        time.sleep(0.05)
    claim(self)
Heir.claim = claim_later
from proxyd.cli.udp_proxy import main
sys.exit(main())
"""
"""A release that takes its time between the two: its children serve, and the old program does not know yet."""


@requires_namespaces
@pytest.mark.parametrize(
    "by_signal", [True, pytest.param(False, marks=pytest.mark.night)], ids=["by a signal", "by proxyctl"]
)
def test_a_reload_that_is_asked_for_while_another_program_takes_over_is_carried_out_by_that_one(
    scene: Scene, by_signal: bool
) -> None:
    old, program, begun = scene.pid, scene.folder / "slow.py", len(scene.log.lines)
    program.write_text(SLOW)
    command = [sys.executable, program, "--takeover", "-f", scene.folder / "udp-proxy.cfg"]
    taking = scene.lab.proxy.popen(command, ENV)
    scene.log.wait_for("UDPS-763-K Taken over", begun)
    scene.write(sessions=1500)
    asking = taking
    if by_signal:
        os.kill(old, signal.SIGHUP)
    else:
        asking = scene.lab.proxy.popen([PROXYCTL, "-n", scene.name, "reload"])
    (scene.folder / "go").touch()
    assert taking.wait(WITHIN_S) == 0
    assert asking.wait(WITHIN_S) == 0, asking.output
    scene.log.wait_for("UDPS-771-K Generation 3", begun)
    assert json.loads(scene.ctl("status", "--json").output)["proxy"]["max_sessions"] == 1500
    counts = scene.end(100)
    assert counts["answered"] == counts["sent"]


NEWER = """
import sys
from workers.contract import slots
slots.MAGIC += 1
from proxyd.cli.udp_proxy import main
sys.exit(main())
"""
"""A release that lays out shared memory otherwise."""


@requires_namespaces
def test_a_release_that_lays_memory_out_otherwise_takes_over_the_listeners_and_says_so(scene: Scene) -> None:
    old, program = scene.pid, scene.folder / "newer.py"
    program.write_text(NEWER)
    command = [sys.executable, program, "--takeover", "-f", scene.folder / "udp-proxy.cfg"]
    assert scene.lab.proxy.popen(command, ENV).wait(WITHIN_S) == 0
    wait_for_end(old)
    scene.log.wait_for("UDPS-764-W Taken over from process .* listeners only: shared memory is laid out as")
    records = (scene.folder / "stats.log").read_text().splitlines()
    assert len([line for line in records if f"[{old}." in line and "RULE=ALL" in line]) == 100, "each old one has ended"
    answered = scene.asked()["answered"]
    while scene.asked()["answered"] < answered + 200:
        time.sleep(0.05)  # the clients ask on meanwhile
    counts = json.loads(scene.clients.ask("stop", r"^\{", 30))
    assert counts["moved"] == 100, "each has a new session"
    # Answers to the old sessions have nobody to come to any more.
    assert json.loads(scene.server.ask("report", r"^\{"))["received"] == counts["sent"]


@pytest.fixture
def many_files() -> None:
    """Let the programs that are started from here open as many files as is permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MANY + SPARE_FILES)), hard))


@requires_namespaces
@pytest.mark.night
@pytest.mark.alone
@pytest.mark.usefixtures("many_files")
def test_upgrades_of_eight_thousand_sessions_lose_none_and_no_datagram(tmp_path: Path, lab: Lab, name: str) -> None:
    scene = begin(lab, tmp_path, name, WAY4, MANY, 1000)
    for _ in range(3):
        begun = time.monotonic()
        scene.upgrade()
        print(f"upgraded with {MANY} sessions in {time.monotonic() - begun:.2f} s")
    counts = scene.end(MANY)
    assert counts["answered"] == counts["sent"]


@requires_namespaces
@pytest.mark.night
@pytest.mark.alone
@pytest.mark.usefixtures("many_files")
def test_eight_thousand_sessions_that_a_release_cannot_go_on_with_begin_anew_at_once(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    scene = begin(lab, tmp_path, name, WAY4, MANY, 1000)
    (tmp_path / "newer.py").write_text(NEWER)
    begun = time.monotonic()
    command = [sys.executable, tmp_path / "newer.py", "--takeover", "-f", tmp_path / "udp-proxy.cfg"]
    assert lab.proxy.popen(command, ENV).wait(WITHIN_S) == 0
    scene.log.wait_for("UDPS-764-W")
    taken = time.monotonic()
    scene.log.wait_for("UDPS-761-K")
    while json.loads(scene.ctl("status", "--json").output)["proxy"]["sessions"] < MANY:
        time.sleep(0.05)  # the clients ask on meanwhile
    print(
        f"taken over without {MANY} sessions in {taken - begun:.2f} s, all new after {time.monotonic() - begun:.2f} s"
    )
    counts = json.loads(scene.clients.ask("stop", r"^\{", 60))
    heard = json.loads(scene.server.ask("report", r"^\{"))
    print(f"{counts}, server {heard}")
    assert heard["received"] == counts["sent"]


@requires_namespaces
def test_a_third_program_is_refused_before_and_after(scene: Scene) -> None:
    def start_third() -> None:
        third = launch(scene.lab.proxy, scene.folder, (scene.folder / "udp-proxy.cfg").read_text())
        assert third.wait() == 69
        assert f"already running as process {scene.pid}" in third.output

    start_third()
    scene.upgrade()
    start_third()
    scene.end(100)


@requires_namespaces
@pytest.mark.parametrize("fails", [False, True], ids=["it comes up", "it does not"])
def test_the_monitor_and_its_socket_go_with_the_proxy(scene: Scene, fails: bool) -> None:
    path = scene.folder / "monitor"
    scene.write(proxy=f'monitoring {{ http socket "{path}"; }}')
    scene.upgrade()
    if fails:
        monitored = (scene.folder / "udp-proxy.cfg").read_text()
        scene.write(proxy=f'chroot-dir "/nowhere"; monitoring {{ http socket "{path}"; }}')
        assert scene.ctl("upgrade").wait() == 1
        (scene.folder / "udp-proxy.cfg").write_text(monitored)
    else:
        scene.upgrade()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    os.kill(scene.pid, signal.SIGTERM)
    scene.log.wait_for("UDPS-722-K")
    assert not path.exists()


@requires_namespaces
def test_the_log_tells_the_whole_story(scene: Scene) -> None:
    begun = len(scene.log.lines)
    scene.upgrade()
    scene.log.wait_for("UDPS-701-K", begun)
    lines = "\n".join(scene.log.lines[begun:])
    for words in (
        "UDPS-767-K The program was started anew",
        "UDPS-760-K Handing over to process",
        "UDPS-763-K Taken over from process",
        "UDPS-761-K Process",
        f"{STARTED} Proxy",
    ):
        assert words in lines
    assert "SESSION-END" not in lines
    os.kill(scene.pid, signal.SIGTERM)
    scene.log.wait_for("UDPS-722-K", begun)
