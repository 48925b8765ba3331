"""The worker in a process of its own, and what it is held to."""

from __future__ import annotations

import signal

import pytest

from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import forward_to, network_of_its_own, udp
from tests.kit.worker_runner import serving
from workers.contract.slots import Counter


def test_a_worker_forwards_logs_counts_and_stops():
    with udp() as server, udp() as client:
        with serving(forward_to(server.getsockname()), max_sessions=3) as worker:
            client.sendto(b"x", worker.to[0])
            assert server.recv(10) == b"x"
            (record,) = worker.wait_for("session-start")
        assert record.track == 1
        assert worker.count(Counter.RECEIVED_OUT) == worker.count(Counter.FORWARDED_OUT) == 1
        assert worker.permits_left == 3


def test_a_worker_that_does_not_end_as_told_fails_its_test():
    with pytest.raises(AssertionError, match="the worker ended with -9"), serving() as worker:
        worker.signal(signal.SIGKILL)


def test_what_a_worker_does_not_say_is_not_waited_for_for_ever():
    with serving() as worker, pytest.raises(TimeoutError, match="not said by the worker"):
        worker.wait_for("level", within_s=0)


@requires_namespaces
def test_a_worker_serves_in_a_network_of_its_own():
    with (
        network_of_its_own() as place,
        udp(place=place) as server,
        udp(place=place) as client,
        serving(forward_to(server.getsockname()), place=place) as worker,
    ):
        client.sendto(b"x", worker.to[0])
        assert server.recv(10) == b"x"
