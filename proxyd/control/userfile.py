"""The out-of-band file of users with an entry more or less: the file is replaced in one step, or not at all.

Every other line stays as it is, comments too. Whoever changes the file this way at the same time waits; other programs
know nothing of that, and a change of theirs in this very moment is lost.
Source: udp-proxy.cfg(5), OOB-AUTH; rename(2), flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from workers.contract.settings import Address, AuthSettings
from workers.policy.hostset import normal_address
from workers.policy.users import UsersError, parse_users

NEW_MODE = 0o644
"""Of a file that was not there: whoever may run the proxy may read it."""


def parse_address(text: str) -> Address | None:
    """Return the address that an entry or an argument begins with, None for none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else normal_address(Address(found.version, int(found)))


def with_entry(text: str, address: str, user: str, groups: Sequence[str]) -> str:
    """Return the file's text with an entry, in the place of the one that its address had.

    Raises UsersError for names that would become something else; all else is parse_users's to say.
    """
    entry = "\t".join([address, user, *([",".join(groups)] if groups else [])])
    if not all(name.isprintable() for name in (user, *groups)):
        raise UsersError(1, f"{user[:80]!r} or a group of it is no name: wanted printable characters")
    lines, wanted = _lines(text), parse_address(address)
    if wanted is None:
        raise UsersError(1, f"{address[:80]!r} is no IP address")
    for number, line in enumerate(lines):
        if _owner(line) == wanted:
            lines[number] = entry
            return _text(lines)
    return _text([*lines, entry])


def without(text: str, addresses: Collection[Address]) -> str:
    """Return the file's text without the entries of these addresses."""
    return _text([line for line in _lines(text) if _owner(line) not in addresses])


def change(settings: AuthSettings, edit: Callable[[str], str]) -> bool:
    """Replace the file by what edit makes of its text, if that can be believed; one that is missing is empty.

    Return whether it is another one now.

    Raises OSError, UnicodeDecodeError, UsersError; then the file is as it was.
    """
    path = Path(os.path.realpath(settings.file))
    with _alone(path.parent):
        text, status = _read(path)
        changed = edit(text)
        parse_users(changed, settings)
        if changed == text:
            return False
        _replace(path, changed.encode(), status)
        return True


def _read(path: Path) -> tuple[str, os.stat_result | None]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return "", None
    if not stat.S_ISREG(status.st_mode):
        raise UsersError(1, "it is no ordinary file")
    return path.read_bytes().decode(), status


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _owner(line: str) -> Address | None:
    return parse_address(line.partition("\t")[0])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let nobody else who asks the same change files of this directory meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes, status: os.stat_result | None) -> None:
    """Put a new file with this content in the place of one, with that one's owner and mode."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), NEW_MODE if status is None else status.st_mode & 0o7777)
            if status is not None and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fsync(file.fileno())
        os.rename(temporary, path)  # noqa: PTH104 - its twin above is a text
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
