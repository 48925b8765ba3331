from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxyd.cli.proxyctl import Status, main
from proxyd.control.protocol import (
    NUMBER,
    AskDrain,
    AskExplain,
    AskKill,
    AskLevel,
    AskSessions,
    AskStatus,
    Done,
    Explanation,
    Listeners,
    Refused,
    Reply,
    Request,
    Rules,
    Slots,
    Workers,
)
from tests.proxyd.config.samples import config
from tests.proxyd.control.office import served
from tests.proxyd.control.scene import state
from workers.contract.slots import SLOT

S = 10**9


def sock(host: int, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", port, host)


class Proxy:
    """A proxy with two sessions, of 10.0.0.1:1001 and 10.0.0.2:1002, that does as it is told."""

    def __init__(self) -> None:
        self.sessions = {1: 5 * S, 2: 6 * S}
        self.orders: list[Request] = []
        self.stubborn = False
        self.file = ""
        self.program = "udp-proxy"

    def answer(self, request: Request) -> Iterator[Reply]:
        match request:
            case AskStatus():
                found = state(pid=os.getpid(), file=self.file, program=self.program)
                yield from (found.proxy, Workers(found.workers), Listeners(found.listeners), Rules(found.rules))
            case AskSessions():
                records = [
                    NUMBER.pack(slot)
                    + SLOT.pack(
                        *(1, 1, 0, 4, 0, began, began, began, 0, *(0,) * 6, 0, 1),
                        *(sock(0x0A000000 + slot, 1000 + slot), sock(0x0A0000FE, 53), sock(1, 1), sock(1, 2)),
                    )
                    for slot, began in self.sessions.items()
                ]
                yield Slots(0, 10 * S, b"".join(records))
            case AskExplain():
                verdict = "accepted" if request.client[-1] < 100 else "dropped"
                yield Explanation(verdict, "why", "l", "A", "normal", "t", request.user, [])
            case _:
                yield from self._obey(request)
                return
        yield Done()

    def _obey(self, request: Request) -> Iterator[Reply]:
        self.orders.append(request)
        if isinstance(request, AskKill) and not self.stubborn:
            for _, slot, began in request.sessions:
                assert self.sessions.pop(slot) == began
        yield Refused("I am ending") if isinstance(request, AskDrain) else Done()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def run(proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command on a proxy; return status, output and complaints."""
    with served(tmp_path / "x.ctl", proxy.answer) as path:

        def call(*words: str) -> tuple[int, str, str]:
            status = main(["-s", str(path), *words])
            written = capsys.readouterr()
            return status, written.out, written.err

        yield call


def test_the_status_is_text_or_json(run: Run) -> None:
    status, out, _ = run("status")
    assert status == Status.DONE
    assert "DNS (udp-proxy 1.2), serving" in out
    found = json.loads(run("status", "--json")[1])
    assert (found["proxy"]["name"], found["rules"][0]["name"], len(found["workers"])) == ("DNS", "A", 2)


def test_sessions_are_listed_as_filters_say(run: Run) -> None:
    assert len(run("sessions")[1].splitlines()) == 3
    assert "10.0.0.2" in run("sessions", "--limit", "1", "--sort", "client", "--client", ":1002")[1]
    found = json.loads(run("sessions", "--json", "--client", "10.0.0.1")[1])
    assert [session["client"] for session in found] == ["[10.0.0.1]:1001"]
    assert json.loads(run("sessions", "--json", "--acl", "none")[1]) == []
    status, _, err = run("sessions", "--client", "nonsense")
    assert (status, "wanted an address" in err) == (Status.USAGE, True)


def test_one_session_is_told_by_its_id_or_its_place(run: Run) -> None:
    found = json.loads(run("sessions", "--json", "--client", ":1001")[1])[0]
    assert json.loads(run("session", found["id"], "--json")[1])["id"] == found["id"]
    assert found["id"] in run("session", "0.1")[1]
    assert run("session", "0.9")[0] == Status.NOT_DONE


def test_a_kill_waits_until_it_is_done(run: Run, proxy: Proxy) -> None:
    assert run("kill", "0.1") == (0, "1 session ended\n", "")
    assert list(proxy.sessions) == [2]
    assert run("kill", "0.1")[0] == Status.NOT_DONE
    assert run("kill", "--all")[1] == "1 session ended\n"
    assert run("kill", "--all")[:2] == (0, "0 sessions ended\n")


def test_a_kill_says_when_it_is_not_done(run: Run, proxy: Proxy) -> None:
    proxy.stubborn = True
    status, out, err = run("kill", "0.1")
    assert (status, out) == (Status.NOT_DONE, "0 sessions ended\n")
    assert "not ended yet: 0.1." in err


@pytest.mark.parametrize("words", [("kill",), ("kill", "--all", "0.1"), ("kill", "--all", "--acl", "A")])
def test_a_kill_says_whom_it_means(run: Run, proxy: Proxy, words: tuple[str, ...]) -> None:
    assert run(*words)[0] == Status.USAGE
    assert proxy.orders == []


@pytest.mark.parametrize(("word", "level"), [("+", 7), ("-", 5), ("3", 3), ("9", 9)])
def test_a_level_is_set(run: Run, proxy: Proxy, word: str, level: int) -> None:
    assert run("loglevel", word)[:2] == (0, f"{level}\n")
    assert proxy.orders == [AskLevel(level)]


def test_a_level_is_shown_and_another_word_is_none(run: Run, proxy: Proxy) -> None:
    assert run("loglevel")[1] == "6\n"
    for word in ("2", "10", "x", "++"):
        assert run("loglevel", word)[0] == Status.USAGE
    assert proxy.orders == []


def test_an_explanation_of_what_would_be_dropped_says_no(run: Run) -> None:
    assert run("explain", "10.0.0.9", "10.0.0.254:53")[0] == Status.DONE
    status, out, _ = run("explain", "10.0.0.200", "10.0.0.254:53", "ann", "1200")
    assert (status, out.split()[0]) == (Status.NO, "dropped")
    assert "user      ann" in out


def test_a_datagram_of_a_session_belongs_to_it(run: Run) -> None:
    status, out, _ = run("explain", "10.0.0.1:1001", "10.0.0.254:53")
    assert (status, out.split()[0]) == (Status.DONE, "forwarded")
    assert run("explain", "10.0.0.1:1001", "10.0.0.253:53")[1].split()[0] == "accepted"


@pytest.mark.parametrize(
    "words", [("x", "10.0.0.1:53"), ("10.0.0.1", "10.0.0.1"), ("10.0.0.1", "10.0.0.1:x"), ("10.0.0.0/8", "10.0.0.1:1")]
)
def test_what_is_no_address_cannot_be_explained(run: Run, words: tuple[str, str]) -> None:
    assert run("explain", *words)[0] == Status.USAGE


def test_a_time_that_is_none_cannot_be_explained(run: Run) -> None:
    assert run("explain", "10.0.0.1", "10.0.0.1:1", "ann", "9999")[0] == Status.USAGE


def test_a_refusal_is_told(run: Run) -> None:
    assert run("drain", "--timeout", "5") == (Status.NOT_DONE, "", "proxyctl: I am ending\n")


def test_the_machine_is_examined_for_a_file_or_for_what_runs(run: Run, proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(config(server="max-sessions 10; workers 1;"))
    found = json.loads(run("doctor", "--json", "-f", str(path))[1])
    assert "memory" in {finding["subject"] for finding in found}
    status, _, err = run("doctor")
    assert (status, "no configuration file" in err) == (Status.NOT_DONE, True)
    proxy.file = str(path)
    assert "max-sessions needs" in run("doctor")[1]
    assert run("capacity")[1].startswith("10 sessions, 3 of them now: max-sessions is the limit")
    assert run("capacity", "-f", str(path))[1].startswith("10 sessions: max-sessions")


def test_a_machine_that_is_not_fit_is_a_no(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(config(listen="non-transparent [192.0.2.99] port 5300;"))
    status, out, _ = run("doctor", "-f", str(path))
    assert status == Status.NO
    assert "mend it: ip address add 192.0.2.99 dev INTERFACE" in out
    path.write_text("nonsense")
    assert run("doctor", "-f", str(path))[0] == Status.NOT_DONE


def test_a_proxy_that_cannot_be_reached_has_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-s", str(tmp_path / "x.ctl"), "status"]) == Status.UNREACHABLE == 69
    assert "does not run" in capsys.readouterr().err


def test_the_doctor_looks_at_multicast_where_a_uftp_proxy_runs(run: Run, proxy: Proxy) -> None:
    proxy.program = "uftpproxyd"
    found = json.loads(run("doctor", "--json")[1])
    assert {"multicast membership", "interfaces", "receive buffers"} <= {finding["subject"] for finding in found}
