"""Sessions that the kernel carries, on real interfaces: nothing is lost, counts, limits and times stay exact.

What the kernel carries goes on while the worker is stopped by SIGSTOP: so the tests know that it does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.installed import ASK_AGAIN_S, PROXYCTL, WAIT_S, Proxy, pidfile, requires_installed, serve, wait_for_end
from tests.kit.lab import Lab
from tests.kit.process import Process
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, Way, port_of
from tests.proxyd.offload.frames import requires_tcx

PORT, METRICS_PORT = 7000, 8080
SOON_S = 0.1
"""What the kernel passes has come by then, or a worker has it that is stopped."""
PAYLOADS = (b"", b"x", b"y" * 17, b"z" * 1400)

pytestmark = [requires_installed, requires_tcx]


class Scene:
    """One client of a proxy that has the kernel carry its session, and the server. out, back: payload bytes passed."""

    def __init__(self, lab: Lab, folder: Path, name: str, way: Way = WAY4, rule: str = "timeout both 60;") -> None:
        items = f"nodaemon; offload on; monitoring {{ http [127.0.0.1] port {METRICS_PORT}; }}"
        rules = acl(f"[{way.server}] : {PORT}", rule)
        self.lab, self.name, self.way = lab, name, way
        self.proxy: Proxy = serve(lab.proxy, folder, Configuration(way.listen(PORT), rules, items, name=name))
        self.client, self.server = way.client_socket(lab, PORT), way.server_socket(lab, PORT)
        self.port = port_of(self.client)
        self.count = self.out = self.back = 0

    def ask(self, payload: bytes = b"question") -> socket.socket | tuple[str, int]:
        """Have the client say something to the server; return whom the server takes for its client."""
        self.client.send(payload)
        heard, peer = self.server.recvfrom(65_535)
        assert heard == payload
        self.count += 1
        self.out += len(payload)
        return peer  # type: ignore[no-any-return]

    def exchange(self, count: int = 1, payload: bytes = b"question") -> None:
        """Have the client say something, and the server answer the same."""
        for _ in range(count):
            self.server.sendto(payload, self.ask(payload))  # type: ignore[arg-type]
            assert self.client.recv(65_535) == payload
            self.back += len(payload)

    def metric(self, name: str) -> int:
        """Return what the monitor says."""
        url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
        text = self.lab.proxy.call(lambda: urllib.request.urlopen(url, timeout=WAIT_S).read().decode())
        return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Go on exchanging until something is so, now and then."""
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < deadline
            self.exchange(5)
            time.sleep(ASK_AGAIN_S)

    def is_carried(self) -> bool:
        """Tell whether datagrams pass in both directions while no worker does anything. None is lost by that."""
        workers = [pid for pid in self.proxy.workers if Path(f"/proc/{pid}").exists()]
        self.server.settimeout(SOON_S)
        _signal(workers, signal.SIGSTOP)
        try:
            self.exchange()
        except TimeoutError:
            passed = False
        else:
            passed = True
        finally:
            _signal(workers, signal.SIGCONT)
            self.server.settimeout(WAIT_S)
        if not passed:
            payload, peer = self.server.recvfrom(65_535)
            self.server.sendto(payload, peer)
            assert self.client.recv(65_535) == payload
            self.count += 1
            self.out += len(payload)
            self.back += len(payload)
        return passed

    def be_carried(self) -> None:
        """Exchange until the kernel carries the session."""
        self.exchange(10)
        self.wait_for(lambda: self.metric("udp_proxy_sessions_carried") == 1)
        self.wait_for(self.is_carried)

    def passed(self) -> tuple[int, int]:
        """Return the bytes in and out that the log names when the session has ended."""
        _, fields = self.proxy.end_of(self.port)
        return int(fields["BYTES-CIN"]), int(fields["BYTES-SOUT"])

    def session(self) -> dict[str, Any]:
        """Return what proxyctl knows of the session."""
        (found,) = json.loads(self.ctl("sessions", "--json").output)
        return dict(found)

    def ctl(self, *words: str) -> Process:
        """Run proxyctl to its end."""
        process = self.lab.proxy.popen([PROXYCTL, "-n", self.name, *words])
        assert process.wait(WAIT_S) == 0, process.output
        return process

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def scene(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path, name: str) -> Iterator[Scene]:
    """A session that the kernel carries; a test may ask for another way, or another rule."""
    wanted = getattr(request, "param", WAY4)
    made = Scene(lab, tmp_path, name, rule=wanted) if isinstance(wanted, str) else Scene(lab, tmp_path, name, wanted)
    made.be_carried()
    yield made
    made.close()


@requires_namespaces
@pytest.mark.parametrize("scene", [WAY4, WAY6], ids=["4", "6"], indirect=True)
def test_datagrams_of_all_sizes_pass_and_are_counted_to_the_last(scene: Scene) -> None:
    for payload in PAYLOADS:
        scene.exchange(100, payload)
    scene.wait_for(scene.is_carried)
    total = 'udp_proxy_datagrams_total{direction="out"}'
    while scene.metric(total) != scene.count:
        time.sleep(ASK_AGAIN_S)  # a sweep brings them up to date
    scene.proxy.signal(signal.SIGTERM)
    assert scene.passed() == (scene.back, scene.out)


@requires_namespaces
@pytest.mark.parametrize("scene", ["timeout both 60; max-dgrams-out 4000;"], indirect=True)
def test_no_datagram_more_passes_than_the_session_may_have(scene: Scene) -> None:
    assert scene.count < 4000
    peer = scene.ask()
    while scene.count < 4000:
        assert scene.ask() == peer
    scene.client.send(b"one too many")
    reason, fields = scene.proxy.end_of(scene.port)
    assert (reason, int(fields["BYTES-SOUT"])) == ("dgrams-out", scene.out)
    assert scene.ask(b"of the next session") != peer


@requires_namespaces
@pytest.mark.parametrize("scene", ["timeout in 2;"], indirect=True)
def test_a_session_ends_when_its_server_is_silent_however_much_its_client_says(scene: Scene) -> None:
    peer = scene.ask()
    while scene.ask() == peer:
        time.sleep(0.001)
    reason, fields = scene.proxy.end_of(scene.port)
    assert (reason, int(fields["BYTES-SOUT"])) == ("timeout-in", scene.out - len(b"question"))


@requires_namespaces
def test_a_killed_workers_session_goes_on_and_nothing_that_passed_is_forgotten(scene: Scene) -> None:
    worker, peer = scene.proxy.worker_of(scene.port), scene.ask()
    while scene.session()["datagrams_out"] != scene.count:
        time.sleep(ASK_AGAIN_S)  # what the worker itself has passed is written in a sweep
    _signal([worker], signal.SIGSTOP)
    scene.exchange(200)
    os.kill(worker, signal.SIGKILL)
    scene.exchange(20)
    assert scene.ask() == peer
    scene.be_carried()
    scene.proxy.signal(signal.SIGTERM)
    assert scene.passed() == (scene.back, scene.out)


@requires_namespaces
def test_a_tap_sees_every_datagram_and_ends_with_the_session_carried_again(scene: Scene, tmp_path: Path) -> None:
    session, begun = scene.session()["id"], len(scene.proxy.log.lines)
    command = [PROXYCTL, "-n", scene.name, "tap", session, "-w", tmp_path / "x.pcapng", "-c", "200"]
    tap = scene.lab.proxy.popen(command)
    scene.proxy.wait_for("UDPP-770-K", begun)
    scene.exchange(99)
    assert tap.running
    scene.exchange()
    assert tap.wait(WAIT_S) == 0
    assert "200 datagrams" in tap.output
    scene.wait_for(scene.is_carried)


@requires_namespaces
def test_a_new_program_carries_on_without_losing_a_datagram(scene: Scene) -> None:
    peer, begun = scene.ask(), len(scene.proxy.log.lines)
    scene.ctl("upgrade")
    scene.exchange(20)
    wait_for_end(scene.proxy.pid)
    scene.wait_for(lambda: scene.metric("udp_proxy_sessions_carried") == 1)
    assert scene.ask() == peer
    os.kill(int(pidfile(scene.name).read_text()), signal.SIGTERM)
    _, fields = scene.proxy.end_of(scene.port, begun)
    assert (int(fields["BYTES-CIN"]), int(fields["BYTES-SOUT"])) == (scene.back, scene.out)


@requires_namespaces
def test_a_server_that_refuses_for_a_while_finds_its_session_again(scene: Scene) -> None:
    peer = scene.ask()
    scene.server.close()
    for _ in range(50):
        scene.client.send(b"nobody hears it")
    scene.server = scene.way.server_socket(scene.lab, PORT)
    assert scene.ask() == peer
    scene.wait_for(scene.is_carried)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)
