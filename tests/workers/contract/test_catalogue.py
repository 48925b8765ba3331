"""The catalogue is consistent in itself: what a line asks for exists, ids are well-formed and each has one text."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from workers.contract.catalogue import ALWAYS, EVENTS, LEVELS, Event, Kind, Line

LINES = [(event, line) for event in EVENTS.values() for line in event.lines]
DERIVED_OF_SOCK = ("_ip", "_port", "_port_name")
COMPONENTS = {"UDPP", "UDPS", "LIBA", "ARGS", "CASE", "CFGL", "CFGP", "CFGR", "AUTH", "UFTP"}


def known(event: Event) -> set[str]:
    names = {name for name, _kind in event.fields}
    return names | {name + ending for name, kind in event.fields if kind is Kind.SOCK for ending in DERIVED_OF_SOCK}


@pytest.mark.parametrize(("event", "line"), LINES, ids=[f"{event.name} {line.id}" for event, line in LINES])
def test_a_line_asks_only_for_fields_and_what_is_derived_from_them(event: Event, line: Line) -> None:
    for _literal, name, spec, conversion in Formatter().parse(line.text):
        assert name is None or name in known(event)
        assert not spec
        assert not conversion


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_field_is_shown_by_some_line(event: Event) -> None:
    shown = {name for line in event.lines for _literal, name, _spec, _conversion in Formatter().parse(line.text)}
    for name, kind in event.fields:
        derived = {name + ending for ending in DERIVED_OF_SOCK} if kind is Kind.SOCK else set()
        assert shown & ({name} | derived), f"{event.name}: {name}"


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_has_one_name_a_field_and_a_line_at_least(event: Event) -> None:
    names = [name for name, _kind in event.fields]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert event.lines
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", event.name)
    assert EVENTS[event.name] is event


@pytest.mark.parametrize("message_id", sorted({line.id for _event, line in LINES}))
def test_an_id_is_component_number_and_letter(message_id: str) -> None:
    component, number, letter = message_id.split("-")
    assert component in COMPONENTS
    assert re.fullmatch(r"[0-9]{3}", number)
    assert letter in LEVELS


def test_an_id_has_one_text_and_a_number_one_letter() -> None:
    texts: dict[str, str] = {}
    for _event, line in LINES:
        assert texts.setdefault(line.id[:-2], f"{line.id} {line.text}") == f"{line.id} {line.text}"


def test_an_id_belongs_to_one_event_but_the_statistics_record() -> None:
    events: dict[str, set[str]] = {}
    for event, line in LINES:
        events.setdefault(line.id, set()).add(event.name)
    assert {name: found for name, found in events.items() if len(found) > 1} == {
        "UDPP-888-I": {"session-end", "rejected"}
    }


def test_only_the_statistics_record_goes_to_the_stats_log() -> None:
    assert {line.id for _event, line in LINES if line.stats} == {"UDPP-888-I"}


def test_texts_print_and_keep_to_one_line() -> None:
    assert all(line.text.isprintable() and "\\" not in line.text for _event, line in LINES)


def test_letters_have_levels_from_two_to_nine() -> None:
    assert set(LEVELS.values()) == {2, 3, 4, 5, 6, 7, 8, 9}
    assert set(LEVELS) > ALWAYS
    assert [LEVELS[str(level)] for level in range(6)] == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("name", "level", "wanted"),
    [
        ("session-end", 3, True),
        ("rejected", 3, True),
        ("bound", 3, True),
        ("table-full", 3, False),
        ("table-full", 4, True),
        ("wrong-source", 6, False),
        ("wrong-source", 7, True),
        ("payload", 8, False),
        ("payload", 9, True),
    ],
)
def test_an_event_is_wanted_where_one_of_its_lines_is(name: str, level: int, wanted: bool) -> None:
    assert EVENTS[name].wanted_at(level) is wanted


def test_a_letter_ends_the_id() -> None:
    assert Line("UDPP-999-D", "text").letter == "D"
