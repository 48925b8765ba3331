"""The command `proxyctl reload`. Source: proxyctl(8), RELOAD."""

from __future__ import annotations

import argparse
import sys

from proxyd.cli.ctl_frame import Status, connect, put
from proxyd.control import reloads
from proxyd.control.client import GoneError


def reload(arguments: argparse.Namespace) -> int:
    """Have the configuration read again, or say what that would change; return the exit status."""
    if arguments.dry_run:
        return _rehearse(arguments)
    try:
        answer = _order(arguments)
    except GoneError:
        answer = _order(arguments)  # of the program that has taken over meanwhile
    for line in answer.mistakes:
        _tell(line)
    if answer.mistakes:
        _tell("proxyctl: nothing has changed")
    put(arguments, answer, "" if answer.mistakes else "".join(f"{line}\n" for line in ("reloaded", *answer.notes)))
    return Status.NOT_DONE if answer.mistakes else Status.DONE


def _rehearse(arguments: argparse.Namespace) -> int:
    with connect(arguments) as connection:
        found = reloads.ask_rehearsal(connection)
    put(arguments, found, reloads.rehearsal_text(found))
    if found.mistakes:
        return Status.NOT_DONE
    return Status.NO if found.refused else Status.DONE


def _order(arguments: argparse.Namespace) -> reloads.Answer:
    with connect(arguments) as connection:
        return reloads.order_reload(connection, _tell)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
