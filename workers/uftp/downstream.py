"""A server proxy's one neighbour towards the clients: where it is, and who may speak to servers through the proxy.

Whoever knows a live group ID could otherwise speak to its server through us. A neighbour with several addresses answers
from the one that its kernel chooses, which need not be the one it is reached at: whoever registers in a group with its
port, before the neighbour has answered there and before the server has come to its files, is taken for it, until the
neighbour does answer there.
Source: UFTP 4.10.2, observed, which passes on what anybody sends; who is believed: ours.
"""

from __future__ import annotations

from collections import deque

from workers.contract.uftp import UftpSettings
from workers.uftp.addresses import host_of, port_of

FORMER = 8
"""Addresses that stay good for what is on its way when the neighbour moves."""
ALIASES = 4
"""Addresses at most that are taken for the neighbour's own in one group."""


class Downstream:
    """current: its raw address, None while no heartbeat has proved one (-s fp=)."""

    __slots__ = ("_host", "_open", "_proved", "current")

    def __init__(self, settings: UftpSettings) -> None:
        self.current = settings.downstream
        self._host = None if settings.downstream is None else host_of(settings.downstream)
        self._open = settings.open_upstream
        self._proved: deque[bytes] = deque(maxlen=FORMER)

    def move(self, to: bytes) -> None:
        """Take over an address that a heartbeat has proved."""
        if to in self._proved:
            self._proved.remove(to)
        self._proved.append(to)
        self.current = to

    @property
    def proved(self) -> tuple[bytes, ...]:
        """The addresses that heartbeats have proved, the newest last."""
        return tuple(self._proved)

    def admits(self, source: bytes) -> bool:
        """Tell whether what comes from here may go on to servers.

        A neighbour with a fixed address may use any port of it; one that was found must use an address it has proved.
        """
        return self._open or source in self._proved or (self._host is not None and host_of(source) == self._host)

    def resembles(self, source: bytes) -> bool:
        """Tell whether this could be a fixed neighbour at another of its addresses: it speaks from the same port."""
        return self._host is not None and self.current is not None and port_of(source) == port_of(self.current)
