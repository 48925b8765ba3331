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
        self._entries: dict[int, dict[int, Entry]] = {}
        self._descriptors: dict[int, dict[int, int]] = {}
        self._count = self._others = 0
        self._blame: dict[int, int] = {}
        self._turns: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many sessions are kept."""
        return self._count

    def open(self, worker: int) -> socket.socket:
        """Make the pair for a worker that is to be forked; return its end, to be closed here once it is forked.

        Raises OSError.
        """
        ours, theirs = open_custody()
        self._ends[worker] = ours
        self._by_descriptor[ours.fileno()] = worker
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        self._turns[worker] = self._shared.regions[worker].words[Counter.TURNS]
        self._others = len(os.listdir("/proc/self/fd")) - self._count  # noqa: PTH208 - only how many
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
        region, entries = self._shared.regions[worker], self._entries.get(worker, {})
        self._drop(worker, [slot for slot, entry in entries.items() if region.opened(slot) != entry.opened_ns])
        weight = 1 if killed else KILLS // CRASHES
        self._blame[worker] = 0 if self.serves(worker) else self._blame.get(worker, 0) + weight
        given_up = self._blame[worker] >= KILLS and bool(entries)
        if given_up:
            self.lost += len(entries)
            self._blame[worker] = 0
            self._drop(worker, list(entries))
        self._shared.reclaim(worker, entries.keys())
        return not given_up

    def serves(self, worker: int) -> bool:
        """Tell whether a worker has turned its loop since it was forked: it has all that it took over by then."""
        return self._shared.regions[worker].words[Counter.TURNS] != self._turns.get(worker)

    def kept(self, worker: int) -> tuple[Kept, ...]:
        """Return the sessions that are kept for a worker, by slot."""
        descriptors = self._descriptors.get(worker, {})
        return tuple(
            Kept(slot, entry.opened_ns, entry.note, descriptors[slot])
            for slot, entry in sorted(self._entries.get(worker, {}).items())
        )

    def close(self, worker: int) -> None:
        """Hear nothing more from a worker; what is kept stays."""
        if worker in self._ends:
            self._close_end(worker)

    def _handle(self, worker: int, word: Word, descriptors: list[int]) -> None:
        if not isinstance(word, Entrusted):
            self._drop(worker, word.slots)
            return
        slots = self._shared.regions[worker].slot_count
        if any(entry.slot >= slots for entry in word.entries):
            _close_all(descriptors)
            raise ContractError("a session in a slot that does not exist")
        self._drop(worker, [entry.slot for entry in word.entries])
        entries, kept = self._entries.setdefault(worker, {}), self._descriptors.setdefault(worker, {})
        room = max(self._most() - self._count, 0)
        for entry, descriptor in zip(word.entries[:room], descriptors, strict=False):
            if entry.slot in kept:
                os.close(kept[entry.slot])
            else:
                self._count += 1
            entries[entry.slot], kept[entry.slot] = entry, descriptor
        # Beyond what there can be: such a session is not safe, and nobody is to blame but the order of messages.
        _close_all(descriptors[room:])

    def _most(self) -> int:
        """Return how many sessions may be kept: all there can be, and a batch a worker that is not released yet."""
        regions = self._shared.regions
        most = max(region.slot_count for region in regions) + BATCH * len(regions)
        return min(most, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - self._others - _SPARE, 0))

    def _drop(self, worker: int, slots: Sequence[int]) -> None:
        entries, kept = self._entries.get(worker, {}), self._descriptors.get(worker, {})
        for slot in slots:
            descriptor = kept.pop(slot, None)
            if descriptor is not None:
                del entries[slot]
                self._count -= 1
                os.close(descriptor)

    def _close_end(self, worker: int) -> None:
        sock = self._ends.pop(worker)
        self._epoll.unregister(sock.fileno())
        del self._by_descriptor[sock.fileno()]
        sock.close()


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
