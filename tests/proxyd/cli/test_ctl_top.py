"""proxyctl top in a terminal of its own: what is on the screen, and what keys do."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from proxyd.cli.proxyctl import main
from proxyd.control import protocol
from proxyd.control.protocol import (
    NUMBER,
    AskGroups,
    AskHits,
    AskKill,
    AskSessions,
    AskStatus,
    Done,
    Listeners,
    Reply,
    Request,
    Rules,
    Slots,
)
from proxyd.daemon.asker import Asker
from tests.kit.terminal import Terminal
from tests.proxyd.control.office import attended
from tests.proxyd.control.scene import state
from workers.contract.groups import GROUP, GroupFlag, GroupPhase
from workers.contract.slots import SLOT

S = 10**9
PROXYCTL = (sys.executable, "-m", "proxyd.cli.proxyctl")


def sock(host: int, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", port, host)


class Proxy:
    """A proxy with sessions of clients 10.0.0.N:1000+N, each of which has got N datagrams more at every look."""

    def __init__(self, count: int = 3, program: str = "udp-proxy") -> None:
        self.sessions = set(range(1, count + 1))
        self.program = program
        self.began = time.monotonic()
        self.gone = False

    def answer(self, request: Request, _asker: Asker) -> Iterator[Reply]:
        spent = time.monotonic() - self.began
        match request:
            case AskStatus():
                found = state(program=self.program, sessions=len(self.sessions))
                totals = found.proxy.totals | {"forwarded_in": int(100 * spent), "bytes_in": int(51_200 * spent)}
                yield msgspec.structs.replace(found.proxy, totals=totals)
                yield from (Listeners(found.listeners), Rules(found.rules))
            case AskSessions():
                yield Slots(0, int(spent * S) + 9 * S, b"".join(self._record(slot, spent) for slot in self.sessions))
            case AskHits():
                yield protocol.RuleHits([("A", int(10 * spent), 7, 0)])
                yield protocol.ListenerHits([("[192.0.2.10]:53", int(300 * spent), 0, 9)])
            case AskGroups():
                yield protocol.Groups(0, int(spent * S) + 9 * S, NUMBER.pack(0) + _group(spent))
            case AskKill():
                self.sessions -= {slot for _, slot, _ in request.sessions}
        yield Done()

    def _record(self, slot: int, spent: float) -> bytes:
        passed = int(1000 * slot * spent)
        now = int(spent * S) + 9 * S
        fields = (1, 1, 0, 4, 0, slot * S, now, now, 0, passed, 0, 100 * passed, 0, 0, 0, 0, 1)
        return NUMBER.pack(slot) + SLOT.pack(
            *fields, sock(0x0A000000 + slot, 1000 + slot), sock(1, 1), sock(0x0A000063, 53), sock(1, 2)
        )


def _group(spent: float) -> bytes:
    head = (1, GroupPhase.RECEIVING, GroupFlag.GATHERS, 0, 0xABC, 1, 12, 11, 10, 1, 15, 1300)
    counts = (S, S, S, int(50 * spent), int(51_200 * spent), 700, 1000)
    return GROUP.pack(*head, *counts, sock(1, 1044), b"", b"evil\x1b[2J.iso")


@contextmanager
def shown(
    folder: Path, proxy: Proxy, *words: str, columns: int = 80, lines: int = 24, kind: str = "xterm"
) -> Iterator[Terminal]:
    """The view of a proxy in a terminal of a kind. Source: terminfo(5)."""
    with (
        attended(folder / "x.ctl", proxy.answer) as path,
        Terminal([*PROXYCTL, "-s", path, "top", "-i", "0.5", *words], columns, lines, {"TERM": kind}) as terminal,
    ):
        yield terminal


def rows(screen: str) -> list[str]:
    """Return the clients on the screen, from top to bottom."""
    return [line.split("]")[0][1:] for line in screen.splitlines() if line.startswith("[10.0.0.")]


def wait_for_rows(terminal: Terminal, clients: Sequence[str]) -> str:
    """Return the screen once these clients are on it, from top to bottom."""
    return terminal.wait_until(lambda screen: rows(screen) == list(clients), f"rows of {clients}")


def test_sessions_are_shown_the_fastest_first_with_their_rates_within_80_columns(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy()) as terminal:
        terminal.wait_for("KiB", "begun/s")
        screen = wait_for_rows(terminal, ["10.0.0.3", "10.0.0.2", "10.0.0.1"])
        assert "DNS (udp-proxy 1.2) serving" in screen
        assert "[sessions]" in screen
        terminal.press("q")
        assert terminal.end() == 0


def test_a_terminal_that_cannot_hide_its_cursor_will_do(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy(), kind="vt100") as terminal:
        terminal.wait_for("[10.0.0.3]:1003", "KiB", "begun/s")
        terminal.press("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("kind", ["dumb", "there-is-no-such"])
def test_a_terminal_that_cannot_show_it_is_told(tmp_path: Path, kind: str) -> None:
    with shown(tmp_path, Proxy(), columns=120, kind=kind) as terminal:
        terminal.wait_for("this terminal cannot show it", "--once prints it")
        assert terminal.end() == 64


def test_keys_choose_page_order_and_pace(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy()) as terminal:
        terminal.wait_for("[10.0.0.3]:1003", "every 0.5 s")
        terminal.press("r")
        assert rows(terminal.wait_for("every"))
        terminal.press("p")
        terminal.wait_for("paused")
        wait_for_rows(terminal, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        terminal.press("p+")
        terminal.wait_for("every 1 s")
        terminal.press("\t")
        screen = terminal.wait_for("[acls]", "ACCEPTED/S")
        assert [line.split()[:2] for line in screen.splitlines() if line.startswith("A ")] == [["A", "3"]]
        terminal.press("\t")
        terminal.wait_for("[listeners]", "[192.0.2.10]:53", "RECEIVED/S")
        terminal.press("sss")
        terminal.wait_for("*OUT/S", "by out/s")


def test_a_filter_is_typed_as_for_sessions_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy()) as terminal:
        terminal.wait_for("[10.0.0.3]:1003")
        terminal.press("/10.0.0.2\n")
        terminal.wait_for("filter: 10.0.0.2")
        wait_for_rows(terminal, ["10.0.0.2"])
        terminal.press("/" + "\x7f" * 20 + "--client :1001\n")
        terminal.wait_for("[10.0.0.1]:1001")
        terminal.press("/" + "\x7f" * 20 + "--colour red\n")
        terminal.wait_for("unrecognized arguments: --colour red")
        wait_for_rows(terminal, ["10.0.0.1"])


def test_the_marked_session_ends_once_that_is_confirmed(tmp_path: Path) -> None:
    proxy = Proxy()
    with shown(tmp_path, proxy) as terminal:
        terminal.wait_for("[10.0.0.3]:1003")
        terminal.press("k")
        terminal.wait_for("end session 0.3.", "[10.0.0.3]:1003? y/n")
        terminal.press("n")
        terminal.wait_for("not ended")
        assert proxy.sessions == {1, 2, 3}
        terminal.press(b"\x1bOB")
        terminal.press("k")
        terminal.wait_for("end session 0.2.")
        terminal.press("y")
        terminal.wait_for("is told to end")
        terminal.wait_for_loss("[10.0.0.2]:1002")
        assert proxy.sessions == {1, 3}
        terminal.press("\tk")
        terminal.wait_for("only a session can be ended")


def test_a_terminal_of_another_size_is_filled_and_none_is_too_small(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy(200), columns=100, lines=40) as terminal:
        terminal.wait_for("200 by bytes")
        wait_for_rows(terminal, [f"10.0.0.{number}" for number in range(200, 166, -1)])
        terminal.press(b"\x1bOF")
        terminal.wait_for("[10.0.0.1]:1001")
        terminal.resize(76, 12)
        terminal.wait_for("DNS (udp-proxy 1.2)")
        terminal.wait_until(lambda screen: len(rows(screen)) == 6, "six rows")
        terminal.resize(30, 5)
        terminal.wait_for("too small")


def test_a_uftp_proxy_shows_its_groups(tmp_path: Path) -> None:
    with shown(tmp_path, Proxy(program="uftpproxyd")) as terminal:
        screen = terminal.wait_for("00000ABC/00", r"evil\x1b[2J.iso"[:8], "70%", "receiving")
        assert "sessions" not in screen


def test_a_proxy_that_ends_ends_the_view_with_its_status(tmp_path: Path) -> None:
    with Terminal([*PROXYCTL, "-s", tmp_path / "x.ctl", "top", "-i", "0.5"]) as terminal:
        assert terminal.end() == 69
    with attended(tmp_path / "x.ctl", Proxy().answer) as path:
        terminal = Terminal([*PROXYCTL, "-s", path, "top", "-i", "0.5"])
        terminal.wait_for("[10.0.0.3]:1003")
    with terminal:
        terminal.wait_for("proxyctl: ")
        assert terminal.end() == 69


# --- printed once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--once",)])
def test_without_a_terminal_it_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with attended(tmp_path / "x.ctl", Proxy().answer) as path:
        assert main(["-s", str(path), "top", "-i", "0.5", *words]) == 0
    out = capsys.readouterr().out
    assert rows(out) == ["10.0.0.3", "10.0.0.2", "10.0.0.1"]
    for text in ("ACCEPTED/S", "RECEIVED/S", "DNS (udp-proxy 1.2) serving"):
        assert text in out
    assert "\x1b" not in out


def test_rates_are_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with attended(tmp_path / "x.ctl", Proxy().answer) as path:
        assert main(["-s", str(path), "top", "-i", "0.5", "--json", "--client", ":1003"]) == 0
    found = json.loads(capsys.readouterr().out)
    (only,) = found["sessions"]
    assert only["session"]["client"] == "[10.0.0.3]:1003"
    assert 2_000 < only["flow"]["datagrams_in"] < 4_500
    assert found["span_s"] >= 0.5


@pytest.mark.parametrize("interval", ["0", "0.4", "61"])
def test_an_interval_that_is_none_is_refused(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "-i", interval]) == 64
    assert "wanted 0.5 to 60 seconds" in capsys.readouterr().err
