"""Log files: rolling, reopening, and disks that take nothing."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.logs.rolling import FLUSH_BYTES, RollingFile
from proxyd.logs.sinks import MAX_WAITING_BYTES


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """A full disk: writes stop short at size, then fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def write(log: RollingFile, *lines: str) -> None:
    for line in lines:
        log.write("", line)
    log.flush()


def test_lines_reach_the_file_at_the_flush_and_not_before(path: Path) -> None:
    log = RollingFile(str(path))
    log.write("head ", "body")
    assert log.waiting
    assert path.read_text() == ""
    log.flush()
    assert not log.waiting
    assert path.read_text() == "head body\n"
    log.close()


def test_a_full_buffer_is_written_without_a_flush(path: Path) -> None:
    log = RollingFile(str(path))
    for _ in range(2 * FLUSH_BYTES // 1000):
        log.write("", "x" * 999)
    assert path.stat().st_size >= FLUSH_BYTES
    log.close()


def test_closing_writes_what_waits_and_may_be_repeated(path: Path) -> None:
    log = RollingFile(str(path))
    log.write("", "last words")
    log.close()
    log.close()
    assert log.fileno() == -1
    assert path.read_text() == "last words\n"


def test_an_existing_file_is_appended_to(path: Path) -> None:
    path.write_text("before\n")
    log = RollingFile(str(path))
    write(log, "after")
    assert path.read_text() == "before\nafter\n"
    log.close()


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_file_is_readable_for_owner_and_group_only_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        log = RollingFile(str(path), limit_bytes=1, keep=1)
        write(log, "one", "two")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.with_suffix(".1").stat().st_mode & 0o777 == 0o640
    log.close()


def test_the_descriptor_is_not_inherited(path: Path) -> None:
    log = RollingFile(str(path))
    assert not os.get_inheritable(log.fileno())
    log.close()


def test_a_directory_as_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        RollingFile(str(tmp_path))


def test_a_named_pipe_that_nobody_reads_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device or address"):
        RollingFile(str(path))


# --- rolling -----------------------------------------------------------------------------------------------------


def test_the_file_rolls_after_the_line_that_exceeds_its_size(path: Path) -> None:
    log = RollingFile(str(path), limit_bytes=10, keep=2)
    write(log, "1234", "5678", "x")
    assert path.read_text() == ""
    assert Path(f"{path}.1").read_text() == "1234\n5678\nx\n"
    write(log, "y")
    assert path.read_text() == "y\n"
    log.close()


def test_only_so_many_old_files_stay(path: Path) -> None:
    log = RollingFile(str(path), limit_bytes=1, keep=2)
    write(log, *map(str, range(5)))
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["log", "log.1", "log.2"]
    assert Path(f"{path}.1").read_text() == "4\n"
    assert Path(f"{path}.2").read_text() == "3\n"
    log.close()


def test_without_old_files_the_file_begins_anew(path: Path) -> None:
    log = RollingFile(str(path), limit_bytes=1, keep=0)
    write(log, "one", "two")
    assert path.read_text() == ""
    assert list(path.parent.iterdir()) == [path]
    log.close()


def test_a_file_that_was_too_large_already_rolls_first(path: Path) -> None:
    path.write_text("x" * 100)
    log = RollingFile(str(path), limit_bytes=10, keep=1)
    write(log, "new")
    assert path.read_text() == "new\n"
    log.close()


@given(st.lists(st.text("ab", max_size=30), max_size=40), st.integers(1, 50), st.integers(1, 3))
def test_old_and_new_files_together_are_the_end_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], limit: int, keep: int
) -> None:
    path = tmp_path_factory.mktemp("roll") / "log"
    log = RollingFile(str(path), limit, keep)
    write(log, *lines)
    log.close()
    names = [f"{path}.{number}" for number in range(keep, 0, -1)] + [str(path)]
    kept = "".join(Path(name).read_text() for name in names if Path(name).exists())
    written = "".join(f"{line}\n" for line in lines)
    assert written.endswith(kept)
    if not Path(f"{path}.{keep}").exists():
        assert kept == written


def test_a_roll_that_fails_keeps_on_writing(path: Path) -> None:
    Path(f"{path}.1").mkdir()
    (Path(f"{path}.1") / "occupied").touch()
    log = RollingFile(str(path), limit_bytes=8, keep=1)
    write(log, "one", "two", "three", "four")
    assert path.read_text() == "one\ntwo\nthree\nfour\n"
    assert not Path(f"{path}.new").exists()
    report = log.trouble.take()
    assert report is not None
    assert report[0].startswith("rolling failed: ")
    assert report[1] == 0
    log.close()


def test_rolling_is_tried_again_after_a_failure(path: Path) -> None:
    obstacle = Path(f"{path}.1")
    obstacle.mkdir()
    log = RollingFile(str(path), limit_bytes=8, keep=1)
    write(log, "123456789")
    obstacle.rmdir()
    write(log, "more")
    assert obstacle.read_text() == "123456789\nmore\n"
    assert path.read_text() == ""
    log.close()


def test_a_device_is_never_rolled(path: Path) -> None:
    path.symlink_to("/dev/null")
    log = RollingFile(str(path), limit_bytes=1, keep=1)
    write(log, "one", "two")
    assert path.is_symlink()
    log.close()


# --- reopening ---------------------------------------------------------------------------------------------------


def test_a_file_moved_away_is_left_alone_after_reopening(path: Path) -> None:
    log = RollingFile(str(path))
    write(log, "old")
    moved = path.rename(path.with_name("log-20260908"))
    log.write("", "still old")
    log.reopen()
    write(log, "new")
    assert moved.read_text() == "old\nstill old\n"
    assert path.read_text() == "new\n"
    log.close()


def test_where_reopening_fails_the_log_stays_in_its_file(path: Path) -> None:
    log = RollingFile(str(path))
    moved = path.rename(path.with_name("moved"))
    path.mkdir()
    log.reopen()
    write(log, "here")
    assert moved.read_text() == "here\n"
    assert log.trouble.take() == ("cannot be reopened: Is a directory", 0)
    log.close()


# --- disks that take nothing -------------------------------------------------------------------------------------


def test_lines_wait_while_the_disk_is_full_and_follow_whole(path: Path) -> None:
    log = RollingFile(str(path))
    with no_file_larger_than(7):
        write(log, "1234", "5678")
        assert path.read_text() == "1234\n56"
        assert log.waiting
        assert not log.healthy
    log.flush()
    assert path.read_text() == "1234\n5678\n"
    assert log.healthy
    assert log.trouble.take() == ("File too large", 0)
    log.close()


def test_what_exceeds_the_bound_is_shed_and_counted(path: Path) -> None:
    log = RollingFile(str(path))
    count = MAX_WAITING_BYTES // 1000
    with no_file_larger_than(0):
        for _ in range(count + 10):
            log.write("", "x" * 999)
    log.flush()
    assert path.stat().st_size == count * 1000
    assert log.trouble.take() == ("File too large", 10)
    assert log.trouble.shed == 10
    log.close()


def test_a_full_device_costs_records_and_nothing_else(path: Path) -> None:
    path.symlink_to("/dev/full")
    log = RollingFile(str(path))
    write(log, "lost")
    assert log.waiting
    log.close()
    assert log.trouble.take() == ("No space left on device", 1)
