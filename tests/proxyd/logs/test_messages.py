"""The page of messages: every message of the catalogue is on it with its text, and the page in docs/ is that page."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.logs.messages import BEGIN, END, EXPLANATIONS, level_of, page, renew_manual, text_of
from workers.contract.catalogue import EVENTS, Event, Line

PAGE = Path(__file__).parents[3] / "docs" / "messages.md"
MANUAL = Path(__file__).parents[3] / "etc" / "man" / "udp-proxy.8"
LINES = {line.id: line for event in EVENTS.values() for line in event.lines}


@pytest.mark.parametrize("message_id", sorted(LINES))
def test_every_message_is_on_the_page_with_its_text(message_id: str) -> None:
    assert message_id in EXPLANATIONS, f"{message_id} has no row in proxyd/logs/*explanations.py"
    text = page(EVENTS.values())
    assert text.count(f"### {message_id}\n") == 1
    entry = text.partition(f"### {message_id}\n")[2].partition("\n### ")[0]
    assert f"`{text_of(LINES[message_id])}`" in entry


def test_the_page_in_docs_is_current() -> None:
    assert PAGE.read_text() == page(EVENTS.values()), "renew it: scripts/messages >docs/messages.md"


def test_a_message_without_an_explanation_is_left_out() -> None:
    unknown = Event("x", (), (Line("UDPP-001-W", "never"),))
    assert "UDPP-001-W" not in page([unknown])


def test_levels_are_told_as_the_administrator_sets_them() -> None:
    assert level_of(Line("UDPP-720-W", "")) == "from level 4 on"
    assert level_of(Line("UDPS-700-K", "")) == "at every level"
    assert level_of(Line("UDPP-888-I", "", stats=True)) == "stats log, always"
    assert level_of(Line("UFTP-220-4", "")) == "from -x 4 on"


def test_fields_are_in_angle_brackets_and_long_records_are_cut() -> None:
    assert text_of(Line("UFTP-105-3", "{group}Left {target}")) == "Left <target>"
    cut = text_of(LINES["UDPP-888-I"])
    assert cut.startswith("PROXY-EVENT PROTOCOL=UDP CLIENT=<client_host>")
    assert cut.endswith("> …")


def test_the_list_in_the_manual_page_is_current() -> None:
    text = MANUAL.read_text()
    assert text == renew_manual(text, EVENTS.values()), "renew it: scripts/messages etc/man/udp-proxy.8"


def test_the_list_is_put_between_its_comments_a_sentence_a_line() -> None:
    renewed = renew_manual(f"a\n{BEGIN}\nold\n{END}\nb\n", [EVENTS["level"], EVENTS["users-refused"]])
    assert renewed == (
        f"a\n{BEGIN}\n.It UDPS-740-K\nThe log level was changed.\n"
        f".It UDPS-751-E\nThe file of out-of-band users was not taken; who was known before is still known.\n{END}\nb\n"
    )
    with pytest.raises(ValueError, match="found no list"):
        renew_manual("a page without one", EVENTS.values())
