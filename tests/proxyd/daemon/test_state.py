"""The state in one line."""

from __future__ import annotations

import os

from proxyd.daemon.roster import Child, Role, Roster
from proxyd.daemon.shared import Shared
from proxyd.daemon.state import describe_state
from workers.contract.settings import Settings
from workers.contract.slots import CloseReason, Counter, DropReason
from workers.contract.uftp import DropReason as UftpDropReason

SETTINGS = Settings("TEST", (), 50, 2, ())


def test_children_sessions_and_totals_are_told_and_what_is_nothing_is_not() -> None:
    roster = Roster([Child(Role.WORKER, 0), Child(Role.WORKER, 1)], 5, 60)
    roster.handle_forked(roster.children[0], 4711)
    shared = Shared.create(SETTINGS, 2)
    for region in shared.regions:
        region.words[Counter.SESSIONS] = 2
        region.words[Counter.RECEIVED_OUT] = 10
        region.words[Counter.DROPS_OUT + DropReason.TABLE_FULL] = 1
        region.words[Counter.CLOSES + CloseReason.TIMEOUT_BOTH] = 3
    assert describe_state(SETTINGS, roster, shared, 6) == (
        f"parent {os.getpid()}, generation 1, level 6, sessions 4 of 50, worker 0 starting (4711), worker 1 dead, "
        "received-out 20, dropped-out-table-full 2, closed-timeout-both 6"
    )


def test_what_uftp_workers_did_not_use_is_told_by_its_reason() -> None:
    shared = Shared.create(SETTINGS, 2)
    for region in shared.regions:
        region.words[Counter.UFTP_DROPS + UftpDropReason.NOT_AUTHENTIC] = 2
    assert describe_state(SETTINGS, Roster([], 5, 60), shared, 6).endswith("not-used-not-authentic 4")


def test_a_proxy_that_did_nothing_yet_has_a_short_state() -> None:
    said = describe_state(SETTINGS, Roster([], 5, 60), Shared.create(SETTINGS, 1), 3)
    assert said == f"parent {os.getpid()}, generation 1, level 3, sessions 0 of 50"
