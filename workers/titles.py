"""The process title of a child, as ps shows it: what it is, which proxy it belongs to, how many sessions it has."""

from __future__ import annotations

import setproctitle

REFRESH_NS = 1_000_000_000
"""A title is rewritten at most this often."""


class WorkerTitle:
    """One worker's title, kept up to date by its loop."""

    def __init__(self, index: int, proxy: str, program: str = "udp-proxy", unit: str = "session") -> None:
        """proxy: its name. unit: what the number counts."""
        self._prefix = f"{program}: worker {index} {proxy}"
        self._unit = unit
        self._shown = -1
        self._next_ns = 0

    def update(self, sessions: int, now_ns: int) -> bool:
        """Show the number of sessions; False if that must wait, because it was changed less than a second ago."""
        if sessions == self._shown:
            return True
        if now_ns < self._next_ns:
            return False
        self._shown = sessions
        self._next_ns = now_ns + REFRESH_NS
        setproctitle.setproctitle(f"{self._prefix}, {sessions} {self._unit}{'' if sessions == 1 else 's'}")
        return True


def show_title(child: str, proxy: str, program: str = "udp-proxy") -> None:
    """Set the title of a child that has no sessions, as `udp-proxy: resolver NAME`."""
    setproctitle.setproctitle(f"{program}: {child} {proxy}")
