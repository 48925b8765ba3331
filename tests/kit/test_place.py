from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.kit.lab import Lab
from tests.kit.place import Namespace, Place
from tests.kit.process import ProcessError
from tests.kit.readiness import is_readable
from tests.kit.requirement import requires_namespaces


def test_a_failed_command_shows_what_it_said(here: Place) -> None:
    with pytest.raises(ProcessError, match="no such luck"):
        here.run(["sh", "-c", "echo no such luck >&2; exit 1"])
    assert here.run(["sh", "-c", "exit 4"], check=False).returncode == 4


def test_programs_end_with_their_place() -> None:
    place = Place()
    first, second = place.popen(["sleep", "600"]), place.popen(["sleep", "600"])
    place.close()
    assert not first.running
    assert not second.running


@requires_namespaces
def test_sockets_programs_and_calls_are_inside_the_namespace(lab: Lab) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    inside = lab.client.call(lambda: Path("/proc/thread-self/ns/net").readlink())
    assert inside != ours
    assert lab.client.run(["readlink", "/proc/self/ns/net"]).stdout.strip() == str(inside)
    assert Path("/proc/thread-self/ns/net").readlink() == ours
    with lab.proxy.socket() as taker:
        taker.bind((lab.hosts["proxy"].address4, 0))
        with pytest.raises(OSError, match="assign"):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(taker.getsockname())


@requires_namespaces
def test_an_error_inside_comes_out(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        lab.client.call(lambda: 1 // 0)


@requires_namespaces
@pytest.mark.parametrize("answer", ["sys.exit", "print"], ids=["it ends when asked", "it does not"])
def test_what_detached_itself_inside_is_ended_with_the_namespace(answer: str) -> None:
    namespace = Namespace(f"pxd-{os.getpid()}-0-detached")
    namespace.make()
    code = (
        f"import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda number, frame: {answer}())\n"
        "if os.fork(): sys.exit()\nos.setsid()\nprint(os.getpid(), flush=True)\nwhile True: signal.pause()"
    )
    try:
        pid = int(namespace.popen([sys.executable, "-c", code]).wait_for(r"^\d+$"))
        fd = os.pidfd_open(pid)
    finally:
        namespace.close()
    assert is_readable(fd, 5.0)
    os.close(fd)
    assert not namespace.path.exists()
