"""Explanations of uftpproxyd's messages are sentences, and all of its messages have one."""

from __future__ import annotations

import re

from proxyd.logs.uftp_explanations import UFTP_EXPLANATIONS
from workers.contract.uftp_events import UFTP_EVENTS
from workers.contract.uftp_group_events import UFTP_GROUP_EVENTS


def test_exactly_the_messages_of_uftp_are_explained() -> None:
    assert {line.id for event in (*UFTP_EVENTS, *UFTP_GROUP_EVENTS) for line in event.lines} == set(UFTP_EXPLANATIONS)


def test_explanations_are_sentences() -> None:
    for explanation in UFTP_EXPLANATIONS.values():
        for text in explanation:
            assert re.fullmatch(r"[`A-Z].*\.", text), text
