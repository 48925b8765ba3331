"""Ten thousand clients in one process behind our proxies, and the original server on the other side.

Through the machine alone, where a client's cost is compared with that of fewer: tests/property/test_uftp_swarm.py.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from scripts.benchmark.meter import cpu_ns, family_of, memory
from tests.interop.scene import CHAIN, OURS, PRIVATE, PUBLIC, Scene, start_chain
from tests.kit.readiness import is_readable
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.uftp_swarm import Swarm

pytestmark = [requires_program("uftp"), pytest.mark.alone, pytest.mark.timeout(300)]
PORT = 1044
FEW, MANY = 1_000, 10_000
BURST = 100
LIMIT_S = 200
PATIENT = ("-r", "1:1:15", "-s", "50")
"""Set-up may take 50 s: one process makes all clients' keys, on the proxies' own cores."""
BUFFER_BYTES = 16 << 20
SO_RCVBUFFORCE = 33
GCM = ("-Y", "aes256-gcm", "-h", "sha256", "-e", "ecdh_ecdsa:prime256v1", "-K", "prime256v1")
PRIME = ("-K", "ec:prime256v1")


def open_socket(scene: Scene) -> socket.socket:
    """Return the swarm's socket: a member of both multicast groups on LAN 3."""
    sock = scene.lans["client1"].socket()
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.bind(("", PORT))
    here = socket.inet_aton(scene.lans.address4("client1", 3))
    for group in (PUBLIC, PRIVATE):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + here)
    sock.setblocking(False)
    return sock


def carry(swarm: Swarm, sock: socket.socket, proxy: tuple[str, int]) -> None:
    """Carry datagrams between swarm and proxy until every client has left, LIMIT_S at most."""
    give_up_ns = time.monotonic_ns() + LIMIT_S * 1_000_000_000
    while not swarm.done:
        now_ns = time.monotonic_ns()
        assert now_ns < give_up_ns, f"{len(swarm.ready)} ready, {len(swarm.complete)} complete, {len(swarm.left)} left"
        due_ns = swarm.next_ns()
        wait_ns = 1_000_000_000 if due_ns is None else max(due_ns - now_ns, 0)
        if is_readable(sock, min(wait_ns / 1e9, 1)):
            for _ in range(BURST):
                try:
                    swarm.hear(sock.recv(65536), time.monotonic_ns())
                except BlockingIOError:
                    break
        for datagram in swarm.due(time.monotonic_ns(), BURST):
            sock.sendto(datagram, proxy)


@pytest.mark.parametrize("suite", [(), pytest.param(GCM, marks=pytest.mark.night)], ids=["plain", "gcm"])
@requires_namespaces
def test_every_client_of_a_swarm_ends_in_order(tmp_path: Path, suite: tuple[str, ...]) -> None:
    costs = {}
    for count in (FEW, MANY):
        place = tmp_path / str(count)
        place.mkdir()
        with Scene(CHAIN, place) as scene:
            costs[count] = transfer(scene, count, suite)
    assert costs[MANY] < 2 * costs[FEW]


def transfer(scene: Scene, count: int, suite: tuple[str, ...]) -> float:
    """Send a file to a swarm; return the client proxy's processor time a datagram of the clients, in microseconds.

    A client sends some more where there are many: what found a buffer full is sent again.
    """
    big = ("-B", str(BUFFER_BYTES))
    start_chain(scene, (OURS, OURS), big, ("--workers", "2", *big, *PRIME))
    sock, swarm = open_socket(scene), Swarm(count)
    (scene.directory / "hosts").write_text("".join(f"0x{uid:08X}\n" for uid in swarm.uids))
    (scene.directory / "proxies").write_text("0x0000C0C0\n")
    closed = ("-H", f"@{scene.directory / 'hosts'}", "-j", str(scene.directory / "proxies"))
    path = scene.make_file()
    pids = family_of(scene.running["cproxy"].pid)
    before = cpu_ns(pids)
    server = scene.send(path, 1, *PATIENT, "-S", "@LOG", "-B", str(BUFFER_BYTES), *closed, *suite)
    with sock:
        carry(swarm, sock, (scene.lans.address4("cproxy", 3), PORT))
    used_us = (cpu_ns(pids) - before) / 1_000
    assert server.wait(LIMIT_S) == 0
    assert swarm.ready == swarm.complete == swarm.left == set(swarm.uids)
    assert swarm.data == path.read_bytes()
    assert sum("RESULT;" in line and ";copy;" in line for line in server.lines) == count
    held = memory(pids).pss_bytes / 1e6
    print(
        f"{count} clients: {swarm.said} datagrams, {used_us / count:.0f} us a client, {used_us / swarm.said:.1f} us a"
    )
    print(f"datagram; {held:.1f} MB proportional, parent and two workers, beside another proxy of ours")
    return used_us / swarm.said
