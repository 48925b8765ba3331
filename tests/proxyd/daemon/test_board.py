"""What the parent writes for the monitor is what the monitor reads, in another process too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from proxyd.daemon.board import LOOK_NS, PARENT, ROWS, UNKNOWN, Board, measure
from proxyd.daemon.roster import Child, Role, State
from tests.kit.requirement import requires_namespaces, requires_program
from tests.workers.forked import in_child

ROOT = Path(__file__).parents[3]


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


HIDING = """
mount -t proc -o hidepid=2 proc /proc
setpriv --reuid 65534 --regid 65534 --clear-groups sleep 60 >/dev/null & child=$!
# It is somebody else by the time its name has changed.
until [ "$(cat /proc/$child/comm)" = sleep ]; do sleep 0.02; done
setpriv --bounding-set=-all --inh-caps=-all "$1" -c "
from proxyd.daemon.board import UNKNOWN, measure
print(measure($child)[1] != UNKNOWN)"
kill $child
"""


@requires_namespaces
@requires_program("setpriv", "unshare")
def test_children_of_another_user_are_seen_where_processes_are_invisible() -> None:
    """The units have ProtectProc=invisible; root sees all by its group, without a right to trace anybody."""
    command = ["unshare", "--mount", "sh", "-euc", HIDING, "sh", sys.executable]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == "True\n"
