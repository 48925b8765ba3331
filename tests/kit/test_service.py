"""The service manager of the tests keeps what it is told to keep, and gives it back as a program expects it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.kit.place import Place
from tests.kit.service import Service

TELL = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(os.environ["NOTIFY_SOCKET"])
first, second = os.memfd_create("a"), os.memfd_create("b")
os.write(first, b"first")
socket.send_fds(sock, [b"FDSTORE=1\\nFDNAME=one"], [first, first])
socket.send_fds(sock, [b"FDSTORE=1\\nFDNAME=two"], [second])
sock.send(b"READY=1\\nSTATUS=" + os.environ["FDSTORE"].encode())
"""
SHOW = """
import os
print(os.getpid() == int(os.environ["LISTEN_PID"]), os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"])
print(os.pread(3, 10, 0))
"""


def test_it_hears_and_keeps_each_open_file_once_and_passes_it_on(tmp_path: Path, here: Place) -> None:
    with Service(tmp_path, room=5) as service:
        assert service.start(here, [sys.executable, "-I", "-c", TELL]).wait() == 0
        service.wait_for("STATUS=5", service.wait_for("READY=1"))
        assert [name for name, _ in service.kept] == ["one", "two"]
        shown = service.start(here, [sys.executable, "-I", "-c", SHOW])
        assert shown.wait() == 0
        assert shown.lines == ["True 2 one:two", "b'first'"]


def test_what_is_to_be_forgotten_is_closed(tmp_path: Path) -> None:
    with Service(tmp_path, room=1) as service, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(tmp_path / "notify"))
        for _ in range(2):
            fd = os.memfd_create("x")
            socket.send_fds(sock, [b"FDSTORE=1\nFDNAME=one"], [fd])
            os.close(fd)
        sock.send(b"STATUS=kept")
        service.wait_for("STATUS=kept")
        assert len(service.kept) == 1
        sock.send(b"FDSTOREREMOVE=1\nFDNAME=one")
        service.wait_for("FDSTOREREMOVE=1")
        assert service.kept == []
