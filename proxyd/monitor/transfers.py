"""What UFTP workers count, by the names under which it is shown. Source: workers.uftp.actions, workers.uftp.station."""

from __future__ import annotations

from typing import NamedTuple

from proxyd.monitor.view import View
from workers.contract.slots import Counter
from workers.contract.slots import DropReason as SendReason
from workers.contract.uftp import DropReason

UNSENT = "unsent"
"""In the place of a reason: a datagram of ours that could not be sent."""
FACTS: tuple[tuple[str, str, bool], ...] = (
    ("groups", "Open transfers.", False),
    ("weak_groups", "Transfers with weak ciphers or keys since the start.", True),
    ("clients", "Clients of all transfers.", False),
    ("aborts_up", "Aborts sent to servers.", True),
    ("aborts_down", "Aborts sent to clients.", True),
    ("groups_timed_out", "Transfers that ended because nothing came any more.", True),
)
"""By workers.uftp.station.Fact: name, text, whether it only grows."""


class FactFigure(NamedTuple):
    """One of the facts."""

    name: str
    text: str
    grows: bool
    value: int


def facts(view: View) -> list[FactFigure]:
    """Return all facts as they are now."""
    return [FactFigure(*row, view.total(Counter.UFTP_FACTS + number)) for number, row in enumerate(FACTS)]


def drops(view: View) -> dict[str, int]:
    """Return by reason the datagrams with which nothing was done."""
    found = {reason.name.lower().replace("_", "-"): view.total(Counter.UFTP_DROPS + reason) for reason in DropReason}
    found[UNSENT] = view.total(Counter.DROPS_OUT + SendReason.SEND_FAILED)
    return found
