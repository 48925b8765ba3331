"""Completion in bash, zsh and fish: every command and option of proxyctl is offered, and running proxies' sessions."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyd.cli.ctl_arguments import make_parser
from proxyd.control.protocol import NUMBER, AskSessions, AskStatus, Done, Listeners, Reply, Request, Rules, Slots
from proxyd.control.sessions import SORT_KEYS
from tests.kit.requirement import requires_program
from tests.kit.terminal import Terminal
from tests.proxyd.control.office import served
from tests.proxyd.control.scene import state
from workers.contract.settings import SessionKind
from workers.contract.slots import SLOT

FOLDER = Path(__file__).parents[2] / "etc" / "completion"
SCRIPT = FOLDER / "proxyctl.bash"
_COMPLETE = """
. "$1"; shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_proxyctl
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words: str) -> set[str]:
    """Return what is offered for the last word of a command line."""
    argv = ["bash", "-c", _COMPLETE, "bash", SCRIPT, *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no other way in
    return dict(action.choices)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}  # noqa: SLF001 - as above


def test_commands_are_offered_as_far_as_they_fit() -> None:
    assert complete("proxyctl", "") == set(commands())
    assert complete("proxyctl", "s") == {"status", "sessions", "session"}
    assert complete("proxyctl", "-n", "dns", "kil") == {"kill"}


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_option_of_a_command_is_offered(command: str) -> None:
    assert complete("proxyctl", command, "-") == options(commands()[command]) - {"-h", "--help"}


def test_the_options_before_the_command_are_offered() -> None:
    assert complete("proxyctl", "-") == options(make_parser())


def test_words_of_a_fixed_set_are_offered() -> None:
    assert complete("proxyctl", "sessions", "--sort", "") == set(SORT_KEYS)
    assert complete("proxyctl", "sessions", "--type", "") == {kind.value for kind in SessionKind}
    assert complete("proxyctl", "loglevel", "") == {*"3456789+-"}


def one_session(request: Request) -> Iterator[Reply]:
    """Answer as a proxy with one session."""
    record = NUMBER.pack(4) + SLOT.pack(*(1, 1, 0, 4, 0, *(0,) * 4, *(0,) * 6, 0, 1, *(b"",) * 4))

    if isinstance(request, AskStatus):
        found = state()
        yield from (found.proxy, Listeners(found.listeners), Rules(found.rules))
    elif isinstance(request, AskSessions):
        yield Slots(0, 5, record)
    yield Done()


def installed() -> Path:
    """Return the command as it is installed."""
    command = Path(sys.executable).with_name("proxyctl")
    if not command.exists():
        pytest.skip("missing: the installed commands (pip install -e . beside this Python)")
    return command


def test_sessions_of_the_chosen_proxy_are_offered(tmp_path: Path) -> None:
    command = installed()
    with served(tmp_path / "x.ctl", one_session) as path:
        assert complete(str(command), "-s", str(path), "kill", "") == {"0.4.00000"}
        assert complete(str(command), "-s", str(path), "kill", "--acl", "") == {"A"}
    assert complete(str(command), "-s", str(path), "kill", "") == set()


# --- fish and zsh ----------------------------------------------------------------------------------------------------


def complete_in_fish(line: str) -> set[str]:
    """Return what fish offers at the end of a command line."""
    code = f"source {FOLDER / 'proxyctl.fish'}; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return {offer.split("\t")[0] for offer in done.stdout.splitlines()}


@requires_program("fish")
def test_fish_offers_every_command_and_option() -> None:
    assert complete_in_fish("proxyctl ") == set(commands())
    assert complete_in_fish("proxyctl -") == options(make_parser())
    for command, parser in commands().items():
        offered = complete_in_fish(f"proxyctl {command} -") - {"-"}  # a level, one less
        assert offered == options(parser) - {"-h", "--help"}, command
    assert complete_in_fish("proxyctl sessions --sort ") == set(SORT_KEYS)
    assert complete_in_fish("proxyctl kill --type ") == {kind.value for kind in SessionKind}


@requires_program("fish")
def test_fish_offers_the_sessions_of_the_chosen_proxy(tmp_path: Path) -> None:
    command = installed()
    with served(tmp_path / "x.ctl", one_session) as path:
        assert complete_in_fish(f"{command} -s {path} tap ") == {"0.4.00000"}
        assert complete_in_fish(f"{command} -s {path} kill --acl ") == {"A"}


_ZSH = """
fpath=({folder} $fpath) path=({programs} $path) PS1='ready> ' LISTMAX=0
zstyle ':completion:*' list-separator '--' && zstyle ':completion:*' force-list always
autoload -Uz compinit && compinit -u -D && clear
"""


@contextmanager
def zsh(folder: Path) -> Iterator[Terminal]:
    """A zsh with the completion, at its prompt."""
    setup = folder / "setup.zsh"
    setup.write_text(_ZSH.format(folder=FOLDER, programs=Path(sys.executable).parent))
    with Terminal(["zsh", "-f", "-i"], columns=150, lines=60, env={"ZDOTDIR": str(folder)}) as terminal:
        terminal.press(f". {setup}\n")
        terminal.wait_for_loss("setup.zsh")
        terminal.wait_for("ready>")
        yield terminal


def complete_in_zsh(terminal: Terminal, line: str, *wanted: str) -> set[str]:
    """Return the words on the screen once all that is wanted is offered at the end of a line."""
    terminal.press(f"{line}\t")
    screen = terminal.wait_for(*wanted)
    terminal.press("\x15\x0c")
    terminal.wait_for_loss(wanted[0])
    return set(screen.split())


@requires_program("zsh")
def test_zsh_offers_every_command_and_option(tmp_path: Path) -> None:
    with zsh(tmp_path) as terminal:
        found = complete_in_zsh(terminal, "proxyctl ", *(f"{name} " for name in commands()))
        assert set(commands()) <= found
        found = complete_in_zsh(terminal, "proxyctl -", *sorted(options(make_parser())))
        assert {word for word in found if word.startswith("--") and word != "--"} <= options(make_parser())
        for command, parser in commands().items():
            wanted = sorted(options(parser), key=len, reverse=True)
            found = complete_in_zsh(terminal, f"proxyctl {command} -", *wanted)
            assert {word for word in found if word.startswith("--") and word != "--"} <= options(parser), command
        complete_in_zsh(terminal, "proxyctl sessions --sort ", *SORT_KEYS)


@requires_program("zsh")
def test_zsh_offers_the_sessions_of_the_chosen_proxy(tmp_path: Path) -> None:
    installed()
    with served(tmp_path / "x.ctl", one_session) as path, zsh(tmp_path) as terminal:
        terminal.press(f"proxyctl -s {path} tap 0\t")
        terminal.wait_for("tap 0.4.00000")
