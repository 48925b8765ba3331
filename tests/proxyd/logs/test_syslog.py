"""Syslog over its local socket: framing, splitting, busy and restarting receivers, and the three ways to fail."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.logs.sinks import MAX_WAITING_BYTES
from proxyd.logs.syslog import GRACE_NS, MAX_LINE_BYTES, Syslog, split_line
from tests.kit.notify import NotifySocket
from tests.kit.place import Place
from tests.kit.process import Process
from tests.kit.requirement import find_program, requires_program
from workers.contract.settings import SyslogFailure

HEAD = "<166>Sep  8 07:40:22 DNS[2018.17]: "


class Receiver:
    """The end that listens on the socket; it can go and come back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.start()

    def start(self) -> None:
        """Listen, anew after a stop()."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)

    def stop(self, *, leave_socket: bool = False) -> None:
        """Go; a crashed receiver leaves its socket behind."""
        self.socket.close()
        if not leave_socket:
            self.path.unlink()

    def receive(self) -> list[str]:
        """Return all that came."""
        received = []
        while True:
            try:
                received.append(self.socket.recv(1 << 18).decode())
            except BlockingIOError:
                return received


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


class Bench:
    """A place for a socket and a fallback file, and the sinks made on it."""

    def __init__(self, folder: Path) -> None:
        self.socket_path = folder / "log"
        self.fallback = folder / "DNS-debug.log"
        self.clock = Clock()

    def open(self, mode: SyslogFailure = SyslogFailure.IGNORE, *, split: bool = True) -> Syslog:
        """Open a sink on the socket."""
        return Syslog(str(self.socket_path), mode, fallback=str(self.fallback), split=split, clock_ns=self.clock)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="log") as folder:  # tmp_path is too long for a socket's name
        yield Bench(Path(folder))


@pytest.fixture
def receiver(bench: Bench) -> Iterator[Receiver]:
    made = Receiver(bench.socket_path)
    yield made
    made.socket.close()


def send(sink: Syslog, *lines: str) -> None:
    for line in lines:
        sink.write(HEAD, line)
    sink.flush()


# --- splitting ---------------------------------------------------------------------------------------------------


def test_a_short_line_is_one_datagram() -> None:
    assert split_line(HEAD, "UDPS-722-K text") == [f"{HEAD}UDPS-722-K text".encode()]


def test_a_long_line_is_continued_with_the_same_head() -> None:
    parts = split_line(HEAD, "a" * 1500)
    assert [len(part) for part in parts] == [
        MAX_LINE_BYTES - 1,
        1500 - (MAX_LINE_BYTES - 2 - len(HEAD)) + 1 + len(HEAD),
    ]
    assert parts[0].endswith(b"a\\")
    assert parts[1].startswith(HEAD.encode() + b"~a")


@given(st.text(min_size=400, max_size=4000), st.integers(0, 300))
def test_split_lines_come_together_again(body: str, ident_length: int) -> None:
    head = f"<166>Sep  8 07:40:22 {'i' * ident_length}[2018.17]: "
    parts = split_line(head, body)
    assert all(len(part) <= MAX_LINE_BYTES for part in parts)
    bodies = [part.decode().removeprefix(head) for part in parts]
    assert all(text.endswith("\\") for text in bodies[:-1])
    assert all(text.startswith("~") for text in bodies[1:])
    joined = "".join(text[number > 0 : -1 if number < len(bodies) - 1 else None] for number, text in enumerate(bodies))
    assert joined == body


def test_json_is_never_split(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open(split=False)
    send(sink, "{" + "x" * 5000 + "}")
    (datagram,) = receiver.receive()
    assert len(datagram) == len(HEAD) + 5002
    sink.close()


# --- the receiver's ways -----------------------------------------------------------------------------------------


def test_a_line_arrives_with_its_head(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open()
    send(sink, "one", "two")
    assert receiver.receive() == [f"{HEAD}one", f"{HEAD}two"]
    assert sink.healthy
    sink.close()


def test_the_socket_neither_blocks_nor_is_inherited(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open()
    assert not os.get_blocking(sink.fileno())
    assert not os.get_inheritable(sink.fileno())
    sink.close()
    assert sink.fileno() == -1


def test_what_a_busy_receiver_does_not_take_waits_in_order(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open()
    lines = [f"line {number}" for number in range(3000)]
    send(sink, *lines)
    assert sink.waiting
    received = []
    while sink.waiting:
        received += receiver.receive()
        sink.flush()
    received += receiver.receive()
    assert received == [HEAD + line for line in lines]
    assert sink.trouble.take() is None
    sink.close()


@pytest.mark.parametrize("leave_socket", [False, True])
def test_a_receiver_that_restarts_loses_nothing(bench: Bench, receiver: Receiver, leave_socket: bool) -> None:
    sink = bench.open()
    send(sink, "before")
    assert receiver.receive() == [f"{HEAD}before"]
    receiver.stop(leave_socket=leave_socket)
    send(sink, "meanwhile")
    assert sink.waiting
    assert not sink.healthy
    bench.socket_path.unlink(missing_ok=True)
    receiver.start()
    send(sink, "after")
    assert receiver.receive() == [f"{HEAD}meanwhile", f"{HEAD}after"]
    assert sink.healthy
    sink.close()


@pytest.mark.parametrize("leave_socket", [False, True])
def test_a_receiver_that_is_back_is_found_in_the_same_flush(
    bench: Bench, receiver: Receiver, leave_socket: bool
) -> None:
    sink = bench.open()
    receiver.stop(leave_socket=leave_socket)
    bench.socket_path.unlink(missing_ok=True)
    receiver.start()
    send(sink, "at once")
    assert receiver.receive() == [f"{HEAD}at once"]
    sink.close()


def test_reopening_finds_a_socket_that_was_replaced(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open()
    old = receiver.socket
    bench.socket_path.unlink()
    receiver.start()
    sink.reopen()
    send(sink, "to the new one")
    assert receiver.receive() == [f"{HEAD}to the new one"]
    sink.close()
    old.close()


def test_a_line_too_long_for_a_datagram_is_shed_alone(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open(split=False)
    send(sink, "x" * 500_000, "short")
    assert receiver.receive() == [f"{HEAD}short"]
    assert sink.trouble.shed == 1
    sink.close()


def test_closing_sends_what_waits_and_counts_what_is_not_taken(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open()
    send(sink, *map(str, range(3000)))
    sink.close()
    assert len(receiver.receive()) + sink.trouble.shed == 3000


# --- syslog-failure ----------------------------------------------------------------------------------------------


def test_ignore_keeps_lines_up_to_the_bound_and_counts_the_rest(bench: Bench) -> None:
    sink = bench.open()
    count = 2 * MAX_WAITING_BYTES // (len(HEAD) + 900)
    for _ in range(count):
        send(sink, "x" * 900)
        bench.clock.now_ns += GRACE_NS
    kept = count - sink.trouble.shed
    assert 0 < kept < count
    assert sink.failure is None
    assert not bench.fallback.exists()
    receiver = Receiver(bench.socket_path)
    received: list[str] = []
    while sink.waiting:
        sink.flush()
        received += receiver.receive()
    assert len(received) == kept
    assert sink.trouble.take() == ("No such file or directory", count - kept)
    sink.close()
    receiver.stop()


def test_file_takes_over_after_the_grace_and_hands_back(bench: Bench) -> None:
    sink = bench.open(SyslogFailure.FILE)
    send(sink, "one")
    assert not bench.fallback.exists()
    bench.clock.now_ns += GRACE_NS
    send(sink, "two")
    send(sink, "three")
    assert bench.fallback.read_text() == "".join(f"{HEAD[5:]}{line}\n" for line in ("one", "two", "three"))
    assert not sink.waiting
    assert not sink.healthy
    receiver = Receiver(bench.socket_path)
    send(sink, "four")
    assert receiver.receive() == [f"{HEAD}four"]
    assert sink.healthy
    assert sink.trouble.take() == (f"No such file or directory, lines are in {bench.fallback}", 0)
    sink.close()
    receiver.stop()


def test_file_takes_over_at_once_when_too_much_waits(bench: Bench) -> None:
    sink = bench.open(SyslogFailure.FILE)
    for _ in range(2 * MAX_WAITING_BYTES // 900):
        sink.write(HEAD, "x" * 900)
    assert bench.fallback.stat().st_size > MAX_WAITING_BYTES // 2
    assert sink.trouble.shed == 0
    sink.close()
    assert bench.fallback.read_text().count("\n") == 2 * MAX_WAITING_BYTES // 900


def test_a_file_that_cannot_be_opened_costs_what_exceeds_the_bound(bench: Bench) -> None:
    bench.fallback.mkdir()
    sink = bench.open(SyslogFailure.FILE)
    for _ in range(2 * MAX_WAITING_BYTES // 900):
        sink.write(HEAD, "x" * 900)
    assert sink.trouble.shed > 0
    report = sink.trouble.take()
    assert report is not None
    assert report[0].endswith(f"{bench.fallback}: Is a directory")
    sink.close()


def test_stop_gives_a_restart_its_grace_and_then_ends_the_proxy(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open(SyslogFailure.STOP)
    receiver.stop()
    send(sink, "one")
    bench.clock.now_ns += GRACE_NS - 1
    send(sink, "two")
    assert sink.failure is None
    bench.clock.now_ns += 1
    sink.flush()
    assert sink.failure == f"syslog {bench.socket_path}: No such file or directory"
    sink.close()


def test_the_grace_begins_anew_after_every_success(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open(SyslogFailure.STOP)
    for _ in range(3):
        receiver.stop()
        send(sink, "down")
        bench.clock.now_ns += GRACE_NS - 1
        receiver.start()
        send(sink, "up")
    assert sink.failure is None
    sink.close()


def test_a_receiver_that_hangs_stops_the_proxy_too(bench: Bench, receiver: Receiver) -> None:
    sink = bench.open(SyslogFailure.STOP)
    send(sink, *map(str, range(3000)))
    bench.clock.now_ns += GRACE_NS
    sink.flush()
    assert sink.failure is not None
    assert sink.failure.endswith("Resource temporarily unavailable")
    sink.close()


def test_stop_does_not_even_start_without_a_receiver(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        bench.open(SyslogFailure.STOP)


# --- the real thing ----------------------------------------------------------------------------------------------

RSYSLOG = """\
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/log" RateLimit.Interval="0")
template(name="fields" type="string" string="%syslogfacility-text%.%syslogseverity-text% %syslogtag%%msg%\\n")
action(type="omfile" file="{folder}/received" template="fields")
"""


def start_rsyslogd(here: Place, folder: Path) -> Process:
    """Start a receiver on folder/log that writes folder/received, and wait until it listens."""
    conf = folder / "rsyslog.conf"
    conf.write_text(RSYSLOG.format(folder=folder))
    with NotifySocket(folder / "notify") as notify:
        argv = [str(find_program("rsyslogd")), "-n", "-f", str(conf), "-i", str(folder / "pid")]
        process = here.popen(argv, notify.env)
        notify.wait_ready()
    return process


@requires_program("rsyslogd")
def test_rsyslogd_understands_us_before_and_after_its_restart(bench: Bench, here: Place) -> None:
    folder = bench.socket_path.parent
    process = start_rsyslogd(here, folder)
    received = here.follow(folder / "received")
    sink = bench.open()
    send(sink, "UDPS-700-K first", "a" * 1500)
    received.wait_for(re.escape("local4.info DNS[2018.17]: UDPS-700-K first") + "$")
    received.wait_for(r"^local4\.info DNS\[2018\.17\]: a{900,}\\$")
    received.wait_for(r"^local4\.info DNS\[2018\.17\]: ~a{500,}$")
    process.stop()
    send(sink, "UDPS-743-K meanwhile")
    start_rsyslogd(here, folder)
    send(sink, "UDPS-743-K after")
    received.wait_for(r"DNS\[2018\.17\]: UDPS-743-K meanwhile$")
    received.wait_for(r"DNS\[2018\.17\]: UDPS-743-K after$")
    assert sink.trouble.take() is None
    sink.close()
