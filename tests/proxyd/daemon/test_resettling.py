"""Clients come to other workers than before: their sessions are there already, and so is what waited."""

from __future__ import annotations

import dataclasses
import os
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon import identity, resettling, sockets
from proxyd.daemon.landing import land
from proxyd.daemon.resettling import Resettled, Resettling, hindrance
from proxyd.daemon.spawn import Estate
from proxyd.daemon.vault import Vault
from proxyd.errors import SetupError
from tests.kit.requirement import requires_root
from tests.kit.traffic import let_arrive
from tests.proxyd.daemon.estates import an_estate, make_settings, own_listener
from workers.contract.backlog import Waited, read_backlog
from workers.contract.custody import Described, Entry
from workers.contract.settings import (
    AclSettings,
    Address,
    ListenerSettings,
    SessionKind,
    Settings,
    SourcePort,
    SourcePortMode,
)
from workers.contract.slots import SLOT, TRACK_OFFSET, Counter
from workers.net import cbpf
from workers.net.plain import from_python

CLIENTS = 24
FORCED = AclSettings("F", accept=True, source_port=SourcePort(SourcePortMode.CLIENT))
ANY_SOCK = AclSettings("A", accept=True, kind=SessionKind.ANY_SOCK)


class Town:
    """An estate whose workers are gone, with a session for each of many clients where its datagrams come to."""

    def __init__(self, estate: Estate, host: str = "") -> None:
        self.estate = estate
        self.epoll = select.epoll()
        self.vault = Vault(estate.shared, self.epoll)
        name = estate.listeners[0][0].getsockname()
        self.version = 6 if len(name) == 4 else 4
        self.to = (host or name[0], name[1])
        family = socket.AF_INET if self.version == 4 else socket.AF_INET6
        self.clients = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(CLIENTS)]
        for client in self.clients:
            client.connect(self.to)
        for worker, payloads in enumerate(self.say("first")):
            self._seat(worker, [int(payload.split()[1]) for payload in payloads])

    def _seat(self, worker: int, numbers: Sequence[int]) -> None:
        region, entries = self.estate.shared.regions[worker], []
        for slot, number in enumerate(numbers):
            source = from_python(self.version, self.clients[number].getsockname())
            record = (1, 0, 0, self.version, 0, 10 + number, *(0,) * 11)
            SLOT.pack_into(region.memory, region.offset(slot), *record, source, self.destination, b"", b"")
            region.memory[region.offset(slot) + TRACK_OFFSET] = 1
            entries.append(Entry(slot, 10 + number, b"%d" % number))
            os.eventfd_read(self.estate.shared.permits)
        words = region.words
        words[Counter.TOP] = words[Counter.SESSIONS] = words[Counter.PERMITS] = len(numbers)
        self.vault.adopt(worker, entries, [os.open("/dev/null", os.O_RDONLY) for _ in entries])

    @property
    def destination(self) -> bytes:
        return from_python(self.version, (*self.to, 0, 0) if self.version == 6 else self.to)

    def send(self, word: str) -> None:
        """Let each client send a word, with its number."""
        for number, client in enumerate(self.clients):
            client.send(f"{word} {number}".encode())
        let_arrive()

    def say(self, word: str) -> list[list[bytes]]:
        """Let each client send a word; return what came to each worker, in its order, of whichever listener."""
        self.send(word)
        return [[payload for sock in group for payload in heard(sock)] for group in self.estate.listeners]

    def seats(self) -> list[set[int]]:
        """Return whose sessions each worker has: by what is kept, which its region has to say too."""
        found = []
        for worker, region in enumerate(self.estate.shared.regions):
            kept = self.vault.kept(worker)
            assert all(region.opened(one.slot) == one.opened_ns == 10 + int(one.note) for one in kept)
            assert region.sessions == region.words[Counter.PERMITS] == len(kept)
            found.append({int(one.note) for one in kept})
        return found

    def backlogs(self) -> list[list[Waited]]:
        """Return what each worker is to treat before all else."""
        backlogs = self.estate.backlogs
        return [list(read_backlog(os.dup(backlogs[worker].fd))) for worker in range(len(self.estate.listeners))]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.vault.move([[] for _ in self.estate.listeners])
        self.epoll.close()
        for worker in list(self.estate.backlogs):
            self.estate.hand_on(worker)


def heard(sock: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recv(100))
    return found


@contextmanager
def a_town(log: Path, workers: int, listener: ListenerSettings | None = None, host: str = "") -> Iterator[Town]:
    with an_estate(log, workers=workers, listeners=(listener or own_listener(),), max_sessions=100) as estate:
        name = estate.listeners[0][0].getsockname()
        known = (dataclasses.replace(estate.settings.listeners[0], port=name[1]),)
        estate.settings = dataclasses.replace(estate.settings, listeners=known)
        town = Town(estate, host)
        try:
            yield town
        finally:
            town.close()


def change(estate: Estate, workers: int) -> Resettling:
    """Return the prepared change to so many workers."""
    settings = dataclasses.replace(estate.settings, workers=workers)
    return resettling.prepare(estate, settings, estate.standing, identity.look_up(settings).uid)


def carry_out(town: Town, workers: int) -> Resettled:
    return change(town.estate, workers).carry_out(town.estate, town.vault)


def numbers(payloads: Sequence[bytes]) -> set[int]:
    return {int(payload.split()[1]) for payload in payloads}


@pytest.mark.parametrize(
    ("listener", "host"),
    [(None, ""), (ListenerSettings(Address(6, 1), 0), ""), (ListenerSettings(Address(4, 0), 0), "127.0.0.7")],
    ids=["4", "6", "wildcard"],
)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 3), (3, 2), (3, 1)])
def test_sessions_and_what_waited_are_where_their_clients_come_to(
    tmp_path: Path, before: int, after: int, listener: ListenerSettings | None, host: str
) -> None:
    with a_town(tmp_path / "log", before, listener, host) as town:
        seats = town.seats()
        town.send("waited")
        if before > 1:
            # As it is while sockets join and go: the first one has what is newer.
            cbpf.attach_steering(town.estate.listeners[0][0], cbpf.always(0))
        town.send("longer")
        found = carry_out(town, after)
        assert (found.workers, found.waited, found.lost, found.why) == (after, 2 * CLIENTS, 0, "")
        come = [numbers(payloads) for payloads in town.say("then")]
        assert len(come) == after
        assert town.seats() == come
        assert sum(map(len, come)) == CLIENTS
        assert found.moved == CLIENTS - sum(len(had & has) for had, has in zip(seats, town.seats(), strict=False))
        for here, waited in zip(come, town.backlogs(), strict=True):
            words: dict[int, list[bytes]] = {number: [] for number in here}
            for item in waited:
                word, number = item.payload.split()
                words[int(number)].append(word)
            assert words == {number: [b"waited", b"longer"] for number in here}


def test_who_comes_to_an_address_that_is_bound_beside_a_wildcard_has_its_session_there(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 3, ListenerSettings(Address(4, 0), 0), "127.0.0.8") as town:
        estate = town.estate
        wide, narrow = estate.settings.listeners[0], ListenerSettings(Address(4, 0x7F00_0008), town.to[1])
        town.send("waited")
        bind = lambda fresh: sockets.bind_listeners(fresh, 3, standing=[wide])  # noqa: E731
        landing = land([wide], estate.listeners, [wide, narrow], bind)
        wanted = dataclasses.replace(estate.settings, listeners=(wide, narrow))
        prepared = resettling.prepare(estate, wanted, (wide, narrow), None)
        estate.settings, estate.listeners = wanted, landing.sockets
        found = prepared.carry_out(estate, town.vault)
        assert (found.workers, found.waited, found.why) == (3, CLIENTS, "")
        come = [numbers(payloads) for payloads in town.say("then")]
        assert town.seats() == come
        for here, waited in zip(come, town.backlogs(), strict=True):
            assert {item.listener for item in waited} <= {1}
            assert numbers([item.payload for item in waited]) == here


@pytest.mark.parametrize(("before", "after"), [(3, 3), (2, 4), (3, 2)])
def test_where_rules_come_that_need_one_worker_it_has_everybody(tmp_path: Path, before: int, after: int) -> None:
    with a_town(tmp_path / "log", before) as town:
        estate = town.estate
        town.send("waited")
        wanted = dataclasses.replace(estate.settings, acls=(FORCED,), workers=after)
        assert len(resettling.resteered(estate, wanted)) == 1
        prepared = resettling.prepare(estate, wanted, estate.standing, None)
        estate.settings = wanted
        found = prepared.carry_out(estate, town.vault)
        assert (found.workers, found.waited, found.lost, found.why) == (after, CLIENTS, 0, "")
        everybody = set(range(CLIENTS))
        assert town.seats() == [everybody] + [set()] * (after - 1)
        assert [numbers([item.payload for item in waited]) for waited in town.backlogs()] == town.seats()
        assert [numbers(payloads) for payloads in town.say("then")] == town.seats()
        assert [group[0].getsockname()[1] > 0 for group in estate.listeners] == [True] + [False] * (after - 1)


@requires_root
def test_where_a_socket_cannot_be_bound_after_all_the_number_stays_and_nobody_is_lost(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 2) as town:
        town.send("waited")
        prepared = change(town.estate, 4)
        seats = town.seats()
        # The kernel lets nobody else's socket into a group: not even root's.
        os.fchown(town.estate.listeners[1][0].fileno(), 12345, -1)
        found = prepared.carry_out(town.estate, town.vault)
        assert (found.workers, found.moved, found.waited, found.lost) == (2, 0, CLIENTS, 0)
        assert found.why == "the number of workers stays: no more sockets can be bound: Address already in use"
        assert [numbers(payloads) for payloads in town.say("then")] == seats == town.seats()
        assert [numbers([item.payload for item in waited]) for waited in town.backlogs()] == seats


@requires_root
def test_where_the_number_was_not_to_change_it_is_not_said_to_stay(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 2) as town:
        estate = town.estate
        for acls, why in (((FORCED,), ""), ((), "no more sockets can be bound: Address already in use")):
            wanted = dataclasses.replace(estate.settings, acls=acls)
            prepared = resettling.prepare(estate, wanted, estate.standing, None)
            estate.settings = wanted
            if why:
                os.fchown(estate.listeners[0][0].fileno(), 12345, -1)
            assert prepared.carry_out(estate, town.vault).why == why


def test_a_session_is_found_by_where_it_listens_whatever_number_that_has(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 2) as town:
        estate, first = town.estate, town.estate.standing[0]
        note = msgspec.msgpack.encode(Described(sockets.raw_sockaddr(first), first.transparent, first.device))
        kept = [town.vault.kept(worker) for worker in range(2)]
        town.vault.move([[one._replace(note=note) for one in group] for group in kept])
        for region, group in zip(estate.shared.regions, kept, strict=True):
            for one in group:
                fields = list(SLOT.unpack_from(region.memory, region.offset(one.slot)))
                fields[4] = 7
                SLOT.pack_into(region.memory, region.offset(one.slot), *fields)
        assert carry_out(town, 4).moved
        seats = [{one.opened_ns - 10 for one in town.vault.kept(worker)} for worker in range(4)]
        assert [numbers(payloads) for payloads in town.say("then")] == seats


def test_what_was_prepared_for_nothing_leaves_nothing_open(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 1) as town:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many
        change(town.estate, 5).undo()
        gone = dataclasses.replace(town.estate.settings.listeners[0], address=Address(4, 0xC000_0201))
        town.estate.settings = dataclasses.replace(town.estate.settings, listeners=(gone,))
        with pytest.raises(SetupError, match="the address is not configured on this machine"):
            change(town.estate, 2)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - only how many
        assert town.say("then")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"single_process": True}, "this program's workers are bound to their number"),
        ({"acls": (FORCED,)}, ""),
        ({"listeners": (ListenerSettings(Address(4, 0), 69, transparent=True),)}, "which worker the kernel gives"),
        (
            {"listeners": (ListenerSettings(Address(4, 0), 69, transparent=True),), "acls": (ANY_SOCK,)},
            "which worker the kernel gives a client of 'transparent [0.0.0.0] port 69' to cannot be known",
        ),
        ({"listeners": (ListenerSettings(Address(4, 0), 69, transparent=True),), "acls": (FORCED,)}, ""),
    ],
)
def test_why_the_number_cannot_change_is_told(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    with an_estate(tmp_path / "log") as estate:
        wanted = dataclasses.replace(estate.settings, workers=3, **changes)  # type: ignore[arg-type]
        assert hindrance(estate, wanted).startswith(why)
        assert bool(hindrance(estate, wanted)) == bool(why)


def seat(estate: Estate, rule: int, generation: int) -> None:
    """Let a worker's region show one session of a rule."""
    region = estate.shared.regions[0]
    region.words[Counter.TOP] = 1
    SLOT.pack_into(region.memory, region.offset(0), 1, 0, 0, 4, 0, 7, *(0,) * 9, rule, generation, *(b"",) * 4)


@pytest.mark.parametrize("generation", [1, 7])
def test_sessions_that_began_under_rules_that_need_one_worker_hold_it_up(tmp_path: Path, generation: int) -> None:
    with an_estate(tmp_path / "log", acls=(ANY_SOCK, FORCED), workers=2) as estate:
        estate.earlier = {7: estate.settings}
        wanted: Settings = make_settings(tmp_path / "log", workers=3, listeners=estate.settings.listeners)
        assert hindrance(estate, wanted) == ""
        resettling.require_steering(estate, wanted)
        seat(estate, 0, generation)
        resettling.require_steering(estate, wanted)
        seat(estate, 1, generation)
        assert hindrance(estate, wanted) == resettling.BOUND
        with pytest.raises(SetupError, match="when they have ended, or by a restart"):
            resettling.require_steering(estate, wanted)


@pytest.mark.parametrize(
    ("rules", "why"), [((FORCED,), ""), ((ANY_SOCK,), "to whoever the client's address and port give; that takes")]
)
def test_a_transparent_listener_can_only_come_to_be_heard_by_the_first_worker(
    tmp_path: Path, rules: tuple[AclSettings, ...], why: str
) -> None:
    with an_estate(tmp_path / "log", workers=2) as estate:
        through = (ListenerSettings(Address(4, 0), 69, transparent=True),)
        estate.settings = dataclasses.replace(estate.settings, listeners=through)
        wanted = dataclasses.replace(estate.settings, acls=rules)
        assert resettling.resteered(estate, wanted) == through
        if not why:
            resettling.require_steering(estate, wanted)
            return
        with pytest.raises(SetupError, match=why):
            resettling.require_steering(estate, wanted)


def test_where_no_session_needs_one_worker_any_more_others_hear_something_again(tmp_path: Path) -> None:
    with a_town(tmp_path / "log", 3) as town:
        estate = town.estate
        spread = dataclasses.replace(estate.settings, acls=())
        for acls in ((FORCED,), ()):
            wanted = dataclasses.replace(spread, acls=acls)
            prepared = resettling.prepare(estate, wanted, estate.standing, None)
            town.send("waited")
            estate.settings = wanted
            found = prepared.carry_out(estate, town.vault)
            assert (found.workers, found.waited, found.why) == (3, CLIENTS, "")
            assert [numbers([item.payload for item in waited]) for waited in town.backlogs()] == town.seats()
            for worker in range(3):
                estate.hand_on(worker)
        come = [numbers(payloads) for payloads in town.say("then")]
        assert come == town.seats()
        assert sum(map(bool, come)) > 1
