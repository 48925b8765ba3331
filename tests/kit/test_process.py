from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.kit.place import Place
from tests.kit.process import Process, ProcessError, ending
from tests.kit.readiness import is_readable

ANSWER = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print('got', line.strip(), flush=True)\n"


def test_a_line_is_awaited_and_answered() -> None:
    with Process([sys.executable, "-c", ANSWER]) as process:
        assert process.wait_for("^ready") == "ready"
        assert process.ask("one", "^got") == "got one"
        assert process.ask("two", "^got") == "got two"
        assert process.lines == ["ready", "got one", "got two"]


def test_standard_error_is_read_too() -> None:
    with Process(["sh", "-c", "echo oops >&2"]) as process:
        assert process.wait_for("oops") == "oops"


def test_a_program_that_ends_first_is_reported_with_its_output() -> None:
    with Process(["sh", "-c", "echo sorry; exit 3"]) as process:
        with pytest.raises(ProcessError, match="sorry"):
            process.wait_for("ready")
        assert process.wait() == 3


def test_silence_is_reported_after_the_time_given() -> None:
    with Process(["sleep", "60"]) as process, pytest.raises(ProcessError, match="silent"):
        process.wait_for("ready", within_s=0.05)


def test_stop_returns_the_status_the_program_chose() -> None:
    process = Process(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read line; done"])
    process.wait_for("ready")
    assert process.stop() == 7
    assert process.stop() == 7


def test_stop_kills_a_program_that_will_not_end_and_says_so() -> None:
    process = Process(
        [
            sys.executable,
            "-c",
            "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('ready', flush=True)\nsignal.pause()",
        ]
    )
    process.wait_for("ready")
    with pytest.raises(ProcessError, match="did not end"):
        process.stop(within_s=0.2)
    assert not process.running


def test_nothing_of_the_group_outlives_stop() -> None:
    process = Process(["sh", "-c", "sleep 600 & echo $!; exit 0"])
    child = int(process.wait_for(r"^\d+$"))
    process.stop()
    fd = _pidfd(child)
    if fd is not None:
        # Killed already, perhaps not yet reaped by init: its descriptor becomes readable when it has ended.
        assert is_readable(fd, 5.0)
        os.close(fd)


def test_what_nobody_stops_ends_with_the_block_and_what_was_there_before_goes_on() -> None:
    with Process(["sleep", "600"]) as before:
        with ending():
            forgotten = Place().popen(["sleep", "600"])
        assert not forgotten.running
        assert before.running


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def test_a_file_is_followed_from_before_it_exists(tmp_path: Path, here: Place) -> None:
    path = tmp_path / "log"
    tail = here.follow(path)
    path.write_text("first\n")
    tail.wait_for("first")
    with path.open("a") as log:
        log.write("second\n")
    assert tail.wait_for("second") == "second"


def test_a_signal_reaches_the_program() -> None:
    with Process(["sh", "-c", "trap 'echo caught' USR1; echo ready; while :; do read line; done"]) as process:
        process.wait_for("ready")
        process.signal(signal.SIGUSR1)
        process.tell("")
        assert process.wait_for("caught")
