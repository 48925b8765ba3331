"""What a proxy costs: processor time and memory of all its processes, and datagrams the kernel dropped.

Source: proc(5), clock_getcpuclockid(3).
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import CannotMeasure
from .window import NANOSECONDS

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of a whole process


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of all processes together: resident (shared pages once a process) and proportional."""

    rss_bytes: int
    pss_bytes: int


def family_of(pid: int) -> list[int]:
    """Return pid and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent_of(int(entry.name))):
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, ())
    return found


def _parent_of(pid: int) -> int:
    """Return a process's parent, 0 when it is gone. The name before the state may hold anything, spaces too."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def cpu_ns(pids: list[int]) -> int:
    """Return the processor time the processes have used so far, to the nanosecond, their threads' included."""
    try:
        return sum(time.clock_gettime_ns(~pid << 3 | _CPU_CLOCK) for pid in pids)
    except OSError as error:
        raise CannotMeasure("a process of the proxy ended while it was measured") from error


def memory(pids: list[int]) -> Memory:
    """Return what the processes hold now."""
    sums = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError as error:
            raise CannotMeasure(f"the memory of a proxy's process cannot be read: {error.strerror}") from error
        for line in rollup.splitlines():
            name, *words = line.split()
            if name in sums:
                sums[name] += int(words[0]) * 1024
    return Memory(sums["Rss:"], sums["Pss:"])


def dropped_datagrams() -> int:
    """Return how many datagrams found a receive buffer full, since this network namespace began."""
    rows = [line.split()[1:] for line in (_PROC / "net/snmp").read_text().splitlines() if line.startswith("Udp:")]
    return int(dict(zip(*rows, strict=True))["RcvbufErrors"])


class Meter:
    """Reads a proxy's counters, and its core's, at both ends of the measured window.

    Seconds of processor time: cpu_ of the proxy (NaN without processes), softirq_ of the kernel's thread for what
    interrupts on the proxy's core leave undone, core_ of whatever ran on that core, load_ of this process."""

    def __init__(self, pids: list[int], proxy_cpu: int) -> None:
        self._pids = pids
        self._cpu = proxy_cpu
        self._softirq_pid = _find_kernel_thread(f"ksoftirqd/{proxy_cpu}")
        self._began = (0.0, 0.0, 0.0, 0.0)
        self.cpu_seconds = self.softirq_seconds = self.core_seconds = self.load_seconds = 0.0
        self.memory = Memory(0, 0)

    def begin(self) -> None:
        """Remember the counters as they are now."""
        self._began = self._read()

    def end(self) -> None:
        """Keep what was used since begin, and the memory held now, at full load."""
        used = [now - then for now, then in zip(self._read(), self._began, strict=True)]
        self.cpu_seconds, self.softirq_seconds, self.core_seconds, self.load_seconds = used
        self.memory = memory(self._pids)

    def _read(self) -> tuple[float, float, float, float]:
        proxy = cpu_ns(self._pids) / NANOSECONDS if self._pids else math.nan
        softirq = cpu_ns([self._softirq_pid] if self._softirq_pid else []) / NANOSECONDS
        return proxy, softirq, core_busy_seconds(self._cpu), time.process_time()


def core_busy_seconds(core: int) -> float:
    """Return how long a core has worked since boot, for anybody; time the hypervisor took counts, waiting does not."""
    for line in (_PROC / "stat").read_text().splitlines():
        name, *words = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, interrupts, softirq, steal = (int(word) for word in words[:8])
            return (user + nice + system + interrupts + softirq + steal) / _TICKS
    return math.nan


def _find_kernel_thread(name: str) -> int:
    """Return the pid of a kernel thread, 0 when it is not to be seen (a container)."""
    for entry in _PROC.iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                return int(entry.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return 0
