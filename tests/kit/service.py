"""A small service manager for tests: hears what a program tells it, keeps descriptors, gives them back at the start.

What it does is what systemd documents: descriptors are kept by name, the same open file once; a removal takes all of a
name; a program is passed the sockets of its socket units, and everything that is kept.
Source: sd_notify(3), sd_listen_fds(3), systemd.socket(5).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from tests.kit import receive_and_run
from tests.kit.place import Place
from tests.kit.process import Process

WAIT_S = 20.0
PARCEL = 253


class Service:
    """The manager of one program. folder: where its sockets lie. room: how many descriptors it keeps at most.

    units: sockets that it has bound itself, with their units' names; they stay the caller's.
    """

    def __init__(self, folder: Path, room: int = 0, watchdog_s: float = 0.0) -> None:
        self.kept: list[tuple[str, int]] = []
        self.units: list[tuple[str, socket.socket]] = []
        self._folder = folder
        self._room = room
        self._watchdog_s = watchdog_s
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._passing = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._passing.bind(str(folder / "pass"))
        self._passing.listen()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def lines(self) -> list[str]:
        """Every line that was told so far."""
        with self._news:
            return list(self._lines)

    def start(self, place: Place, argv: Sequence[str | Path]) -> Process:
        """Start the program with everything that is kept for it."""
        environment = {"NOTIFY_SOCKET": str(self._folder / "notify"), "FDSTORE": str(self._room)}
        if self._watchdog_s:
            environment["WATCHDOG_USEC"] = str(int(self._watchdog_s * 1e6))
        command = [sys.executable, "-I", receive_and_run.__file__, self._folder / "pass", *argv]
        process = place.popen(command, environment)
        with self._passing.accept()[0] as client:
            for unit, sock in self.units:
                socket.send_fds(client, [unit.encode()], [sock.fileno()])
            for name in dict.fromkeys(name for name, _ in self.kept):
                mine = [descriptor for other, descriptor in self.kept if other == name]
                for start in range(0, len(mine), PARCEL):
                    socket.send_fds(client, [name.encode()], mine[start : start + PARCEL])
        return process

    def forget(self) -> None:
        """Lose everything that is kept."""
        while self.kept:
            os.close(self.kept.pop()[1])

    def lose(self, which: Callable[[str], bool]) -> None:
        """Lose the first descriptor that /proc calls something that fits."""
        for entry in self.kept:
            if which(str(Path(f"/proc/self/fd/{entry[1]}").readlink())):
                self.kept.remove(entry)
                os.close(entry[1])
                return

    def spoil(self, name: str) -> None:
        """Keep something else under a name."""
        index = next(index for index, (other, _) in enumerate(self.kept) if other == name)
        os.close(self.kept[index][1])
        self.kept[index] = (name, os.memfd_create("something else"))

    def wait_for(self, line: str, start: int = 0) -> int:
        """Return when a line was told, from line number start on; return the number of the one after it."""
        deadline = time.monotonic() + WAIT_S
        with self._news:
            while line not in self._lines[start:]:
                left = deadline - time.monotonic()
                assert left > 0, f"'{line}' was not told, but {self._lines[start:]}"
                self._news.wait(left)
            return self._lines.index(line, start) + 1

    def _listen(self) -> None:
        """Hear what is told. In a thread of its own."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, PARCEL)
            except OSError:
                return
            if not data:
                return
            lines = data.decode().splitlines()
            with self._news:
                self._handle(lines, descriptors)
                self._lines += lines
                self._news.notify_all()

    def _handle(self, lines: list[str], descriptors: list[int]) -> None:
        fields = dict(line.partition("=")[::2] for line in lines)
        name = fields.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in fields:
            for other, descriptor in self.kept:
                if other == name:
                    os.close(descriptor)
            self.kept = [(other, descriptor) for other, descriptor in self.kept if other != name]
        for descriptor in descriptors:
            if "FDSTORE" in fields and len(self.kept) < self._room and not self._is_kept(descriptor):
                self.kept.append((name, descriptor))
            else:
                os.close(descriptor)

    def _is_kept(self, descriptor: int) -> bool:
        """Tell whether a socket is kept already, by whatever number."""
        mine = os.fstat(descriptor)
        return any(os.path.samestat(mine, os.fstat(other)) for _, other in self.kept)

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._passing.close()
        for _, descriptor in self.kept:
            os.close(descriptor)
