"""What cannot change while the proxy runs, and what is told of it."""

from __future__ import annotations

import dataclasses

import pytest

from proxyd.config.keywords import KEYWORDS
from proxyd.config.prototype import Reload
from proxyd.daemon.fixed import LATER, REFUSED, Fixed, deferred, keep_fixed, postponed, refusals
from workers.contract.settings import Settings

BEFORE = Settings("TEST", (), 10, 2, ())
PLACES = {"udp-proxy": "f:2:1", "workers": "f:3:4", "app-user": "f:5:6"}


def changed(**fields: object) -> Settings:
    return dataclasses.replace(BEFORE, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"max_sessions": 20, "respawn_count": 1, "generation": 7}, []),
        ({"workers": 3}, []),
        ({"app_group": "x"}, ["f:5:6: 'app-user' cannot change while the proxy runs; that takes a restart"]),
        ({"chroot_dir": "/x"}, ["f:2:1: 'chroot-dir' cannot change while the proxy runs; that takes a restart"]),
        ({"control": None, "foreground": True}, []),
    ],
)
def test_what_cannot_change_is_refused_with_its_place(fields: dict[str, object], lines: list[str]) -> None:
    assert refusals(BEFORE, changed(**fields), PLACES) == lines


def test_everything_that_cannot_change_is_told_at_once() -> None:
    assert len(refusals(BEFORE, changed(name="OTHER", single_process=True, app_user="x"), {})) == 3


def test_what_counts_later_is_told_and_stays_as_it_was() -> None:
    after = changed(control=None, foreground=True, max_sessions=20)
    assert deferred(BEFORE, after, PLACES) == [
        "f:2:1: 'nodaemon' counts from the next start on",
        "f:2:1: 'control' counts from the next start on",
    ]
    assert keep_fixed(BEFORE, after) == changed(max_sessions=20)


def test_the_number_of_workers_may_change_and_where_it_cannot_the_reason_is_told() -> None:
    after = changed(workers=7)
    assert deferred(BEFORE, after, PLACES) == []
    assert keep_fixed(BEFORE, after) == after
    assert postponed("workers", PLACES, "why") == "f:3:4: 'workers' counts from the next start on: why"


@pytest.mark.parametrize(("table", "rule"), [(REFUSED, Reload.REFUSED), (LATER, Reload.LATER)])
def test_the_manual_page_says_of_the_same_keywords_that_a_reload_leaves_them(
    table: tuple[Fixed, ...], rule: Reload
) -> None:
    told = {row.name for rows in KEYWORDS.values() for row in rows if row.reload is rule}
    # Of the section's own keyword only the name is meant: its text says so.
    assert told == {fixed.keyword for fixed in table} - {"udp-proxy"}
