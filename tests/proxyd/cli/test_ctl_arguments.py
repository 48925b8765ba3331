from __future__ import annotations

import pytest

from proxyd.cli.ctl_arguments import EXIT_USAGE, make_parser


def test_the_proxy_is_chosen_by_name_or_socket() -> None:
    parser = make_parser()
    assert parser.parse_args(["status"]).name is None
    assert parser.parse_args(["-n", "dns", "status"]).name == "dns"
    assert parser.parse_args(["-s", "/run/x.ctl", "status", "--json"]).socket == "/run/x.ctl"


def test_filters_are_taken_by_sessions_and_kill_alike() -> None:
    words = ["--client", "10.0.0.0/8", "--server", ":53", "--acl", "A", "--type", "normal", "--worker", "1"]
    for command in ("sessions", "kill"):
        found = make_parser().parse_args([command, *words, "--idle", "1.5", "--older", "60"])
        assert (found.client, found.server, found.acl, found.type) == ("10.0.0.0/8", ":53", "A", "normal")
        assert (found.worker, found.idle, found.older) == (1, 1.5, 60)


def test_a_datagram_to_explain_is_as_much_as_is_known_of_it() -> None:
    found = make_parser().parse_args(["explain", "10.0.0.7", "192.0.2.1:53"])
    assert (found.source, found.to, found.user, found.time, found.transparent, found.group) == (
        *("10.0.0.7", "192.0.2.1:53"),
        *(None, None, None, []),
    )
    words = ["explain", "a", "b", "ann", "0830", "--group", "staff", "--group", "all", "--tos", "8"]
    found = make_parser().parse_args([*words, "--direct"])
    assert (found.user, found.time, found.transparent, found.group, found.tos) == (
        *("ann", "0830", False),
        *(["staff", "all"], 8),
    )
    assert make_parser().parse_args([*words, "--transparent"]).transparent is True


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["-n", "a", "-s", "b", "status"],
        ["session"],
        ["sessions", "--sort", "beauty"],
        ["sessions", "--limit", "-1"],
        ["sessions", "--limit", "x"],
        ["kill", "--worker", "-1"],
        ["kill", "--idle", "soon"],
        ["drain", "--timeout", "-1"],
        ["drain", "--timeout", "nan"],
        ["explain", "10.0.0.7"],
        ["explain", "10.0.0.7", "192.0.2.1:53", "--tos", "256"],
        ["status", "more"],
    ],
)
def test_what_is_no_command_line_ends_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(words)
    assert ended.value.code == EXIT_USAGE == 64
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("proxyctl: ")
    assert "usage: proxyctl" in written.err


@pytest.mark.parametrize("words", [["-h"], ["--version"], ["kill", "-h"]])
def test_help_and_version_go_to_standard_output(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(words)
    assert ended.value.code == 0
    assert "proxyctl" in capsys.readouterr().out
