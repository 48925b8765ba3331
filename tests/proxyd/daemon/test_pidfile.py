"""The pidfile: written in one step, locked for a life, stale ones replaced, others' left alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from proxyd.daemon.pidfile import Pidfile, default_path, refuse_second
from proxyd.errors import SetupError
from tests.kit.requirement import requires_root
from tests.workers.forked import in_child


def test_the_default_is_named_after_the_section() -> None:
    assert default_path("DNS.out") == Path("/run/udp-proxy-dns.out.pid")


def test_the_file_holds_the_process_and_can_be_read_by_all(tmp_path: Path) -> None:
    pidfile = Pidfile.take(tmp_path / "x.pid")
    assert pidfile.path.read_text() == f"{os.getpid()}\n"
    assert pidfile.path.stat().st_mode & 0o777 == 0o644
    pidfile.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "1\n", "nonsense", "9" * 64])
def test_a_stale_file_is_replaced_whatever_stands_in_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pid"
    path.write_text(content)
    pidfile = Pidfile.take(path)
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()


def test_a_running_one_is_refused_with_its_process_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    holder = Pidfile.take(path)
    said = in_child(lambda: Pidfile.take(path))
    assert said == f"SetupError: pidfile {path}: already running as process {os.getpid()}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pid"]
    holder.remove()


def test_a_second_one_learns_of_the_first_before_it_takes_anything(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    refuse_second(path)
    holder = Pidfile.take(path)
    said = in_child(lambda: refuse_second(path))
    assert said == f"SetupError: pidfile {path}: already running as process {os.getpid()}"
    os.close(holder.descriptor)
    refuse_second(path)
    assert path.exists()


def test_a_pipe_in_the_pidfiles_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    os.mkfifo(path)
    refuse_second(path)
    with pytest.raises(SetupError, match="something else than an ordinary file"):
        Pidfile.take(path)


def test_the_lock_ends_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    in_child(lambda: Pidfile.take(path))
    assert path.exists()
    Pidfile.take(path).remove()


def test_a_fork_keeps_the_lock_until_it_closes_it(tmp_path: Path) -> None:
    pidfile = Pidfile.take(tmp_path / "x.pid")

    def act() -> bool:
        os.close(pidfile.descriptor)
        return pidfile.path.exists()

    assert in_child(act) == "True"
    with pidfile.path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pidfile.remove()


def test_a_file_that_is_another_process_by_now_is_not_removed(tmp_path: Path) -> None:
    pidfile = Pidfile.take(tmp_path / "x.pid")
    pidfile.path.unlink()
    pidfile.path.write_text("4711\n")
    pidfile.remove()
    assert pidfile.path.read_text() == "4711\n"


@requires_root
def test_a_file_that_may_not_be_removed_any_more_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"

    def act() -> None:
        pidfile = Pidfile.take(path)
        os.setresuid(65534, 65534, 65534)
        pidfile.remove()

    assert in_child(act) == "None"
    assert path.read_text() == ""


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "x.pid").symlink_to(target)
    with pytest.raises(SetupError, match="something else than an ordinary file"):
        Pidfile.take(tmp_path / "x.pid")
    assert target.read_text() == "precious"


def test_what_is_no_pidfile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.mkfifo(path)
    with pytest.raises(SetupError, match="something else than an ordinary file"):
        Pidfile.take(path)
    assert path.is_fifo()
    path.unlink()
    path.write_text("version KERNUN-2_3-RELEASE;\n" * 9)
    with pytest.raises(SetupError, match="a file of 252 bytes, which is no pidfile"):
        Pidfile.take(path)
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
    assert path.read_text().startswith("version")


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"pidfile .*/none/x.pid: No such file or directory"):
        Pidfile.take(tmp_path / "none" / "x.pid")


# --- from one process to the next ------------------------------------------------------------------------------------


def test_a_successor_shares_the_lock_and_writes_its_number_when_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    old = Pidfile.take(path)
    path.write_text("123456789\n")

    def act() -> str:
        successor = Pidfile.inherit(path, os.dup(old.descriptor))
        before = path.read_text()
        successor.claim()
        seen = path.read_text() == f"{os.getpid()}\n"
        return f"{before.strip()} {seen}"

    assert in_child(act) == "123456789 True"
    old.claim()
    assert path.read_text() == f"{os.getpid()}\n"
    old.remove()
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_moment_in_which_a_third_process_could_start(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    old = Pidfile.take(path)
    successor = Pidfile.inherit(path, os.dup(old.descriptor))
    assert "already running" in in_child(lambda: refuse_second(path))
    successor.claim()
    old.leave()
    old.remove()
    assert "already running" in in_child(lambda: refuse_second(path))
    assert "already running" in in_child(lambda: Pidfile.take(path))
    successor.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_successor_that_gives_up_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    old = Pidfile.take(path)
    Pidfile.inherit(path, os.dup(old.descriptor)).remove()
    assert path.read_text() == f"{os.getpid()}\n"
    assert "already running" in in_child(lambda: Pidfile.take(path))
    old.remove()


def test_a_file_that_is_another_by_now_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    old = Pidfile.take(path)
    path.unlink()
    with pytest.raises(SetupError, match="No such file"):
        Pidfile.inherit(path, old.descriptor)
    path.write_text("1\n")
    with pytest.raises(SetupError, match="another file by now"):
        Pidfile.inherit(path, old.descriptor)
    old.remove()


def test_the_lock_of_another_process_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    old = Pidfile.take(path)
    with path.open("r+") as stranger, pytest.raises(SetupError, match="cannot be taken over"):
        Pidfile.inherit(path, stranger.fileno())
    old.remove()
