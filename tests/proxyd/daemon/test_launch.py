"""A program started anew: with the arguments, the directory and the environment that this one was started with."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from proxyd.daemon.launch import Attempt, Launch, this_program
from tests.kit.readiness import is_readable
from tests.workers.forked import in_child

HIGH = 1500
"""A descriptor that select() cannot wait for."""


def script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "program.py"
    path.write_text(f"import os, sys\n{text}\n")
    return (sys.executable, "-I", str(path), "-f", "x.cfg")


def ended(attempt: Attempt) -> Attempt:
    """Wait until a started program has ended."""
    process = os.pidfd_open(attempt.process)
    assert is_readable(process, 20)
    os.close(process)
    attempt.tend()
    return attempt


def test_it_is_started_as_before_with_what_is_added(tmp_path: Path) -> None:
    told = "print(sys.argv[1:], os.getcwd(), os.environ.get('A'), os.environ.get('WATCHDOG_PID'), file=sys.stderr)"
    launch = Launch(script(tmp_path, told), str(tmp_path), {"A": "b", "WATCHDOG_PID": "7", "LISTEN_FDS": "1"})
    attempt = ended(launch.start(("--takeover",), foreground=False))
    assert attempt.words == f"['-f', 'x.cfg', '--takeover'] {tmp_path} b None"
    assert attempt.status == 0


def test_what_it_was_given_already_is_not_added_again(tmp_path: Path) -> None:
    launch = Launch((*script(tmp_path, "print(sys.argv[1:], file=sys.stderr)"), "--takeover"), "/", {})
    assert ended(launch.start(("--takeover",), foreground=False)).words == "['-f', 'x.cfg', '--takeover']"


def test_its_end_and_its_last_words_are_kept(tmp_path: Path) -> None:
    launch = Launch(script(tmp_path, "sys.exit('x' * 9000 + 'no such address')"), "/", {})
    attempt = ended(launch.start((), foreground=False))
    assert attempt.status == 1
    assert attempt.words.endswith("no such address")
    assert len(attempt.words) <= 4000


def test_a_program_that_is_not_there_is_told_by_its_attempt() -> None:
    attempt = ended(Launch(("/no/such/program",), "/", {}).start((), foreground=False))
    assert attempt.status == 127
    assert "No such file" in attempt.words


def test_it_ignores_no_signal_and_blocks_none(tmp_path: Path) -> None:
    told = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.pthread_sigmask(0, ()))"

    def act() -> str:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
        launch = Launch(script(tmp_path, told.replace("print(", "print(", 1)[:-1] + ", file=sys.stderr)"), "/", {})
        return ended(launch.start((), foreground=False)).words

    assert in_child(act) == "True set()"


def test_nothing_that_this_process_has_open_is_open_in_it(tmp_path: Path) -> None:
    # Names of this test's files alone: other tests may have left what is inherited, too.
    told = "print([os.path.basename(os.readlink(e)) for e in os.scandir('/proc/self/fd') if int(e.name) > 2 and "
    told += f"os.readlink(e).startswith({str(tmp_path)!r})], file=sys.stderr)"
    with (tmp_path / "mine").open("w"), (tmp_path / "given").open("w") as given:
        os.set_inheritable(given.fileno(), True)
        attempt = ended(Launch(script(tmp_path, told), "/", {}).start((), foreground=False))
    assert attempt.words == "['given']"


def test_in_the_foreground_it_writes_where_this_program_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    launch = Launch(script(tmp_path, "print('out'); print('err', file=sys.stderr)"), "/", {})
    assert ended(launch.start((), foreground=True)).words == ""
    assert capfd.readouterr() == ("out\n", "err\n")


def test_this_program_can_be_started_again() -> None:
    launch = this_program()
    assert launch.directory == str(Path.cwd())
    assert launch.environment == dict(os.environ)
    assert Path(launch.argv[0]).is_absolute()
    assert launch.argv[-len(sys.argv[1:]) :] == tuple(sys.argv[1:]) or not sys.argv[1:]


def test_its_words_are_read_also_where_this_process_has_thousands_of_files_open() -> None:
    def act() -> object:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        readable, writable = os.pipe()
        os.set_blocking(readable, False)
        attempt = Attempt(os.fork() or os._exit(7), fcntl.fcntl(readable, fcntl.F_DUPFD, HIGH))
        os.write(writable, b"no such address")
        return ended(attempt).text, attempt.status

    assert in_child(act) == str(("no such address", 7))
