"""Completion of the programs' options: every option is offered by each shell, and the files in etc/ are those made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from proxyd.cli.arguments import parse_arguments
from proxyd.cli.completion import PROGRAMS, TAKES_FILES, choices, files
from proxyd.uftp.options import OPTIONS
from tests.kit.requirement import requires_program

FOLDER = Path(__file__).parents[3] / "etc" / "completion"
_BASH = '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_${1//-/_}"; printf "%s\\n" "${COMPREPLY[@]}"'
_ZSH = '_arguments() { print -rl -- "$@" }; . "$1"'

every_program = pytest.mark.parametrize("program", PROGRAMS)


def run(*argv: str | Path) -> list[str]:
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def names(program: str) -> set[str]:
    return {flag.name for flag in PROGRAMS[program]()}


@pytest.mark.parametrize("name", files())
def test_the_files_in_etc_are_current(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "renew them: python -m proxyd.cli.completion etc/completion"


def test_the_options_are_the_parsers() -> None:
    assert names("udp-proxy") == {"-h", "-v", "-d", "-f", "-P", "--check", "--foreground", "--takeover"}
    assert names("test-udp") == {"-h", "-v", "-d", "-f", "-r", "-t"}
    assert names("uftpproxyd") == {row.flag for row in OPTIONS}
    assert names("uftp-keymgt") == {"-f", "-g", "-h", "-m", "-v"}
    assert parse_arguments("udp-proxy", ["-f", "x", "-d", "3", "-P", "y", "--foreground"]).foreground


@every_program
def test_bash_offers_every_option_and_what_its_value_may_be(program: str) -> None:
    script = FOLDER / f"{program}.bash"
    assert set(run("bash", "-c", _BASH, "bash", script, program, "-")) == names(program)
    for flag in PROGRAMS[program]():
        if choices(flag.value):
            assert run("bash", "-c", _BASH, "bash", script, program, flag.name, "") == choices(flag.value)


@pytest.mark.parametrize(("program", "flag"), [("udp-proxy", "-f"), ("uftpproxyd", "-k"), ("uftp-keymgt", "-m")])
def test_bash_offers_files(program: str, flag: str, tmp_path: Path) -> None:
    (tmp_path / "proxy.pem").touch()
    assert program in TAKES_FILES or flag != "-m"
    offered = run("bash", "-c", _BASH, "bash", FOLDER / f"{program}.bash", program, flag, f"{tmp_path}/pr")
    assert offered == [f"{tmp_path}/proxy.pem"]


@requires_program("fish")
@every_program
def test_fish_offers_every_option_with_its_meaning(program: str) -> None:
    script = f"source {FOLDER / program}.fish; complete -C'{program} -'"
    offered = dict(line.partition("\t")[::2] for line in run("fish", "--no-config", "-c", script))
    assert names(program) <= offered.keys()
    assert {flag.name: flag.text for flag in PROGRAMS[program]()}.items() <= offered.items()


@requires_program("zsh")
@every_program
def test_zsh_is_told_every_option(program: str) -> None:
    run("zsh", "-n", FOLDER / f"_{program}")
    told = run("zsh", "-f", "-c", _ZSH, "zsh", FOLDER / f"_{program}")
    assert {line.partition("[")[0] for line in told if line.startswith("-")} == names(program)
    assert ("*:file:_files" in told) == (program in TAKES_FILES)
