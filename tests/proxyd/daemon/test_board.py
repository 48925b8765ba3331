"""What the parent writes for the monitor is what the monitor reads, in another process too."""

from __future__ import annotations

import os
import time
from pathlib import Path

from proxyd.daemon.board import LOOK_NS, PARENT, ROWS, UNKNOWN, Board, measure
from proxyd.daemon.roster import Child, Role, State
from tests.workers.forked import in_child


def test_children_are_there_with_their_names_and_lives() -> None:
    board = Board()
    board.look(
        [
            Child(Role.WORKER, 0, State.READY, pid=os.getpid(), lives=2),
            Child(Role.WORKER, 1, State.DEAD, pid=0, lives=5),
            Child(Role.MONITOR, 0, State.STARTING, pid=1, lives=1),
        ],
        0,
    )
    assert [(one.name, one.lives, one.state) for one in board.processes()] == [
        (PARENT, 1, "ready"),
        ("worker 0", 2, "ready"),
        ("worker 1", 5, "dead"),
        ("monitor", 1, "starting"),
    ]
    first, second, dead, _ = board.processes()
    assert first.pid == second.pid == os.getpid()
    assert second.rss_bytes is not None
    assert dead.rss_bytes is None


def test_a_change_is_written_at_once_and_figures_now_and_then() -> None:
    board, child = Board(), Child(Role.WORKER, 0, State.STARTING, pid=os.getpid(), lives=1)
    board.look([child], 0)
    child.lives = 7
    board.look([child], LOOK_NS - 1)
    assert board.processes()[1].lives == 1
    child.state = State.READY
    board.look([child], LOOK_NS - 1)
    assert board.processes()[1].lives == 7
    child.lives = 8
    board.look([child], 2 * LOOK_NS)
    assert board.processes()[1].lives == 8


def test_fewer_children_leave_no_rows_behind_and_too_many_are_left_out() -> None:
    board = Board()
    board.look([Child(Role.WORKER, index) for index in range(ROWS + 5)], 0)
    assert len(board.processes()) == ROWS
    board.look([], 0)
    assert [one.name for one in board.processes()] == [PARENT]


def test_a_reload_is_noted_with_its_time() -> None:
    board = Board()
    assert board.reloads.last_unix is None
    board.note_reload(failed=True)
    assert (board.reloads.failed, board.reloads.last_failed) == (1, True)
    board.note_reload(failed=False)
    done, failed, last_failed, last_unix = board.reloads
    assert (done, failed, last_failed) == (1, 1, False)
    assert last_unix is not None
    assert abs(last_unix - time.time()) < 60


def test_another_process_sees_it_until_it_takes_it_out_of_its_memory() -> None:
    board = Board()

    def read() -> None:
        board.note_reload(failed=False)
        board.unmap()

    in_child(read)
    assert board.reloads.done == 1


def test_a_process_is_measured_as_far_as_the_system_tells(tmp_path: Path) -> None:
    cpu_ns, rss, descriptors = measure(os.getpid())
    assert cpu_ns > 0
    assert rss > 1 << 20
    assert descriptors >= 3
    assert measure(0) == (0, UNKNOWN, UNKNOWN)
    place = tmp_path / "5"
    place.mkdir()
    (place / "stat").write_text("5 (a) b) c) S " + "0 " * 10 + "100 50 " + "0 " * 20)
    (place / "statm").write_text("10 3 1")
    found = measure(5, tmp_path)
    assert (found[0], found[2]) == (150 * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), UNKNOWN)
