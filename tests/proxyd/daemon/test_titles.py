"""The parent's title."""

from __future__ import annotations

from pathlib import Path

from proxyd.daemon.titles import ParentTitle
from tests.workers.forked import in_child


def test_the_title_counts_the_sessions_of_the_whole_proxy() -> None:
    def act() -> list[str]:
        title = ParentTitle("DNS")
        seen = []
        for sessions in (0, 1, 1, 12):
            title.update(sessions)
            seen.append(Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode())
        return seen

    words = ["0 sessions", "1 session", "1 session", "12 sessions"]
    assert in_child(act) == str([f"udp-proxy: parent DNS, {word}" for word in words])
