"""A child from its fork to its end: its exit status and its words to the parent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

import pytest

from workers.boot import BootPlan, Serve, run_child
from workers.contract.channel import ChannelClosedError, open_channel
from workers.contract.context import Confinement
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Failed, FromChild, LogBatch, Ready
from workers.errors import ContractError

CONFINEMENT = Confinement(65534, 65534) if os.geteuid() == 0 else Confinement()
HOOKED = (signal.SIGTERM, signal.SIGUSR1)


def boot(serve: Serve, confinement: Confinement = CONFINEMENT) -> tuple[int, list[FromChild]]:
    """Fork a child and let it run; return its exit status and what it said."""
    ours, theirs = open_channel()
    plan = BootPlan("worker 0", "TEST", theirs, frozenset((theirs.fileno(),)), confinement)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process = os.fork()
    if process == 0:
        run_child(plan, serve)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    said = []
    with contextlib.suppress(ChannelClosedError):
        while (message := ours.receive()) is not None:
            said.append(message)
    ours.close()
    return code, said


def test_a_child_says_ready_serves_and_ends_as_its_work_says() -> None:
    assert boot(lambda wakeup: ExitCode.STOPPED) == (ExitCode.STOPPED, [Ready()])


def test_an_unforeseen_error_is_told_with_its_traceback() -> None:
    code, said = boot(lambda wakeup: ExitCode(1 // 0))
    assert code == ExitCode.CRASHED
    assert said[0] == Ready()
    batch = said[1]
    assert isinstance(batch, LogBatch)
    (record,) = batch.records
    assert record.event == "traceback"
    assert record.fields[0] == "worker 0"
    assert record.fields[1].rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")


def test_a_broken_channel_ends_the_child_with_its_own_status() -> None:
    def serve(_wakeup: int) -> ExitCode:
        raise ContractError("the parent speaks nonsense")

    assert boot(serve) == (ExitCode.CONTRACT, [Ready()])


def test_a_child_that_cannot_start_says_why_and_is_not_ready() -> None:
    code, said = boot(lambda wakeup: ExitCode.STOPPED, Confinement(None, None, "/no/such/root"))
    assert code == ExitCode.BOOT
    assert said == [Failed("chroot /no/such/root", "No such file or directory")]


@pytest.mark.skipif(os.geteuid() != 0, reason="missing: root")
def test_a_child_that_would_stay_root_ends_at_once() -> None:
    code, said = boot(lambda wakeup: ExitCode.STOPPED, Confinement())
    assert code == ExitCode.PRIVILEGE
    assert said == [Failed("give up privileges", "the user ids are (0, 0, 0), not 0")]


def test_a_child_has_its_own_descriptors_and_no_others(tmp_path: Path) -> None:
    with (tmp_path / "parents").open("w"):

        def serve(wakeup: int) -> ExitCode:
            targets = [open_file(descriptor) for descriptor in range(4096)]
            assert targets[:3] == ["/dev/null"] * 3
            assert str(tmp_path / "parents") not in targets
            # The channel, and the pipe of the signals with both its ends.
            assert sum(target is not None for target in targets) == 3 + 1 + 2
            return ExitCode.STOPPED

        assert boot(serve) == (ExitCode.STOPPED, [Ready()])


def open_file(descriptor: int) -> str | None:
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except PermissionError:
        # A process that may not be dumped cannot read its own links; the device numbers tell as much.
        return "/dev/null" if os.path.samestat(os.fstat(descriptor), Path("/dev/null").stat()) else "unknown"


def test_signals_arrive_as_bytes_and_a_terminals_do_not_arrive() -> None:
    def serve(wakeup: int) -> ExitCode:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, *HOOKED):
            os.kill(os.getpid(), number)
        select.select([wakeup], [], [])
        return ExitCode.STOPPED if os.read(wakeup, 100) == bytes(HOOKED) else ExitCode.CRASHED

    assert boot(serve) == (ExitCode.STOPPED, [Ready()])


def test_a_signal_that_came_before_the_child_was_ready_is_not_lost() -> None:
    ours, theirs = open_channel()
    plan = BootPlan("worker 0", "TEST", theirs, frozenset((theirs.fileno(),)), CONFINEMENT)

    def serve(wakeup: int) -> ExitCode:
        return ExitCode.STOPPED if os.read(wakeup, 100) == bytes((signal.SIGTERM,)) else ExitCode.CRASHED

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process = os.fork()
    if process == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        run_child(plan, serve)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == ExitCode.STOPPED
    ours.close()
    theirs.close()
