"""Explanations of the session proxy's and the frame's messages are sentences, and each is of a message that exists."""

from __future__ import annotations

import re

import pytest

from proxyd.logs.explanations import FRAME_EXPLANATIONS, SESSION_EXPLANATIONS, Explanation
from workers.contract.catalogue import EVENTS

ROWS = SESSION_EXPLANATIONS | FRAME_EXPLANATIONS
IDS = {line.id for event in EVENTS.values() for line in event.lines}


@pytest.mark.parametrize(("message_id", "explanation"), ROWS.items(), ids=ROWS)
def test_an_explanation_is_sentences_about_a_message_that_exists(message_id: str, explanation: Explanation) -> None:
    assert message_id in IDS
    for text in explanation:
        assert re.fullmatch(r"[`A-Z].*\.", text), text


def test_a_message_is_explained_in_one_place() -> None:
    assert not SESSION_EXPLANATIONS.keys() & FRAME_EXPLANATIONS.keys()


def test_commands_that_a_remedy_names_are_there() -> None:
    quoted = {words for row in ROWS.values() for text in row for words in re.findall(r"`([^`]+)`", text)}
    commands = {words.split()[0] for words in quoted} - {"source-port"}  # an item, not a command
    assert {word for word in commands if "-" in word or word.startswith("proxy")} <= {"proxyctl", "test-udp"}
