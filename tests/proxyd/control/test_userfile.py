from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxyd.control.userfile import change, parse_address, with_entry, without
from workers.contract.settings import Address, AuthSettings, Obligation
from workers.policy.users import UsersError

TEXT = "# staff\n192.0.2.1\tann\tstaff,night\n\n192.0.2.2\tbob\n"


def settings(file: Path) -> AuthSettings:
    return AuthSettings("OOB", str(file), Obligation.OPTIONAL, False, 3, 8, 2)


def addresses(*texts: str) -> list[Address]:
    return [address for text in texts if (address := parse_address(text)) is not None]


def test_an_entry_goes_to_the_end() -> None:
    assert with_entry(TEXT, "192.0.2.3", "eve", ["x", "y"]) == TEXT + "192.0.2.3\teve\tx,y\n"
    assert with_entry("192.0.2.1\tann", "192.0.2.3", "eve", []) == "192.0.2.1\tann\n192.0.2.3\teve\n"
    assert with_entry("", "2001:db8::1", "eve", []) == "2001:db8::1\teve\n"


@pytest.mark.parametrize("written", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_an_entry_takes_the_place_of_the_one_of_its_address(written: str) -> None:
    text = with_entry(TEXT.replace("192.0.2.1", written), "192.0.2.1", "eve", [])
    assert text == "# staff\n192.0.2.1\teve\n\n192.0.2.2\tbob\n"


def test_entries_are_taken_out_by_address_however_it_is_written() -> None:
    assert without(TEXT, addresses("::ffff:192.0.2.2", "192.0.2.9")) == "# staff\n192.0.2.1\tann\tstaff,night\n\n"
    assert without(TEXT, []) == TEXT


@pytest.mark.parametrize("user", ["eve\n192.0.2.9\troot", "eve\tstaff", "\x07"])
def test_a_name_cannot_become_something_else(user: str) -> None:
    with pytest.raises(UsersError):
        with_entry(TEXT, "192.0.2.3", user, [])
    with pytest.raises(UsersError):
        with_entry(TEXT, "192.0.2.3", "eve", ["staff", user])


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(UsersError, match="no IP address"):
        with_entry(TEXT, "# staff", "eve", [])


def test_the_file_is_replaced_with_its_mode_and_owner(tmp_path: Path) -> None:
    file, link = tmp_path / "users", tmp_path / "link"
    file.write_text(TEXT)
    file.chmod(0o640)
    link.symlink_to(file)
    if os.geteuid() == 0:
        os.chown(file, 12, 34)
    before = file.stat()
    assert change(settings(link), lambda text: with_entry(text, "192.0.2.3", "eve", []))
    after = file.stat()
    assert file.read_text().endswith("192.0.2.3\teve\n")
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"users", "link"}


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    change(settings(tmp_path / "users"), lambda text: with_entry(text, "192.0.2.3", "eve", []))
    assert (tmp_path / "users").read_text() == "192.0.2.3\teve\n"


@pytest.mark.parametrize("user", ["", "longer-than-eight"])
def test_a_file_that_would_not_be_taken_stays_as_it_is(tmp_path: Path, user: str) -> None:
    file = tmp_path / "users"
    file.write_text(TEXT)
    before = file.stat()
    with pytest.raises(UsersError):
        change(settings(file), lambda text: with_entry(text, "192.0.2.3", user, []))
    assert (file.read_text(), file.stat().st_ino) == (TEXT, before.st_ino)


def test_what_changes_nothing_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(TEXT)
    before = file.stat()
    assert not change(settings(file), lambda text: text)
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_ordinary_file_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "users")
    with pytest.raises(UsersError, match="no ordinary file"):
        change(settings(tmp_path / "users"), lambda text: with_entry(text, "192.0.2.3", "eve", []))
    assert [path.name for path in tmp_path.iterdir()] == ["users"]
