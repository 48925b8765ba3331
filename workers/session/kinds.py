"""What the kinds of session let through: a table, read by the engine. Source: udp-proxy(8), Session types."""

from __future__ import annotations

from dataclasses import dataclass

from workers.contract.settings import SessionKind


@dataclass(frozen=True, slots=True)
class Behaviour:
    """connected: only the target's own address and port can answer, so the kernel may sort the rest out.

    answers: what the server sends goes to the client; otherwise it ends the session.
    """

    connected: bool
    answers: bool


BEHAVIOURS: dict[SessionKind, Behaviour] = {
    SessionKind.NORMAL: Behaviour(connected=True, answers=True),
    SessionKind.ONE_WAY: Behaviour(connected=False, answers=False),
}
"""The kinds this engine serves; a configuration with another one does not start."""
