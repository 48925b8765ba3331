"""Every event of uftpproxyd has the group in front, and a level of its own."""

from __future__ import annotations

import pytest

from workers.contract.catalogue import EVENTS
from workers.contract.events import Event
from workers.contract.uftp_events import GROUP_FIELD, UFTP_EVENTS

every_event = pytest.mark.parametrize("event", UFTP_EVENTS, ids=[event.name for event in UFTP_EVENTS])


@every_event
def test_the_group_comes_first_in_fields_and_text(event: Event) -> None:
    assert event.fields[0] == GROUP_FIELD
    (line,) = event.lines
    assert line.text.startswith("{group}")
    assert line.letter in "012345"


@every_event
def test_it_is_in_the_catalogue(event: Event) -> None:
    assert EVENTS[event.name] is event


def test_no_name_and_no_number_is_given_twice() -> None:
    assert len({event.name for event in UFTP_EVENTS}) == len(UFTP_EVENTS)
    assert len({event.lines[0].id[:-2] for event in UFTP_EVENTS}) == len(UFTP_EVENTS)
