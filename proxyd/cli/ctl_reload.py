"""The command `proxyctl reload`. Source: proxyctl(8), RELOAD."""

from __future__ import annotations

import argparse
import sys

from proxyd.cli.ctl_frame import Status, connect, put
from proxyd.control import reloads


def reload(arguments: argparse.Namespace) -> int:
    """Have the configuration read again, or say what that would change; return the exit status."""
    with connect(arguments) as connection:
        if arguments.dry_run:
            found = reloads.ask_rehearsal(connection)
            put(arguments, found, reloads.rehearsal_text(found))
            if found.mistakes:
                return Status.NOT_DONE
            return Status.NO if found.refused else Status.DONE
        answer = reloads.order_reload(connection, _tell)
    for line in answer.mistakes:
        _tell(line)
    if answer.mistakes:
        _tell("proxyctl: nothing has changed")
    put(arguments, answer, "" if answer.mistakes else "".join(f"{line}\n" for line in ("reloaded", *answer.notes)))
    return Status.NOT_DONE if answer.mistakes else Status.DONE


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
