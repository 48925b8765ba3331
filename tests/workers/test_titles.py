"""The titles of children, as ps reads them."""

from __future__ import annotations

from pathlib import Path

from tests.workers.forked import in_child
from workers.titles import REFRESH_NS, WorkerTitle, show_title


def shown() -> str:
    return Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode()


def test_a_workers_title_has_its_index_proxy_and_sessions() -> None:
    def act() -> list[str]:
        title = WorkerTitle(3, "DNS")
        seen = []
        for turn, sessions in enumerate((0, 1, 12)):
            title.update(sessions, turn * REFRESH_NS)
            seen.append(shown())
        return seen

    prefix = "udp-proxy: worker 3 DNS, "
    assert in_child(act) == str([f"{prefix}0 sessions", f"{prefix}1 session", f"{prefix}12 sessions"])


def test_a_title_is_changed_once_a_second_at_most() -> None:
    def act() -> list[str]:
        title = WorkerTitle(0, "DNS")
        title.update(1, 0)
        title.update(2, REFRESH_NS - 1)
        early = shown()
        title.update(2, REFRESH_NS)
        return [early[-9:], shown()[-10:]]

    assert in_child(act) == str(["1 session", "2 sessions"])


def test_a_child_without_sessions_shows_its_role() -> None:
    assert in_child(lambda: (show_title("resolver", "DNS"), shown())[1]) == "udp-proxy: resolver DNS"


def test_another_program_shows_its_own_name_and_counts_what_it_has() -> None:
    def show() -> str:
        assert WorkerTitle(1, "client", "uftpproxyd", "group").update(2, REFRESH_NS)
        return shown()

    assert in_child(show) == "uftpproxyd: worker 1 client, 2 groups"
