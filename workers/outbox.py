"""Carries out what the UFTP machine decides: datagrams, memberships, log lines, news for the other workers.

A socket whose queue is full is waited for, a moment at a time: nothing that came meanwhile is lost, it waits in the
socket's own queue. What cannot be sent at all is counted and logged.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from workers.contract.context import ChannelLike
from workers.contract.messages import Moved as MovedMessage
from workers.contract.slots import DropReason
from workers.journal import Journal
from workers.multicast import Multicast
from workers.net.plain import to_python
from workers.stats import Stats
from workers.uftp.actions import Action, GroupKey, Join, Leave, Moved, Note, Send
from workers.uftp.machine import Machine

FULL_WAIT_MS = 20
"""How long at once a full socket is waited for; five times at most for one datagram."""
_ATTEMPTS = 5


class Outbox:
    """What one worker does for its machine. stats: what it has sent, and could not send."""

    def __init__(self, sock: socket.socket, multicast: Multicast, channel: ChannelLike, journal: Journal) -> None:
        self._sock = sock
        self._multicast = multicast
        self._channel = channel
        self._journal = journal
        self._writable = select.poll()
        self._writable.register(sock.fileno(), select.POLLOUT)
        self._doers: dict[type, Callable[[Any, Machine, int], None]] = {
            Send: self._send,
            Join: self._join,
            Leave: self._leave,
            Moved: self._tell_moved,
            Note: self._note,
        }
        self._moved = b""
        self.stats = Stats()

    def carry_out(self, machine: Machine, now_ns: int) -> None:
        """Do everything that the machine has decided, in order; what a failed join leads to as well."""
        if self._moved:
            self._pass_moved()
        actions: list[Action] = machine.actions
        while actions:
            some = actions.copy()
            actions.clear()
            for action in some:
                self._doers[type(action)](action, machine, now_ns)

    def wait_writable(self) -> None:
        """Wait a moment until the socket takes more."""
        self._writable.poll(FULL_WAIT_MS)

    def close(self) -> None:
        """Give up the memberships that the listening socket has no room for."""
        self._multicast.close()

    def note_unsent(self, to: bytes, reason: str, datagrams: int) -> None:
        """Log and count datagrams that could not be sent."""
        self.stats.drops_out[DropReason.SEND_FAILED] += datagrams
        self._journal.note("uftp-unsent", 0, "", to, reason, datagrams)

    def send(self, payload: bytes, raw: bytes) -> None:
        """Send one datagram to a raw address."""
        to = _python_address(raw)
        for _ in range(_ATTEMPTS):
            try:
                self._sock.sendto(payload, to)
            except BlockingIOError:
                self.wait_writable()
            except OSError as error:
                self.note_unsent(raw, error.strerror or str(error), 1)
                return
            else:
                self.stats.forwarded_out += 1
                self.stats.bytes_out += len(payload)
                return
        self.note_unsent(raw, "the socket stays full", 1)

    def _send(self, action: Send, _machine: Machine, _now_ns: int) -> None:
        self.send(action.payload, action.to)

    def _join(self, action: Join, machine: Machine, now_ns: int) -> None:
        machine.note_joined(action.group)
        try:
            self._multicast.join(action.group, action.sources)
        except OSError as error:
            self._journal.note("uftp-join-failed", 0, "", action.group, error.strerror or str(error))
            machine.join_failed(action.group, now_ns)
        else:
            self._journal.note("uftp-joined", 0, "", action.group, _count(action.sources))

    def _leave(self, action: Leave, machine: Machine, _now_ns: int) -> None:
        self._multicast.leave(action.group, action.sources)
        machine.note_left(action.group)
        self._journal.note("uftp-left", 0, "", action.group)

    def _tell_moved(self, action: Moved, _machine: Machine, _now_ns: int) -> None:
        self._moved = action.downstream
        self._pass_moved()

    def _pass_moved(self) -> None:
        """Tell the other workers where the downstream is now; when the channel is full, the next time.

        They hear of it nowhere else: the next heartbeats come from an address that is known already.
        """
        if self._channel.send(MovedMessage(self._moved)):
            self._moved = b""

    def _note(self, action: Note, _machine: Machine, _now_ns: int) -> None:
        if self._journal.takes(action.event):
            prefix = "" if action.group is None else _prefix(action.group, action.file_id)
            self._journal.put(action.event, 0, prefix, *action.fields)


_python_address = lru_cache(maxsize=4096)(to_python)


@lru_cache(maxsize=4096)
def _prefix(group: GroupKey, file_id: int) -> str:
    """Return what stands before a line about a group. Source: UFTP 4.10.2, observed."""
    return f"[{group.group_id:08X}/{group.instance:02X}:{f'{file_id:04X}' if file_id else '0'}]: "


def _count(sources: Sequence[bytes]) -> str:
    return f"{len(sources)} sources" if sources else "all sources"
