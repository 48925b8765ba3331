"""A program that takes over: what it shares stays the other one's until it serves."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxyd.daemon import bequest
from proxyd.daemon.bequest import Left, pack
from proxyd.daemon.control import open_post
from proxyd.daemon.heir import Heir, come_into
from proxyd.daemon.inventory import Bundle
from proxyd.daemon.pidfile import Pidfile
from proxyd.daemon.spawn import Estate, WorkerMain
from proxyd.errors import SetupError
from tests.proxyd.daemon.diary import Diary
from tests.proxyd.daemon.estates import an_estate
from workers.contract.context import WorkerContext
from workers.contract.custody import Entry, Kept
from workers.contract.exitcodes import ExitCode


@dataclass
class Giver:
    """Whoever has left something. gone: it does not hear that anybody serves. goes_on: it would serve by itself."""

    said: list[str] = field(default_factory=list)
    gone: bool = False
    goes_on: bool = True

    def coming(self, step: str) -> None:
        self.said.append(f"coming: {step}")

    def serving(self, *, sessions: bool = True) -> None:
        if self.gone:
            raise SetupError("take over", "the other end has gone")
        self.said.append("serving" if sessions else "serving without sessions")

    def failed(self, why: str) -> None:
        self.said.append(f"failed: {why}")

    def let_go(self) -> bool:
        return self.gone


@dataclass
class Vault:
    """Keeps what it is given."""

    kept: dict[int, list[Entry]] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)

    def adopt(self, worker: int, entries: list[Entry], descriptors: list[int]) -> None:
        self.kept[worker] = entries
        for descriptor in descriptors:
            os.close(descriptor)

    def inherit(self, worker: int) -> bool:
        self.settled.append(worker)
        return True


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    with an_estate(tmp_path / "log", workers=2) as found:
        found.texts = {1: "text"}
        found.pidfile = Pidfile.take(tmp_path / "x.pid")
        found.control = open_post(tmp_path / "x.ctl", None)
        yield found
        found.control.remove()
        found.pidfile.remove()


def heir_of(estate: Estate, giver: Giver, kept: list[list[Kept]] | None = None, name: str = "TEST") -> Heir:
    bundle = pack(estate, Left(kept or [[], []], None))
    legacy = bequest.read(Bundle(bundle.manifest, tuple(map(os.dup, bundle.descriptors))), "process 1")
    settings = estate.settings
    if name != settings.name:
        settings = type(settings)(name, settings.listeners, 10, 1, ())
    return come_into((legacy, giver), settings, lambda _: estate.settings)


def test_what_is_shared_is_claimed_when_it_serves_and_not_before(estate: Estate, tmp_path: Path) -> None:
    giver = Giver()
    heir = heir_of(estate, giver)
    pidfile, post = heir.share_pidfile(tmp_path / "x.pid"), heir.share_post(tmp_path / "x.ctl", None)
    assert pidfile is not None
    assert post is not None
    assert (pidfile.ours, post.ours) == (False, False)
    (tmp_path / "x.pid").write_text("4711\n")
    heir.claim()
    assert (tmp_path / "x.pid").read_text() == f"{os.getpid()}\n"
    assert (pidfile.ours, post.ours, giver.said) == (True, True, ["serving"])
    heir.give_up("too late")
    assert giver.said == ["serving"]
    for shared in (pidfile, post):
        shared.leave()
        shared.remove()


def test_it_is_alone_when_it_serves_and_the_other_one_has_let_go(estate: Estate) -> None:
    giver = Giver()
    heir = heir_of(estate, giver)
    assert not heir.alone()
    heir.claim()
    assert not heir.alone()
    giver.gone = True
    assert heir.alone()


def test_where_the_other_one_has_gone_on_nothing_is_claimed(estate: Estate, tmp_path: Path) -> None:
    heir = heir_of(estate, Giver(gone=True))
    pidfile = heir.share_pidfile(tmp_path / "x.pid")
    assert pidfile is not None
    with pytest.raises(SetupError, match="gone"):
        heir.claim()
    assert not pidfile.ours
    pidfile.remove()
    assert (tmp_path / "x.pid").exists()


def test_places_of_its_own_are_opened_elsewhere_and_the_old_ones_go_when_it_serves(
    estate: Estate, tmp_path: Path
) -> None:
    heir = heir_of(estate, Giver())
    assert heir.share_pidfile(tmp_path / "y.pid") is None
    assert heir.share_post(None, None) is None
    assert (tmp_path / "x.pid").exists()
    heir.claim()
    assert not (tmp_path / "x.pid").exists()
    assert not (tmp_path / "x.ctl").exists()


def test_one_that_gives_up_says_why_once(estate: Estate) -> None:
    giver = Giver()
    heir = heir_of(estate, giver)
    heir.give_up("bind: in use")
    heir.give_up("it has ended")
    assert giver.said == ["failed: bind: in use"]


def test_sessions_come_into_the_vault_each_for_its_worker_and_every_region_is_settled(estate: Estate) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        heir = heir_of(estate, Giver(), [[], [Kept(3, 30, b"note", sock.fileno())]])
    vault, diary = Vault(), Diary()
    heir.fill(vault, diary)
    assert vault.kept == {0: [], 1: [Entry(3, 30, b"note")]}
    assert vault.settled == [0, 1]
    assert diary.notes == [("taken-over", "process 1", 1)]
    assert heir.workers == 2


def test_where_only_the_listeners_can_be_used_that_is_told_to_both(estate: Estate) -> None:
    giver, diary = Giver(), Diary()
    estate.shared.regions[0].words[1] = 3
    heir = heir_of(estate, giver)
    vault = Vault()
    heir.fill(vault, diary)
    assert vault.kept == {}
    assert diary.notes[0][0] == "taken-partly"
    assert "another layout" in giver.said[0]


def test_what_another_proxy_has_left_is_refused_and_closed(estate: Estate) -> None:
    giver = Giver()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SetupError, match="that is udp-proxy TEST"):
        heir_of(estate, giver, name="OTHER")
    assert giver.said == ["failed: that is udp-proxy TEST"]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_the_monitor_s_socket_is_shared_if_it_is_the_one_that_is_wanted(estate: Estate) -> None:
    heir = heir_of(estate, Giver())
    assert heir.share_monitor(lambda _: None) is None


def own(_context: WorkerContext) -> ExitCode:
    return ExitCode.STOPPED


def other(_context: WorkerContext) -> ExitCode:
    return ExitCode.FROZEN


def refuse(_private: bytes) -> WorkerMain:
    raise SetupError("keys", "no key that is known")


def test_what_the_other_program_had_beside_is_understood_or_the_other_one_goes_on(estate: Estate) -> None:
    heir, diary = heir_of(estate, Giver()), Diary()
    assert heir.worker(own, None, diary) is own
    assert heir.worker(own, lambda _: other, diary) is other
    with pytest.raises(SetupError, match="no key that is known"):
        heir.worker(own, refuse, diary)
    assert diary.notes == []


def test_where_nobody_else_would_serve_what_is_not_understood_is_left_and_told(estate: Estate) -> None:
    heir, diary = heir_of(estate, Giver(goes_on=False)), Diary()
    assert heir.worker(own, refuse, diary) is own
    assert diary.notes == [("left-behind", "process 1", "keys: no key that is known")]
