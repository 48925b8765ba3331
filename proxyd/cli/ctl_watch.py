"""The commands of proxyctl that show what passes: users, groups, a session's datagrams. Source: proxyctl(8)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import BinaryIO

import msgspec

from proxyd.cli.ctl_frame import Status, connect, put
from proxyd.control import inquiry, reports, sessions, tapping, users
from proxyd.control.client import RefusedError
from proxyd.control.sessions import Filter
from proxyd.control.tapping import Bounds, Tally
from proxyd.control.users import Wanted

STDOUT = "-"
_MODE = 0o600
"""A capture is for whoever made it alone: it holds what others have said to each other."""


def show_users(arguments: argparse.Namespace) -> int:
    """Print who sits at which address."""
    network = None if arguments.where is None else sessions.parse_peer(arguments.where).network
    with connect(arguments) as connection:
        register = inquiry.ask_users(connection)
    found = users.select(register.users, Wanted(arguments.user, arguments.group, network))
    register = msgspec.structs.replace(register, users=found)
    put(arguments, register, reports.users_text(register, by_group=arguments.by_group))
    return Status.DONE


def show_groups(arguments: argparse.Namespace) -> int:
    """Print the transfers that are on their way."""
    with connect(arguments) as connection:
        found = inquiry.ask_groups(connection)
    put(arguments, found, reports.groups_text(found))
    return Status.DONE


def tap(arguments: argparse.Namespace) -> int:
    """Write a session's datagrams to a file until the tap ends, or we are interrupted."""
    bounds = Bounds(arguments.count, arguments.bytes, arguments.time, arguments.snap)
    with connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), Filter((arguments.id,)))
        if not found:
            raise RefusedError(f"there is no session {arguments.id}")
        with _open(arguments.write) as file:
            tally = Tally()
            try:
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                tapping.follow(connection, found[0], bounds, arguments.side, file, tally)
            except KeyboardInterrupt:
                tally.why = "interrupted"
    if arguments.write != STDOUT:
        put(arguments, tally, reports.tally_text(tally))
    else:
        sys.stderr.write(reports.tally_text(tally))
    return Status.DONE


def _open(path: str) -> BinaryIO:
    """Open where the datagrams go."""
    if path == STDOUT:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE), "wb")
