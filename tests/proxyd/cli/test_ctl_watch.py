"""proxyctl users, groups and tap against a proxy that answers as a real one."""

from __future__ import annotations

import json
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxyd.cli.proxyctl import Status, main
from proxyd.control import protocol
from proxyd.control.protocol import (
    NUMBER,
    AskGroups,
    AskSessions,
    AskStatus,
    AskTap,
    AskUsers,
    Done,
    Listeners,
    Reply,
    Request,
    Rules,
    Slots,
)
from proxyd.daemon.asker import Asker
from tests.proxyd.control.office import attended
from tests.proxyd.control.scene import state
from workers.contract.groups import GROUP, GroupFlag, GroupPhase
from workers.contract.slots import SLOT
from workers.contract.tapping import ADDRESSES, HEAD, Kind, Way

S = 10**9
CLIENT = struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", 1001, 0x0A000001)
RECORD = NUMBER.pack(1) + SLOT.pack(*(1, 1, 0, 4, 0, S, S, S, 0), *(0,) * 6, 0, 1, *(CLIENT,) * 4)
GROUP_FIELDS = (1, GroupPhase.KEYED, GroupFlag.GATHERS | GroupFlag.ENCRYPTED, 0, 0xABC, 1, 3, 1, 10, 1, 15, 1300)
GROUP_RECORD = GROUP.pack(*GROUP_FIELDS, S, S, S, 5, 5000, 500, 1000, CLIENT, CLIENT, b"evil\x1b[2J.iso")
USERS = [(bytes((10, 0, 0, 9)), "ann", ["staff"]), (bytes((10, 0, 0, 10)), "b\x07ob", [])]


class Proxy:
    """One session, one group, two users."""

    complaint = ""

    def answer(self, request: Request, asker: Asker) -> Iterator[Reply]:
        match request:
            case AskStatus():
                found = state()
                yield from (found.proxy, Listeners(found.listeners), Rules(found.rules))
            case AskSessions():
                yield Slots(0, 2 * S, RECORD)
            case AskUsers():
                yield protocol.Users("/etc/users", 1_800_000_000.0, self.complaint, USERS)
            case AskGroups():
                yield protocol.Groups(0, 2 * S, NUMBER.pack(0) + GROUP_RECORD)
            case AskTap():
                _watch(asker)
        yield Done()


def _watch(asker: Asker) -> None:
    descriptor = asker.take()
    assert descriptor is not None
    with socket.socket(fileno=descriptor) as lane:
        lane.send(HEAD.pack(Kind.BEGUN, 0, 0, 0, b"") + ADDRESSES.pack(*(CLIENT,) * 4))
        lane.send(HEAD.pack(Kind.DATAGRAM, Way.OUT, S, 0, CLIENT) + b"hello")
        lane.send(HEAD.pack(Kind.ENDED, 0, S, 4, b"") + b"enough")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def run(proxy: Proxy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command on a proxy; return status, output and complaints."""
    with attended(tmp_path / "x.ctl", proxy.answer) as path:

        def call(*words: str) -> tuple[int, str, str]:
            status = main(["-s", str(path), *words])
            written = capfd.readouterr()
            return status, written.out, written.err

        yield call


def test_users_are_listed_and_nothing_of_theirs_reaches_the_terminal_as_it_is(run: Run, proxy: Proxy) -> None:
    status, out, _ = run("users")
    assert (status, out.splitlines()[0].split(" read ")[0]) == (Status.DONE, "2 users of /etc/users,")
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["ADDRESS", "USER", "GROUPS"],
        ["10.0.0.9", "ann", "staff"],
        ["10.0.0.10", r"b\x07ob", "-"],
    ]
    proxy.complaint = "line 3: no address"
    assert "what stands there now is not taken: line 3: no address" in run("users")[1]


def test_users_are_filtered_and_counted_by_group(run: Run) -> None:
    assert [one["user"] for one in json.loads(run("users", "--json", "--group", "staff")[1])["users"]] == ["ann"]
    assert json.loads(run("users", "--json", "--address", "10.0.0.10")[1])["users"][0]["address"] == "10.0.0.10"
    assert json.loads(run("users", "--json", "--user", "nobody")[1])["users"] == []
    assert [line.split() for line in run("users", "--by-group")[1].splitlines()[2:]] == [
        ["GROUP", "USERS"],
        ["(none)", "1"],
        ["staff", "1"],
    ]
    assert run("users", "--address", "here")[0] == Status.USAGE


def test_groups_are_listed_with_their_progress_and_nothing_of_theirs_reaches_the_terminal_as_it_is(run: Run) -> None:
    status, out, _ = run("groups")
    assert status == Status.DONE
    assert "\x1b" not in out
    (row,) = out.splitlines()[1:]
    for text in ("00000ABC/00", "keyed, encrypted", r"evil\x1b[2J.iso", "50%"):
        assert text in row
    (found,) = json.loads(run("groups", "--json")[1])
    assert (found["clients"], found["ready"], found["progress"]) == (3, 1, 0.5)


def test_a_tap_is_written_to_a_file_for_its_owner_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    status, out, _ = run("tap", "0.1", "-w", str(path))
    assert (status, out) == (Status.DONE, "1 datagrams, 5 B, 4 more had no room and are missing: enough\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"hello" in path.read_bytes()
    found = json.loads(run("tap", "0.1", "--json", "-w", str(path))[1])
    assert found == {"datagrams": 1, "payload_bytes": 5, "lost": 4, "why": "enough"}


def test_a_tap_of_nobody_or_to_nowhere_is_not_begun(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    assert run("tap", "0.9", "-w", str(path))[0] == Status.NOT_DONE
    assert not path.exists()
    assert run("tap", "0.1", "-w", str(tmp_path / "none" / "x"))[0] == 1


@pytest.mark.parametrize(
    "words", [("0.1",), ("0.1", "-w", "f", "-c", "0"), ("0.1", "-w", "f", "-t", "0"), ("0.1", "-w", "f", "-t", "1e9")]
)
def test_a_tap_has_a_file_and_bounds(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tap", *words])
    assert ended.value.code == Status.USAGE
