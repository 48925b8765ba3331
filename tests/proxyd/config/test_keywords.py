from __future__ import annotations

import pytest

from proxyd.config import keywords
from proxyd.config.matching import default_match
from proxyd.config.prototype import Keyword, Scope

ROWS = [(scope, row) for scope, rows in keywords.KEYWORDS.items() for row in rows]
IDS = [f"{scope.name}-{row.name}" for scope, row in ROWS]

# The item list of the udp-proxy section, in the documented order.
DOCUMENTED = (
    *("phase", "tag", "log-debug", "log-stats", "use-resolver", "cfg-resolution", "monitoring"),
    *("stats-daily", "stats-weekly", "stats-monthly", "nodaemon", "singleproc", "app-user", "run-block-sigalrm"),
    *("listen-on", "udpserver", "source-address", "doctype-identification", "auth", "session-acl"),
)


def test_the_documented_items_of_udp_proxy_are_there_in_their_order() -> None:
    names = [name for name in keywords.names(Scope.PROXY) if name in DOCUMENTED]
    assert tuple(names) == DOCUMENTED


@pytest.mark.parametrize(("scope", "row"), ROWS, ids=IDS)
def test_a_row_is_found_by_its_name_in_either_case(scope: Scope, row: Keyword) -> None:
    assert keywords.find(scope, row.name.upper()) is row


@pytest.mark.parametrize(("scope", "row"), ROWS, ids=IDS)
def test_a_row_is_documented_in_a_sentence(scope: Scope, row: Keyword) -> None:
    assert row.doc.endswith(".")
    assert row.doc[0].isupper() or row.doc.startswith("[")


@pytest.mark.parametrize(("scope", "row"), [pair for pair in ROWS if pair[1].absent is not None])
def test_a_default_fits_its_own_row(scope: Scope, row: Keyword) -> None:
    assert not default_match(row).faults


def test_no_word_is_an_item_here_and_a_section_there() -> None:
    sections = {row.name for _, row in ROWS if row.is_section}
    assert not [row.name for _, row in ROWS if not row.is_section and row.name in sections]
    assert keywords.is_item("nodaemon")
    assert not keywords.is_item("listen-on")
    assert not keywords.is_item("nonsense")


@pytest.mark.parametrize(
    ("name", "homes"),
    [
        ("level", ("log-debug", "log-stats")),
        ("SET", ("ip-tos-to-client", "ip-tos-to-server")),
        ("resolver", ("",)),
        ("test", ()),
        ("nonsense", ()),
    ],
)
def test_a_keyword_is_at_home_in_sections_that_can_be_written(name: str, homes: tuple[str, ...]) -> None:
    assert keywords.homes_of(name) == homes


def test_an_unknown_word_has_no_row() -> None:
    assert keywords.find(Scope.FILE, "nodaemon") is None
