"""What the commands of proxyctl share."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.cli.ctl_arguments import make_parser
from proxyd.cli.ctl_frame import connect, filter_of, put
from proxyd.control.client import UnreachableError
from proxyd.control.sessions import Filter, SessionError


def test_filters_are_those_of_the_command_line() -> None:
    found = filter_of(make_parser().parse_args(["sessions", "--acl", "A", "--idle", "3", "--client", ":7"]), ("0.1",))
    assert (found.ids, found.acl, found.idle_s, found.client and found.client.port) == (("0.1",), "A", 3.0, 7)
    assert filter_of(make_parser().parse_args(["sessions"])) == Filter()
    with pytest.raises(SessionError):
        filter_of(make_parser().parse_args(["sessions", "--client", "x"]))


def test_what_is_found_is_json_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    put(make_parser().parse_args(["status"]), {"a": 1}, "text\n")
    put(make_parser().parse_args(["status", "--json"]), {"a": 1}, "text\n")
    assert capsys.readouterr().out == 'text\n{\n  "a": 1\n}\n'


def test_the_socket_on_the_command_line_is_the_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="there is no such socket"):
        connect(make_parser().parse_args(["-s", str(tmp_path / "none.ctl"), "status"]))
