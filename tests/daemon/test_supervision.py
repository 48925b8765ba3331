"""Children that die, misbehave or hang, and what the parent makes of it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.daemon.frame import Frame, wait_for_end, wait_for_text


def test_a_killed_worker_is_replaced_and_its_queued_datagrams_are_served(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        clients = frame.clients_by_worker()
        victim, client = next(iter(clients.items()))
        os.kill(victim, signal.SIGSTOP)
        wait_for_text(Path(f"/proc/{victim}/status"), r"State:\s+T")
        for number in range(10):
            client.send(b"queued %d" % number)
        os.kill(victim, signal.SIGKILL)
        answers = [client.recv(1000) for _ in range(10)]
        processes = {int(answer.split()[0]) for answer in answers}
        assert [answer.split(maxsplit=1)[1] for answer in answers] == [b"queued %d" % number for number in range(10)]
        assert len(processes) == 1
        assert not processes & clients.keys()
        frame.wait_for_log("ended unexpectedly: killed by SIGKILL")


def test_the_other_workers_flows_stay_where_they_are_when_one_dies(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        clients = frame.clients_by_worker()
        (victim, lost), (other, kept) = clients.items()
        os.kill(victim, signal.SIGKILL)
        replacement = frame.ask(lost)
        assert frame.ask(kept) == other
        assert sorted(frame.children()) == sorted((other, replacement))


def test_an_unforeseen_error_in_a_worker_is_logged_with_its_traceback_and_the_worker_replaced(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        client = frame.client()
        first = frame.ask(client)
        client.send(b"!crash")
        assert frame.ask(client) != first
        frame.wait_for_log(r"UDPS-513-C Unforeseen error in worker \d: .*RuntimeError: told to crash")
        frame.wait_for_log(r"ended unexpectedly: exit status 1 \(crashed\)")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (b"!ready", "Ready is not permitted to a ready worker"),
        (b"!names", "Names is not permitted to a ready worker"),
        (b"!forge", "event 'terminating' is not a child's"),
    ],
)
def test_a_worker_that_breaks_the_contract_is_killed_and_replaced(tmp_path: Path, order: bytes, reason: str) -> None:
    with Frame(tmp_path).start() as frame:
        client = frame.client()
        first = frame.ask(client)
        client.send(order)
        wait_for_end(first)
        frame.wait_for_log("UDPS-512-C .*broke the contract and was killed: " + reason)
        frame.wait_for_log(rf"process {first}\) ended unexpectedly: killed by SIGKILL")
        assert {frame.ask(client), frame.ask(client)} & set(frame.children())


def test_a_dead_workers_sessions_are_free_again(tmp_path: Path) -> None:
    with Frame(tmp_path, max_sessions=1).start() as frame:
        client = frame.client()
        for _ in range(3):
            # The worker takes the only permit there is; without it, it would crash and not answer.
            holder = frame.ask(client, b"!permit")
            os.kill(holder, signal.SIGKILL)
        assert "Unforeseen" not in frame.log()


def test_too_many_deaths_end_the_proxy(tmp_path: Path) -> None:
    with Frame(tmp_path, respawn_count=2).start() as frame:
        children = frame.children()
        client = frame.client()
        for _ in range(3):
            os.kill(frame.ask(client), signal.SIGKILL)
        status, said = frame.wait()
        assert status == 70
        assert "too many terminated children" in said
        assert frame.log().count("UDPS-510-C Too many terminated children, terminating proxy") == 1
        assert "UDPS-722-K Listening sockets unbound" in frame.log()
        for child in children:
            wait_for_end(child)
        assert not frame.pidfile.exists()


def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        children = frame.children()
        frame.process.kill()
        for child in children:
            wait_for_end(child)
        assert not [child for child in children if Path(f"/proc/{child}/cwd").exists()]


def test_stop_ends_every_child_and_leaves_nothing(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        children = frame.children()
        frame.process.terminate()
        status, _ = frame.wait()
        assert status == 0
        assert not frame.pidfile.exists()
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
        messages = [line.split(": ", 1)[1][:10] for line in frame.log().splitlines()]
        assert messages[-2:] == ["UDPS-701-K", "UDPS-722-K"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((frame.address, 5300))


def test_a_worker_that_does_not_end_is_killed_after_a_bounded_wait(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        hanging = frame.children()[0]
        os.kill(hanging, signal.SIGSTOP)
        frame.process.terminate()
        status, _ = frame.wait()
        assert status == 0
        assert not Path(f"/proc/{hanging}").exists()


def test_a_worker_that_dies_while_another_is_replaced_is_replaced_too(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        clients = frame.clients_by_worker()
        for victim in clients:
            os.kill(victim, signal.SIGKILL)
        replacements = {frame.ask(client) for client in clients.values()}
        assert len(replacements) == 2
        assert not replacements & clients.keys()
