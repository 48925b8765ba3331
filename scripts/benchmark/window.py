"""The stretch of a run that counts: when it begins and ends, and what was answered in it."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

NANOSECONDS = 1_000_000_000
now_ns = time.monotonic_ns


@dataclass(slots=True)
class Traffic:
    """What a load generator saw of one run.

    seconds, answered and latencies_ns are of the measured window; offered and lost are of the whole run, so
    that a datagram under way at the window's edge is neither."""

    seconds: float = 0.0
    answered: int = 0
    offered: int = 0
    lost: int = 0
    latencies_ns: array[int] = field(default_factory=lambda: array("Q"))


class Window:
    """Calls begin after the warm-up and end after the measured time; keeps latencies in between."""

    def __init__(self, warm_s: float, measured_s: float, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._warm_ns = int(warm_s * NANOSECONDS)
        self._measured_ns = int(measured_s * NANOSECONDS)
        self._begin = begin
        self._end = end
        self._began_ns = 0
        self._answers: list[tuple[int, bytes]] = []
        self.edge_ns = 0
        self.measuring = False
        self.seconds = 0.0

    def open(self) -> None:
        """Begin the warm-up now."""
        self.edge_ns = now_ns() + self._warm_ns

    def cross(self) -> bool:
        """Go over the edge that was reached; return whether the run goes on."""
        if self.measuring:
            self.measuring = False
            self.seconds = (now_ns() - self._began_ns) / NANOSECONDS
            self._end()
            return False
        self._begin()
        self.measuring = True
        self._began_ns = now_ns()
        self.edge_ns = self._began_ns + self._measured_ns
        return True

    def keep(self, at_ns: int, stamps: bytes) -> None:
        """Keep the stamps (native 64-bit words) of answers that came in at_ns; they are worked out later."""
        if self.measuring:
            self._answers.append((at_ns, stamps))

    def traffic(self, offered: int, lost: int) -> Traffic:
        """Return the run's figures."""
        latencies = array("Q")
        for at_ns, stamps in self._answers:
            latencies.extend([at_ns - stamp for stamp in memoryview(stamps).cast("Q")])
        return Traffic(self.seconds, len(latencies), offered, lost, latencies)
