"""How many files may be open."""

from __future__ import annotations

import resource
from pathlib import Path

from proxyd.daemon.descriptors import needed, raise_limit
from tests.kit.requirement import has_capabilities
from tests.workers.forked import in_child
from workers.contract.settings import Address, ListenerSettings, Settings

CAP_SYS_RESOURCE = 24
LISTENER = ListenerSettings(Address(4, 127 << 24 | 1), 5300)


def settings(max_sessions: int, listeners: int) -> Settings:
    return Settings("TEST", (LISTENER,) * listeners, max_sessions, 4, ())


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def test_a_worker_may_have_every_session_of_the_proxy() -> None:
    assert needed(settings(10_000, 2), 4) >= 10_000 + 2 + 4


def test_the_parent_has_every_workers_listeners() -> None:
    assert needed(settings(10, 1_000), 4) >= 4_000


def test_a_limit_that_suffices_is_left_alone() -> None:
    def act() -> object:
        before = limits()
        return raise_limit(100), limits() == before

    assert in_child(act) == str((None, True))


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    def act() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 2_000))
        return raise_limit(1_500), limits()

    assert in_child(act) == str((None, (1_500, 2_000)))


def test_the_hard_limit_is_raised_too_where_that_is_permitted() -> None:
    def act() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, 1_200))
        return raise_limit(1_500), limits()

    refused = "only 1200 open files are permitted, 1500 may be needed: sessions beyond that will fail"
    permitted = has_capabilities(CAP_SYS_RESOURCE)
    assert in_child(act) == str((None, (1_500, 1_500)) if permitted else (refused, (1_200, 1_200)))


def test_more_than_there_can_be_is_warned_of_with_both_numbers() -> None:
    most = int(Path("/proc/sys/fs/nr_open").read_text())

    def act() -> object:
        return raise_limit(most + 1), limits()

    said = in_child(act)
    assert f"{most + 1} may be needed" in said
    assert "open files are permitted" in said
