"""A real worker that freezes, is killed, or ends before it has begun: what it leaves to the next one."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from tests.kit.traffic import address, both_paths, close_all, forward_to, listen, udp
from tests.kit.worker_runner import RunningWorker, serving
from tests.workers.forked import in_child
from workers.contract.backlog import Backlog, Waited
from workers.contract.channel import open_channel
from workers.contract.context import WorkerContext
from workers.contract.custody import open_custody
from workers.contract.messages import Freeze, Level, Looked, Names, Users
from workers.contract.settings import HostCondition, HostList, HostMember, HostPattern, SessionKind
from workers.contract.slots import CloseReason, Counter, DropReason, Region
from workers.loop import Worker
from workers.wire import sockaddr

pytestmark = both_paths


# --- frozen ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SessionKind)
def test_a_frozen_worker_leaves_its_sessions_to_the_next_one_the_youngest_too(fast_path, kind):
    with udp() as server, udp() as client, udp() as newcomer:
        settings, sockets = listen((forward_to(server.getsockname(), kind),), fast_path=fast_path)
        try:
            first = RunningWorker(settings, sockets)
            client.sendto(b"one", first.to[0])
            _, proxys = server.recvfrom(100)
            first.freeze()
            assert first.count(Counter.SESSIONS) == 1
            assert [(slot, kept.opened_ns) for slot, kept in first.kept.items()] == first.open_slots()
            client.sendto(b"two", first.to[0])
            newcomer.sendto(b"hello", first.to[0])
            with RunningWorker(settings, sockets, before=first) as second:
                assert server.recvfrom(100) == (b"two", proxys)
                assert server.recvfrom(100)[0] == b"hello"
                assert second.wait_for("sessions-taken-over")[0].fields == (1,)
                second.until(lambda: second.count(Counter.SESSIONS) == 2)
                assert [slot for slot, _ in second.open_slots()][:1] == [0]
            assert second.count(Counter.SESSIONS_OPENED) == 2
            assert second.closes == {CloseReason.SHUTDOWN: 2}
            assert second.permits_left == settings.max_sessions
        finally:
            close_all(sockets)


def test_a_frozen_workers_counts_are_exact_and_nothing_is_in_doubt(fast_path):
    with udp() as server, udp() as client:
        settings, sockets = listen((forward_to(server.getsockname()),), fast_path=fast_path)
        try:
            worker = RunningWorker(settings, sockets)
            for number in range(7):
                client.sendto(b"%d" % number, worker.to[0])
                server.recvfrom(100)
            worker.freeze()
            assert worker.datagrams_in(0) == (0, 7)
            assert worker.count(Counter.SWEPT) == 0
            assert worker.count(Counter.FORWARDED_OUT) == 7
            RunningWorker(settings, sockets, before=worker).stop()
        finally:
            close_all(sockets)


@pytest.mark.parametrize("answered", [True, False])
def test_who_waits_for_a_name_has_a_last_chance_when_the_worker_freezes(fast_path, answered):
    named = (HostCondition(HostList((HostMember(HostPattern("good")),))),)
    with udp() as server, udp() as client:
        rule = replace(forward_to(server.getsockname()), sources=named)
        settings, sockets = listen((rule,), fast_path=fast_path)
        try:
            worker = RunningWorker(settings, sockets)
            client.sendto(b"hello", worker.to[0])
            asked = worker.wait_for_question()
            worker.freeze(*[Looked(asked.worker, asked.version, asked.value, "good.example", 60)] * answered)
            assert worker.count(Counter.SESSIONS) == len(worker.kept) == answered
            assert worker.drops_out == ({} if answered else {DropReason.NAME_PENDING: 1})
            if answered:
                assert server.recv(100) == b"hello"
            RunningWorker(settings, sockets, before=worker).stop()
        finally:
            close_all(sockets)


# --- killed ----------------------------------------------------------------------------------------------------------


def test_a_session_is_entrusted_when_it_has_lived_for_a_moment_and_another_worker_goes_on(fast_path):
    with udp() as server, udp() as client:
        settings, sockets = listen((forward_to(server.getsockname()),), fast_path=fast_path)
        try:
            worker = RunningWorker(settings, sockets)
            client.sendto(b"one", worker.to[0])
            _, proxys = server.recvfrom(100)
            worker.until(lambda: worker.hear_custody() == 1)
            worker.kill()
            with RunningWorker(settings, sockets, before=worker) as second:
                client.sendto(b"two", second.to[0])
                assert server.recvfrom(100) == (b"two", proxys)
            assert second.permits_left == settings.max_sessions
        finally:
            close_all(sockets)


def test_the_shared_memory_says_how_far_it_can_be_believed(fast_path):
    with udp() as server, udp() as client, serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
        client.sendto(b"one", worker.to[0])
        worker.until(lambda: worker.count(Counter.SWEPT) > worker.open_slots()[0][1] if worker.open_slots() else False)
        assert worker.count(Counter.SWEPT) <= worker.count(Counter.PUBLISHED)


# --- before the names have come --------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [Names({}, False, True), Users(True, True, []), Level(7)])
@pytest.mark.parametrize("ending", ["stopped", "frozen"])
def test_a_worker_that_ends_before_its_names_arrive_lets_nobody_in_and_counts_what_waited(fast_path, said, ending):
    with udp() as server:
        settings, sockets = listen((forward_to(server.getsockname()),), fast_path=fast_path)
        told, wakeup = os.pipe()
        region, backlog = Region.create("test", 10), Backlog("test")
        pool, custody = os.eventfd(10, os.EFD_SEMAPHORE | os.EFD_NONBLOCK), open_custody()
        for payload in (b"one", b"two"):
            backlog.add(Waited(0, sockaddr.encode(address("127.0.0.1"), 9), b"", payload))
        backlog.seal()
        ours, theirs = open_channel()
        ours.send(said)
        if ending == "frozen":
            ours.send(Freeze())
        else:
            os.write(wakeup, bytes([signal.SIGTERM]))
        context = WorkerContext(
            0, settings, sockets, theirs, region, pool, told, 7, None, custody=custody[1], backlog=os.dup(backlog.fd)
        )
        try:
            assert in_child(lambda: Worker(context).serve().name) == ending.upper()
            words = region.words
            assert words[Counter.RECEIVED_OUT] == words[Counter.DROPS_OUT + DropReason.DRAINING] == 2
            assert (words[Counter.SESSIONS_OPENED], words[Counter.DRAINING]) == (0, 0)
        finally:
            backlog.close()
            for fd in (told, wakeup, pool):
                os.close(fd)
            close_all((*sockets, *custody, ours, theirs))
