"""What the kinds of session let through: a table, read by the engine. Source: udp-proxy(8), Session types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from workers.contract.settings import SessionKind


class Match(Enum):
    """Whose datagrams on the server side are a session's."""

    SOCK = 1
    """The target's address and port."""
    HOST = 2
    """The target's address."""
    ANYBODY = 3


@dataclass(frozen=True, slots=True)
class Behaviour:
    """connected: only the target's own address and port can answer, so the kernel may sort the rest out.

    answers: what the server sends goes to the client; otherwise it ends the session. match: whose datagrams that are.
    fixes: the first sender becomes the target, and nobody else counts from then on.
    genuine: whether the client sees the address of the server that answered instead of the one that it wrote to:
    in sessions that are not transparent, and in those that are.
    """

    connected: bool
    answers: bool
    match: Match = Match.SOCK
    fixes: bool = False
    genuine: tuple[bool, bool] = (False, False)


BEHAVIOURS: dict[SessionKind, Behaviour] = {
    SessionKind.NORMAL: Behaviour(connected=True, answers=True),
    SessionKind.ONE_WAY: Behaviour(connected=False, answers=False, match=Match.HOST),
    SessionKind.ANY_PORT: Behaviour(connected=False, answers=True, match=Match.HOST, fixes=True),
    SessionKind.ANY_SOCK: Behaviour(
        connected=False, answers=True, match=Match.ANYBODY, fixes=True, genuine=(False, True)
    ),
    SessionKind.BROADCAST: Behaviour(connected=False, answers=True, match=Match.ANYBODY, genuine=(True, True)),
}
