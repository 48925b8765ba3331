"""Thousands of clients behind one client proxy's machine: all end in order, and nobody costs more for the others.

Through the real daemon: tests/interop/test_swarm.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.kit.retained import retained
from tests.kit.uftp_scene import CLIENT_PROXY, CLIENT_PROXY_UID, SERVER, SERVER_UID, make_cipher
from tests.kit.uftp_server import Server
from tests.kit.uftp_swarm import LOSER_EVERY, Swarm
from tests.kit.uftp_world import PRIVATE, PUBLIC, SECOND, ProxyNode, World, raw, settings_for
from workers.contract.uftp import Fact, Mode
from workers.uftp.actions import Arrival
from workers.uftp.machine import Machine

SWARM = raw("10.99.3.11")
FEW, MANY = 1_000, 10_000
GCM_ECDH = (6, 3, 3, 3)
BURST = 500


class Swarmers:
    """The swarm as a station of the world."""

    address = SWARM

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.swarm = Swarm(count)
        self._woken_ns: int | None = None

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        self.swarm.hear(datagram, self.world.now_ns)
        self._rouse()

    def _rouse(self) -> None:
        due_ns = self.swarm.next_ns()
        if due_ns is not None and (self._woken_ns is None or due_ns < self._woken_ns):
            self._woken_ns = due_ns
            self.world.at(due_ns, self._speak)

    def _speak(self) -> None:
        self._woken_ns = None
        for datagram in self.swarm.due(self.world.now_ns, BURST):
            self.world.send(SWARM, datagram, CLIENT_PROXY)
        self._rouse()


class Clocked:
    """A machine whose processor time is counted, in nanoseconds."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.used_ns = 0

    def receive(self, datagram: bytes, arrival: Arrival, now_ns: int) -> None:
        began_ns = time.thread_time_ns()
        self._machine.receive(datagram, arrival, now_ns)
        self.used_ns += time.thread_time_ns() - began_ns

    def expire(self, now_ns: int) -> None:
        began_ns = time.thread_time_ns()
        self._machine.expire(now_ns)
        self.used_ns += time.thread_time_ns() - began_ns

    def __getattr__(self, name: str) -> object:
        return getattr(self._machine, name)


@dataclass
class Run:
    """What came of a transfer."""

    swarm: Swarm
    server: Server
    machine: Clocked

    @property
    def cpu_us_per_client(self) -> float:
        return self.machine.used_ns / 1_000 / len(self.swarm.uids)


def transfer(count: int, spec: tuple[int, ...] | None) -> Run:
    """Send a file to so many clients behind one machine."""
    world = World(1)
    cipher = None if spec is None else make_cipher(*spec)
    swarmers = Swarmers(world, count)
    wanted = frozenset(swarmers.swarm.uids)
    server = Server(world, SERVER, SERVER_UID, wanted, block_bytes=1300, data=bytes(130_000), grtt_s=0.5, cipher=cipher)
    settings = settings_for(Mode.CLIENT, CLIENT_PROXY_UID, CLIENT_PROXY, log_level=1)
    node = ProxyNode(world, CLIENT_PROXY, settings)
    node.machine = Clocked(node.machine)
    world.add(server, "A")
    world.add(node, "C")
    world.add(swarmers, "C", groups=(PUBLIC, PRIVATE))
    # The machine hears its server by unicast: here nobody stands between them.
    plain_send = world.send
    world.send = lambda source, payload, to: plain_send(source, payload, CLIENT_PROXY if source == SERVER else to)
    server.start()
    assert world.run(120 * SECOND, lambda: swarmers.swarm.done)
    return Run(swarmers.swarm, server, node.machine)


@pytest.mark.parametrize("spec", [None, pytest.param(GCM_ECDH, marks=pytest.mark.night)], ids=["plain", "gcm"])
def test_ten_thousand_clients_end_in_order_and_cost_no_more_each_than_a_thousand(spec: tuple[int, ...] | None) -> None:
    few, many = transfer(FEW, spec), transfer(MANY, spec)
    for run in (few, many):
        everybody = set(run.swarm.uids)
        assert run.swarm.ready == run.swarm.complete == run.swarm.left == everybody
        assert run.server.complete == run.server.left == everybody
        assert run.swarm.data == run.server.data
        assert run.swarm.naks >= min(len(everybody) // LOSER_EVERY, len(run.server.blocks))
        assert run.machine.facts[Fact.CLIENTS] == len(everybody)
    print(f"CPU us a client: {few.cpu_us_per_client:.0f} of {FEW}, {many.cpu_us_per_client:.0f} of {MANY}")
    objects = retained(many.machine).total()
    print(f"objects a client: {objects / MANY:.1f}")
    assert many.cpu_us_per_client < 2 * few.cpu_us_per_client
    assert objects < 20 * MANY
