"""The parent's part in what the kernel carries: it makes program and tables, and enters sessions that workers offer.

A worker says of a slot that the kernel may carry its session. Who the session's peers are is not believed of it where
that would matter: the server side is that of the socket which the parent keeps, the client's must lead to a listener of
ours. So a worker can have nothing readdressed but what is its own anyway. How much may pass, and until when, stands in
the worker's records (workers.contract.offload), and a session is taken back there without asking anybody.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Sequence

from proxyd.offload import kernel
from proxyd.offload.errors import OffloadError
from proxyd.offload.flows import Ends, Entry, Offer, entries
from proxyd.offload.kernel import TableKind
from proxyd.offload.program import FLOW, LAYOUTS, assemble
from proxyd.offload.ways import Ways
from workers.contract.offload import RECORD_BYTES, Records

_NUMBER = struct.Struct("=I")
_NUMBER_BYTES = 4

Find = Callable[[Offer], Ends | None]
"""Finds out who the peers of an offered session are, None where it may not be carried."""


class Carrier:
    """What the kernel carries of one proxy, by worker and slot. fileno: readable when `follow` is to be called."""

    def __init__(self, workers: int, slots: int) -> None:
        """Load program and tables, and attach. Raises OffloadError, OSError."""
        self._open: list[int] = []
        self._links: dict[int, list[int]] = {}
        self._ways = Ways()
        try:
            arrays = [self._table(TableKind.ARRAY, RECORD_BYTES, slots, kernel.MAPPABLE) for _ in range(workers)]
            self.records = tuple(Records(array, slots) for array in arrays)
            whole = self._keep(
                kernel.make_table(TableKind.ARRAY_OF_TABLES, _NUMBER_BYTES, _NUMBER_BYTES, workers, inner=arrays[0])
            )
            for worker, array in enumerate(arrays):
                kernel.put(whole, _NUMBER.pack(worker), _NUMBER.pack(array))
            self._flows = {version: self._make_flows(version, 2 * slots * workers) for version in LAYOUTS}
            self._programs = [
                self._keep(kernel.load_program(assemble(version, flows, whole)))
                for version, flows in self._flows.items()
            ]
            self._attach()
        except (OffloadError, OSError):
            self.close()
            raise
        self._carried: dict[tuple[int, int], tuple[Offer, Ends, tuple[Entry, ...]]] = {}

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when routes, addresses or interfaces have changed."""
        return self._ways.fileno()

    def __len__(self) -> int:
        """Return how many sessions are entered."""
        return len(self._carried)

    def carry(self, offers: Iterable[Offer], find: Find) -> None:
        """Enter sessions, as far as they can be carried; the others stay where they are."""
        for offer in offers:
            self.drop(offer.worker, (offer.slot,))
            ends = find(offer)
            if ends is not None:
                self._enter(offer, ends)

    def drop(self, worker: int, slots: Iterable[int]) -> None:
        """Take out sessions of a worker that are over, or that it has taken back."""
        for slot in slots:
            found = self._carried.pop((worker, slot), None)
            if found is not None:
                self._remove(found[1].version, found[2])

    def forget(self, worker: int) -> None:
        """Take out all sessions of a worker: it is dead, or leaves them to another one."""
        self.drop(worker, [slot for owner, slot in self._carried if owner == worker])

    def follow(self) -> None:
        """Look again at all ways, if any may have changed, and at the interfaces."""
        if not self._ways.changed():
            return
        with contextlib.suppress(OffloadError):  # without the privilege, new interfaces are left to workers
            self._attach()
        for place, (offer, ends, before) in list(self._carried.items()):
            found = entries(offer, ends, self._ways)
            if found != before:
                del self._carried[place]
                self._remove(ends.version, before)
                self._enter(offer, ends)

    def close(self) -> None:
        """Give everything back: what is attached is detached."""
        for links in self._links.values():
            _close(links)
        _close(self._open)
        self._ways.close()

    def _enter(self, offer: Offer, ends: Ends) -> None:
        found = entries(offer, ends, self._ways)
        if found is None:
            return
        entered: list[Entry] = []
        try:
            for entry in found:
                kernel.put(self._flows[ends.version], *entry, new=True)
                entered.append(entry)
        except OffloadError:  # there is no room, or it would take the place of another session
            self._remove(ends.version, entered)
        else:
            self._carried[offer.worker, offer.slot] = offer, ends, found

    def _remove(self, version: int, found: Sequence[Entry]) -> None:
        for key, _ in found:
            kernel.remove(self._flows[version], key)

    def _attach(self) -> None:
        """Attach to the interfaces that there are by now."""
        present = self._ways.framed()
        for interface in self._links.keys() - set(present):
            _close(self._links.pop(interface))
        for interface in present:
            links = self._links.setdefault(interface, [])
            for program in self._programs[len(links) :]:
                links.append(kernel.attach(program, interface))

    def _make_flows(self, version: int, count: int) -> int:
        layout = LAYOUTS[version]
        value = FLOW.size + 2 * layout.address_bytes + 4
        return self._keep(kernel.make_table(TableKind.HASH, layout.key_bytes, value, count, flags=kernel.ON_DEMAND))

    def _table(self, kind: TableKind, value: int, entries_: int, flags: int) -> int:
        return self._keep(kernel.make_table(kind, _NUMBER_BYTES, value, entries_, flags=flags))

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
