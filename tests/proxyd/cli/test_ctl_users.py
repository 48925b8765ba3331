"""proxyctl users add and remove, on a file alone and beside a proxy that reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from proxyd.cli import ctl_users
from proxyd.cli.ctl_arguments import make_parser
from proxyd.cli.ctl_frame import Status
from proxyd.cli.proxyctl import main
from proxyd.control import protocol
from proxyd.control.protocol import AskStatus, AskUsers, Done, Reply, Request
from proxyd.daemon.asker import Asker
from tests.proxyd.control.office import attended
from tests.proxyd.control.scene import state
from workers.contract.settings import AuthSettings
from workers.policy.users import parse_users

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("# staff\n192.0.2.1\tann\tstaff\n")
    return path


@pytest.fixture
def config(tmp_path: Path, file: Path) -> Path:
    path = tmp_path / "t.cfg"
    path.write_text(
        "version KERNUN-2_3-RELEASE;\n"
        f'oob-auth O {{ method external; file "{file}"; max-sessions 3; }}\n'
        "udp-proxy T { auth oob O; listen-on { non-transparent [127.0.0.1] port 5300; }\n"
        "  udpserver { max-sessions 1; workers 1; } }\n"
    )
    return path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command; return status, output and complaints."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        status = main(list(map(str, words)))
        written = capfd.readouterr()
        return status, written.out, written.err

    return call


class Proxy:
    """One that reads its users' file whenever it is asked, or has stopped reading it."""

    def __init__(self, config: Path, file: Path) -> None:
        self.config = config
        self.file = file
        self.reads = True

    def answer(self, request: Request, asker: Asker) -> Iterator[Reply]:
        match request:
            case AskStatus():
                yield msgspec.structs.replace(state().proxy, file=str(self.config))
            case AskUsers():
                users = parse_users(self.file.read_text(), AuthSettings("O", str(self.file))) if self.reads else {}
                entries = [(a.value.to_bytes(4), one.user, sorted(one.groups)) for a, one in users.items()]
                yield protocol.Users(
                    str(self.file), self.file.stat().st_mtime + 1, "" if self.reads else "line 1: no", entries
                )
        yield Done()


@pytest.fixture
def proxy(config: Path, file: Path) -> Proxy:
    return Proxy(config, file)


@pytest.fixture
def ask(proxy: Proxy, tmp_path: Path, run: Run) -> Iterator[Run]:
    """Run the command on a proxy."""
    with attended(tmp_path / "x.ctl", proxy.answer) as path:
        yield lambda *words: run("-s", path, *words)


def test_somebody_is_put_at_an_address_and_taken_away_where_no_proxy_runs(run: Run, config: Path, file: Path) -> None:
    status, out, _ = run("users", "add", "-f", config, "192.0.2.7", "eve", "staff", "night,staff")
    assert (status, out) == (Status.DONE, "eve is at 192.0.2.7 now\n")
    assert file.read_text() == "# staff\n192.0.2.1\tann\tstaff\n192.0.2.7\teve\tnight,staff\n"
    assert run("users", "remove", "-f", config, "192.0.2.1", "192.0.2.7")[0] == Status.DONE
    assert file.read_text() == "# staff\n"


def test_the_command_returns_when_the_proxy_goes_by_it(ask: Run, file: Path) -> None:
    status, out, _ = ask("users", "--json", "add", "192.0.2.1", "eve")
    assert (status, json.loads(out)["user"]) == (Status.DONE, "eve")
    assert [one["user"] for one in json.loads(ask("users", "--json")[1])["users"]] == ["eve"]
    assert ask("users", "add", "192.0.2.1", "eve")[0] == Status.DONE, "what is so already is done"
    assert ask("users", "remove", "192.0.2.1")[:2] == (Status.DONE, "nobody is at 192.0.2.1 any more\n")
    assert file.read_text() == "# staff\n"


def test_the_proxy_is_chosen_by_its_own_name_whatever_the_users_is() -> None:
    arguments = make_parser().parse_args(["-n", "dns", "users", "add", "192.0.2.7", "eve"])
    assert (arguments.name, arguments.person) == ("dns", "eve")


def test_a_proxy_that_does_not_take_the_file_is_told(ask: Run, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.reads = False
    monkeypatch.setattr(ctl_users, "READ_S", 0.0)
    status, _, complaint = ask("users", "add", "192.0.2.7", "eve")
    assert status == Status.NOT_DONE
    assert "the proxy does not go by it: line 1: no" in complaint


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("add", "192.0.2", "eve"), Status.USAGE, "found '192.0.2'; wanted an address"),
        (("add", "192.0.2.7", "a\tb"), Status.NOT_DONE, "wanted printable characters"),
        (("add", "192.0.2.7", "e" * 65), Status.NOT_DONE, "is no name: wanted 1 to 64 printable characters"),
        (("remove", "192.0.2.1", "192.0.2.9"), Status.NOT_DONE, "nobody is at 192.0.2.9"),
    ],
)
def test_what_cannot_be_is_refused_and_the_file_stays(
    run: Run, config: Path, file: Path, words: tuple[str, ...], status: Status, complaint: str
) -> None:
    before = file.stat()
    found, _, said = run("users", words[0], "-f", config, *words[1:])
    assert (found, file.stat().st_ino) == (status, before.st_ino)
    assert complaint in said
