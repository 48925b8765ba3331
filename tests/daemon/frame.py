"""A proxy's frame with echoing workers, as real processes: what the tests of this folder start and look at."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.daemon.run_frame import Recipe
from tests.kit.readiness import is_readable
from workers.contract.settings import Address, ListenerSettings, LogSettings, Settings

TIMEOUT_S = 20
ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


def own_address() -> str:
    """Return a loopback address that no other test process uses at this time."""
    process = os.getpid()
    return f"127.{process >> 8 & 0x7F | 0x40}.{process & 0xFF}.{next(_numbers) % 250 + 1}"


def make_settings(address: str, **changes: object) -> Settings:
    value = int.from_bytes(socket.inet_aton(address), "big")
    listener = ListenerSettings(Address(4, value), 5300)
    settings = Settings("Frame", (listener,), 100, 2, (), foreground=True)
    return dataclasses.replace(settings, **changes)


class Frame:
    """One proxy; a context manager that kills what is left of it."""

    def __init__(self, directory: Path, **changes: object) -> None:
        self.address = own_address()
        self.log_path = directory / "frame.log"
        self.settings = make_settings(self.address, debug_log=LogSettings(level=7, file=str(self.log_path)), **changes)
        self.run_directory = directory / "run"
        self.run_directory.mkdir(exist_ok=True)
        self.directory = directory
        self.without: frozenset[int] = frozenset()
        self.hosts: Path | None = None
        self._socket: socket.socket | None = None

    def start(
        self, *, background: bool = False, uid: int | None = None, ready: bool = True, names: tuple[str, ...] = ()
    ) -> Frame:
        recipe = Recipe(self.settings, self.run_directory, background, uid, names, self.without, self.hosts)
        path = self.directory / f"recipe-{next(_numbers)}"
        path.write_bytes(pickle.dumps(recipe))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.run_frame", str(path)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if ready:
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == b"ready\n"
        return self

    def wait(self) -> tuple[int, str]:
        """Wait for the started process; return its exit status and what it said on standard error."""
        _, said = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, said.decode()

    @property
    def pidfile(self) -> Path:
        return self.run_directory / "udp-proxy-frame.pid"

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def children(self) -> list[int]:
        return children_of(self.pid)

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_for_log(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until the log holds pattern so often; return what was found."""
        return wait_for_text(self.log_path, pattern, count)

    # --- traffic -----------------------------------------------------------------------------------------------------

    def client(self) -> socket.socket:
        """Return a socket that is connected to the proxy."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((self.address, 5300))
        sock.settimeout(TIMEOUT_S)
        return sock

    def ask(self, client: socket.socket, payload: bytes = b"hello") -> int:
        """Send payload; return the process that answered."""
        client.send(payload)
        return int(client.recv(65536).split()[0])

    def clients_by_worker(self) -> dict[int, socket.socket]:
        """Return a client for each worker, by its process."""
        found: dict[int, socket.socket] = {}
        for _ in range(200):
            client = self.client()
            worker = self.ask(client)
            if worker in found:
                client.close()
            else:
                found[worker] = client
            if len(found) == self.settings.workers:
                return found
        raise AssertionError(f"not every worker answers: {found}")

    def __enter__(self) -> Frame:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self.pidfile.exists() and self.pidfile.read_text().strip():
            end_process(self.pid)


def wait_for_text(path: Path, pattern: str, count: int = 1) -> list[str]:
    """Wait until a file that grows holds pattern so often; return what was found."""
    deadline = time.monotonic() + TIMEOUT_S
    while len(found := re.findall(pattern, path.read_text() if path.exists() else "")) < count:
        assert time.monotonic() < deadline, f"{pattern} not in {path}"
        select.select([], [], [], 0.01)
    return found


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status_of(pid: int) -> dict[str, str]:
    """Return /proc/PID/status by field."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended, whoever its parent is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert is_readable(descriptor, TIMEOUT_S), f"process {pid} does not end"
    finally:
        os.close(descriptor)


def end_process(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
    wait_for_end(pid)
