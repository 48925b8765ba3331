"""The live view as lines: everything fits, whatever the size, and the marked row is always there."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.control.inquiry import Hits
from proxyd.control.rates import Sample, View, compare
from proxyd.control.screen import (
    HEAD_LINES,
    LOWEST,
    NARROWEST,
    PAGES,
    Style,
    Wish,
    draw,
    pages_for,
    rows_of,
    sort_order,
)
from proxyd.control.sessions import Filter, Session
from tests.proxyd.control.scene import SESSION, state
from tests.proxyd.control.test_groups import only, record


def made(number: int) -> Session:
    client = f"[10.0.0.{number % 250}]:{1000 + number}" if number % 3 else f"[2001:db8:aaaa:bbbb::{number:x}]:{number}"
    return msgspec.structs.replace(SESSION, id=f"0.{number}.x", client=client, bytes_in=number, datagrams_in=10**9)


def view(count: int, program: str = "udp-proxy") -> View:
    found = state(program=program)
    hits = Hits([("A", 10**12, 5, 0)], [(SESSION.listener, 10**9, 10**12, 77)])
    groups = [only(record(name=b"a\x1b]0;x\x07"))]
    now = Sample(2.0, found, [made(number) for number in range(1, count + 1)], hits, groups)
    return compare(Sample(0.0, found, [], Hits([], []), []), now, Filter())


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 100),
    page=st.integers(0, len(PAGES) - 1),
    marked=st.integers(-5, 10**9),
    order=st.integers(0, 8),
    count=st.sampled_from([0, 1, 7, 60]),
)
def test_every_line_fits_whatever_the_size_and_the_marked_row_is_on_the_screen(
    width: int, height: int, page: int, marked: int, order: int, count: int
) -> None:
    columns = len(PAGES[page].columns)
    wish = Wish(page=page, marked=marked, first=marked, sort={page: min(order, columns)}, filter="x" * 90)
    shown = view(count)
    lines = draw(shown, wish, width, height)
    assert len(lines) <= height
    assert all(len(line.text) <= width and line.text.isprintable() for line in lines)
    if width >= NARROWEST and height >= LOWEST:
        assert len(lines) == height
        rows = rows_of(shown, wish)
        assert [line.style for line in lines].count(Style.MARKED) == min(len(rows), 1)
        assert 0 <= wish.marked < max(len(rows), 1)


def test_in_80_columns_an_ipv4_session_is_shown_in_full() -> None:
    text = draw(view(2), Wish(), 80, 24)[HEAD_LINES].text
    assert text.startswith("[10.0.0.2]:1002 ")
    assert SESSION.server in text


def test_the_largest_is_first_and_texts_are_by_the_alphabet_and_both_can_be_turned() -> None:
    wish = Wish()
    assert [row.session.bytes_in for row in rows_of(view(4), wish)] == [4, 3, 2, 1]
    wish.turned = frozenset((0,))
    assert [row.session.bytes_in for row in rows_of(view(4), wish)] == [1, 2, 3, 4]
    wish = Wish(sort={0: 0})
    clients = [row.session.client for row in rows_of(view(4), wish)]
    assert clients == sorted(clients)
    assert sort_order(wish) == 0


def test_a_program_has_the_pages_of_what_it_does() -> None:
    assert [PAGES[page].title for page in pages_for(view(1))] == ["sessions", "acls", "listeners"]
    assert [PAGES[page].title for page in pages_for(view(1, "uftpproxyd"))] == ["groups"]


@pytest.mark.parametrize(("wish", "text"), [(Wish(prompt="filter: abc"), "filter: abc"), (Wish(notice="no"), "no")])
def test_the_last_line_is_what_there_is_to_say(wish: Wish, text: str) -> None:
    assert draw(view(1), wish, 80, 24)[-1].text == text


def test_what_is_wrong_stands_out() -> None:
    shown = view(1)
    busy = msgspec.structs.replace(shown, dropped_s=3.0)
    assert draw(shown, Wish(), 80, 24)[2].style is Style.PLAIN
    assert draw(busy, Wish(), 80, 24)[2].style is Style.ALERT
    assert draw(busy, Wish(paused=True), 80, 24)[3].text.endswith("paused")
