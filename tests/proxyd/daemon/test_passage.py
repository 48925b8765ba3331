"""The running program goes over into another run: it hands over, starts its successor, or lays everything up."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxyd.control import protocol
from proxyd.control.protocol import AskTakeover, AskUpgrade, Reply
from proxyd.daemon import takeover
from proxyd.daemon.asker import NOBODY, Asker
from proxyd.daemon.bequest import Legacy
from proxyd.daemon.control import Control, open_post
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.launch import Launch
from proxyd.daemon.notify import Notifier
from proxyd.daemon.passage import Hindrance, Means, Passage
from proxyd.daemon.pidfile import Pidfile
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.spawn import Estate
from proxyd.daemon.takeover import Giver
from proxyd.errors import SetupError
from tests.kit.readiness import is_readable
from tests.proxyd.daemon.diary import Diary
from tests.proxyd.daemon.estates import an_estate
from workers.contract.custody import Kept
from workers.contract.messages import NO_NAMES, Names

WAIT_S = 20
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
GOES_ON = "not upgraded, the running program goes on"


@dataclass
class Vault:
    """Keeps the same sessions for every worker."""

    sessions: tuple[Kept, ...] = ()

    def kept(self, _worker: int) -> tuple[Kept, ...]:
        return self.sessions


class Company:
    """A worker that rests as soon as it is asked to."""

    def __init__(self, vault: Vault) -> None:
        self.roster = Roster([Child(Role.WORKER, 0, State.READY, 7)], 1, 1)
        self.vault = vault
        self.names: Names | None = NO_NAMES

    def freeze(self, child: Child, _now_ns: int) -> bool:
        child.state, child.pid = State.DEAD, 0
        return True


@dataclass
class Scene:
    """A proxy whose loop is turned by hand."""

    estate: Estate
    company: Company
    diary: Diary
    means: Means
    epoll: select.epoll
    hindrance: Hindrance = field(default_factory=Hindrance)

    def __post_init__(self) -> None:
        self.passage = Passage(self.estate, self.company, self.diary, self.means, self.epoll, lambda: self.hindrance)
        assert self.estate.control is not None
        answers = {AskTakeover: self.passage.take_over, AskUpgrade: self.passage.upgrade}
        self.control = Control(
            self.estate.control,
            lambda request, asker: answers[type(request)](request, asker),  # type: ignore[arg-type]
            lambda _: None,
            self.diary,
        )

    def turn(self) -> Ending | None:
        now_ns = time.monotonic_ns()
        ending = self.passage.tend(now_ns)
        self.control.serve(now_ns)
        self.control.tend(now_ns)
        self.epoll.poll(0.005)
        return ending

    def turn_until(self, done: object) -> Ending | None:
        """Turn until a future is done, or the run ends."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            ending = self.turn()
            if ending is not None or (isinstance(done, Future) and done.done()):
                return ending
        raise AssertionError("nothing has come of it")

    def answer(self, replies: Iterator[Reply | None]) -> list[Reply]:
        """Take an answer to its end, a turn for each message that is not there yet."""
        found = []
        for reply in replies:
            if reply is None:
                self.turn()
            else:
                found.append(reply)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with an_estate(tmp_path / "log") as estate, socket.socket(type=socket.SOCK_DGRAM) as sock:
        estate.texts = {1: "text"}
        estate.pidfile = Pidfile.take(tmp_path / "x.pid")
        estate.control = open_post(tmp_path / "x.ctl", None)
        company = Company(Vault((Kept(0, 10, b"note", sock.fileno()),)))
        scene = Scene(estate, company, Diary(), Means(Notifier(), None, 0), select.epoll())
        yield scene
        scene.control.close()
        scene.epoll.close()
        estate.control.remove()
        estate.pidfile.remove()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def ask(scene: Scene, pool: ThreadPoolExecutor, name: str = "TEST") -> Future[tuple[Legacy, Giver]]:
    assert scene.estate.control is not None
    return pool.submit(takeover.ask, scene.estate.control.path, "udp-proxy", name)


def test_a_program_that_asks_is_given_everything_and_this_run_ends_when_it_serves(
    scene: Scene, pool: ThreadPoolExecutor
) -> None:
    asked = ask(scene, pool)
    assert scene.turn_until(asked) is None
    legacy, giver = asked.result()
    assert legacy.inventory.estate is not None
    assert [(item.worker, item.slot, item.note) for item in legacy.inventory.estate.sessions] == [(0, 0, b"note")]
    assert legacy.source.startswith(f"process {os.getpid()} ")
    assert scene.passage.under_way
    giver.serving()
    assert scene.turn_until(None) == Ending(ExitStatus.OK, f"process {os.getpid()} has taken over")
    assert scene.estate.pidfile is not None
    assert scene.estate.control is not None
    assert (scene.estate.pidfile.ours, scene.estate.control.ours) == (False, False)
    assert [note[0] for note in scene.diary.notes] == ["handing-over", "handed-over"]
    assert scene.passage.under_way, "nothing else is begun before this run ends"
    legacy.close_unused()
    scene.estate.pidfile.claim()
    scene.estate.control.claim()


def test_signals_are_passed_on_to_the_program_that_has_taken_over_and_to_nobody_before(
    scene: Scene, pool: ThreadPoolExecutor
) -> None:
    came: list[int] = []
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in PASSED_ON]
    asked = ask(scene, pool)
    scene.turn_until(asked)
    legacy, giver = asked.result()
    scene.passage.pass_on(PASSED_ON[0])
    giver.serving()
    scene.turn_until(None)
    scene.passage.pass_on(PASSED_ON[1])
    for number, handler in zip(PASSED_ON, before, strict=True):
        signal.signal(number, handler)
    assert came == [PASSED_ON[1]]
    legacy.close_unused()


def test_a_program_that_gives_up_leaves_everything_as_it_was(scene: Scene, pool: ThreadPoolExecutor) -> None:
    asked = ask(scene, pool)
    scene.turn_until(asked)
    legacy, giver = asked.result()
    assert scene.company.roster.held
    giver.failed("bind: in use")
    legacy.close_unused()
    deadline = time.monotonic() + WAIT_S
    while scene.passage.under_way and time.monotonic() < deadline:
        scene.turn()
    assert not scene.company.roster.held
    assert scene.company.roster.due(time.monotonic_ns())
    assert ("handover-undone", os.getpid(), "bind: in use") in scene.diary.notes
    assert scene.estate.pidfile is not None
    assert scene.estate.pidfile.path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("why", ["the proxy is draining", "udp-proxy TEST runs there, not udp-proxy OTHER"])
def test_who_cannot_take_over_is_told_why(scene: Scene, pool: ThreadPoolExecutor, why: str) -> None:
    scene.hindrance = Hindrance(leaving=why if "draining" in why else "")
    asked = ask(scene, pool, "TEST" if scene.hindrance.leaving else "OTHER")
    scene.turn_until(asked)
    with pytest.raises(SetupError, match=why):
        asked.result()
    assert not scene.passage.under_way
    assert not scene.company.roster.held


def test_only_root_and_who_started_it_may_take_over_and_only_over_a_lane(scene: Scene) -> None:
    wrong = Asker(1, 54321, frozenset())
    right = Asker(os.getpid(), os.geteuid(), frozenset())
    for asker, descriptor, why in (
        (wrong, None, "only root"),
        (right, None, "no lane"),
        (right, os.memfd_create("x"), "no socket"),
    ):
        asker.give(descriptor)
        (reply,) = scene.passage.take_over(AskTakeover("udp-proxy", "TEST"), asker)
        assert isinstance(reply, protocol.Refused)
        assert why in reply.why


def test_a_second_program_is_refused_while_the_first_is_served(scene: Scene, pool: ThreadPoolExecutor) -> None:
    asked = ask(scene, pool)
    scene.turn_until(asked)
    again = ask(scene, pool)
    scene.turn_until(again)
    with pytest.raises(SetupError, match="under way already"):
        again.result()
    legacy, giver = asked.result()
    giver.failed("late")
    legacy.close_unused()
    while scene.passage.under_way:
        scene.turn()


# --- upgrades --------------------------------------------------------------------------------------------------------


def upgrade(scene: Scene, program: str) -> list[Reply]:
    """Have a program upgraded to; return all that is answered."""
    scene.means.launch = Launch((sys.executable, "-I", "-c", f"import sys\n{program}"), "/", {})
    return scene.answer(scene.passage.upgrade(AskUpgrade(), NOBODY))


def test_an_upgrade_to_a_program_that_finds_mistakes_is_refused_in_its_words(scene: Scene) -> None:
    first, mistakes, last = upgrade(scene, "sys.exit('line 1\\nline 2' if '--check' in sys.argv else 0)")
    assert first == protocol.Step("the new program checks its configuration")
    assert mistakes == protocol.Mistakes(["line 1", "line 2"])
    assert last == protocol.Refused(f"{GOES_ON}: the new program does not take the configuration: 2 mistakes")
    assert scene.diary.notes == [
        ("upgrade-failed", "the new program does not take the configuration: 2 mistakes: line 1; line 2")
    ]
    assert not scene.passage.under_way


def test_an_upgrade_to_a_program_that_does_not_come_up_is_refused_in_its_words(scene: Scene) -> None:
    *_, last = upgrade(scene, "sys.exit(0 if '--check' in sys.argv else 'no such thing')")
    assert last == protocol.Refused(f"{GOES_ON}: the new program does not come up: no such thing")
    assert [note[0] for note in scene.diary.notes] == ["upgrade-started", "upgrade-failed"]
    assert not scene.passage.under_way


def test_an_upgrade_to_a_program_that_breaks_down_after_it_has_asked_is_told_in_its_last_words(scene: Scene) -> None:
    assert scene.estate.control is not None
    begin = "from pathlib import Path\nfrom proxyd.daemon import takeover\n'--check' in sys.argv and sys.exit()"
    asks = f"left = takeover.ask(Path('{scene.estate.control.path}'), 'udp-proxy', 'TEST')"
    *_, last = upgrade(scene, f"{begin}\n{asks}\nsys.stderr.write('it broke\\n')\nsys.exit(70)")
    assert last == protocol.Refused(f"{GOES_ON}: the new program does not come up: it broke")
    assert not scene.passage.under_way
    assert not scene.company.roster.held


def test_a_program_that_was_given_up_is_told_to_end_and_buried(scene: Scene) -> None:
    program = "import signal\n'--check' in sys.argv or signal.pause()"
    scene.means.launch = Launch((sys.executable, "-I", "-c", f"import sys\n{program}"), "/", {})
    replies = scene.passage.upgrade(AskUpgrade(), NOBODY)
    while not scene.diary.notes:
        next(replies)
        scene.turn()
    ((_, process),) = scene.diary.notes
    assert isinstance(process, int)
    scene.passage.abandon("it ends")
    ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_status == signal.SIGTERM, "or it could take over from the next run"
    scene.turn()
    with pytest.raises(ChildProcessError):
        os.waitpid(process, os.WNOHANG)


def test_an_upgrade_is_refused_where_it_cannot_be(scene: Scene) -> None:
    (reply,) = scene.answer(scene.passage.upgrade(AskUpgrade(), NOBODY))
    assert reply == protocol.Refused("it is not known how the program was started")
    scene.hindrance = Hindrance(leaving="the proxy is ending")
    (reply,) = scene.answer(scene.passage.upgrade(AskUpgrade(), NOBODY))
    assert reply == protocol.Refused("the proxy is ending")


# --- the service manager's store -------------------------------------------------------------------------------------


def test_where_there_is_no_store_the_end_comes_at_once(scene: Scene) -> None:
    assert not scene.passage.park("SIGTERM")


def test_a_proxy_that_ends_otherwise_lays_nothing_up_and_one_whose_children_are_renewed_does(
    scene: Scene, tmp_path: Path
) -> None:
    scene.means.notifier, scene.means.stored = Notifier(str(tmp_path / "nobody")), 100
    scene.hindrance = Hindrance(leaving="the proxy is draining")
    assert not scene.passage.park("SIGTERM")
    scene.hindrance = Hindrance(renewing="its children are being renewed")
    assert scene.passage.park("SIGTERM")


@pytest.mark.parametrize(
    ("room", "events", "messages"),
    [
        (100, [("laid-up", 1)], 2),
        (4, [("not-laid-up", "of 1 sessions there is room for 0"), ("laid-up", 0)], 2),
        (3, [("not-laid-up", "of 1 sessions there is room for 0")], 0),
    ],
)
def test_all_there_is_room_for_is_laid_up_before_the_end(
    scene: Scene, tmp_path: Path, room: int, events: list[tuple[object, ...]], messages: int
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        scene.means.notifier, scene.means.stored = Notifier(manager.getsockname()), room
        assert scene.passage.park("SIGTERM")
        assert not scene.passage.park("SIGTERM"), "the second time it is meant"
        assert scene.turn_until(None) == Ending(ExitStatus.OK, "SIGTERM")
        assert scene.diary.notes == events
        came = 0
        while is_readable(manager):
            _, descriptors, _, _ = socket.recv_fds(manager, 4096, 253)
            came += 1
            for descriptor in descriptors:
                os.close(descriptor)
        assert came == messages


def test_a_store_that_does_not_answer_costs_the_sessions_and_no_time(scene: Scene, tmp_path: Path) -> None:
    scene.means.notifier, scene.means.stored = Notifier(str(tmp_path / "nobody")), 100
    assert scene.passage.park("SIGTERM")
    assert scene.turn_until(None) == Ending(ExitStatus.OK, "SIGTERM")
    assert scene.diary.notes[0][0] == "not-laid-up"
