"""Where a test acts: on the machine itself, or inside a network namespace. Both offer the same."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.kit.process import Process, ProcessError

CLONE_NEWNET = 0x4000_0000
RUN_WAIT_S = 60.0
END_WAIT_S = 5.0

Result = TypeVar("Result")


class Place:
    """The machine itself. Programs started here are stopped by close, last one first."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs argv here."""
        return [str(word) for word in argv]

    def run(
        self, argv: Sequence[str | Path], check: bool = True, text: str = "", within_s: float = RUN_WAIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, text on its standard input; its output is in stdout and stderr.

        Raises ProcessError when it fails, unless check is false; subprocess.TimeoutExpired when it takes too long.
        """
        done = subprocess.run(
            self.argv(argv), check=False, input=text, capture_output=True, text=True, timeout=within_s
        )
        if check and done.returncode != 0:
            raise ProcessError(f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def popen(self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Process:
        """Start a program; it is stopped with the place, if not before."""
        process = Process(self.argv(argv), env)
        self._processes.append(process)
        return process

    def follow(self, path: Path) -> Process:
        """Follow a growing (or not yet existing) text file: a program whose lines are the file's lines."""
        return self.popen(["sh", "-c", 'exec tail -s 0.05 -n +1 -F "$0" 2>/dev/null', path])

    def call(self, function: Callable[[], Result]) -> Result:
        """Return function(), called where the sockets it makes belong to this place."""
        return function()

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """Return a new socket of this place; it stays the place's whoever uses it."""
        return self.call(lambda: socket.socket(family, kind))

    def close(self) -> None:
        """Stop every program that was started here and still runs."""
        while self._processes:
            self._processes.pop().stop()


class Namespace(Place):
    """A named network namespace, with its loopback up. It exists from make to close."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @property
    def path(self) -> Path:
        """The file that holds the namespace."""
        return Path("/run/netns") / self.name

    def make(self) -> None:
        """Create the namespace. Raises ProcessError when it exists already, or we may not."""
        Place().run(["ip", "netns", "add", self.name])
        self.configure(["link set lo up"])

    def configure(self, commands: Sequence[str]) -> None:
        """Carry out `ip` commands inside, as one batch."""
        Place().run(["ip", "-n", self.name, "-batch", "-"], text="\n".join(commands) + "\n")

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs argv inside."""
        return ["nsenter", f"--net={self.path}", "--", *super().argv(argv)]

    def call(self, function: Callable[[], Result]) -> Result:
        """Return function(), called inside: in a thread that enters the namespace and then ends.

        A namespace belongs to a thread, not to a process, so nothing else of this process ever moves.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                enter_namespace(self.path)
                results.append(function())
            except BaseException as error:  # Carried to the caller's thread, whatever it is.
                errors.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def pids(self) -> list[int]:
        """Return every process that is inside."""
        return [int(pid) for pid in Place().run(["ip", "netns", "pids", self.name]).stdout.split()]

    def close(self) -> None:
        """Stop what was started inside, end what detached itself there, and delete the namespace."""
        try:
            super().close()
        finally:
            if self.path.exists():
                end_all(self.pids())
                Place().run(["ip", "netns", "del", self.name])


def enter_namespace(path: Path) -> None:
    """Move the calling thread into a network namespace. Source: setns(2); os.setns is there only from Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)


def end_all(pids: Sequence[int]) -> None:
    """Ask processes to end, so that they can tidy up; kill those that have not after five seconds."""
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds.append(os.pidfd_open(pid))
    for number in (signal.SIGTERM, signal.SIGKILL):
        fds = _signal_and_wait(fds, number)


def _signal_and_wait(fds: Sequence[int], number: signal.Signals) -> list[int]:
    """Signal processes by their descriptors, and close those of the ended; return the others after five seconds."""
    poll = select.poll()
    running = set(fds)
    for fd in running:
        poll.register(fd, select.POLLIN)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
    deadline = time.monotonic() + END_WAIT_S
    while running and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            running.discard(fd)
    return list(running)
