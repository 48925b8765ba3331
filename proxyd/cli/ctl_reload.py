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
        mistakes = reloads.order_reload(connection, _tell)
    for line in mistakes:
        sys.stderr.write(f"{line}\n")
    if mistakes:
        sys.stderr.write("proxyctl: nothing has changed\n")
    put(arguments, {"mistakes": mistakes}, "" if mistakes else "reloaded\n")
    return Status.NOT_DONE if mistakes else Status.DONE


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
