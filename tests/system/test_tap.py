"""proxyctl tap on a real proxy: the file holds what client and server have said, and nobody is delayed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import send_fds

import pytest

from proxyd.control.protocol import AskGroups, AskHits, AskSessions, AskTap, AskUsers, encode
from tests.kit.installed import requires_installed
from tests.kit.lab import Lab
from tests.kit.requirement import requires_namespaces, requires_program
from tests.system.test_proxyctl import PORT, PROXYCTL, Desk, echo
from workers.contract.tapping import MAX_BYTES, Kind, decode

pytestmark = requires_installed
WAIT_S = 20


@contextmanager
def tapping(desk: Desk, path: Path, session: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A tap that has begun."""
    command = [*map(str, PROXYCTL), "-s", str(desk.path), "tap", session, "-w", str(path), *words]
    with subprocess.Popen(desk.lab.proxy.argv(command), stdout=subprocess.PIPE, text=True) as process:
        try:
            desk.proxy.wait_for("UDPP-770-K Datagrams of this session are copied to somebody from now on")
            yield process
        finally:
            process.kill()


def said(path: Path) -> list[list[str]]:
    """Return sender's port, payload and direction of each datagram in a file."""
    fields = ("udp.srcport", "udp.payload", "frame.packet_flags_direction", "udp.checksum.status")
    names = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", path, "-o", "udp.check_checksum:TRUE", "-T", "fields", *names]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@requires_namespaces
@requires_program("tshark")
@pytest.mark.parametrize("items", ["", "singleproc;", "fast-path off;"])
def test_what_passes_in_one_session_is_in_the_file_and_what_passes_in_others_is_not(
    tmp_path: Path, lab: Lab, name: str, items: str
) -> None:
    tmp_path.chmod(0o755)
    desk = Desk(lab, tmp_path, name, items)
    with desk.clients(2) as (client, other):
        port = client.getsockname()[1]
        session = next(one["id"] for one in desk.listed(2) if one["client"].endswith(f":{port}"))
        with tapping(desk, tmp_path / "x.pcapng", session, "-c", "20") as process:
            for number in range(10):
                echo(other, b"not this")
                echo(client, b"%d" % number)
            out, _ = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (0, "20 datagrams, 20 B: as many as were asked for\n")
    wanted = []
    for number in range(10):
        payload = (b"%d" % number).hex()
        wanted += [[str(port), payload, "0x00000001", "1"], [str(PORT), payload, "0x00000002", "1"]]
    assert said(tmp_path / "x.pcapng") == wanted
    desk.proxy.wait_for("UDPS-745-K Order by process [0-9]+ of user 0: copy the datagrams of the session in slot")
    desk.proxy.wait_for("UDPP-771-K Datagrams are copied no more: as many as were asked for")


@requires_namespaces
def test_a_tap_ends_with_its_session(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(1):
        (session,) = desk.listed(1)
        with tapping(desk, tmp_path / "x.pcapng", session["id"], "--json") as process:
            desk.ctl("kill", session["id"])
            out, _ = process.communicate(timeout=WAIT_S)
    assert json.loads(out)["why"] == "the session has ended"


@requires_namespaces
def test_an_interrupted_tap_leaves_a_file_that_is_complete(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(1) as (client,):
        (session,) = desk.listed(1)
        path = tmp_path / "x.pcapng"
        with tapping(desk, path, session["id"]) as process:
            echo(client, b"the last words")
            while b"the last words" not in path.read_bytes():
                echo(client, b"and more")
            process.terminate()
            out, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        assert out.endswith(" B: interrupted\n")
        assert int.from_bytes(path.read_bytes()[-4:], sys.byteorder) > 12
        # And the proxy knows that nobody listens any more.
        desk.proxy.wait_for("UDPP-771-K Datagrams are copied no more: nobody listens any more")
        echo(client)


@requires_namespaces
def test_a_watcher_that_sleeps_loses_copies_and_no_client_loses_a_datagram(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, desk.clients(1) as (client,):
        (session,) = desk.listed(1)
        ask_for(desk, session, far)
        far.close()
        for number in range(600):
            echo(client, b"%d" % number)
        messages = [decode(near.recv(MAX_BYTES))]
        while messages[-1].kind is not Kind.DATAGRAM or messages[-1].lost == 0:
            echo(client, b"more")
            messages.append(decode(near.recv(MAX_BYTES)))
        copied = sum(message.kind is Kind.DATAGRAM for message in messages)
        assert messages[0].kind is Kind.BEGUN
        assert 0 < copied < 1200
    assert "UDPS-711-W" not in desk.proxy.log.output


@requires_namespaces
def test_requests_without_end_and_descriptors_of_any_kind_change_nothing_for_the_traffic(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(3) as clients:
        (session, *_) = desk.listed(3)
        place = session["worker"], session["slot"], session["began_ns"]
        requests = [AskTap(*place, 1, 1, 1), AskUsers(), AskGroups(), AskHits(), AskSessions()]
        before = len(list(Path(f"/proc/{desk.proxy.pid}/fd").iterdir()))
        hostile = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
        for number, sock in enumerate(hostile):
            sock.connect(str(desk.path))
            sock.setblocking(False)
            for request in requests * 5:
                with suppress(BlockingIOError, BrokenPipeError):
                    # Wrong kinds, several at once, with questions that want none. Whoever has lent its own end of the
                    # connection is sent away for what the worker says through it.
                    send_fds(sock, [encode(request)], [sock.fileno(), 1, 2][: number % 4])
        for _ in range(30):
            for client in clients:
                echo(client)
        for sock in hostile:
            sock.close()
        assert len(desk.listed(3)) == 3
        while len(list(Path(f"/proc/{desk.proxy.pid}/fd").iterdir())) > before:
            desk.asked("status")
    assert "UDPS-711-W" not in desk.proxy.log.output


def ask_for(desk: Desk, session: dict[str, object], lane: socket.socket) -> None:
    """Begin a tap through a lane of our own, as no proxyctl would."""
    from_here = desk.path.parent / "ask.py"
    from_here.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from proxyd.control.client import Connection\n"
        "from proxyd.control.protocol import AskTap\n"
        "path, lane, *numbers = sys.argv[1:]\n"
        "with Connection(Path(path)) as connection:\n"
        "    connection.order(AskTap(*map(int, numbers), 10**9, 10**9, 10**12), (int(lane),))\n"
    )
    words = (desk.path, lane.fileno(), session["worker"], session["slot"], session["began_ns"])
    os.set_inheritable(lane.fileno(), True)
    subprocess.run([sys.executable, from_here, *map(str, words)], check=True, pass_fds=(lane.fileno(),), timeout=WAIT_S)
