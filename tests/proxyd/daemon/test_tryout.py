"""What a rehearsal opens for a moment, and that nothing is left of it."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from proxyd.daemon.monitoring import open_monitor
from proxyd.daemon.reading import Reading
from proxyd.daemon.renewal import Means
from proxyd.daemon.tryout import try_out
from proxyd.errors import SetupError
from proxyd.logs.setup import open_logs
from workers.contract.settings import Address, LogSettings, MonitorSettings, Settings

BEFORE = Settings("TEST", (), 10, 1, ())
LOOPBACK = Address(4, 127 << 24 | 1)


def attempt(**fields: object) -> None:
    after = dataclasses.replace(BEFORE, **fields)  # type: ignore[arg-type]
    means = Means(lambda: Reading(after), lambda settings: open_logs(settings, False, "TEST"), monitoring=open_monitor)
    try_out(BEFORE, after, means)


def test_a_log_that_can_be_written_leaves_no_file_that_was_not_there(tmp_path: Path) -> None:
    attempt(debug_log=LogSettings(file=str(tmp_path / "debug")), stats_log=LogSettings(file=str(tmp_path / "stats")))
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "debug").touch()
    (tmp_path / "stats").write_text("a line\n")
    attempt(debug_log=LogSettings(file=str(tmp_path / "debug")), stats_log=LogSettings(file=str(tmp_path / "stats")))
    assert (tmp_path / "debug").exists()
    assert (tmp_path / "stats").read_text() == "a line\n"


def test_a_log_that_cannot_be_opened_is_told_and_the_other_one_is_not_left(tmp_path: Path) -> None:
    nowhere = LogSettings(file=str(tmp_path / "nowhere" / "stats"))
    with pytest.raises(SetupError, match="nowhere"):
        attempt(debug_log=LogSettings(file=str(tmp_path / "debug")), stats_log=nowhere)
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_to_a_log_that_is_not_there_yet_stays_and_nothing_comes(tmp_path: Path) -> None:
    link = tmp_path / "debug"
    link.symlink_to(tmp_path / "target")
    attempt(debug_log=LogSettings(file=str(link)))
    assert list(tmp_path.iterdir()) == [link]
    assert link.is_symlink()


def test_a_log_with_an_impossible_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="File name too long"):
        attempt(debug_log=LogSettings(file=str(tmp_path / ("x" * 300))))


def test_an_address_of_the_monitor_that_is_taken_is_told() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(SetupError, match="Address already in use"):
            attempt(monitor=MonitorSettings((LOOPBACK, port)))


def test_a_socket_of_the_monitor_can_be_bound_again_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    attempt(monitor=MonitorSettings(path=str(tmp_path / "monitor")))
    attempt(monitor=MonitorSettings(path=str(tmp_path / "monitor")))
    assert list(tmp_path.iterdir()) == []


def test_what_stays_as_it_was_is_not_tried(tmp_path: Path) -> None:
    same = dataclasses.replace(BEFORE, debug_log=LogSettings(file=str(tmp_path / "nowhere" / "debug")))
    means = Means(lambda: Reading(same), lambda settings: open_logs(settings, False, "TEST"))
    try_out(same, dataclasses.replace(same, max_sessions=3), means)
