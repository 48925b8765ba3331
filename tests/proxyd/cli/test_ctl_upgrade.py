"""proxyctl upgrade says how far it is, and ends as the upgrade does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.cli.proxyctl import main
from proxyd.control.protocol import AskUpgrade, Done, Mistakes, Refused, Reply, Request, Step
from tests.proxyd.control.office import served


def test_each_step_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: Request) -> Iterator[Reply]:
        assert isinstance(request, AskUpgrade)
        yield Step("started as process 7")
        yield Step("process 8 has taken over")
        yield Done()

    with served(tmp_path / "x.ctl", answer) as path:
        assert main(["-s", str(path), "upgrade"]) == 0
        assert capsys.readouterr().out == "started as process 7\nprocess 8 has taken over\n"
        assert main(["-s", str(path), "upgrade", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"steps": ["started as process 7", "process 8 has taken over"]}


def test_a_failure_is_told_in_the_new_program_s_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(_request: Request) -> Iterator[Reply]:
        yield Step("started as process 7")
        yield Mistakes(["f:1:1: a", "f:2:1: b"])
        yield Refused("not upgraded: 2 mistakes")

    with served(tmp_path / "x.ctl", answer) as path:
        assert main(["-s", str(path), "upgrade"]) == 1
    assert capsys.readouterr().err == "f:1:1: a\nf:2:1: b\nproxyctl: not upgraded: 2 mistakes\n"
