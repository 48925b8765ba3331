"""Lines as uftpproxyd writes them, and the levels of the frame's lines among them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from proxyd.errors import SetupError
from proxyd.logs.setup import Logs
from proxyd.uftp.logformat import local_time, open_log
from workers.contract.events import LEVEL_BASE
from workers.contract.messages import LogRecord
from workers.contract.settings import LogSettings, Settings


def log(path: Path, level: int = 2, **changes: object) -> Logs:
    settings = LogSettings(level=level + LEVEL_BASE, file=str(path), **changes)  # type: ignore[arg-type]
    return open_log(Settings("client", (), 1, 1, (), debug_log=settings, program="uftpproxyd"))


def lines(logs: Logs, path: Path) -> list[str]:
    logs.flush()
    return path.read_text().splitlines()


def test_a_line_has_time_group_and_text(tmp_path: Path) -> None:
    logs = log(tmp_path / "log", 3)
    logs.write(LogRecord("uftp-left", 0, ("[C38AE440/00:0001]: ", bytes([2, 0, 4, 20, 230, 5, 5, 10, *bytes(8)]))), 7)
    (line,) = lines(logs, tmp_path / "log")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}: \[C38AE440/00:0001\]: Left \[230.5.5.10\]:1044", line)


@pytest.mark.parametrize(
    ("level", "wanted"),
    [(0, ["cannot"]), (1, ["cannot", "careful"]), (2, ["cannot", "careful", "started"]), (4, ["read"])],
)
def test_lines_of_the_frame_have_levels_too(tmp_path: Path, level: int, wanted: list[str]) -> None:
    logs = log(tmp_path / "log", level)
    logs.note("setup-failed", "cannot", "x")
    logs.note("config-warning", "careful")
    logs.note("started", "0.1")
    logs.note("configured", "x")
    text = "\n".join(lines(logs, tmp_path / "log"))
    assert all(word in text for word in wanted)
    assert ("started" in text) is (level >= 2)
    assert ("read" in text) is (level >= 4)


def test_a_log_may_be_json(tmp_path: Path) -> None:
    logs = log(tmp_path / "log", json=True)
    logs.note("started", "0.1")
    (line,) = lines(logs, tmp_path / "log")
    assert json.loads(line)["event"] == "started"


def test_a_log_rolls(tmp_path: Path) -> None:
    logs = log(tmp_path / "log", rotate_bytes=100, rotate_count=1)
    for _ in range(9):
        logs.note("started", "0.1")
        logs.flush()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"open {tmp_path}"):
        log(tmp_path)


def test_time_has_microseconds() -> None:
    assert local_time(1_757_317_222.000004).endswith(":22.000004")
