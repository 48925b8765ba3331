"""The parent's loop; its life with real children is in tests/daemon."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest

from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.supervisor import Supervisor, make_roster, reopen, step_level
from proxyd.logs.setup import open_logs
from tests.daemon import echo_loop
from tests.proxyd.daemon.estates import an_estate, make_settings
from tests.workers.forked import in_child


def run_supervisor(log: Path, number: int) -> str:
    """Run a supervisor that sends itself a signal when all is ready; return how it ended."""

    def act() -> Ending:
        with an_estate(log) as estate:
            logs = open_logs(estate.settings, foreground=False, ident="TEST")
            supervisor = Supervisor(estate, logs, echo_loop.run, lambda: os.kill(os.getpid(), number))
            ending = supervisor.run()
            logs.close()
            return ending

    return in_child(act)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    assert run_supervisor(tmp_path / "log", number) == str(Ending(ExitStatus.OK, number.name))
    assert f"UDPS-701-K Proxy terminating: {number.name}" in (tmp_path / "log").read_text()


def test_a_worker_that_ended_by_the_same_stop_signal_is_not_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def end_worker_then_parent() -> None:
        process = int(log.read_text().rpartition("started, process ")[2].split()[0])
        os.kill(process, signal.SIGTERM)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        os.kill(os.getpid(), signal.SIGTERM)

    def act() -> Ending:
        with an_estate(log) as estate:
            logs = open_logs(estate.settings, foreground=False, ident="TEST")
            ending = Supervisor(estate, logs, echo_loop.run, end_worker_then_parent).run()
            logs.close()
            return ending

    assert in_child(act) == str(Ending(ExitStatus.OK, "SIGTERM"))
    assert "ended unexpectedly" not in log.read_text()


def test_there_is_a_worker_for_each_set_of_sockets_and_a_resolver_where_there_are_names(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log", workers=3) as estate:
        assert [child.name for child in make_roster(estate).children] == ["worker 0", "worker 1", "worker 2"]
        named = dataclasses.replace(estate, names=("www.example.com",))
        assert make_roster(named).children[-1].name == "resolver"


def test_answers_to_signals_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = open_logs(make_settings(path), foreground=False, ident="TEST")
    step_level(logs, signal.SIGUSR1)
    step_level(logs, signal.SIGUSR2)
    logs.flush()
    path.rename(tmp_path / "old")
    reopen(logs)
    logs.close()
    said = [line.split(": ", 1)[1] for line in (tmp_path / "old").read_text().splitlines()]
    assert said == [
        "UDPS-740-K Log level is 8",
        "UDPS-740-K Log level is 7",
    ]
    assert path.read_text().rstrip().endswith("UDPS-741-K Log files reopened")
