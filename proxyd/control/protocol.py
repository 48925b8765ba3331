"""What proxyctl and a running proxy say to each other: typed, bounded, one message a datagram of a Unix socket.

A client asks; the proxy answers with any number of messages, of which the last one is Done or Refused. Whatever arrives
is decoded with its type and its bounds checked, on either side.
Source: unix(7), SOCK_SEQPACKET.
"""

from __future__ import annotations

import struct
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from proxyd.errors import ProxydError
from workers.contract.tapping import LONGEST_NS, MOST_BYTES, MOST_DATAGRAMS

MAX_MESSAGE_BYTES = 60_000
MAX_KILLS = 2_000
"""Sessions that one message may end: a worker's channel takes them in one message too."""
NUMBER = struct.Struct("=I")
"""A slot's number before its record."""

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
Raw: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=4, max_length=16)]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Month: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=12)]
Day: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=31)]
Weekday: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=6)]
Minute: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1439)]


class ProtocolError(ProxydError):
    """What arrived is no message of the other side."""


# --- requests --------------------------------------------------------------------------------------------------------


class AskStatus(msgspec.Struct, frozen=True, tag="status"):
    """How is the proxy? Answered with Status."""


class AskSessions(msgspec.Struct, frozen=True, tag="sessions"):
    """Which sessions are there? Answered with Slots."""


class AskKill(msgspec.Struct, frozen=True, tag="kill"):
    """End sessions: (worker, slot, beginning in nanoseconds) each; those that are over do not matter."""

    sessions: Annotated[list[tuple[Count, Count, int]], msgspec.Meta(min_length=1, max_length=MAX_KILLS)]


class AskLevel(msgspec.Struct, frozen=True, tag="level"):
    """Give the debug log this level, in all processes."""

    level: Annotated[int, msgspec.Meta(ge=3, le=9)]


class AskDrain(msgspec.Struct, frozen=True, tag="drain"):
    """Begin no session any more, and end with the last one. timeout_s: or then at the latest; None: however long."""

    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None = None


class AskReload(msgspec.Struct, frozen=True, tag="reload"):
    """Read the configuration again. Answered with Mistakes, where it has any, and with Step while it takes effect.

    dry_run: change nothing; answered with Mistakes, or with Changes and Judgements.
    """

    dry_run: bool = False


class AskExplain(msgspec.Struct, frozen=True, tag="explain"):
    """What would become of a datagram? Answered with Explanation.

    client, destination: addresses, 4 or 16 bytes. user None: whoever sits at the client's address now.
    when: month, day, weekday (0 is Sunday), minute of the day; None: now. transparent None: as the proxy listens.
    """

    client: Raw
    client_port: Port
    destination: Raw
    destination_port: Port
    user: Name | None = None
    groups: Annotated[list[Name], msgspec.Meta(max_length=256)] = []
    when: tuple[Month, Day, Weekday, Minute] | None = None
    transparent: bool | None = None
    tos: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class AskUsers(msgspec.Struct, frozen=True, tag="users"):
    """Who sits at which address now? Answered with Users."""


class AskGroups(msgspec.Struct, frozen=True, tag="groups"):
    """Which UFTP groups are there? Answered with Groups."""


class AskHits(msgspec.Struct, frozen=True, tag="hits"):
    """What have rules decided, and listeners received? Answered with RuleHits and ListenerHits."""


class AskTap(msgspec.Struct, frozen=True, tag="tap"):
    """Copy a session's datagrams to the socket that comes with the message (workers.contract.tapping).

    The session: worker, slot, and when it began. The copying ends after so many datagrams, so many bytes of payload,
    or so many nanoseconds. The proxy tells through the socket what becomes of it.
    """

    worker: Count
    slot: Count
    began_ns: int
    datagrams: Annotated[int, msgspec.Meta(ge=1, le=MOST_DATAGRAMS)]
    payload_bytes: Annotated[int, msgspec.Meta(ge=1, le=MOST_BYTES)]
    span_ns: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_NS)]


class AskTakeover(msgspec.Struct, frozen=True, tag="takeover"):
    """Hand over to the program that asks, over the lane (proxyd.daemon.lane) that comes with the question."""

    program: Name
    name: Name


class AskUpgrade(msgspec.Struct, frozen=True, tag="upgrade"):
    """Start the program anew, and hand over to it. Answered with Step, until it is done."""


Request: TypeAlias = (
    AskStatus
    | AskSessions
    | AskKill
    | AskLevel
    | AskDrain
    | AskReload
    | AskExplain
    | AskUsers
    | AskGroups
    | AskHits
    | AskTap
    | AskTakeover
    | AskUpgrade
)


# --- answers ---------------------------------------------------------------------------------------------------------


class ChildState(msgspec.Struct, frozen=True):
    """A child: its name in the log, its process (0: none), its state (starting, ready, stopping, dead)."""

    name: str
    pid: int
    state: str


class WorkerState(msgspec.Struct, frozen=True):
    """A worker's counters. out is client to server."""

    index: int
    sessions: int
    draining: bool
    totals: dict[str, int]


class ListenerState(msgspec.Struct, frozen=True):
    """A listening address, as sessions refer to it by its place in the list."""

    address: str
    transparent: bool
    device: str | None


class RuleState(msgspec.Struct, frozen=True):
    """A rule, as sessions refer to it by its place in the list; the limits that end its sessions, None for none.

    Times in nanoseconds.
    """

    name: str
    accept: bool
    kind: str
    max_dgrams_in: int | None
    max_dgrams_out: int | None
    max_bytes_in: int | None
    max_bytes_out: int | None
    session_ns: int | None
    in_ns: int | None
    out_ns: int | None
    both_ns: int | None


class ReloadState(msgspec.Struct, frozen=True):
    """How the last reload went: the generation that serves since, when, and the first mistakes, none if it is new."""

    generation: int
    when_unix: float
    mistakes: list[str]


class Status(msgspec.Struct, frozen=True, tag="is"):
    """How the proxy is. started_unix: seconds since 1970. state: starting, serving, draining or stopping.

    totals, dropped_out, dropped_in, closed: sums over all workers since the start, dropped and closed by reason.
    reload: the last one, None before the first. reloading: whether one is under way.
    Workers, listeners and rules follow in messages of their own.
    """

    program: str
    version: str
    name: str
    pid: int
    file: str
    generation: int
    started_unix: float
    uptime_s: float
    state: str
    level: int
    sessions: int
    max_sessions: int
    users: int | None
    names: int
    children: list[ChildState]
    totals: dict[str, int]
    dropped_out: dict[str, int]
    dropped_in: dict[str, int]
    closed: dict[str, int]
    reload: ReloadState | None = None
    reloading: bool = False


class Workers(msgspec.Struct, frozen=True, tag="workers"):
    """Some of the workers, in their order."""

    workers: list[WorkerState]


class Rules(msgspec.Struct, frozen=True, tag="rules"):
    """Some of the rules, in their order. generation: an older one's that sessions still have, by its low 16 bits."""

    rules: list[RuleState]
    generation: int | None = None


class Listeners(msgspec.Struct, frozen=True, tag="listeners"):
    """Some of the listeners, in their order."""

    listeners: list[ListenerState]


class Slots(msgspec.Struct, frozen=True, tag="slots"):
    """Some of a worker's sessions: for each the slot's number (4 bytes) and its record (workers.contract.slots.SLOT).

    now_ns: when they were read, by the clock of the records.
    """

    worker: int
    now_ns: int
    records: bytes


class Users(msgspec.Struct, frozen=True, tag="users"):
    """Some of the users: (address of 4 or 16 bytes, user, groups) each.

    file: where they stand. read_unix: when the proxy took them from there, in seconds since 1970; None: never.
    complaint: why it has not taken what stands there now, empty: it has.
    """

    file: str
    read_unix: float | None
    complaint: str
    entries: list[tuple[bytes, str, list[str]]]


class RuleHits(msgspec.Struct, frozen=True, tag="rulehits"):
    """What some of the rules have decided: name, clients accepted, rejected, and accepted without getting a session.

    Sums over all workers that only grow.
    """

    rules: list[tuple[str, int, int, int]]


class ListenerHits(msgspec.Struct, frozen=True, tag="listenerhits"):
    """What some of the listeners had: address, datagrams received, bytes forwarded, datagrams lost in full queues.

    Sums over all workers that only grow.
    """

    listeners: list[tuple[str, int, int, int]]


class Groups(msgspec.Struct, frozen=True, tag="groups"):
    """Some of a worker's groups: as Slots, with records of workers.contract.groups.GROUP."""

    worker: int
    now_ns: int
    records: bytes


class Checked(msgspec.Struct, frozen=True):
    """One condition of a rule as it was evaluated: its keyword, what it was held against, whether it holds.

    wanted: what the rule asks for, cut where that is long.
    """

    rule: str
    condition: str
    value: str
    holds: bool
    wanted: str = ""


class Mistakes(msgspec.Struct, frozen=True, tag="mistakes"):
    """Some of what keeps a configuration from being taken, in the order of the file."""

    lines: list[str]


class Notes(msgspec.Struct, frozen=True, tag="notes"):
    """Some of what may not be what was meant in a configuration that is taken, or waits for the next start."""

    lines: list[str]


class Change(msgspec.Struct, frozen=True):
    """What a reload would change. what: listener, session-acl or setting. how: added, removed, changed or moved."""

    what: str
    how: str
    name: str
    detail: str


class Changes(msgspec.Struct, frozen=True, tag="changes"):
    """Some of what a reload would change."""

    changes: list[Change]


class Judged(msgspec.Struct, frozen=True):
    """Whether a live session would be let in by a configuration, by which rule, and why or why not.

    names: host names that are not resolved yet, by whose addresses it may be otherwise.
    """

    slot: int
    began_ns: int
    client: str
    destination: str
    accepted: bool
    rule: str | None
    reason: str
    names: list[str] = []


class Judgements(msgspec.Struct, frozen=True, tag="judged"):
    """Some of a worker's sessions, judged by the configuration that a reload would put in force."""

    worker: int
    sessions: list[Judged]


class Explanation(msgspec.Struct, frozen=True, tag="explanation"):
    """What would become of a datagram.

    verdict: accepted (a session would begin) or dropped. reason: why, in words. rule: the one that decides.
    target: where it would go. user: as who the client counts. checks: every condition that was looked at, in order;
    the last 200.
    """

    verdict: str
    reason: str
    listener: str | None
    rule: str | None
    kind: str | None
    target: str | None
    user: str | None
    checks: list[Checked]


class Step(msgspec.Struct, frozen=True, tag="step"):
    """What was asked for takes its time, and how far it is."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The answer is complete, or what was asked for is done. note: in words."""

    note: str = ""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """What was asked for is not done, and why."""

    why: str


Reply: TypeAlias = (
    Status
    | Workers
    | Rules
    | Listeners
    | Slots
    | Users
    | RuleHits
    | ListenerHits
    | Groups
    | Explanation
    | Mistakes
    | Notes
    | Changes
    | Judgements
    | Step
    | Done
    | Refused
)

_Message = TypeVar("_Message")
_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Encode a message. Raises ProtocolError when it is too long to be sent, or has words that are no text."""
    try:
        data = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise ProtocolError(f"a message with words that are no text: {error.reason}") from error
    if len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message of {len(data)} bytes, at most {MAX_MESSAGE_BYTES} may be sent")
    return data


def decode_request(data: bytes) -> Request:
    """Decode what a client has sent. Raises ProtocolError for what is no request."""
    return _decode(_requests, data)


def decode_reply(data: bytes) -> Reply:
    """Decode what a proxy has sent. Raises ProtocolError for what is no reply."""
    return _decode(_replies, data)


def _decode(decoder: msgspec.msgpack.Decoder[_Message], data: bytes) -> _Message:
    if len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message longer than {MAX_MESSAGE_BYTES} bytes")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a message: {error}") from error
