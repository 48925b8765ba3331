"""The exit statuses that scripts around uftpproxyd rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxyd.daemon.exits import Ending
from proxyd.daemon.exits import ExitStatus as FrameStatus
from proxyd.errors import SetupError
from proxyd.uftp.exits import ExitStatus, status_of


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("open /tmp/x", 4),
        ("bind port 1044", 2),
        ("join 230.4.4.1", 2),
        ("pidfile /run/x", 1),
        ("app-user nobody", 1),
        ("create shared memory", 5),
        ("fork worker 0", 5),
    ],
)
def test_a_step_that_fails_has_its_status(step: str, status: int) -> None:
    ending = Ending(FrameStatus.UNAVAILABLE, str(SetupError(step, "no")))
    assert status_of(ending, foreground=False) == status


def test_a_signal_ends_the_foreground_and_leaves_the_background_running() -> None:
    ending = Ending(FrameStatus.OK, "SIGTERM")
    assert status_of(ending, foreground=True) is ExitStatus.INTERRUPTED
    assert status_of(ending, foreground=False) is ExitStatus.STARTED


@pytest.mark.parametrize("reason", ["drained", "process 7 has taken over"])
def test_a_proxy_that_ends_by_itself_was_not_interrupted(reason: str) -> None:
    assert status_of(Ending(FrameStatus.OK, reason), foreground=True) is ExitStatus.STARTED


def test_the_manual_page_and_the_readme_have_every_status() -> None:
    root = Path(__file__).parents[3]
    page = (root / "etc" / "man" / "uftpproxyd.8").read_text().partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    assert [int(status) for status in re.findall(r"^\.It (\d+)$", page, re.MULTILINE)] == list(ExitStatus)
    table = (root / "README.md").read_text().partition("| `uftpproxyd` |")[2].partition("\n\n")[0]
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(ExitStatus)
