"""What one run of a proxy leaves to the next: a list in words, and descriptors that it names by their numbers.

It goes from a running program to its successor, or to the service manager's store and back; the successor may be newer
code. So the list has two parts. What any version can use comes first: listeners with their sockets, where the proxy's
pidfile and control socket are. What depends on how shared memory is laid out comes after it, sealed with the versions
of that layout; whoever has another one leaves it alone, and goes on with the listeners only. Configurations are
handed over as their texts: newer code compiles them again.
Pure: descriptors are numbers here, and what the kernel says of them comes in.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from proxyd.errors import ProxydError
from workers.contract.custody import LATEST_NS
from workers.contract.settings import Address, ListenerSettings
from workers.contract.slots import GENERATIONS

VERSION = 1
"""Of the first part; fields may be added with defaults, and nothing else changes without a new number."""
MISSING = -1
MAX_BYTES = 256 * 1024 * 1024
"""Far beyond any: 8,000 sessions take 1 MiB, a configuration 16 MiB at most."""


class InventoryError(ProxydError):
    """What was left cannot be used, and why."""


class Identity(NamedTuple):
    """How the kernel tells what is open: device and inode; the same open socket has one, whoever holds it."""

    device: int
    inode: int


class ListenerLeft(msgspec.Struct, frozen=True, array_like=True):
    """A listener as its sockets are bound. address: its bytes."""

    address: bytes
    port: int
    transparent: bool
    device: str | None


class PlaceLeft(msgspec.Struct, frozen=True, array_like=True):
    """A path with what lies there: the pidfile, or the control socket. group: whose members are let in."""

    path: str
    descriptor: int
    group: int | None = None


class SessionLeft(msgspec.Struct, frozen=True, array_like=True):
    """A session that is kept: what its worker entrusted (workers.contract.custody), and its socket."""

    worker: int
    slot: int
    opened_ns: Annotated[int, msgspec.Meta(ge=0, le=LATEST_NS)]
    note: bytes
    descriptor: int


class EstateLeft(msgspec.Struct, frozen=True):
    """The second part. All lists of descriptors are by worker.

    generation: of the present configuration. texts: the configurations by the low 16 bits of their generations, the
    present one's and those that sessions still have. extra: how many of the last listeners are of older generations;
    retired: how many of these only serve existing sessions. names: the addresses of host names as Names has them, None:
    not resolved yet. private: the program's own.
    """

    generation: int
    texts: dict[int, str]
    extra: int
    retired: int
    max_sessions: int
    permits: int
    regions: list[int]
    stores: list[int]
    sessions: list[SessionLeft]
    rates: int | None = None
    names: dict[str, list[tuple[int, bytes]]] | None = None
    private: bytes = b""


class Manifest(msgspec.Struct, frozen=True):
    """The list. sockets: the listeners' descriptors as [worker][listener]. identities: of all descriptors, in order.

    layout: what the second part depends on, as its writer had it. monitor: what it is shown on. leash: what
    every process of the successor is to hold (proxyd.daemon.succession).
    """

    version: int
    program: str
    name: str
    release: str
    process: int
    listeners: list[ListenerLeft]
    sockets: list[list[int]]
    identities: list[Identity]
    layout: list[int]
    estate: msgspec.Raw
    pidfile: PlaceLeft | None = None
    control: PlaceLeft | None = None
    monitor: int | None = None
    leash: int | None = None


class Bundle(NamedTuple):
    """A list, encoded, and the descriptors it names, in order: each open file once; MISSING for what got lost."""

    manifest: bytes
    descriptors: tuple[int, ...]


class Inventory(NamedTuple):
    """A list as its reader understands it. estate None: laid out otherwise, why says how."""

    manifest: Manifest
    estate: EstateLeft | None
    why: str
    descriptors: tuple[int, ...]


Identify: TypeAlias = Callable[[int], Identity]


class Numbering:
    """Numbers descriptors in the order in which they are first named; an open file that is named twice has one number.

    identify: tells which. Where several files share an identity (the kernel's eventfds do), name one of them only.
    """

    def __init__(self, identify: Identify) -> None:
        self.descriptors: list[int] = []
        self.identities: list[Identity] = []
        self._numbers: dict[Identity, int] = {}
        self._identify = identify

    def number(self, descriptor: int) -> int:
        """Return a descriptor's number."""
        identity = self._identify(descriptor)
        found = self._numbers.get(identity)
        if found is None:
            found = self._numbers[identity] = len(self.descriptors)
            self.descriptors.append(descriptor)
            self.identities.append(identity)
        return found


_encoder = msgspec.msgpack.Encoder()
_manifests: msgspec.msgpack.Decoder[Manifest] = msgspec.msgpack.Decoder(Manifest)
_estates: msgspec.msgpack.Decoder[EstateLeft] = msgspec.msgpack.Decoder(EstateLeft)


def seal(estate: EstateLeft) -> msgspec.Raw:
    """Encode the second part. Raises OSError for words that are no text."""
    return msgspec.Raw(_encode(estate))


def identified(manifest: Manifest, identities: Sequence[Identity]) -> Manifest:
    """Return a list with the identities of its descriptors, once all of them are numbered."""
    return msgspec.structs.replace(manifest, identities=list(identities))


def write(manifest: Manifest) -> bytes:
    """Encode a list. Raises OSError for words, as a path, that are no text."""
    return _encode(manifest)


def _encode(part: Manifest | EstateLeft) -> bytes:
    try:
        return _encoder.encode(part)
    except UnicodeEncodeError as error:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from error


def read(bundle: Bundle, layout: Sequence[int]) -> Inventory:
    """Read a list and check it against its descriptors. layout: the reader's own. Raises InventoryError."""
    try:
        manifest = _manifests.decode(bundle.manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InventoryError(f"not a list of what was left: {error}") from error
    if manifest.version != VERSION:
        raise InventoryError(f"a list of version {manifest.version}, where {VERSION} is understood")
    if len(manifest.identities) != len(bundle.descriptors):
        raise InventoryError(f"{len(bundle.descriptors)} descriptors, the list has {len(manifest.identities)}")
    estate, why = _open(manifest, list(layout))
    _check(manifest, estate)
    lost = frozenset(number for number, descriptor in enumerate(bundle.descriptors) if descriptor == MISSING)
    if lost:
        estate, why = _without(lost, manifest, estate, why)
    return Inventory(manifest, estate, why, bundle.descriptors)


def _without(
    lost: frozenset[int], manifest: Manifest, estate: EstateLeft | None, why: str
) -> tuple[EstateLeft | None, str]:
    """Return what can be used without some descriptors. Raises InventoryError where that is not even a listener."""
    if not lost.isdisjoint(number for group in manifest.sockets for number in group):
        raise InventoryError(f"{len(lost)} of {len(manifest.identities)} descriptors are missing, listeners too")
    if estate is None:
        return None, why
    needed = {estate.permits, *estate.regions, *estate.stores, estate.rates}
    if not lost.isdisjoint(needed):
        return None, f"{len(lost)} of {len(manifest.identities)} descriptors are missing"
    sessions = [item for item in estate.sessions if item.descriptor not in lost]
    return msgspec.structs.replace(estate, sessions=sessions), why


def _open(manifest: Manifest, layout: list[int]) -> tuple[EstateLeft | None, str]:
    if manifest.layout != layout:
        theirs, ours = (" ".join(f"{part:x}" for part in parts) for parts in (manifest.layout, layout))
        return None, f"shared memory is laid out as {theirs}, not as {ours}"
    try:
        return _estates.decode(manifest.estate), ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return None, f"what was left is written otherwise: {error}"


def _check(manifest: Manifest, estate: EstateLeft | None) -> None:
    """Raise InventoryError where the parts of a list do not fit each other."""
    workers, count = len(manifest.sockets), len(manifest.identities)
    places = [place for place in (manifest.pidfile, manifest.control) if place is not None]
    named = [number for group in manifest.sockets for number in group] + [place.descriptor for place in places]
    named += [number for number in (manifest.monitor, manifest.leash) if number is not None]
    fits = bool(workers) and all(len(group) == len(manifest.listeners) for group in manifest.sockets)
    if estate is not None:
        named += [estate.permits, *estate.regions, *estate.stores, *(item.descriptor for item in estate.sessions)]
        named += [] if estate.rates is None else [estate.rates]
        fits = fits and len(estate.regions) == workers and len(estate.stores) in (0, workers)
        fits = fits and all(0 <= item.worker < workers and item.slot >= 0 for item in estate.sessions)
        fits = fits and estate.generation % GENERATIONS in estate.texts
        fits = fits and 0 <= estate.retired <= estate.extra <= len(manifest.listeners)
    if not fits or not all(0 <= number < count for number in named):
        raise InventoryError("the parts of the list do not fit each other")


def arrange(manifest: bytes, found: Mapping[Identity, int]) -> Bundle:
    """Return a list with its descriptors where they came in no order. found: those that are there, by identity.

    Raises InventoryError for what is no list.
    """
    try:
        identities = _manifests.decode(manifest).identities
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InventoryError(f"not a list of what was left: {error}") from error
    return Bundle(manifest, tuple(found.get(identity, MISSING) for identity in identities))


def describe(listener: ListenerSettings) -> ListenerLeft:
    """Return a listener as it is left."""
    version, value = listener.address
    raw = value.to_bytes(4 if version == 4 else 16, "big")
    return ListenerLeft(raw, listener.port, listener.transparent, listener.device)


def listener_of(left: ListenerLeft) -> ListenerSettings:
    """Return the settings of a listener that was left. Raises InventoryError for an address that is none."""
    version = {4: 4, 16: 6}.get(len(left.address))
    if version is None:
        raise InventoryError(f"an address of {len(left.address)} bytes")
    return ListenerSettings(
        Address(version, int.from_bytes(left.address, "big")),
        left.port,
        transparent=left.transparent,
        device=left.device,
    )
