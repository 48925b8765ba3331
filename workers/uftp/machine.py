"""The group machine of a UFTP proxy: one datagram in, what is to be done about it out. No I/O, no clock, no chance.

Nothing a peer can send makes `receive` raise: what cannot be used is counted by its reason and noted. The caller sends
what is in `actions` after each batch and calls `expire` when `next_deadline_ns` has come.
Source: UFTP 4.10.2, observed (the order of the checks); ways for datagrams that need no look inside: ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from workers.contract.uftp import DropReason, Fact, Mode, UftpSettings
from workers.errors import DecodeError, PeerError, SealError
from workers.uftp import adoption, announcing, feedback, header, lifetime, messages, progress, roles, transit
from workers.uftp.actions import Action, Arrival, GroupKey, Relay
from workers.uftp.adoption import Kept
from workers.uftp.aggregate import US_NS
from workers.uftp.archive import Archive
from workers.uftp.groups import Group
from workers.uftp.header import HEADER_BYTES, VERSION, Function, Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse
from workers.uftp.heartbeats import Heartbeats
from workers.uftp.keyring import Entropy, KeyRing
from workers.uftp.proxykey import KeyRequest
from workers.uftp.proxykeys import ProxyKeys
from workers.uftp.station import Station
from workers.uftp.suite import SignatureType

_NOISE = {"version": DropReason.VERSION, "datagram": DropReason.SHORT}
"""The fields in which a datagram's header fails, and what is counted."""


class Machine:
    """The engine of one worker. ring: own keys (workers.uftp.keyring); entropy: returns so many random bytes.

    beats: whether this worker sends and answers heartbeats and key requests: one of all does.
    """

    def __init__(
        self, settings: UftpSettings, uid: int, ring: KeyRing, entropy: Entropy, now_ns: int, beats: bool = True
    ) -> None:
        self._archive: Archive | None = None
        self._station = Station(settings, uid, ring, entropy, now_ns)
        self._heartbeats = Heartbeats(self._station, now_ns) if beats else None
        self._proxy_keys = ProxyKeys(self._station, now_ns)

    # --- outliving a process -----------------------------------------------------------------------------------------

    def adopt(self, archive: Archive, kept: Kept, now_ns: int) -> None:
        """Go on with what a predecessor has written down, and from now on write down what a successor needs.

        All that the datagrams in `actions` rest on is written when they stand there. To be called before anything else.
        """
        self._archive = archive
        adoption.adopt(self._station, archive, kept, now_ns)
        if self._heartbeats is not None:
            self._heartbeats.nonce = adoption.nonce_of(kept) or self._heartbeats.nonce
        self._save_beats()

    def freeze(self, now_ns: int) -> None:
        """Have all that waits sent, and write everything down as it is: nothing may come to this machine any more."""
        station = self._station
        for group in station.groups:
            feedback.flush(station, group, now_ns)
            if self._archive is not None:
                self._archive.save_exactly(group)

    def save_shown(self) -> None:
        """Write down how far groups are, as far as that is only shown."""
        if self._archive is not None:
            self._archive.save_shown(self._station.groups)

    def note_joined(self, private: bytes) -> None:
        """Hear that an address is about to be joined."""
        if self._archive is not None:
            self._archive.note_joined(private)

    def note_left(self, private: bytes) -> None:
        """Hear that an address was left."""
        if self._archive is not None:
            self._archive.note_left(private)

    @property
    def unsaved(self) -> int:
        """How often there was no room to write a group or a client down."""
        return 0 if self._archive is None else self._archive.unsaved

    @property
    def actions(self) -> list[Action]:
        """What is to be done, in order; the caller takes it and empties the list."""
        return self._station.actions

    @property
    def drops(self) -> Counter[DropReason]:
        """How many datagrams nothing was done with, by reason."""
        return self._station.drops

    @property
    def facts(self) -> Counter[Fact]:
        """Other counts and gauges."""
        return self._station.facts

    @property
    def log_level(self) -> int:
        """Up to which level, 0 to 5, notes are made."""
        return self._station.log_level

    @log_level.setter
    def log_level(self, level: int) -> None:
        self._station.log_level = level

    @property
    def generation(self) -> int:
        """A number that changes when a `Relay` given earlier may not hold any more."""
        return self._station.groups.generation

    def next_deadline_ns(self) -> int:
        """Return when `expire` has something to do; workers.deadlines.NEVER if nothing is to come."""
        due_ns = self._station.timers.next_ns()
        return due_ns if self._heartbeats is None else min(due_ns, self._heartbeats.due_ns, self._proxy_keys.due_ns)

    def expire(self, now_ns: int) -> None:
        """Do what is due."""
        if self._heartbeats is not None and self._heartbeats.due_ns <= now_ns:
            self._heartbeats.round(now_ns)
        if self._proxy_keys.due_ns <= now_ns:
            self._proxy_keys.answer(now_ns)
        station = self._station
        for key in station.timers.due(now_ns):
            group = station.groups.get(key)
            if group is not None:
                lifetime.expire(station, group, now_ns)
                self._settle(key)

    def receive(self, datagram: bytes, arrival: Arrival, now_ns: int) -> None:
        """Take in one datagram."""
        try:
            head = header.decode(datagram)
            if arrival.source == self._station.settings.own:
                self._station.drop(DropReason.FROM_SELF)
            elif head.function in roles.OUTSIDE_GROUPS:
                self._outside(datagram, head, arrival, now_ns)
            else:
                self._inside(datagram, head, arrival, now_ns)
        except DecodeError as error:
            reason = _NOISE.get(error.field, DropReason.MALFORMED)
            self._reject(reason, datagram, arrival, str(error), told=error.field not in announcing.FRAME_FIELDS)
        except SealError as error:
            self._reject(DropReason.NOT_AUTHENTIC, datagram, arrival, str(error))
        except PeerError as error:
            self._reject(DropReason.NOT_ALLOWED, datagram, arrival, str(error))

    def route(self, head: bytes, source: bytes) -> Relay | None:
        """Return how datagrams that begin like this go on untouched; None: `receive` must see each of them.

        head: the header's 16 bytes, source: raw. The answer holds for every datagram with the same header, the sequence
        number aside, from the same source, until `generation` changes; what uses it tells `touch`.
        """
        version, function, _, source_id, group_id, instance, grtt, size = header.LAYOUT.unpack_from(head)
        key = GroupKey(group_id, instance)
        group = self._station.groups.get(key)
        if group is None or version != VERSION or function in roles.NEVER_ROUTED:
            return None
        upstream = group.terms.upstream
        if self._station.mode is Mode.SERVER:
            return self._route_through(group, function, source, Relay(b"", key, grtt, size))
        if source != upstream or source_id != group.terms.server_uid or self._is_for_us(group, function):
            return None
        to = group.terms.private if self._station.mode is Mode.CLIENT else b""
        return Relay(to, key, grtt, size)

    def touch(self, relay: Relay, now_ns: int, datagrams: int = 1, size: int = 0) -> None:
        """Hear that datagrams of this size in all went the way of a `Relay` just now: their group lives.

        Its GRTT is theirs.
        """
        group = self._station.groups.get(relay.group)
        if group is None:
            return
        group.heard_ns = now_ns
        if relay.grtt < 0:
            return
        group.progress.count(datagrams, size)
        if group.hear(relay.grtt, relay.size):
            self._settle(relay.group)

    @property
    def downstream(self) -> bytes | None:
        """Where a server proxy sends to, None: not known."""
        return self._station.downstream.current

    @property
    def groups(self) -> Iterable[Group]:
        """The groups as they are now, to be looked at."""
        return self._station.groups

    def move_downstream(self, to: bytes) -> None:
        """Take over a downstream address that another worker's heartbeats have proved (actions.Moved)."""
        self._station.move_downstream(to)
        self._save_beats()

    def drain(self) -> None:
        """Take no other group any more."""
        self._station.groups.closed = True

    @property
    def draining(self) -> bool:
        """Whether no other group is taken any more."""
        return self._station.groups.closed

    def join_failed(self, group: bytes, now_ns: int) -> None:
        """Give up the groups with a private address (raw, as in actions.Join) that could not be joined."""
        station = self._station
        for concerned in [one for one in station.groups if one.terms.private == group]:
            lifetime.give_up(station, concerned, "cannot join the private multicast group", now_ns)
            self._settle(concerned.key)

    def _route_through(self, group: Group, function: int, source: bytes, relay: Relay) -> Relay | None:
        """Return the way through a server proxy. relay: as it is for the server's datagrams, but for where to."""
        station, settled = self._station, group.settled
        if station.downstream.current is None:
            return None
        way: Relay | None = None
        if source == group.terms.upstream:
            transit.note_step(group, function)
            way = relay._replace(to=station.downstream.current)
        elif transit.speaks(station, group, source):
            way = Relay(group.terms.upstream, group.key, -1, -1)
        if group.settled is not settled:
            self._settle(group.key)
        return way

    def _is_for_us(self, group: Group, function: int) -> bool:
        """Tell whether a client or response proxy must look at a server's message of this function itself."""
        if function in roles.STEERED:
            return True
        if group.crypto is None:
            return False
        if function == Function.ENCRYPTED and group.crypto.suite.signature is SignatureType.KEYEX:
            return self._station.mode is Mode.CLIENT
        return function in roles.STEERED_IF_ENCRYPTED

    def _outside(self, datagram: bytes, head: Header, arrival: Arrival, now_ns: int) -> None:
        message = messages.decode(head, datagram[HEADER_BYTES:])
        if self._heartbeats is None:
            self._station.drop(DropReason.NOT_FOR_US)
        elif isinstance(message, HeartbeatRequest):
            nonce = self._heartbeats.nonce
            self._heartbeats.request(message, arrival.source)
            if nonce != self._heartbeats.nonce:
                self._save_beats()
        elif isinstance(message, HeartbeatResponse):
            self._heartbeats.answer(message, arrival.source, now_ns)
        elif isinstance(message, KeyRequest):
            self._proxy_keys.request(arrival.source, now_ns)
        else:
            self._station.drop(DropReason.NOT_FOR_US)

    def _inside(self, datagram: bytes, head: Header, arrival: Arrival, now_ns: int) -> None:
        station = self._station
        if station.mode is Mode.SERVER and station.downstream.current is None:
            station.drop(DropReason.NO_DOWNSTREAM)
            station.note("uftp-no-downstream", None, arrival.source)
            return
        key = GroupKey(head.group_id, head.group_instance)
        group = station.groups.get(key)
        from_server = group is None or arrival.source == group.terms.upstream
        if group is None and head.function != Function.ANNOUNCE:
            station.drop(DropReason.NO_GROUP)
            return
        try:
            if group is not None and from_server:
                self._hear(group, head)
                progress.note(group, datagram, head, now_ns)
            if group is None or (head.function == Function.ANNOUNCE and from_server):
                announcing.announce(station, datagram, head, arrival, now_ns)
            elif from_server:
                transit.from_server(station, group, datagram, head, now_ns)
            else:
                transit.from_below(station, group, datagram, head, arrival, now_ns)
        finally:
            self._settle(key)

    def _hear(self, group: Group, head: Header) -> None:
        station = self._station
        trusted = station.mode is Mode.SERVER or head.source_id == group.terms.server_uid
        if trusted and group.hear(head.grtt, head.group_size):
            station.note("uftp-grtt", group, group.grtt_ns // US_NS)

    def _settle(self, key: GroupKey) -> None:
        """Have a group woken for its earliest deadline, no harm if too early, and what has changed written."""
        group = self._station.groups.get(key)
        if group is not None:
            self._station.timers.bring_forward(key, group.due_ns)
        if self._archive is not None:
            self._archive.save(key, group)

    def _save_beats(self) -> None:
        """Write down what heartbeats have come to."""
        station = self._station
        wanted, proved = station.settings.downstream_fingerprint, station.downstream.proved
        if self._archive is None or wanted is None:
            return
        if proved:
            self._archive.save_downstream(wanted, proved)
        if self._heartbeats is not None:
            self._archive.save_nonce(self._heartbeats.nonce)

    def _reject(self, reason: DropReason, datagram: bytes, arrival: Arrival, why: str, told: bool = True) -> None:
        """Count and note what was not used. told: whether of an announcement that is refused the log has been told."""
        self._station.drop(reason)
        if reason in _NOISE.values():
            self._station.note("uftp-noise", None, arrival.source, why)
            return
        number = datagram[header.FUNCTION_AT]
        if number == Function.ANNOUNCE and told:
            head = header.decode(datagram)
            if self._station.groups.get(GroupKey(head.group_id, head.group_instance)) is None:
                return
        name = Function(number).name if number in roles.FUNCTIONS else f"message {number}"
        self._station.note("uftp-rejected", None, name, arrival.source, why)
