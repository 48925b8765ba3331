"""What becomes due in a group, and how it ends.

Source: UFTP 4.10.2, observed; KEYINFO's own timer, time for clients that come late, and room for other groups: ours.
"""

from __future__ import annotations

from workers.contract.uftp import Fact
from workers.deadlines import NEVER
from workers.uftp import feedback, outlet
from workers.uftp.clients import Client
from workers.uftp.exchange import ClientLeg
from workers.uftp.groups import Group, PhaseInput
from workers.uftp.station import Station
from workers.uftp.timers import SECOND_NS


def expire(station: Station, group: Group, now_ns: int) -> None:
    """Do what is due in a group: it may have been woken too early, and it may be gone afterwards."""
    if group.pending_ns <= now_ns:
        feedback.flush(station, group, now_ns)
    if group.setup_ns <= now_ns:
        _end_setup(station, group, now_ns)
    if group.keyinfo_ns <= now_ns:
        if not group.keyinfo_queue:
            group.queue_waiting()
        outlet.keyinfo(station, group, now_ns)
    if group.silence_ns <= now_ns:
        station.note("uftp-group-timeout", group)
        station.facts[Fact.GROUPS_TIMED_OUT] += 1
        drop(station, group)


def drop(station: Station, group: Group) -> None:
    """Forget a group, and leave its private address if nobody else needs it."""
    station.groups.remove(group)
    station.timers.cancel(group.key)
    station.facts[Fact.GROUPS] -= 1
    station.facts[Fact.CLIENTS] -= len(group.clients)
    leave = station.memberships.release(group.terms.private)
    if leave is not None:
        station.actions.append(leave)


def give_up(station: Station, group: Group, why: str, now_ns: int) -> None:
    """End a group that cannot go on through this proxy: tell the server, and forget it."""
    outlet.abort_up(station, group, 0, why, now_ns)
    drop(station, group)


def make_room(station: Station, now_ns: int) -> None:
    """Have groups end soon whose servers would have spoken by now: of an hour's patience that somebody may claim.

    To be called when many places are taken; it looks at all groups, once a second at most.
    """
    groups = station.groups
    if not groups.crowded or now_ns < groups.looked_ns + SECOND_NS:
        return
    groups.looked_ns = now_ns
    for group in groups:
        if group.lull_ns <= now_ns and not group.pending:
            group.heard_ns = min(group.heard_ns, now_ns - group.patience_ns)
            station.timers.bring_forward(group.key, now_ns)


def _end_setup(station: Station, group: Group, now_ns: int) -> None:
    """Go on without the clients of an encrypted group that are not ready; they and the server are told.

    Who came so late that its own time is not over yet is looked at again: the others must not wait for it.
    """
    group.setup_ns = NEVER
    group.advance(PhaseInput.DEADLINE)
    if group.crypto is None:
        return
    for client in group.clients.unfinished:
        due_ns = client.since_ns + group.patience_ns
        if due_ns <= now_ns:
            _give_up_client(station, group, client, now_ns)
        elif due_ns < NEVER:
            group.setup_ns = now_ns + group.patience_ns


def _give_up_client(station: Station, group: Group, client: Client[ClientLeg], now_ns: int) -> None:
    client.since_ns = NEVER
    station.note("uftp-not-registered", group, client.uid)
    why = "client was not fully registered at proxy"
    outlet.abort_down(station, group, client.uid, why, now_ns)
    outlet.abort_up(station, group, client.uid, why, now_ns)
