"""The signals an administrator sends to the parent, and what the children hear of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.daemon.frame import Frame


def test_the_level_is_raised_and_lowered_in_parent_and_children(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        os.kill(frame.pid, signal.SIGUSR1)
        frame.wait_for_log("UDPS-740-K Log level is 8")
        frame.wait_for_log(r"worker \d has level 8", count=2)
        os.kill(frame.pid, signal.SIGUSR2)
        frame.wait_for_log("UDPS-740-K Log level is 7")
        frame.wait_for_log(r"worker \d has level 7", count=2)


def test_the_level_stays_between_3_and_9(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        for level in (8, 9, 9):
            count = frame.log().count(f"Log level is {level}") + 1
            os.kill(frame.pid, signal.SIGUSR1)
            frame.wait_for_log(f"Log level is {level}", count)


def test_a_replacement_begins_with_the_present_level(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        os.kill(frame.pid, signal.SIGUSR1)
        frame.wait_for_log(r"worker \d has level 8", count=2)
        client = frame.client()
        os.kill(frame.ask(client), signal.SIGKILL)
        replacement = frame.ask(client)
        os.kill(replacement, signal.SIGUSR2)
        frame.wait_for_log(rf"\[{replacement}\.0\]: .*has level 7")


def test_a_log_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        moved = frame.log_path.rename(tmp_path / "moved.log")
        os.kill(frame.pid, signal.SIGWINCH)
        frame.wait_for_log("UDPS-741-K Log files reopened")
        assert "reopened" not in moved.read_text()


def test_the_parents_state_is_logged_and_no_childs(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        frame.ask(frame.client(), b"!permit")
        os.kill(frame.pid, signal.SIGRTMIN + 1)
        (state,) = frame.wait_for_log("UDPS-743-K State: parent .*")
        assert "sessions 1 of 100" in state
        assert all(f"ready ({child})" in state for child in frame.children())
        os.kill(frame.children()[1], signal.SIGRTMIN + 1)
        frame.wait_for_log("UDPS-743-K State: worker 1 of process")
        assert frame.log().count("UDPS-743-K") == 2


def test_where_there_is_no_way_to_reload_that_is_said_and_nothing_changes(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        children = frame.children()
        os.kill(frame.pid, signal.SIGHUP)
        frame.wait_for_log(r"UDPS-772-E Not reloaded: reload: there is no way .*; generation 1 goes on")
        assert frame.children() == children


def test_a_terminals_signals_reach_children_too_and_are_the_parents_to_answer(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        children = frame.children()
        for child in children:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGWINCH):
                os.kill(child, number)
        frame.clients_by_worker()
        assert frame.children() == children
        frame.process.send_signal(signal.SIGINT)
        assert frame.wait()[0] == 0


def test_titles_tell_parent_and_workers_and_the_sessions_of_the_whole(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        assert _title(frame.pid) == "udp-proxy: parent Frame, 0 sessions"
        assert [_title(child) for child in frame.children()] == [
            "udp-proxy: worker 0 Frame",
            "udp-proxy: worker 1 Frame",
        ]
        frame.ask(frame.client(), b"!permit")
        # The title is refreshed in the turn that any signal begins.
        os.kill(frame.pid, signal.SIGWINCH)
        frame.wait_for_log("reopened")
        os.kill(frame.pid, signal.SIGWINCH)
        frame.wait_for_log("reopened", count=2)
        assert _title(frame.pid) == "udp-proxy: parent Frame, 1 session"


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
