"""Reloads with real children: what they are forked with afterwards, and what is told of it."""

from __future__ import annotations

import dataclasses
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxyd.daemon.crew import Crew
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Outcome, Reloader
from proxyd.daemon.renewal import Means
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.session import land_on
from proxyd.daemon.spawn import Estate, Spawner
from proxyd.daemon.turnstile import ALONE_NS
from proxyd.errors import ConfigError, ConfigErrors, Position, ProxydError
from proxyd.logs.relay import Relay
from proxyd.logs.setup import Logs, open_logs
from tests.proxyd.daemon.estates import an_estate, own_listener
from workers.contract.context import WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Freeze, LogBatch, LogRecord
from workers.contract.settings import Settings
from workers.contract.slots import SLOT, Counter

TIMEOUT_S = 10


def serve(context: WorkerContext) -> ExitCode:
    """Say with what this worker was forked, and leave when asked to."""
    settings = context.settings
    earlier = sorted(context.earlier)
    text = f"generation {settings.generation}, {len(context.listeners)} listeners, retired {context.retired}, {earlier}"
    context.channel.send(LogBatch([LogRecord("state", 0, (text,))], 0))
    context.region.words[Counter.TURNS] += 1
    while True:
        ready, _, _ = select.select([context.wakeup, context.channel], [], [])
        if context.wakeup in ready:
            return ExitCode.STOPPED
        if isinstance(context.channel.receive(), Freeze):
            return ExitCode.FROZEN


@dataclass
class Yard:
    """A crew of two workers, its reloader, and what the next reading brings."""

    estate: Estate
    logs: Logs
    path: Path
    wanted: Reading | ProxydError = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = Reading(self.estate.settings)
        relay = Relay(self.logs)
        self.epoll = select.epoll()
        self.roster = Roster([Child(Role.WORKER, 0), Child(Role.WORKER, 1)], 30, 60 * 10**9)
        spawner = Spawner(self.estate, serve)
        deliver = lambda batch, process: relay.deliver(batch, process, time.monotonic_ns())  # noqa: E731
        self.crew = Crew(self.roster, spawner, self.estate.shared, self.logs, deliver, self.epoll)
        means = Means(self.read, lambda settings: open_logs(settings, False, "TEST"), land_on)
        self.reloader = Reloader(self.estate, self.crew, spawner, self.logs, means)

    def read(self) -> Reading:
        if isinstance(self.wanted, ProxydError):
            raise self.wanted
        return self.wanted

    def want(self, **fields: object) -> None:
        self.wanted = Reading(dataclasses.replace(self.estate.settings, **fields))  # type: ignore[arg-type]

    def turn_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < deadline, self.text()
            self.reloader.step(time.monotonic_ns())
            self.crew.start_due(time.monotonic_ns())
            self.crew.hand_out()
            for descriptor, _ in self.epoll.poll(0.005):
                self.crew.receive(descriptor)
            self.crew.reap(time.monotonic_ns())

    def reload(self, **fields: object) -> Outcome:
        if fields:
            self.want(**fields)
        number = self.reloader.ask()
        self.turn_until(lambda: self.reloader.result(number) is not None)
        outcome = self.reloader.result(number)
        assert outcome is not None
        return outcome

    def text(self) -> str:
        self.logs.flush()
        return self.path.read_text()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with an_estate(tmp_path / "log", workers=2) as estate:
        yard = Yard(estate, open_logs(estate.settings, foreground=False, ident="TEST"), tmp_path / "log")
        yard.turn_until(lambda: all(child.state is State.READY for child in yard.roster.children))
        yield yard
        yard.crew.stop()
        yard.crew.signal_all(signal.SIGKILL)
        yard.turn_until(lambda: not yard.roster.alive)
        yard.logs.close()
        yard.epoll.close()


def seat(estate: Estate, worker: int, *, listener: int, generation: int) -> None:
    """Let a worker's region show one session."""
    region = estate.shared.regions[worker]
    region.words[Counter.TOP] = 1
    SLOT.pack_into(region.memory, region.offset(0), 1, 1, 0, 4, listener, 7, *(0,) * 9, 0, generation, *(b"",) * 4)


def workers_of(yard: Yard) -> list[str]:
    return [child.name for child in yard.roster.children if child.state is State.READY]


def test_there_are_more_workers_or_fewer_after_a_reload_all_of_the_new_generation(yard: Yard) -> None:
    for generation, count in ((2, 4), (3, 1), (4, 2)):
        begun = len(yard.text())
        before = len(yard.estate.listeners)
        outcome = yard.reload(workers=count)
        assert (outcome.generation, outcome.mistakes, outcome.notes) == (generation, (), ())
        assert workers_of(yard) == [f"worker {index}" for index in range(count)]
        assert len(yard.estate.listeners) == len(yard.estate.shared.regions) == yard.estate.settings.workers == count
        assert yard.estate.backlogs == {}
        said = yard.text()[begun:]
        assert f"UDPS-775-K Workers: {before} before, now {count};" in said
        assert said.count(f"generation {generation}, 1 listeners") == count
        assert "ended unexpectedly" not in said


def test_where_no_name_has_to_be_asked_for_workers_rest_together(yard: Yard) -> None:
    yard.want(workers=3)
    number = yard.reloader.ask()
    yard.turn_until(lambda: yard.roster.held)
    yard.turn_until(lambda: yard.reloader.result(number) is not None)
    assert not yard.roster.held


def test_it_reloads_by_itself_once_when_something_holds(yard: Yard) -> None:
    turns = []
    yard.want(workers=1)
    yard.reloader.ask_once(lambda: len(turns) > 3)
    yard.turn_until(lambda: turns.append(0) is None and len(turns) > 3)
    assert yard.estate.settings.generation == 1
    yard.turn_until(lambda: yard.reloader.outcome is not None)
    assert workers_of(yard) == ["worker 0"]
    for _ in range(5):
        yard.reloader.step(time.monotonic_ns())
    assert yard.estate.settings.generation == 2


def test_nothing_begins_before_there_is_time_for_it(yard: Yard) -> None:
    yard.want(max_sessions=20)
    number = yard.reloader.ask()
    assert (yard.reloader.running, yard.reloader.result(number), yard.estate.settings.generation) == (False, None, 1)
    yard.turn_until(lambda: yard.reloader.result(number) is not None)
    assert yard.estate.settings.generation == 2


def test_while_another_program_has_the_sockets_too_a_reload_waits_but_not_for_ever(yard: Yard) -> None:
    shared = True
    yard.reloader.share_until(lambda: not shared)
    number = yard.reloader.ask()
    now_ns = time.monotonic_ns()
    for later_ns in (0, ALONE_NS - 1):
        yard.reloader.step(now_ns + later_ns)
        assert yard.estate.settings.generation == 1
    shared = False
    yard.turn_until(lambda: yard.reloader.result(number) is not None)
    shared = True
    yard.reloader.ask()
    for later_ns in (0, ALONE_NS):
        yard.reloader.step(now_ns + later_ns)
    assert yard.reloader.running


def test_a_worker_that_dies_before_it_can_rest_is_one_of_the_new_ones(yard: Yard) -> None:
    yard.want(workers=3)
    number = yard.reloader.ask()
    yard.reloader.step(time.monotonic_ns())
    yard.crew.signal_all(signal.SIGKILL)
    yard.turn_until(lambda: yard.reloader.result(number) is not None)
    assert workers_of(yard) == ["worker 0", "worker 1", "worker 2"]


def test_every_worker_is_forked_anew_with_the_next_generation(yard: Yard) -> None:
    before = {child.pid for child in yard.roster.children}
    outcome = yard.reload(max_sessions=20)
    assert (outcome.generation, outcome.mistakes) == (2, ())
    assert not before & {child.pid for child in yard.roster.children}
    assert yard.text().count("generation 2, 1 listeners, retired 0, [1]") == 2
    assert "UDPS-770-K Configuration read again: generation 2, children to renew: 2" in yard.text()
    assert "UDPS-771-K Generation 2 serves" in yard.text()
    assert "ended unexpectedly" not in yard.text()
    assert [region.slot_count for region in yard.estate.shared.regions] == [20, 20]


def test_mistakes_change_nothing_and_are_told(yard: Yard) -> None:
    before = [child.pid for child in yard.roster.children]
    yard.wanted = ConfigErrors([ConfigError(Position("f", line, 1), "", "found x", "") for line in (1, 2)])
    outcome = yard.reload()
    assert outcome.mistakes == ("f:1:1: found x", "f:2:1: found x")
    assert (outcome.generation, yard.reloader.outcome) == (1, outcome)
    assert [child.pid for child in yard.roster.children] == before
    assert yard.text().count("CFGP-300-E f:") == 2
    assert "UDPS-772-E Not reloaded: 2 mistakes; generation 1 goes on" in yard.text()


def test_without_a_way_to_read_again_that_is_told(yard: Yard) -> None:
    yard.reloader = Reloader(yard.estate, yard.crew, Spawner(yard.estate, serve), yard.logs, None)
    assert yard.reload().mistakes[0].startswith("reload: there is no way")


def test_who_asks_while_one_is_under_way_gets_the_next_one_together_with_others(yard: Yard) -> None:
    first = yard.reloader.ask()
    yard.reloader.step(time.monotonic_ns())
    second, third = yard.reloader.ask(), yard.reloader.ask()
    assert yard.reloader.result(first) is None
    yard.turn_until(lambda: yard.reloader.result(third) is not None)
    results = [yard.reloader.result(number) for number in (first, second, third)]
    assert [result and result.generation for result in results] == [2, 3, 3]


def test_generations_are_kept_as_long_as_sessions_have_them(yard: Yard) -> None:
    seat(yard.estate, 0, listener=0, generation=1)
    yard.estate.shared.regions[0].words[Counter.SESSIONS] = 1
    yard.reload()
    # The worker has left its session to nobody, so it is over with it.
    assert yard.estate.earlier == {}
    yard.reload()
    assert set(yard.estate.texts) == {3}


def test_a_vanished_listener_is_closed_when_it_has_no_session(yard: Yard) -> None:
    before, fresh = yard.estate.settings.listeners, own_listener()
    yard.reload(listeners=(fresh,))
    assert (yard.estate.extra, yard.estate.retired) == (before, 1)
    assert "generation 2, 2 listeners, retired 1" in yard.text()
    yard.turn_until(lambda: "UDPS-774-K No longer listening" in yard.text())
    assert (yard.estate.extra, yard.estate.retired, [len(group) for group in yard.estate.listeners]) == ((), 0, [1, 1])
    assert yard.text().count("generation 2, 1 listeners, retired 0") == 2


def test_a_vanished_listener_stays_while_it_has_a_session(yard: Yard) -> None:
    yard.reload(listeners=(own_listener(),))
    seat(yard.estate, 1, listener=1, generation=1)
    yard.reloader.step(time.monotonic_ns())
    assert yard.estate.retired == 1
    assert not yard.reloader.running


def test_a_rehearsal_changes_nothing(yard: Yard) -> None:
    yard.want(max_sessions=3)
    assert yard.reloader.examine().settings.max_sessions == 3
    assert yard.estate.settings.max_sessions == 10
    yard.want(chroot_dir="/")
    with pytest.raises(ProxydError, match="chroot-dir"):
        yard.reloader.examine()


def test_a_resolver_comes_with_names_and_goes_with_them(yard: Yard) -> None:
    yard.wanted = Reading(settings_with(yard, conf_timeout_ns=1), names=("nowhere.invalid",))
    assert yard.reload().mistakes == ()
    assert [child.name for child in yard.roster.children] == ["worker 0", "worker 1", "resolver"]
    yard.want()
    yard.reload()
    assert [child.name for child in yard.roster.children] == ["worker 0", "worker 1"]


def settings_with(yard: Yard, **fields: object) -> Settings:
    resolver = dataclasses.replace(yard.estate.settings.resolver, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(yard.estate.settings, resolver=resolver)
