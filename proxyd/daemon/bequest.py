"""From what a running proxy has to what it leaves, and from what was left to what the next one begins with.

The next one begins as if it were the one before: with its settings as the new code understands their text, its
listeners, regions and kept sessions. What its own configuration says comes after that, as a reload does. Where the
memory is laid out otherwise, or the text is not understood any more, it begins with the listeners alone.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from proxyd.daemon import inventory
from proxyd.daemon.inventory import (
    MISSING,
    Bundle,
    EstateLeft,
    Identity,
    Inventory,
    InventoryError,
    Manifest,
    PlaceLeft,
)
from proxyd.daemon.landing import Listeners
from proxyd.daemon.lane import close_all
from proxyd.daemon.shared import Shared
from proxyd.daemon.spawn import Estate
from proxyd.errors import ConfigErrors, ProxydError
from workers.contract import slots, store
from workers.contract.custody import MAX_NOTE_BYTES, Entry, Kept
from workers.contract.messages import Names
from workers.contract.rates import RateRegion
from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import GENERATIONS, Region
from workers.contract.store import Store
from workers.errors import ContractError

LAYOUT = (slots.MAGIC, slots.HEADER_BYTES, slots.SLOT_BYTES, store.MAGIC)
"""What of shared memory has to be the same on both sides."""
_OURS = (
    "app_group",
    "app_user",
    "auth",
    "chroot_dir",
    "control",
    "debug_log",
    "foreground",
    "monitor",
    "program",
    "resolve_names",
    "resolver",
    "respawn_count",
    "respawn_ns",
    "stats_log",
)
"""Fields of the settings that are the new program's from its beginning: its processes and its logs are all new."""


def identify(descriptor: int) -> Identity:
    """Return what the kernel calls an open file."""
    status = os.fstat(descriptor)
    return Identity(status.st_dev, status.st_ino)


# --- leaving ---------------------------------------------------------------------------------------------------------


class Left(NamedTuple):
    """What a proxy leaves beside its estate. kept: its sessions by worker. names: None, not resolved yet.

    private: the program's own. leash: see proxyd.daemon.succession, -1: none. places: whether pidfile, control socket
    and monitor's socket go with it: only to a successor that is there already.
    """

    kept: Sequence[Sequence[Kept]]
    names: Names | None
    private: bytes = b""
    leash: int = -1
    places: bool = True


def pack(estate: Estate, left: Left) -> Bundle:
    """Return everything that a proxy leaves. Its descriptors are the proxy's still. Raises OSError."""
    numbering = inventory.Numbering(identify)
    number = numbering.number
    pidfile, post, monitoring = (estate.pidfile, estate.control, estate.monitoring) if left.places else (None,) * 3
    listeners = [[number(sock.fileno()) for sock in group] for group in estate.listeners]
    sealed = inventory.seal(_pack_estate(estate, left, number))
    manifest = Manifest(
        version=inventory.VERSION,
        program=estate.settings.program,
        name=estate.settings.name,
        release=estate.version,
        process=os.getpid(),
        listeners=[inventory.describe(listener) for listener in estate.standing],
        sockets=listeners,
        identities=[],
        layout=list(LAYOUT),
        estate=sealed,
        pidfile=None if pidfile is None else PlaceLeft(str(pidfile.path), number(pidfile.descriptor)),
        control=None if post is None else PlaceLeft(str(post.path), number(post.sock.fileno()), post.group),
        monitor=None if monitoring is None else number(monitoring.fileno()),
        leash=None if left.leash < 0 else number(left.leash),
    )
    manifest = inventory.identified(manifest, numbering.identities)
    return Bundle(inventory.write(manifest), tuple(numbering.descriptors))


def _pack_estate(estate: Estate, left: Left, number: Callable[[int], int]) -> EstateLeft:
    shared = estate.shared
    return EstateLeft(
        generation=estate.settings.generation,
        texts=estate.texts,
        extra=len(estate.extra),
        retired=estate.retired,
        max_sessions=shared.max_sessions,
        permits=number(shared.permits),
        regions=[number(region.fd) for region in shared.regions],
        stores=[number(item.fd) for item in shared.stores],
        sessions=[
            inventory.SessionLeft(worker, kept.slot, kept.opened_ns, kept.note, number(kept.fd))
            for worker, sessions in enumerate(left.kept)
            for kept in sessions
        ],
        rates=None if shared.rates is None else number(shared.rates.fd),
        names=None if left.names is None else left.names.addresses,
        private=left.private,
    )


# --- beginning -------------------------------------------------------------------------------------------------------


class Past(NamedTuple):
    """What the next run begins with: the estate's fields of the same names. whole: not the listeners alone."""

    settings: Settings
    listeners: Listeners
    extra: tuple[ListenerSettings, ...]
    retired: int
    shared: Shared | None
    earlier: dict[int, Settings]
    texts: dict[int, str]
    names: Names | None

    @property
    def whole(self) -> bool:
        """Whether there is more than the listeners."""
        return self.shared is not None


@dataclass(slots=True)
class Legacy:
    """What was left to us: an inventory, and its descriptors, of which each use takes one. source: who left it.

    why: why only the listeners could be used, empty: all of it could.
    """

    inventory: Inventory
    source: str
    why: str = ""
    _used: set[int] = field(default_factory=set)

    @property
    def manifest(self) -> Manifest:
        """The list."""
        return self.inventory.manifest

    def take(self, number: int) -> int:
        """Return a descriptor, the caller's from now on; of one that is used twice, a duplicate. Raises OSError."""
        descriptor = self.inventory.descriptors[number]
        if number in self._used:
            return os.dup(descriptor)
        self._used.add(number)
        return descriptor

    def close_unused(self) -> None:
        """Close what nobody has taken."""
        for number, descriptor in enumerate(self.inventory.descriptors):
            if number not in self._used and descriptor != MISSING:
                self._used.add(number)
                os.close(descriptor)

    def place(self, left: PlaceLeft | None, path: Path | None) -> int | None:
        """Return the descriptor of what was left, if it lies at path; None otherwise. Raises OSError."""
        return None if left is None or path is None or Path(left.path) != path else self.take(left.descriptor)

    def leash(self) -> int:
        """Return what every process of ours is to hold, -1: nothing."""
        return -1 if self.manifest.leash is None else self.take(self.manifest.leash)

    def revive(self, ours: Settings, recompile: Callable[[str], Settings]) -> Past:
        """Return what to begin with. ours: the settings of the new configuration. recompile: understands a text.

        Raises InventoryError or OSError when not even the listeners can be used.
        """
        left = self.inventory.estate
        self.why = self.inventory.why
        standing = tuple(inventory.listener_of(item) for item in self.manifest.listeners)
        past = None
        if left is not None:
            past = self._revive_all(left, standing, ours, recompile)
        if past is None:
            begun = replace(ours, listeners=standing, workers=len(self.manifest.sockets))
            past = Past(begun, (), (), 0, None, {}, {}, None)
        sockets = tuple(
            tuple(socket.socket(fileno=self.take(number)) for number in group) for group in self.manifest.sockets
        )
        return past._replace(listeners=sockets)

    def kept(self, past: Past) -> dict[int, tuple[list[Entry], list[int]]]:
        """Return the sessions by worker, as the vault takes them; the descriptors are the caller's. Raises OSError."""
        found: dict[int, tuple[list[Entry], list[int]]] = {}
        left = self.inventory.estate
        if left is None or not past.whole:
            return found
        for item in left.sessions:
            if len(item.note) <= MAX_NOTE_BYTES:
                entries, descriptors = found.setdefault(item.worker, ([], []))
                entries.append(Entry(item.slot, item.opened_ns, item.note))
                descriptors.append(self.take(item.descriptor))
        return found

    def _revive_all(
        self,
        left: EstateLeft,
        standing: tuple[ListenerSettings, ...],
        ours: Settings,
        recompile: Callable[[str], Settings],
    ) -> Past | None:
        """Return all that was left, None and why where that cannot be."""
        own = len(standing) - left.extra
        try:
            present = recompile(left.texts[left.generation % GENERATIONS])
            shared = self._share(left)
        except (ProxydError, ContractError) as error:
            reason = error.errors[0] if isinstance(error, ConfigErrors) else error
            self.why = f"what was left is not understood: {reason}"
            return None
        taken = {name: getattr(ours, name) for name in _OURS}
        present = replace(
            present,
            generation=left.generation,
            listeners=standing[:own],
            max_sessions=left.max_sessions,
            workers=len(self.manifest.sockets),
            **taken,
        )
        earlier = _recompile_all(left, recompile)
        names = None if left.names is None else Names(left.names)
        return Past(present, (), standing[own:], left.retired, shared, earlier, dict(left.texts), names)

    def _share(self, left: EstateLeft) -> Shared:
        """Return the memory that was left. Raises ContractError for memory that is laid out otherwise."""
        regions = tuple(Region.attach(self.take(number)) for number in left.regions)
        rates = None
        if left.rates is not None:
            fd = self.take(left.rates)
            rates = RateRegion(fd, mmap.mmap(fd, os.fstat(fd).st_size))
        stores = tuple(Store(self.take(number)) for number in left.stores)
        return Shared(regions, self.take(left.permits), left.max_sessions, rates, stores)


def _recompile_all(left: EstateLeft, recompile: Callable[[str], Settings]) -> dict[int, Settings]:
    """Return the settings of older generations; one that is not understood any more loses its sessions."""
    found: dict[int, Settings] = {}
    for number, text in left.texts.items():
        try:
            settings = recompile(text)
        except ProxydError:
            continue
        if number != left.generation % GENERATIONS:
            found[number] = replace(settings, generation=number)
    return found


def read(bundle: Bundle, source: str) -> Legacy:
    """Return what was left, checked. Raises InventoryError; nothing of it stays open then."""
    try:
        return Legacy(inventory.read(bundle, LAYOUT), source)
    except InventoryError:
        close_all([descriptor for descriptor in bundle.descriptors if descriptor != MISSING])
        raise
