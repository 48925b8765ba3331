"""What a new generation needs, prepared beside the present one: all of it, or nothing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxyd.daemon import descriptors
from proxyd.daemon.reading import Reading
from proxyd.daemon.renewal import Means, Prepared, RefusedError, check, next_generation, prepare
from proxyd.daemon.session import land_on
from proxyd.daemon.spawn import Estate
from proxyd.errors import ProxydError, SetupError
from proxyd.logs.setup import Logs, open_logs
from tests.proxyd.daemon.estates import an_estate, own_listener
from workers.contract.settings import (
    AclSettings,
    Address,
    AuthSettings,
    ListenerSettings,
    LogSettings,
    MonitorSettings,
    QueueSettings,
    Settings,
    SourcePort,
    SourcePortMode,
)
from workers.contract.slots import SLOT, Counter

FORCED = AclSettings("F", accept=True, source_port=SourcePort(SourcePortMode.CLIENT))
"""A rule that needs all datagrams in one worker."""


def refuse(_settings: Settings) -> None:
    raise SetupError("show", "no place")


@dataclass
class Scene:
    """An estate, and what opens things for it."""

    estate: Estate
    logs: Logs
    means: Means

    def prepare(self, **fields: object) -> Prepared:
        settings = dataclasses.replace(self.estate.settings, **fields)  # type: ignore[arg-type]
        return prepare(self.estate, Reading(settings), self.means, self.logs)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    def open_them(settings: Settings) -> Logs:
        return open_logs(settings, foreground=False, ident="TEST")

    with an_estate(tmp_path / "log") as estate:
        logs = open_them(estate.settings)
        yield Scene(estate, logs, Means(lambda: Reading(estate.settings), open_them, land_on))
        logs.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many


def test_where_nothing_changes_everything_goes_on_as_it_is(scene: Scene) -> None:
    before = open_files()
    prepared = scene.prepare()
    assert open_files() == before
    assert prepared.settings == dataclasses.replace(scene.estate.settings, generation=2)
    assert prepared.landing is not None
    assert prepared.landing.sockets == scene.estate.listeners
    assert (prepared.logs, prepared.monitoring, prepared.users, prepared.rates) == (None, None, None, None)


@pytest.mark.parametrize("count", [1, 2])
def test_a_generation_gets_a_number_that_no_session_has(scene: Scene, count: int) -> None:
    scene.estate.settings = dataclasses.replace(scene.estate.settings, generation=0xFFFF)
    scene.estate.earlier = dict.fromkeys(range(count), scene.estate.settings)
    assert next_generation(scene.estate) == 0x10000 + count


def test_what_cannot_change_is_refused_before_anything_is_opened(scene: Scene) -> None:
    before = open_files()
    with pytest.raises(RefusedError) as caught:
        scene.prepare(app_user="x", chroot_dir="/", listeners=(own_listener(),))
    assert len(caught.value.lines) == 2
    assert open_files() == before


def test_where_one_step_fails_nothing_of_the_steps_before_it_stays_open(scene: Scene, tmp_path: Path) -> None:
    fresh = own_listener()
    changes = {"listeners": (fresh,), "debug_log": LogSettings(file=str(tmp_path / "none" / "log"))}
    before = open_files()
    for _ in range(2):
        with pytest.raises(SetupError, match="log-debug"):
            scene.prepare(**changes)
        assert open_files() == before, "and the listener is free again"


def test_a_monitor_that_cannot_be_had_is_told_and_the_new_log_is_closed_again(scene: Scene, tmp_path: Path) -> None:
    scene.means = dataclasses.replace(scene.means, monitoring=refuse)
    scene.prepare()
    before = open_files()
    with pytest.raises(ProxydError, match="no place"):
        scene.prepare(
            monitor=MonitorSettings(path=str(tmp_path / "x")), debug_log=LogSettings(file=str(tmp_path / "other"))
        )
    assert open_files() == before


def test_logs_are_opened_anew_only_where_they_are_others(scene: Scene, tmp_path: Path) -> None:
    level = dataclasses.replace(scene.estate.settings.debug_log, level=9)
    assert scene.prepare(debug_log=level).logs is None
    prepared = scene.prepare(debug_log=LogSettings(file=str(tmp_path / "other")))
    assert prepared.logs is not None
    prepared.logs.close()


def test_buckets_are_made_anew_where_queues_have_changed(scene: Scene) -> None:
    first = scene.prepare(queues=(QueueSettings("Q", rate_bps=8),))
    assert first.rates is not None
    scene.estate.settings, scene.estate.shared.rates = first.settings, first.rates
    assert scene.prepare().rates is first.rates
    assert scene.prepare(queues=()).rates is None
    first.rates.unmap()


def test_users_are_read_before_anybody_asks_for_them(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("10.0.0.1\tjane\n")
    prepared = scene.prepare(auth=AuthSettings("OOB", str(path)))
    assert prepared.users is not None
    assert [entry[2] for part in prepared.users.parts for entry in part.entries] == ["jane"]


def test_what_is_worth_a_warning_is_noted(scene: Scene) -> None:
    scene.means = dataclasses.replace(scene.means, descriptors=lambda _settings, _workers: 1 << 62)
    notes = scene.prepare(foreground=not scene.estate.settings.foreground).notes
    assert any("open files are permitted" in note for note in notes)
    assert any("'nodaemon' counts from the next start on" in note for note in notes)
    assert descriptors.needed(scene.estate.settings, 1) < 1 << 62


@pytest.mark.parametrize(("workers", "rules"), [(1, ()), (2, ()), (2, (FORCED,))])
def test_where_the_kernel_gives_clients_to_other_workers_their_sessions_are_to_follow(
    tmp_path: Path, workers: int, rules: tuple[AclSettings, ...]
) -> None:
    wild = ListenerSettings(Address(4, 0), 0)
    with an_estate(tmp_path / "log", workers=workers, listeners=(wild,), acls=rules) as estate:
        port = estate.listeners[0][0].getsockname()[1]
        wide, narrow = ListenerSettings(Address(4, 0), port), ListenerSettings(Address(4, 127 << 24 | 1), port)
        estate.settings = dataclasses.replace(estate.settings, listeners=(wide,))
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        means = Means(lambda: Reading(estate.settings), lambda _: logs, land_on)
        reading = Reading(dataclasses.replace(estate.settings, listeners=(wide, narrow)))
        prepared = prepare(estate, reading, means, logs)
        assert not [note for note in prepared.notes if "may begin a new session" in note]
        assert (prepared.resettling is not None) == (workers > 1)
        assert prepared.settings.workers == workers
        for made in (prepared.landing, prepared.resettling):
            if made is not None:
                made.undo()
        logs.close()


def test_beside_another_program_nobody_is_resettled_and_that_is_told(tmp_path: Path) -> None:
    wild = ListenerSettings(Address(4, 0), 0)
    with an_estate(tmp_path / "log", workers=2, listeners=(wild,)) as estate:
        port = estate.listeners[0][0].getsockname()[1]
        wide, narrow = ListenerSettings(Address(4, 0), port), ListenerSettings(Address(4, 127 << 24 | 1), port)
        estate.settings = dataclasses.replace(estate.settings, listeners=(wide,))
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        means = Means(lambda: Reading(estate.settings), lambda _: logs, land_on)
        wanted = dataclasses.replace(estate.settings, listeners=(wide, narrow))
        prepared = prepare(estate, Reading(wanted), means, logs, alone=False)
        assert prepared.resettling is None
        assert [note for note in prepared.notes if "may begin a new session" in note]
        assert prepared.landing is not None
        prepared.landing.undo()
        with pytest.raises(SetupError, match="another program has the listening sockets"):
            prepare(estate, Reading(dataclasses.replace(wanted, workers=3)), means, logs, alone=False)
        logs.close()


def test_another_number_of_workers_is_prepared_or_the_reason_told_why_it_stays(scene: Scene) -> None:
    before = open_files()
    prepared = scene.prepare(workers=3)
    assert prepared.settings.workers == 3
    assert prepared.resettling is not None
    assert prepared.resettling.workers == 3
    prepared.resettling.undo()
    assert open_files() == before
    scene.estate.earlier = {9: dataclasses.replace(scene.estate.settings, acls=(FORCED,))}
    region = scene.estate.shared.regions[0]
    region.words[Counter.TOP] = 1
    SLOT.pack_into(region.memory, region.offset(0), 1, 0, 0, 4, 0, 7, *(0,) * 9, 0, 9, *(b"",) * 4)
    prepared = scene.prepare(workers=3)
    assert (prepared.settings.workers, prepared.resettling) == (1, None)
    assert any("'workers' counts from the next start on: sessions that began" in note for note in prepared.notes)


@pytest.mark.parametrize("workers", [1, 2])
def test_rules_that_need_one_worker_may_come_but_not_with_a_new_program(tmp_path: Path, workers: int) -> None:
    with an_estate(tmp_path / "log", workers=workers) as estate:
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        means = Means(lambda: Reading(estate.settings), lambda _: logs, land_on)
        reading = Reading(dataclasses.replace(estate.settings, acls=(FORCED,)))
        prepared = prepare(estate, reading, means, logs)
        assert (prepared.resettling is not None) == (workers > 1)
        if prepared.resettling is not None:
            prepared.resettling.undo()
            with pytest.raises(SetupError, match="other workers are to hear it; reload before"):
                prepare(estate, reading, means, logs, alone=False)
        logs.close()


def test_rules_that_several_workers_cannot_go_on_with_are_refused_whoever_asks(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log", workers=2, acls=(FORCED,)) as estate:
        region = estate.shared.regions[1]
        region.words[Counter.TOP] = 1
        SLOT.pack_into(region.memory, region.offset(0), 1, 0, 0, 4, 0, 7, *(0,) * 9, 0, 1, *(b"",) * 4)
        with pytest.raises(SetupError, match="need all their clients' datagrams in one worker; when they have ended"):
            check(estate, Reading(dataclasses.replace(estate.settings, acls=())))
        region.words[Counter.TOP] = 0
        assert check(estate, Reading(dataclasses.replace(estate.settings, acls=())))


def test_where_something_else_fails_nothing_that_more_workers_need_stays_open(scene: Scene, tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(SetupError, match="log-debug"):
        scene.prepare(workers=4, debug_log=LogSettings(file=str(tmp_path / "none" / "log")))
    assert open_files() == before
