"""One transfer: the programs started, the file sent, their costs read, the copy compared."""

from __future__ import annotations

import contextlib
import filecmp
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotMeasure
from ..figures import Figures
from ..isolation import set_session_priority
from ..meter import cpu_ns, family_of, memory
from . import makes
from .account import read_log
from .chain import Chain, dropped, listens

_START_SECONDS, _STOP_SECONDS = 20.0, 10.0
_LONGEST_SECONDS = 180.0
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """What is sent, and how. file: what; directory: where logs and the copy go."""

    file: Path
    directory: Path
    rate_mbit: int
    suite: str
    buffer_bytes: int


@dataclass(slots=True)
class Reading:
    """What a proxy has used so far, and what its host has lost."""

    cpu_ns: int
    dropped: int


@dataclass(slots=True)
class Costs:
    """What both proxies have used so far, and how many datagrams the server has sent."""

    above: Reading
    below: Reading
    sent: int


class Program:
    """A program on one of the hosts, listening; from with to the end of its block."""

    def __init__(self, chain: Chain, host: str, command: Sequence[str], log: Path) -> None:
        self._command = chain.inside(host, command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        if nice := os.getpriority(os.PRIO_PROCESS, 0):
            set_session_priority(self._process.pid, nice)
        give_up = time.monotonic() + _START_SECONDS
        while not listens(self._process.pid, makes.PORT):
            if self._process.poll() is not None or time.monotonic() > give_up:
                said = self._log.read_text(errors="replace")[-2000:]
                self._stop()
                raise CannotMeasure(f"{' '.join(self._command)} does not listen; it said: {said.strip()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop()

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return family_of(self._process.pid) if self._process is not None else []

    def read(self) -> Reading:
        """Return its costs until now."""
        return Reading(cpu_ns(self.pids), dropped(self.pids[0]))

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def transfer(chain: Chain, make: makes.Make, task: Task) -> Figures:
    """Send the file through two proxies of a make; return the figures. Raises CannotMeasure if it does not arrive."""
    suite, received = makes.SUITES[task.suite], task.directory / "received"
    received.mkdir(exist_ok=True)
    logs = {host: task.directory / f"{host}.log" for host in ("server", "above", "below", "client")}
    above = makes.above(make, suite, task.buffer_bytes)
    below = makes.below(make, suite, task.buffer_bytes)
    client = makes.client(suite, received, task.buffer_bytes)
    with (
        Program(chain, "below", below, logs["below"]) as lower,
        Program(chain, "above", above, logs["above"]) as upper,
        Program(chain, "client", client, logs["client"]),
    ):
        _wait_until_idle([upper, lower])
        before = Costs(upper.read(), lower.read(), chain.sent("server", "lan1"))
        _send(chain, task, logs["server"])
        after = Costs(upper.read(), lower.read(), chain.sent("server", "lan1"))
        memories = [memory(program.pids).pss_bytes / _MB for program in (upper, lower)]
    copy = received / task.file.name
    identical = copy.exists() and filecmp.cmp(task.file, copy, shallow=False)
    copy.unlink(missing_ok=True)
    figures = _figures(before, after, logs["server"], task)
    return {**figures, "above_pss_mb": memories[0], "below_pss_mb": memories[1], "identical": float(identical)}


def memory_alone(chain: Chain, make: makes.Make, task: Task) -> float:
    """Return the proportional megabytes of a client proxy that has nothing to do and no sister to share pages with."""
    command = makes.below(make, makes.SUITES["plain"], task.buffer_bytes)
    with Program(chain, "below", command, task.directory / "alone.log") as program:
        _wait_until_idle([program])
        return memory(program.pids).pss_bytes / _MB


def _wait_until_idle(programs: Sequence[Program]) -> None:
    """Wait until programs that start several processes have started them all: none of them works any more."""
    used = [-1]
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        now = [cpu_ns(program.pids) // 10_000_000 for program in programs]
        if now == used:
            return
        used = now
        time.sleep(0.4)


def _send(chain: Chain, task: Task, log: Path) -> None:
    proxies = task.directory / "proxies"
    proxies.write_text(f"{makes.BELOW_UID}\n")
    command = makes.server(makes.SUITES[task.suite], task.rate_mbit, task.buffer_bytes, proxies, task.file)
    with log.open("wb") as output:
        try:
            subprocess.run(
                chain.inside("server", command), stdout=output, stderr=output, timeout=_LONGEST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(f"the transfer did not end within {_LONGEST_SECONDS:g} s") from error


def _figures(before: Costs, after: Costs, log: Path, task: Task) -> dict[str, float]:
    """Return what a transfer has cost. Datagrams: what the server sent, less what was lost on the way to a proxy."""
    account = read_log(log.read_text(errors="replace"))
    if not account.copied or not account.seconds:
        raise CannotMeasure(f"the file did not arrive; the server said:\n{log.read_text(errors='replace')[-2000:]}")
    passed = after.sent - before.sent
    found: dict[str, float] = {
        "seconds": account.seconds,
        "mbit": task.file.stat().st_size * 8e-6 / account.seconds,
        "datagrams": passed,
        "naks": account.naks,
        "sections_missed": account.sections_missed,
        "aborts": account.aborts,
    }
    for name, then, now in (("above", before.above, after.above), ("below", before.below, after.below)):
        lost, used_ns = now.dropped - then.dropped, now.cpu_ns - then.cpu_ns
        passed -= lost
        found[f"{name}_dropped"] = lost
        found[f"{name}_cpu_us_per_datagram"] = used_ns / 1_000 / max(passed, 1)
        found[f"{name}_busy_percent"] = used_ns / 1e7 / account.seconds
    return found
