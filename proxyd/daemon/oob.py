"""The out-of-band file of users: read when it changes, believed as a whole or not at all, packed for the workers.

A file that cannot be believed leaves the users as they were, and the log says so with the line. The parent reads it,
because it alone may be able to; where one process does everything, another user or root may end that.
Source: udp-proxy.cfg(5), OOB-AUTH.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from proxyd.daemon.journal import Journal
from workers.contract.messages import Users
from workers.contract.settings import Address, AuthSettings
from workers.policy.users import User, UsersError, parse_users

LOOK_NS = 1_000_000_000
"""How often the file is looked at."""
MAX_FILE_BYTES = 64 << 20
PART_BYTES = 48_000
"""How many bytes of entries go into one message: workers.contract.messages bounds it at 60,000."""
_ENTRY_BYTES = 32
"""What an entry, and half of it a group, takes beside its text, at most."""

Identity: TypeAlias = tuple[int, ...]
"""What of a file changes whenever the file does."""


class UsersFile:
    """One out-of-band file. parts: the users that are believed now, as messages; at first there are none.

    read_unix: when they were taken, None: never. complaint: why what stands there now is not, empty: it is.
    """

    def __init__(self, settings: AuthSettings, journal: Journal) -> None:
        self.parts: tuple[Users, ...] = (Users(True, True, []),)
        self._settings = settings
        self._journal = journal
        self._identity: Identity | None = None
        self.complaint = ""
        self.read_unix: float | None = None
        self._entries = 0
        self._due_ns = 0

    @property
    def file(self) -> str:
        """The file's path."""
        return self._settings.file

    def look(self, now_ns: int) -> bool:
        """Read the file if it has changed; tell whether the users are others now.

        now_ns: CLOCK_MONOTONIC; to be called once a turn, looks at the file once a second at most.
        """
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + LOOK_NS
        try:
            if _identity(os.stat(self._settings.file)) == self._identity:  # noqa: PTH116 - the descriptor's twin below
                return False
            return self._take(self._read())
        except OSError as error:
            self._identity = None
            return self._refuse(error.strerror or str(error))
        except UnicodeDecodeError as error:
            return self._refuse(f"not UTF-8 at byte {error.start}")
        except UsersError as error:
            return self._refuse(str(error))

    def _read(self) -> dict[Address, User]:
        """Read and parse the file; from now on it counts as seen, whatever is wrong with it."""
        # Not to wait: a pipe has no end, and the parent has more to do.
        descriptor = os.open(self._settings.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            # As it was before: whatever is changed while it is read is read the next time.
            self._identity = _identity(status)
            if not stat.S_ISREG(status.st_mode):
                raise UsersError(1, "it is no ordinary file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(data) > MAX_FILE_BYTES:
            raise UsersError(1, f"the file is longer than {MAX_FILE_BYTES} bytes")
        return parse_users(data.decode(), self._settings)

    def _take(self, users: Mapping[Address, User]) -> bool:
        self._entries = len(users)
        parts, before = pack_users(users), self.parts
        mended, self.complaint = bool(self.complaint), ""
        self.read_unix = time.time()
        self.parts = parts
        if parts != before or mended:
            self._journal.note("users-read", self._settings.file, len(users))
        return parts != before

    def _refuse(self, reason: str) -> bool:
        if reason != self.complaint:
            self.complaint = reason
            self._journal.note("users-refused", self._settings.file, reason, self._entries)
        return False


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def pack_users(users: Mapping[Address, User]) -> tuple[Users, ...]:
    """Return the messages that tell a whole table, each within the bounds of the channel; one at least."""
    batches = list(_batches(users)) or [[]]
    last = len(batches) - 1
    return tuple(Users(number == 0, number == last, batch) for number, batch in enumerate(batches))


Entry: TypeAlias = tuple[int, bytes, str, list[str]]


def _batches(users: Mapping[Address, User]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    room = PART_BYTES
    for address, user in users.items():
        size = _size(user.user, user.groups)
        if size > room and batch:
            yield batch
            batch, room = [], PART_BYTES
        room -= size
        value = address.value.to_bytes(4 if address.version == 4 else 16)
        batch.append((address.version, value, user.user, sorted(user.groups)))
    if batch:
        yield batch


def _size(user: str, groups: Iterable[str]) -> int:
    return _ENTRY_BYTES + len(user.encode()) + sum(5 + len(group.encode()) for group in groups)
