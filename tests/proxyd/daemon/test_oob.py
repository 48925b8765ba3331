"""The file of users: read again when it changes, believed as a whole or not at all, packed within bounds."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon.oob import LOOK_NS, UsersFile, pack_users
from workers.contract.messages import MAX_MESSAGE_BYTES, Users
from workers.contract.settings import Address, AuthSettings
from workers.directory import Directory
from workers.policy.users import MAX_LINE_BYTES, User

ALICE = (4, bytes((10, 0, 0, 1)), "alice", ["night", "staff"])
BOB = (4, bytes((10, 0, 0, 2)), "bob", [])
AN_HOUR_S = 3600


@dataclasses.dataclass
class Notes:
    """A log that keeps what it is told."""

    taken: list[tuple[object, ...]] = dataclasses.field(default_factory=list)

    def note(self, event: str, *fields: str | int | bytes | None) -> None:
        self.taken.append((event, *fields))


class Watch:
    """A users file with its log and a clock that the test turns."""

    def __init__(self, path: Path, **changes: object) -> None:
        self.path, self.log, self.now_ns = path, Notes(), 0
        settings = dataclasses.replace(AuthSettings("OOB", str(path)), **changes)
        self.users = UsersFile(settings, self.log)

    def write(self, text: str, age_s: float = AN_HOUR_S) -> None:
        """Write the file as it would have been written so long ago."""
        self.path.write_text(text)
        then = time.time() - age_s
        os.utime(self.path, (then, then))

    def look(self) -> bool:
        self.now_ns += LOOK_NS
        return self.users.look(self.now_ns)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    (tmp_path / "folder").mkdir()
    return Watch(tmp_path / "folder" / "oob.list")


def test_before_the_first_look_there_are_no_users(watch: Watch) -> None:
    assert watch.users.parts == (Users(True, True, []),)


def test_a_file_is_read_and_told(watch: Watch) -> None:
    watch.write("10.0.0.1\talice\tstaff,night\n10.0.0.2\tbob\n")
    assert watch.look()
    assert watch.users.parts == (Users(True, True, [ALICE, BOB]),)
    assert watch.log.taken == [("users-read", str(watch.path), 2)]


def test_a_file_that_did_not_change_is_not_read_again(watch: Watch) -> None:
    watch.write("10.0.0.1\talice\tstaff,night\n")
    watch.look()
    assert not watch.look()
    assert len(watch.log.taken) == 1


def test_the_file_is_looked_at_once_a_second_at_most(watch: Watch) -> None:
    watch.write("10.0.0.2\tbob\n")
    watch.look()
    watch.write("10.0.0.1\talice\tstaff,night\n", age_s=10)
    assert not watch.users.look(watch.now_ns + LOOK_NS - 1)
    assert watch.users.look(watch.now_ns + LOOK_NS)


def test_a_changed_file_is_read_again_and_one_put_in_its_place_too(watch: Watch) -> None:
    watch.write("10.0.0.2\tbob\n")
    watch.look()
    other = watch.path.with_name("new")
    other.write_text("10.0.0.3\teve\n")
    then = watch.path.stat().st_mtime
    os.utime(other, (then, then))
    other.rename(watch.path)
    assert watch.look()
    assert watch.users.parts[0].entries == [(4, bytes((10, 0, 0, 3)), "eve", [])]


def test_a_file_that_could_not_be_reached_for_a_while_is_read_again(watch: Watch) -> None:
    watch.write("10.0.0.2\tbob\n")
    watch.look()
    folder = watch.path.parent
    hidden = folder.rename(folder.with_name("hidden"))
    watch.look()
    hidden.rename(folder)
    assert not watch.look()
    assert [event for event, *_ in watch.log.taken] == ["users-read", "users-refused", "users-read"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "10.0.0.1\talice\n10.0.0.2 bob\n",
            "line 2: 1 fields; wanted address, user and perhaps groups, one tab between",
        ),
        ("10.0.0.1\talice\n10.0.0.1\tbob\n", "line 2: the address 10.0.0.1 is there twice"),
        ("nowhere\talice\n", "line 1: 'nowhere' is no IP address"),
        ("10.0.0.1\talice\t" + "g" * MAX_LINE_BYTES + "\n", f"line 1: longer than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_broken_file_leaves_the_old_users_and_says_the_line_once(watch: Watch, text: str, reason: str) -> None:
    watch.write("10.0.0.2\tbob\n")
    watch.look()
    watch.write(text, age_s=10)
    assert not watch.look()
    assert not watch.look()
    assert watch.users.parts == (Users(True, True, [BOB]),)
    assert watch.log.taken[1:] == [("users-refused", str(watch.path), reason, 1)]


def test_bytes_that_are_no_text_are_refused(watch: Watch) -> None:
    watch.path.write_bytes(b"10.0.0.1\t\xff\n")
    assert not watch.look()
    assert watch.log.taken == [("users-refused", str(watch.path), "not UTF-8 at byte 9", 0)]


def test_a_missing_file_is_said_once_and_read_as_soon_as_it_is_there(watch: Watch) -> None:
    assert not watch.look()
    assert not watch.look()
    assert watch.log.taken == [("users-refused", str(watch.path), "No such file or directory", 0)]
    watch.write("10.0.0.2\tbob\n")
    assert watch.look()
    assert watch.users.parts[0].entries == [BOB]


def test_a_mended_file_is_said_even_if_nothing_is_different(watch: Watch) -> None:
    watch.write("10.0.0.2\tbob\n")
    watch.look()
    watch.write("nonsense\n", age_s=20)
    watch.look()
    watch.write("10.0.0.2\tbob\n", age_s=10)
    assert not watch.look()
    assert watch.log.taken[-1] == ("users-read", str(watch.path), 1)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(watch: Watch, make: Callable[[Path], None]) -> None:
    make(watch.path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert not watch.look()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert watch.log.taken == [("users-refused", str(watch.path), "line 1: it is no ordinary file", 0)]


def test_more_entries_than_the_configuration_allows_are_refused(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "oob.list", max_sessions=1)
    watch.write("10.0.0.1\talice\n10.0.0.2\tbob\n")
    assert not watch.look()
    assert watch.log.taken[0][2] == "line 2: more than 1 addresses"


def test_a_large_table_is_packed_in_parts_that_fit_and_gathered_again() -> None:
    groups = frozenset(f"group-{number:03}" for number in range(200))
    users = {Address(4, number): User(f"user{number}", groups) for number in range(300)}
    users |= {Address(6, number): User("ü" * 60) for number in range(2000)}
    parts = pack_users(users)
    assert len(parts) > 5
    assert all(len(msgspec.msgpack.encode(part)) <= MAX_MESSAGE_BYTES for part in parts)
    directory = Directory()
    tables = [directory.take(part) for part in parts]
    assert tables == [*[None] * (len(parts) - 1), users]


def test_the_longest_entry_fits_into_a_message() -> None:
    groups = [f"{number:05}" for number in range(MAX_LINE_BYTES // 6)]
    (part,) = pack_users({Address(6, 1): User("x" * 20, frozenset(groups))})
    assert len(msgspec.msgpack.encode(part)) <= MAX_MESSAGE_BYTES
