"""What the starting command learns of its daemon, whatever becomes of it."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from proxyd.daemon.detach import in_background
from proxyd.daemon.exits import Ending, ExitStatus
from tests.kit.readiness import is_readable
from tests.workers.forked import in_child

Ready = Callable[[], None]


def start(serve: Callable[[Ready], Ending]) -> str:
    def act() -> Ending:
        # The test runner's own streams have no descriptors; a command's have.
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        return in_background(serve)

    return in_child(act)


def test_a_daemon_that_serves_is_told_as_started_while_it_runs_on(tmp_path: Path) -> None:
    path = tmp_path / "daemon"

    def serve(on_ready: Ready) -> Ending:
        path.write_text(str(os.getpid()))
        on_ready()
        signal.pause()
        return Ending(ExitStatus.OK, "not before it is killed")

    assert start(serve) == str(Ending(ExitStatus.OK, ""))
    daemon = int(path.read_text())
    descriptor = os.pidfd_open(daemon)
    assert not is_readable(descriptor)
    assert os.getsid(daemon) not in (daemon, os.getsid(0))
    os.kill(daemon, signal.SIGKILL)
    assert is_readable(descriptor, 10)
    os.close(descriptor)


def test_a_daemon_that_ends_before_it_serves_is_told_with_status_and_reason() -> None:
    ending = Ending(ExitStatus.UNAVAILABLE, "bind [127.0.0.1]:53: Address already in use")
    assert start(lambda _: ending) == str(ending)


def test_only_the_first_word_counts() -> None:
    def serve(on_ready: Ready) -> Ending:
        on_ready()
        return Ending(ExitStatus.SOFTWARE, "later")

    assert start(serve) == str(Ending(ExitStatus.OK, ""))


def test_an_unforeseen_error_is_told_as_one() -> None:
    def serve(_on_ready: Ready) -> Ending:
        raise RuntimeError("unforeseen")

    assert start(serve) == str(Ending(ExitStatus.SOFTWARE, "unforeseen error, see the log"))


def test_a_daemon_that_is_killed_before_it_serves_is_told_as_failed() -> None:
    def serve(_on_ready: Ready) -> Ending:
        os.kill(os.getpid(), signal.SIGKILL)
        select.select([], [], [])
        return Ending(ExitStatus.OK, "never")

    assert start(serve) == str(Ending(ExitStatus.UNAVAILABLE, "the daemon ended before it was ready"))


def test_a_reason_of_several_lines_and_letters_arrives_whole() -> None:
    ending = Ending(ExitStatus.UNAVAILABLE, "first\nsecond: žluťoučký kůň")
    assert start(lambda _: ending) == str(ending)
