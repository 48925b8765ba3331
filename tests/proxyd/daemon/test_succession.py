"""A running program hands over: to a process of its own here, or to this one at the other end of the lane."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from proxyd.daemon.inventory import Bundle
from proxyd.daemon.lane import Coming, Failed, Lane, Serving, make_lane
from proxyd.daemon.succession import GRACE_NS, LEASH_NS, PATIENCE_NS, REST_NS, Stage, Succession
from tests.kit.readiness import is_readable

NOW = 10**12


@dataclass
class Workers:
    """Workers that rest after some looks at them."""

    looks: int = 0
    resumed: list[int] = field(default_factory=list)

    def rest(self, _now_ns: int) -> bool:
        self.looks -= 1
        return self.looks < 0

    def resume(self, now_ns: int) -> None:
        self.resumed.append(now_ns)


@dataclass
class Scene:
    succession: Succession
    workers: Workers
    other: Lane
    theirs: socket.socket

    def come_to(self, stage: Stage) -> None:
        while self.succession.stage is not stage:
            before = self.succession.stage
            self.succession.tend(NOW)
            assert self.succession.stage is not before or before is Stage.RESTING


def pack(leash: int) -> Bundle:
    return Bundle(b"list", (0, leash))


@pytest.fixture
def scene() -> Iterator[Scene]:
    ours, theirs = make_lane()
    workers = Workers(looks=2)
    succession = Succession(ours, os.getpid(), workers, pack, NOW)
    other = Lane(theirs)
    yield Scene(succession, workers, other, theirs)
    succession.close()
    other.close()


def test_nothing_is_handed_over_before_the_workers_rest_and_all_of_it_then(scene: Scene) -> None:
    for _ in range(2):
        scene.succession.tend(NOW)
        assert scene.other.receive() is None
        assert scene.succession.busy
    scene.succession.tend(NOW)
    bundle = scene.other.take(1)
    assert (bundle.manifest, len(bundle.descriptors)) == (b"list", 2)
    scene.succession.tend(NOW)
    assert scene.succession.stage is Stage.WAITING
    assert not scene.succession.busy
    for descriptor in bundle.descriptors:
        os.close(descriptor)


def test_a_successor_that_serves_has_taken_over(scene: Scene) -> None:
    scene.come_to(Stage.WAITING)
    scene.other.send(Coming("bound"))
    scene.other.send(Serving(4711))
    scene.come_to(Stage.TAKEN)
    assert scene.succession.remarks == ["bound"]
    assert scene.succession.over
    assert scene.workers.resumed == []
    scene.succession.tend(NOW + 10 * PATIENCE_NS)
    assert scene.succession.stage is Stage.TAKEN


def test_one_that_gives_up_is_quoted_and_the_workers_start_again_when_its_processes_are_gone(scene: Scene) -> None:
    scene.come_to(Stage.WAITING)
    bundle = scene.other.take(1)
    scene.other.send(Failed("bind [127.0.0.1]:53"))
    scene.succession.tend(NOW)
    assert (scene.succession.stage, scene.workers.resumed) == (Stage.UNDOING, [])
    for descriptor in bundle.descriptors:
        os.close(descriptor)
    scene.succession.tend(NOW + 1)
    assert (scene.succession.stage, scene.workers.resumed) == (Stage.UNDONE, [NOW + 1])
    assert scene.succession.why == "bind [127.0.0.1]:53"


def test_one_that_ends_without_a_word_is_noticed_at_once(scene: Scene) -> None:
    scene.come_to(Stage.WAITING)
    scene.theirs.shutdown(socket.SHUT_RDWR)
    scene.other.close()
    scene.come_to(Stage.UNDONE)
    assert "gone" in scene.succession.why
    assert scene.workers.resumed == [NOW]


def test_one_that_ends_before_anything_was_handed_over_costs_nothing(scene: Scene) -> None:
    scene.other.close()
    scene.succession.tend(NOW)
    assert (scene.succession.stage, scene.workers.resumed) == (Stage.UNDONE, [NOW])


def test_serving_before_anything_was_handed_over_is_a_breach(scene: Scene) -> None:
    scene.other.send(Serving(1))
    scene.succession.tend(NOW)
    assert scene.succession.stage is Stage.UNDONE
    assert "may not say" in scene.succession.why


def test_workers_that_do_not_come_to_rest_end_it_and_the_successor_is_told(scene: Scene) -> None:
    scene.workers.looks = 10**6
    scene.succession.tend(NOW)
    scene.succession.tend(NOW + REST_NS)
    assert scene.succession.stage is Stage.UNDONE
    with pytest.raises(Exception, match="do not come to rest"):
        scene.other.take(1)


def test_what_cannot_be_packed_ends_it() -> None:
    def fail(_leash: int) -> Bundle:
        raise OSError(24, "Too many open files")

    ours, theirs = make_lane()
    workers = Workers()
    succession = Succession(ours, os.getpid(), workers, fail, NOW)
    succession.tend(NOW)
    succession.tend(NOW)
    assert (succession.stage, workers.resumed) == (Stage.UNDONE, [NOW])
    assert "Too many open files" in succession.why
    succession.close()
    theirs.close()


# --- a successor with a process of its own ---------------------------------------------------------------------------


@dataclass
class Successor:
    """A process that takes a bundle, says what it is to say, and then holds all it has until it is killed."""

    succession: Succession
    workers: Workers
    process: int
    ended: int

    def wait(self) -> None:
        """Return when it has ended, within twenty seconds."""
        assert is_readable(self.ended, 20)

    def come_to(self, stage: Stage, now_ns: int) -> None:
        deadline = time.monotonic() + 20
        while self.succession.stage is not stage:
            assert time.monotonic() < deadline
            self.succession.tend(now_ns)
            select.select([self.succession], [], [], 0.01)


@pytest.fixture
def successor() -> Iterator[Successor]:
    ours, theirs = make_lane()
    ready, told = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(ready)
        ours.close()
        lane = Lane(theirs)
        lane.take(20)
        os.write(told, b"x")
        signal.pause()
        os._exit(0)
    theirs.close()
    os.close(told)
    workers = Workers()
    succession = Succession(ours, process, workers, pack, NOW)
    while not is_readable(ready, 0.01):
        succession.tend(NOW)
    succession.tend(NOW)
    ended = os.pidfd_open(process)
    yield Successor(succession, workers, process, ended)
    succession.close()
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    for descriptor in (ready, ended):
        os.close(descriptor)


def test_a_silent_one_is_killed_and_the_workers_start_again(successor: Successor) -> None:
    successor.succession.tend(NOW + PATIENCE_NS - 1)
    assert successor.succession.stage is Stage.WAITING
    successor.succession.tend(NOW + PATIENCE_NS)
    successor.wait()
    successor.come_to(Stage.UNDONE, NOW + PATIENCE_NS)
    assert successor.succession.why == "it says nothing for 30 s"
    assert len(successor.workers.resumed) == 1


def test_the_workers_start_again_only_when_no_process_of_a_dead_one_is_left(successor: Successor) -> None:
    os.kill(successor.process, signal.SIGSTOP)
    successor.succession.abandon("SIGTERM", NOW)
    os.kill(successor.process, signal.SIGKILL)
    successor.come_to(Stage.UNDONE, NOW)
    successor.wait()
    assert successor.workers.resumed == [NOW]


def test_a_process_that_cannot_be_got_rid_of_does_not_keep_us_for_ever() -> None:
    ours, theirs = make_lane()
    workers = Workers()
    succession = Succession(ours, os.getpid(), workers, pack, NOW)
    other = Lane(theirs)
    while succession.stage is not Stage.WAITING:
        succession.tend(NOW)
    bundle = other.take(1)
    other.send(Failed("why"))
    for moment in (NOW, NOW + GRACE_NS - 1):
        succession.tend(moment)
        assert succession.stage is Stage.UNDOING
    # Killing is only threatened with here: this very process holds the other end.
    os.close(bundle.descriptors[1])
    succession.tend(NOW + LEASH_NS)
    assert workers.resumed == [NOW + LEASH_NS]
    os.close(bundle.descriptors[0])
    succession.close()
    other.close()
