"""The installed commands, as a user of the machine runs them, and what their log says: sessions, records, totals.

Here no module of the project is imported: what a test learns through this, any outsider can.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.place import Place
from tests.kit.process import Process, ProcessError
from tests.kit.proxy import STARTED, Configuration
from tests.kit.readiness import is_readable

UDP_PROXY = Path(sys.executable).with_name("udp-proxy")
TEST_UDP = Path(sys.executable).with_name("test-udp")
PROXYCTL = Path(sys.executable).with_name("proxyctl")
STATE_SIGNAL = signal.SIGRTMIN + 1
WAIT_S = 20.0
ASK_AGAIN_S = 0.05

_WORKER_STATE = re.compile(
    r"State: worker \d+, (?P<sessions>\d+) sessions, (?P<opened>\d+) opened; "
    r"out (?P<out_received>\d+) received, (?P<out_forwarded>\d+) forwarded, (?P<out_dropped>\d+) dropped; "
    r"in (?P<in_received>\d+) received, (?P<in_forwarded>\d+) forwarded, (?P<in_dropped>\d+) dropped; "
    r"(?P<shed>\d+) log records shed"
)

requires_installed = pytest.mark.skipif(
    not (UDP_PROXY.exists() and TEST_UDP.exists()),
    reason="missing: the installed commands (pip install -e . beside this Python)",
)
"""Mark a test of the commands themselves: there is nothing to run where the project is not installed."""


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run, by /proc."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status_of(pid: int) -> dict[str, str]:
    """Return /proc/PID/status by field, blanks made one. Source: proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def pairs(line: str) -> dict[str, str]:
    """Return the KEY=value words of a line of the log."""
    return dict(word.partition("=")[::2] for word in shlex.split(line) if "=" in word)


@dataclass(frozen=True)
class Proxy:
    """A running udp-proxy and its log. pid: the parent's; log: a process whose lines are those of both logs."""

    pid: int
    log: Process

    @property
    def workers(self) -> list[int]:
        """The processes of the workers, by their index, as the log tells."""
        started = re.findall(r"UDPS-710-K Child worker (\d+) started, process (\d+)", self.log.output)
        latest = {int(index): int(pid) for index, pid in started}
        return [latest[index] for index in sorted(latest)]

    @property
    def sockets(self) -> int:
        """How many sockets the parent has: listeners, channels, and one for every session that it keeps."""
        found = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += str(entry.readlink()).startswith("socket:")
        return found

    def wait_for_sockets(self, count: int) -> None:
        """Wait until the parent has so many sockets: a session's comes when it has lived for a moment."""
        deadline = time.monotonic() + WAIT_S
        while (found := self.sockets) < count:
            if time.monotonic() > deadline:
                raise ProcessError(f"the parent has {found} sockets, {count} were wanted")
            time.sleep(ASK_AGAIN_S)

    def signal(self, number: int) -> None:
        """Send a signal to the parent."""
        os.kill(self.pid, number)

    def wait_for(self, pattern: str, start: int = 0) -> str:
        """Return the log's first line, from line number start on, in which the regular expression is found."""
        return self.log.wait_for(pattern, start, WAIT_S)

    def worker_of(self, client_port: int, start: int = 0) -> int:
        """Return the process that serves the session of a client's port."""
        line = self.wait_for(rf"SESSION-START CLIENT=\S+:{client_port} ", start)
        return int(re.findall(r"\[(\d+)\.\d+\]", line)[0])

    def end_of(self, client_port: int, start: int = 0) -> tuple[str, dict[str, str]]:
        """Wait for the end of a client's session; return its reason and the fields of its PROXY-EVENT."""
        record = self.wait_for(rf"PROXY-EVENT .*CLIENT-PORT={client_port} .*RESULT=", start)
        track = re.escape(re.findall(r"\[\d+\.\d+\]", record)[0])
        reason = self.wait_for(rf"{track}: UDPP-712-N ", start).rpartition(" ")[2]
        return reason, pairs(record)

    def state(self) -> dict[str, int]:
        """Return the counts of the parent's state line by name; what it leaves out is not in it. At most 0.1 s old."""
        start = len(self.log.lines)
        self.signal(STATE_SIGNAL)
        line = self.wait_for(r"State: parent ", start)
        words = re.findall(r"[,:] ([a-z-]+) (\d+)(?= of \d+,|,|$)", line)
        return {name: int(count) for name, count in words}

    def state_when(self, fits: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """Return the first state that fits and has settled: workers tell their counts one by one, ten times a second.

        For a proxy at rest; settled means twice the same. Raises ProcessError after 20 seconds.
        """
        deadline = time.monotonic() + WAIT_S
        before, state = None, self.state()
        while state != before or not fits(state):
            if time.monotonic() > deadline:
                raise ProcessError(f"the state never fitted, it is {state}")
            time.sleep(ASK_AGAIN_S)
            before, state = state, self.state()
        return state

    def totals(self) -> dict[str, int]:
        """Return the counts of all workers' own state lines, which are exact, summed up."""
        sums: dict[str, int] = {}
        for worker in self.workers:
            start = len(self.log.lines)
            os.kill(worker, STATE_SIGNAL)
            found = _WORKER_STATE.search(self.wait_for(rf"\[{worker}\.0\]: UDPS-743-K State: worker ", start))
            if found is None:
                raise ProcessError(f"worker {worker} tells its state in other words:\n{self.log.output}")
            for name, count in found.groupdict().items():
                sums[name] = sums.get(name, 0) + int(count)
        return sums

    def totals_when(self, fits: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """Return the first totals that fit. Raises ProcessError after 20 seconds."""
        deadline = time.monotonic() + WAIT_S
        while not fits(totals := self.totals()):
            if time.monotonic() > deadline:
                raise ProcessError(f"the totals never fitted, they are {totals}")
            time.sleep(ASK_AGAIN_S)
        return totals


def assert_balanced(totals: dict[str, int]) -> None:
    """Check that what was received was forwarded or dropped, in each direction."""
    assert totals["out_received"] == totals["out_forwarded"] + totals["out_dropped"], totals
    assert totals["in_received"] == totals["in_forwarded"] + totals["in_dropped"], totals


def launch(place: Place, folder: Path, text: str, *options: str) -> Process:
    """Start the installed udp-proxy on a configuration and wait for nothing."""
    path = folder / "udp-proxy.cfg"
    path.write_text(text)
    return place.popen([UDP_PROXY, *options, "-f", path])


def serve(place: Place, folder: Path, configuration: Configuration | str) -> Proxy:
    """Start the installed udp-proxy in the foreground; return it once it serves."""
    text = configuration if isinstance(configuration, str) else configuration.text
    process = launch(place, folder, text)
    process.wait_for(STARTED)
    return Proxy(process.pid, process)


def pidfile(name: str) -> Path:
    """Return the path of a proxy's pidfile."""
    return Path(f"/run/udp-proxy-{name.lower()}.pid")


def start_daemon(place: Place, folder: Path, text: str, log: Path, name: str) -> Proxy:
    """Start the installed udp-proxy as a daemon; return it when its command has returned with success.

    log: the file that its configuration names for both logs. Raises ProcessError when it does not start.
    """
    command = launch(place, folder, text)
    if (status := command.wait()) != 0:
        raise ProcessError(f"udp-proxy ended with {status}:\n{command.output}")
    return Proxy(int(pidfile(name).read_text()), place.follow(log))


def wait_for_end(pid: int) -> None:
    """Return when a process, whoever's child it is, has ended. Raises ProcessError when that takes too long."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not is_readable(fd, WAIT_S):
            raise ProcessError(f"process {pid} does not end")
    finally:
        os.close(fd)
