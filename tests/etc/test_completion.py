"""Completion for bash: every command and option of proxyctl is offered, and the sessions of a running proxy."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.cli.ctl_arguments import make_parser
from proxyd.control.protocol import NUMBER, AskSessions, AskStatus, Done, Listeners, Reply, Request, Rules, Slots
from proxyd.control.sessions import SORT_KEYS
from tests.proxyd.control.office import served
from tests.proxyd.control.scene import state
from workers.contract.settings import SessionKind
from workers.contract.slots import SLOT

SCRIPT = Path(__file__).parents[2] / "etc" / "completion" / "proxyctl.bash"
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


def test_sessions_of_the_chosen_proxy_are_offered(tmp_path: Path) -> None:
    record = NUMBER.pack(4) + SLOT.pack(*(1, 1, 0, 4, 0, *(0,) * 4, *(0,) * 6, 0, 1, *(b"",) * 4))

    def answer(request: Request) -> Iterator[Reply]:
        if isinstance(request, AskStatus):
            found = state()
            yield from (found.proxy, Listeners(found.listeners), Rules(found.rules))
        elif isinstance(request, AskSessions):
            yield Slots(0, 5, record)
        yield Done()

    command = Path(sys.executable).with_name("proxyctl")
    if not command.exists():
        pytest.skip("missing: the installed commands (pip install -e . beside this Python)")
    with served(tmp_path / "x.ctl", answer) as path:
        assert complete(str(command), "-s", str(path), "kill", "") == {"0.4.00000"}
        assert complete(str(command), "-s", str(path), "kill", "--acl", "") == {"A"}
    assert complete(str(command), "-s", str(path), "kill", "") == set()
