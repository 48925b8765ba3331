from __future__ import annotations

import pytest

from proxyd import VERSION_TAG, __version__
from proxyd.cli.arguments import EXIT_USAGE, USAGE, Arguments, UsageError, help_text, parse_arguments, read_arguments


def test_all_options_are_taken() -> None:
    assert parse_arguments("test-udp", ["-d", "7", "-f", "x.cfg", "-r", "-t", "help;"]) == Arguments(
        "x.cfg", 7, True, "help;"
    )
    assert parse_arguments("udp-proxy", ["-fx.cfg"]) == Arguments("x.cfg")
    assert parse_arguments("udp-proxy", ["-P", "x.pid", "-f", "x.cfg"]) == Arguments("x.cfg", pidfile="x.pid")
    assert parse_arguments("udp-proxy", ["--takeover", "-f", "x.cfg", "--foreground"]) == Arguments(
        "x.cfg", foreground=True, takeover=True
    )
    assert parse_arguments("udp-proxy", ["-f", "x.cfg", "--check"]).checks_only


@pytest.mark.parametrize("level", ["2", "10", "x", "", "-3", "٣", "3.0", " 4"])
def test_other_levels_are_refused(level: str) -> None:
    with pytest.raises(UsageError, match="wanted a number from 3 to 9"):
        parse_arguments("udp-proxy", ["-d", level, "-f", "x"])


@pytest.mark.parametrize("level", range(3, 10))
def test_levels_from_3_to_9_are_taken(level: int) -> None:
    assert parse_arguments("udp-proxy", ["-f", "x", "-d", str(level)]).level == level


@pytest.mark.parametrize(
    ("program", "argv", "why"),
    [
        ("udp-proxy", [], "found no -f"),
        ("udp-proxy", ["-f", ""], "found no -f"),
        ("udp-proxy", ["-f"], "option -f requires argument"),
        ("udp-proxy", ["-P", "", "-f", "x"], "found no file after -P"),
        ("test-udp", ["-P", "x.pid", "-f", "x"], "option -P not recognized"),
        ("udp-proxy", ["-r", "-f", "x"], "option -r not recognized"),
        ("udp-proxy", ["-t", "help;", "-f", "x"], "option -t not recognized"),
        ("test-udp", ["--takeover", "-f", "x"], "option --takeover not recognized"),
        ("udp-proxy", ["--foreground=yes", "-f", "x"], "must not have an argument"),
        ("test-udp", ["-x"], "option -x not recognized"),
        ("test-udp", ["-f", "x", "y"], "found the argument 'y'"),
    ],
)
def test_what_is_no_command_line_ends_with_the_usage_line(
    program: str, argv: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_arguments(program, argv) == EXIT_USAGE == 64
    written = capsys.readouterr()
    assert written.out == ""
    assert why in written.err
    assert written.err.endswith(f"{USAGE[program]}\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("program", list(USAGE))
def test_help_goes_to_standard_output(program: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_arguments(program, [option]) == 0
    written = capsys.readouterr()
    assert written.out == help_text(program)
    assert written.out.startswith(USAGE[program])
    assert written.err == ""


@pytest.mark.parametrize("option", ["-v", "--version"])
@pytest.mark.parametrize("program", list(USAGE))
def test_the_version_needs_no_file_and_has_the_tag(
    program: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_arguments(program, [option]) == 0
    assert capsys.readouterr().out == f"{program} (proxyd {__version__}) {VERSION_TAG}\n"


def test_help_comes_before_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_arguments("test-udp", ["-d", "99", "-hv"]) == 0
    assert capsys.readouterr().out == help_text("test-udp")
