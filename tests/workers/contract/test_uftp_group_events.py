"""The rows of the UFTP engine's events."""

from __future__ import annotations

import string

import pytest

from workers.contract.catalogue import EVENTS
from workers.contract.events import Event
from workers.contract.uftp_group_events import UFTP_GROUP_EVENTS


@pytest.mark.parametrize("event", UFTP_GROUP_EVENTS, ids=[event.name for event in UFTP_GROUP_EVENTS])
def test_a_line_says_every_field_of_its_event(event: Event) -> None:
    named = {name for line in event.lines for _, name, _, _ in string.Formatter().parse(line.text) if name}
    assert named == {name for name, _ in event.fields}


def test_every_event_is_in_the_catalogue_under_its_own_number() -> None:
    assert all(EVENTS[event.name] is event for event in UFTP_GROUP_EVENTS)
    numbers = [line.id for event in EVENTS.values() for line in event.lines if line.id.startswith("UFTP")]
    assert len({number[:8] for number in numbers}) == len(numbers)
