"""What workers entrust to the parent: a duplicate of each session's socket, kept for the worker's replacement.

The parent never reads such a socket. A slot has one descriptor at most: a new entry stands in the place of the old one.
What counts when a worker is dead is what its region and its entries agree upon, and nothing else of what it said: a
session whose slot is not open, or is another's by now, is over. A replacement is given everything that was kept; if
several in a row die before they serve, of the very sessions perhaps, the next one is given nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
from collections.abc import Sequence

from proxyd.daemon.shared import Shared
from proxyd.daemon.shelf import Shelf
from workers.contract.channel import ChannelClosedError
from workers.contract.custody import BATCH, Entrusted, Entry, Kept, Word, hear, open_custody
from workers.contract.slots import Counter
from workers.errors import ContractError

CRASHES, KILLS = 3, 12
"""Replacements in a row that may crash before they serve, with the sessions of their predecessor; or be killed, for
which the sessions are hardly to blame. Four kills weigh as much as a crash.
"""
_BURST = 16
"""Words taken from one worker before others have their turn."""
_LAST_WORDS = 4096
"""Words taken from a worker that is dead: its socket holds fewer."""
_SPARE = 64 + BATCH
"""Descriptors that are left to others where few are permitted: clients of the control socket, forks, a word's own."""


class Vault:
    """The descriptors of all workers' sessions, by worker and slot, and our ends of what they are entrusted by.

    The epoll object is the loop's; our ends are added and removed here. lost: sessions given up so far because
    replacements died of them.
    """

    def __init__(self, shared: Shared, epoll: select.epoll) -> None:
        self.lost = 0
        self._shared = shared
        self._epoll = epoll
        self._ends: dict[int, socket.socket] = {}
        self._by_descriptor: dict[int, int] = {}
        self._shelves = [Shelf() for _ in shared.regions]
        self._others = 0
        self._blame: dict[int, int] = {}
        self._turns: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many sessions are kept."""
        return sum(map(len, self._shelves))

    def open(self, worker: int) -> socket.socket:
        """Make the pair for a worker that is to be forked; return its end, to be closed here once it is forked.

        Raises OSError.
        """
        # First of all: it takes a descriptor itself, and what may fail must not come after the pair is known.
        self._others = len(os.listdir("/proc/self/fd")) - len(self)  # noqa: PTH208 - only how many
        ours, theirs = open_custody()
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        self._ends[worker] = ours
        self._by_descriptor[ours.fileno()] = worker
        self._turns[worker] = self._shared.regions[worker].words[Counter.TURNS]
        return theirs

    def owner(self, descriptor: int) -> int | None:
        """Return the worker behind one of our ends, None for every other descriptor."""
        return self._by_descriptor.get(descriptor)

    def take(self, worker: int, limit: int = _BURST) -> None:
        """Take what a worker says, at most limit words. Raises ContractError for what it may not say."""
        sock = self._ends.get(worker)
        for _ in range(limit if sock is not None else 0):
            try:
                heard = hear(self._ends[worker])
            except ChannelClosedError:
                self._close_end(worker)
                return
            if heard is None:
                return
            self._handle(worker, *heard)

    def adopt(self, worker: int, entries: Sequence[Entry], descriptors: Sequence[int]) -> None:
        """Keep sessions for a worker as if it had entrusted them; the descriptors are the vault's from now on.

        Raises ContractError for a slot that does not exist; nothing of these stays open then.
        """
        self._handle(worker, Entrusted(list(entries)), list(descriptors))

    def inherit(self, worker: int, *, killed: bool = False) -> bool:
        """Settle what is kept of a dead worker, and what its region says; False when its sessions are given up.

        killed: it has not crashed, somebody has killed it.
        Afterwards its region holds exactly the sessions that are kept, and the permits of the others are free.
        """
        # What it said before a breach of the contract counts, what it might have said after it does not.
        with contextlib.suppress(ContractError):
            self.take(worker, _LAST_WORDS)
        self.close(worker)
        region, shelf = self._shared.regions[worker], self._shelves[worker]
        for slot in [slot for slot, opened_ns in shelf.opened() if region.opened(slot) != opened_ns]:
            shelf.drop(slot)
        weight = 1 if killed else KILLS // CRASHES
        self._blame[worker] = 0 if self.serves(worker) else self._blame.get(worker, 0) + weight
        given_up = self._blame[worker] >= KILLS and len(shelf) > 0
        if given_up:
            self.lost += len(shelf)
            self._blame[worker] = 0
            shelf.clear()
        self._shared.reclaim(worker, {slot for slot, _ in shelf.opened()})
        return not given_up

    def serves(self, worker: int) -> bool:
        """Tell whether a worker has turned its loop since it was forked: it has all that it took over by then."""
        return self._shared.regions[worker].words[Counter.TURNS] != self._turns.get(worker)

    def kept(self, worker: int) -> tuple[Kept, ...]:
        """Return the sessions that are kept for a worker, by slot."""
        return tuple(self._shelves[worker])

    def descriptor(self, worker: int, slot: int) -> int | None:
        """Return the descriptor kept for a worker's slot, which stays the vault's; None where there is none."""
        return self._shelves[worker].descriptor(slot)

    def move(self, plan: Sequence[Sequence[Kept]]) -> None:
        """Keep what is kept, by worker, for other workers in other slots; what is in no place of the plan is given up.

        For workers that are dead.
        """
        before = {kept.fd for shelf in self._shelves for kept in shelf}
        self._shelves = [Shelf() for _ in plan]
        for shelf, sessions in zip(self._shelves, plan, strict=True):
            for slot, opened_ns, note, descriptor in sessions:
                shelf.put(Entry(slot, opened_ns, note), descriptor)
                before.discard(descriptor)
        _close_all(list(before))
        self._blame.clear()

    def close(self, worker: int) -> None:
        """Hear nothing more from a worker; what is kept stays."""
        if worker in self._ends:
            self._close_end(worker)

    def _handle(self, worker: int, word: Word, descriptors: list[int]) -> None:
        shelf = self._shelves[worker]
        if not isinstance(word, Entrusted):
            for slot in word.slots:
                shelf.drop(slot)
            return
        slots = self._shared.regions[worker].slot_count
        if any(entry.slot >= slots for entry in word.entries):
            _close_all(descriptors)
            raise ContractError("a session in a slot that does not exist")
        for entry in word.entries:
            shelf.drop(entry.slot)
        room = max(self._most() - len(self), 0)
        for entry, descriptor in zip(word.entries[:room], descriptors, strict=False):
            shelf.put(entry, descriptor)
        # Beyond what there can be: such a session is not safe, and nobody is to blame but the order of messages.
        _close_all(descriptors[room:])

    def _most(self) -> int:
        """Return how many sessions may be kept: all there can be, and a batch a worker that is not released yet."""
        regions = self._shared.regions
        most = max(region.slot_count for region in regions) + BATCH * len(regions)
        return min(most, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - self._others - _SPARE, 0))

    def _close_end(self, worker: int) -> None:
        sock = self._ends.pop(worker)
        self._epoll.unregister(sock.fileno())
        del self._by_descriptor[sock.fileno()]
        sock.close()


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
