"""Who is at a Unix socket: asked without waiting, whoever it is."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

import pytest

from proxyd.daemon.served import is_served

KINDS = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])


@KINDS
def test_where_nothing_is_or_nobody_listens_any_more_nobody_serves(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "socket")
    assert not is_served(path, kind)
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
    assert not is_served(path, kind)


@KINDS
def test_who_listens_serves_though_he_takes_nobody_in(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "socket")
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        sock.bind(path)
        sock.listen(0)
        assert is_served(path, kind)
        callers = (stack.enter_context(socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)) for _ in range(10))
        assert errno.EAGAIN in [caller.connect_ex(path) for caller in callers]
        assert is_served(path, kind)


def test_what_is_no_socket_of_this_kind_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        with pytest.raises(OSError, match="wrong type"):
            is_served(path, socket.SOCK_STREAM)
