"""proxyctl users add and remove: change the out-of-band file, and see that the proxy believes it.

Source: proxyctl(8), COMMANDS.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable

from proxyd.cli import ctl_watch
from proxyd.cli.ctl_frame import Status, UsageError, connect, put
from proxyd.config.load import load
from proxyd.control import inquiry, userfile
from proxyd.control.client import RefusedError, UnreachableError
from proxyd.control.protocol import AskUsers, Users
from proxyd.control.users import Register, extend
from workers.contract.settings import Address, AuthSettings
from workers.errors import WorkerError

READ_S = 5.0
"""How long the proxy may take to read the file again: it looks at it every second."""
_AGAIN_S = 0.1

Holds = Callable[[Register], bool]


def users(arguments: argparse.Namespace) -> int:
    """Print who sits at which address, or change it."""
    if arguments.change is None:
        return ctl_watch.show_users(arguments)
    return _add(arguments) if arguments.change == "add" else _remove(arguments)


def _add(arguments: argparse.Namespace) -> int:
    address = _address(arguments.address)
    groups = sorted({group for text in arguments.groups for group in text.split(",")})

    def edit(text: str) -> str:
        return userfile.with_entry(text, arguments.address, arguments.person, groups)

    def holds(register: Register) -> bool:
        found = [one for one in register.users if userfile.parse_address(one.address) == address]
        return [(one.user, sorted(one.groups)) for one in found] == [(arguments.person, groups)]

    _change(arguments, edit, holds)
    entry = {"address": arguments.address, "user": arguments.person, "groups": groups}
    put(arguments, entry, f"{arguments.person} is at {arguments.address} now\n")
    return Status.DONE


def _remove(arguments: argparse.Namespace) -> int:
    gone = {text: _address(text) for text in arguments.addresses}

    def edit(text: str) -> str:
        left = userfile.without(text, gone.values())
        missing = [name for name, address in gone.items() if userfile.without(text, [address]) == text]
        if missing:
            raise RefusedError(f"nobody is at {', '.join(missing)}")
        return left

    def holds(register: Register) -> bool:
        return not any(userfile.parse_address(one.address) in gone.values() for one in register.users)

    _change(arguments, edit, holds)
    put(arguments, {"removed": list(gone)}, f"nobody is at {', '.join(gone)} any more\n")
    return Status.DONE


def _address(text: str) -> Address:
    address = userfile.parse_address(text)
    if address is None:
        raise UsageError(f"found '{text}'; wanted an address")
    return address


def _change(arguments: argparse.Namespace, edit: Callable[[str], str], holds: Holds) -> None:
    """Change the file; where the proxy runs, return when it believes what holds. Raises RefusedError."""
    if arguments.file is not None:
        _edit(_settings(arguments.file), edit)
        return
    with connect(arguments) as connection:
        settings = _settings(inquiry.ask_state(connection).proxy.file)
    file = _head(arguments).file
    began = time.time()
    changed = _edit(dataclasses.replace(settings, file=file), edit)
    _await(arguments, began if changed else 0.0, holds)


def _settings(file: str) -> AuthSettings:
    settings = load(file).settings.auth
    if settings is None:
        raise RefusedError(f"{file} asks for no users (oob-auth)")
    return settings


def _edit(settings: AuthSettings, edit: Callable[[str], str]) -> bool:
    try:
        return userfile.change(settings, edit)
    except OSError as error:
        raise RefusedError(f"{settings.file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{settings.file}: not UTF-8 at byte {error.start}") from error
    except WorkerError as error:
        raise RefusedError(f"{settings.file} would not be taken: {error}") from error


def _await(arguments: argparse.Namespace, began: float, holds: Holds) -> None:
    """Return when the proxy goes by the file, which has been as it is since began. Raises RefusedError."""
    deadline = time.monotonic() + READ_S
    while True:
        head = _head(arguments)
        if head.read_unix is not None and head.read_unix >= began and not head.complaint:
            with connect(arguments) as connection:
                if holds(inquiry.ask_users(connection)):
                    return
        if time.monotonic() >= deadline:
            why = head.complaint or "it has not been read again yet"
            raise RefusedError(f"{head.file} is changed, but the proxy does not go by it: {why}")
        time.sleep(_AGAIN_S)


def _head(arguments: argparse.Namespace) -> Register:
    """Return the beginning of the table: all of a large one takes seconds."""
    with connect(arguments) as connection:
        for reply in connection.ask(AskUsers()):
            if isinstance(reply, Users):
                return extend(None, reply)
    raise UnreachableError("the proxy does not say who sits where")
