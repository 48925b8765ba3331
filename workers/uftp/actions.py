"""What goes into the UFTP machine beside datagrams, and what comes out of it: plain values, no behaviour.

The machine (workers.uftp.machine) is given one datagram with its Arrival at a time and appends to `machine.actions`
what the caller must do: datagrams to send, groups to join and leave, lines for the log. Addresses are raw struct
sockaddr bytes (workers.wire.sockaddr) in the family of the proxy's socket, times nanoseconds of the monotonic clock.
The protocol's own timestamps are only ever moved by differences of that clock, so the machine needs no wall clock.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class GroupKey(NamedTuple):
    """What tells one transfer from another. Source: UFTP 4.10.2, observed: a restart is another group."""

    group_id: int
    instance: int


class Arrival(NamedTuple):
    """How a datagram came: its source, the address it was sent to (a multicast group or ours), the interface index."""

    source: bytes
    destination: bytes
    interface: int


class Send(NamedTuple):
    """Send one datagram from the listening socket. to: a station, or a multicast group (out of the -O interface)."""

    payload: bytes
    to: bytes


class Join(NamedTuple):
    """Join a private group on every listening interface. sources: for source-specific joins; empty: from anywhere.

    A join that fails is told to the machine by `join_failed(group, now_ns)`."""

    group: bytes
    sources: tuple[bytes, ...]


class Leave(NamedTuple):
    """Leave a private group that Join named: nobody needs it any more."""

    group: bytes
    sources: tuple[bytes, ...]


class Moved(NamedTuple):
    """A heartbeat has proved a new downstream address (-s fp=): tell the others' machines (`move_downstream`)."""

    downstream: bytes


class Note(NamedTuple):
    """One line for the log. event: a row of workers.contract.uftp_events; fields: that row's, in its order.

    group: what the line's prefix names, None for lines that belong to no group; file_id: 0 for none."""

    event: str
    group: GroupKey | None
    file_id: int
    fields: tuple[int | str | bytes | None, ...]


Action: TypeAlias = Send | Join | Leave | Moved | Note


class Relay(NamedTuple):
    """How datagrams of one kind go on, byte for byte: the answer of `machine.route`.

    to: where to, b"" for nowhere (only the group's activity counts). Tell `machine.touch` when it was used. grtt, size:
    what the header says, -1 if it is not a server's."""

    to: bytes
    group: GroupKey
    grtt: int
    size: int
