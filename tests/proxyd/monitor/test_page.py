"""The page in a browser: it shows what the API says, sorts, filters, scrolls, and works without a mouse or eyes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxyd.monitor.app import Monitor
from proxyd.monitor.server import serve
from proxyd.monitor.site import Site
from proxyd.monitor.view import View
from tests.kit.browser import Sight, browser, requires_browser
from tests.proxyd.monitor.test_groups import open_group
from tests.proxyd.monitor.views import a_view, count_lines, count_rule, open_session, rule
from workers.contract.channel import open_channel
from workers.contract.slots import USED, USED_OFFSET, Counter

pytestmark = [requires_browser, pytest.mark.xdist_group("browser")]
MANY = 8_000
DESK, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 800}
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as found:
        yield found


@contextlib.contextmanager
def shown(view: View) -> Iterator[str]:
    """Serve a view in a thread; give the page's address."""
    ours, theirs = open_channel()
    readable, writable = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        monitor = Monitor(view, Site.load(), local=True)
        thread = threading.Thread(target=serve, args=(sock, monitor.answer, theirs, readable))
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
        finally:
            os.write(writable, bytes((signal.SIGTERM,)))
            thread.join()
            ours.close()
            theirs.close()
            os.close(readable)
            os.close(writable)


@contextlib.contextmanager
def sight_of(running: Any, view: View, **context: Any) -> Iterator[Sight]:
    """Look at a view; nothing may be wrong when the looking ends, and nobody else may have been asked."""
    with shown(view) as url, contextlib.closing(Sight(running, url, **context)) as sight:
        sight.page.wait_for_selector("#glance dd")
        yield sight
        assert sight.wrongs == []
        assert all(asked.startswith(url) for asked in sight.asked)


@contextlib.contextmanager
def busy_view(sessions: int) -> Iterator[View]:
    """Give a view with sessions that differ: client N has passed N bytes out."""
    with a_view(slots=max(sessions, 4)) as view:
        for number in range(sessions):
            open_session(view, number % 2, number // 2, client=number, rule_index=number % 2)
            region, slot = view.regions[number % 2], number // 2
            used = list(USED.unpack_from(region.memory, region.offset(slot) + USED_OFFSET))
            # The one that is shown first has the longest figures.
            used[3:7] = (987_654_321, 987_654_321, 10**14, 10**14) if number == MANY - 1 else (*used[3:6], number)
            USED.pack_into(region.memory, region.offset(slot) + USED_OFFSET, *used)
        count_rule(view, 0, "LAN", "normal", 12_345, 2, 1)
        count_lines(view, 0, (777, 99_000, 3), (1, 2, 0))
        yield view


def column(sight: Sight, number: int) -> list[str]:
    """Return a column of the sessions that are drawn, its header's number from 0."""
    return [
        str(text)
        for text in sight.page.locator(f"#sessions tbody tr:not(.spacer) > :nth-child({number + 1})").all_inner_texts()
    ]


ROWS = "document.querySelectorAll('#sessions tbody tr:not(.spacer)')"


def test_it_shows_what_the_api_says(running: Any) -> None:
    with busy_view(6) as view:
        view.regions[0].words[Counter.FORWARDED_OUT] = 4_321
        view.regions[1].words[Counter.CLOSES] = 9
        with sight_of(running, view, viewport=DESK) as sight:
            sight.until(f"{ROWS}.length === 6 && document.querySelectorAll('#acls tbody tr').length === 3")
            page = sight.page
            said = page.evaluate("fetch('api/v1/status').then((answer) => answer.json())")
            values = dict(
                zip(
                    page.locator("#glance dt").all_inner_texts(),
                    page.locator("#glance dd[data-value]").all(),
                    strict=True,
                )
            )
            shown_values = {title: int(value.get_attribute("data-value")) for title, value in values.items()}
            assert shown_values["Sessions"] == said["sessions"] == 6
            assert shown_values["To servers"] == said["out"]["forwarded"] == 4_321
            assert page.locator("#name").inner_text() == said["name"]
            words = page.locator("#acls tbody tr").first.inner_text().split()
            assert (words[:3], words[4:]) == (["LAN", "accept", "normal"], ["12,345", "2", "12,344"])
            assert "777" in page.locator("#listeners tbody tr").first.inner_text()
            assert page.locator("#reasons tbody tr").first.inner_text().split("\t")[:2] == ["ended", "dgrams-out"]
            assert page.locator("#state").inner_text() == "serving"


def test_sessions_are_sorted_by_their_headers(running: Any) -> None:
    with busy_view(9) as view, sight_of(running, view, viewport=DESK) as sight:
        sight.until(f"{ROWS}.length === 9")
        out = sight.page.get_by_role("columnheader", name="Bytes out")
        assert out.get_attribute("aria-sort") == "descending"
        assert column(sight, 10)[:3] == ["8 B", "7 B", "6 B"]
        out.get_by_role("button").click()
        assert out.get_attribute("aria-sort") == "ascending"
        assert column(sight, 10)[:3] == ["0 B", "1 B", "2 B"]
        sight.page.get_by_role("columnheader", name="Client").get_by_role("button").click()
        assert column(sight, 0) == sorted(column(sight, 0))
        assert out.get_attribute("aria-sort") == "none"


def test_a_filter_leaves_what_has_all_its_words(running: Any) -> None:
    with busy_view(40) as view, sight_of(running, view, viewport=DESK) as sight:
        sight.until("document.querySelector('#sessions-shown').textContent === '40'")
        sight.page.get_by_label("Filter").fill("syslog 10.0.0.3")
        sight.until("document.querySelector('#sessions-shown').textContent === '6 of 40'")
        assert all("[10.0.0.3" in client for client in column(sight, 0))
        assert set(column(sight, 2)) == {"SYSLOG"}
        # Screen readers speak of the number when somebody has asked, and not with each look.
        live = "document.querySelector('#sessions-shown').ariaLive"
        sight.until(f"{live} === 'off'")
        asked = f"(box) => {{ box.dispatchEvent(new Event('input')); return {live}; }}"
        assert sight.page.get_by_label("Filter").evaluate(asked) == "polite"
        sight.page.get_by_label("Filter").fill("nobody")
        sight.until(f"{ROWS}.length === 0")
        assert sight.page.locator("#sessions table").get_attribute("aria-rowcount") == "1"


def test_of_thousands_of_sessions_those_in_sight_are_drawn(running: Any) -> None:
    with busy_view(MANY) as view, sight_of(running, view, viewport=DESK) as sight:
        sight.until("document.querySelector('#sessions-shown').textContent === '8,000'")
        assert column(sight, 8)[0] == "988 M"
        assert (
            sight.page.evaluate(f"[...{ROWS}[0].cells].filter((cell) => cell.scrollWidth > cell.clientWidth).length")
            == 0
        )
        assert sight.page.locator("#sessions table").get_attribute("aria-rowcount") == str(MANY + 1)
        before = sight.page.evaluate("document.querySelector('#sessions').scrollHeight")
        for part in (0.25, 0.5, 0.99, 1.0):
            sight.page.locator("#sessions").evaluate(
                "(box, part) => { box.scrollTop = part * box.scrollHeight; }", part
            )
            sight.until(
                f"[...{ROWS}].some((row) => Math.abs(row.getAttribute('aria-rowindex') - {part} * {MANY}) < 30)"
            )
            assert sight.page.evaluate(f"{ROWS}.length") < 100
        assert sight.page.evaluate("document.querySelector('#sessions').scrollHeight") == before
        assert column(sight, 10)[-1] == "0 B"
        assert sight.page.evaluate(f"{ROWS}[{ROWS}.length - 1].getAttribute('aria-rowindex')") == str(MANY + 1)


def test_everything_can_be_done_with_the_keyboard(running: Any) -> None:
    with busy_view(200) as view, sight_of(running, view, viewport=DESK) as sight:
        sight.until("document.querySelector('#sessions-shown').textContent === '200'")
        focus = "document.activeElement.textContent.trim() || document.activeElement.id"
        page, seen = sight.page, []
        for _ in range(8):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(focus))
        assert seen[:3] == ["Skip to the figures", "Pause", "filter"]
        assert seen[4:7] == ["Client", "Server", "Rule"]
        page.keyboard.press("Enter")
        assert page.get_by_role("columnheader", name="Type").first.get_attribute("aria-sort") == "ascending"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.locator("#sessions").focus()
        page.keyboard.press("End")
        sight.until(f"[...{ROWS}].some((row) => row.getAttribute('aria-rowindex') === '201')")
        page.locator("#pause").focus()
        page.keyboard.press("Space")
        assert page.locator("#pause").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("program", ["udp-proxy", pytest.param("uftpproxyd", marks=pytest.mark.night)])
@pytest.mark.parametrize("size", [DESK, pytest.param(PHONE, marks=pytest.mark.night)], ids=["desk", "phone"])
def test_nothing_is_in_the_way_of_who_cannot_see_or_point(running: Any, size: dict[str, int], program: str) -> None:
    with a_view(program=program, slots=60) as view:
        for number in range(50):
            if program == "udp-proxy":
                open_session(view, number % 2, number // 2, client=number)
            else:
                open_group(view, number, 3, f"film {number}".encode())
        view.regions[0].words[Counter.DROPS_OUT] = view.regions[0].words[Counter.UFTP_DROPS] = 5
        with sight_of(running, view, viewport=size, color_scheme="light", reduced_motion="reduce") as sight:
            sight.until(
                f"{ROWS}.length > 10"
                if program == "udp-proxy"
                else "document.querySelectorAll('#groups li').length > 1",
            )
            assert sight.violations() == []
            # The other scheme has other colours, and nothing else.
            sight.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            assert sight.violations("color-contrast") == []
            wide = sight.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0


def test_transfers_have_bars_of_how_far_they_are(running: Any) -> None:
    with a_view(program="uftpproxyd") as view:
        open_group(view, 0, 3, NASTY.encode())
        with sight_of(running, view) as sight:
            bar = sight.page.locator("#groups progress")
            bar.wait_for()
            assert bar.evaluate("(element) => element.value") == 0.5
            assert bar.get_attribute("aria-label") == f"progress of {NASTY}"
            assert sight.page.locator("#groups h3").inner_text() == NASTY
            assert sight.page.locator("#sessions-part").is_hidden()


def test_names_are_text_whatever_they_look_like(running: Any) -> None:
    with a_view() as view:
        named = replace(view, name=NASTY, rules={3: [rule(NASTY)]})
        open_session(named, 0, 0)
        with sight_of(running, named) as sight:
            sight.until(f"{ROWS}.length === 1 && document.querySelectorAll('#acls tbody tr').length === 1")
            assert sight.page.locator("h1").inner_text() == NASTY
            assert sight.page.locator("#acls tbody th").inner_text() == NASTY
            assert sight.page.locator("img").count() == 0


def test_a_change_of_state_is_told_and_an_end_too(running: Any) -> None:
    with a_view() as view:
        with shown(view) as url:
            sight = Sight(running, url)
            sight.until("document.querySelector('#state').textContent === 'serving'")
            view.regions[0].words[Counter.DRAINING] = 1
            sight.until("document.querySelector('#state').textContent === 'draining'")
            assert sight.page.locator("#state").get_attribute("role") == "status"
        sight.until("document.querySelector('#state').textContent === 'unreachable'")
        sight.close()


def test_a_session_that_ends_leaves_the_table(running: Any) -> None:
    with busy_view(5) as view, sight_of(running, view, viewport=DESK) as sight:
        sight.until(f"{ROWS}.length === 5")
        view.regions[0].memory[view.regions[0].offset(0)] = 0
        sight.until(f"{ROWS}.length === 4")


def test_who_says_nothing_any_more_is_unreachable_and_his_figures_are_dated(running: Any) -> None:
    with busy_view(1) as view, shown(view) as url, contextlib.closing(Sight(running, url)) as sight:
        sight.until("document.querySelector('#state').textContent === 'serving'")
        sight.page.route("**/api/v1/status", lambda route: None)
        sight.until("document.querySelector('#state').textContent === 'unreachable'")
        assert "as it was at" in sight.page.locator("#about").inner_text()
        sight.page.unroute("**/api/v1/status")
        sight.until("document.querySelector('#about').textContent.includes(', up ')")


def test_a_line_does_not_lead_over_time_in_which_nobody_has_looked(running: Any) -> None:
    with busy_view(1) as view, sight_of(running, view) as sight:
        line = (
            "document.querySelectorAll('#graphs figure')[2].querySelector('figure > svg .series-0').getAttribute('d')"
        )
        sight.until(f"{line}.includes('L')")
        assert sight.page.evaluate(f"{line}.match(/M/g).length") == 1

        def a_minute_later(route: Any) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "now_unix": answer.json()["now_unix"] + 60})

        sight.page.route("**/api/v1/status", a_minute_later)
        sight.until(f"{line}.match(/M/g).length === 2")
        sight.page.unroute_all(behavior="ignoreErrors")


def test_what_is_not_known_comes_last_in_either_order(running: Any) -> None:
    with a_view() as view, sight_of(running, view) as sight:
        orders = sight.page.evaluate(
            """import("./table.js").then(({ ShortTable }) => [true, false].map((falling) => {
                const column = { key: "rate", title: "", value: (item) => item, text: String };
                const table = new ShortTable(document.createElement("div"), "", [column], String, ["rate", falling]);
                return table.sorted([null, 1, 3, null, 2]);
            }))"""
        )
        assert orders == [[3, 2, 1, None, None], [1, 2, 3, None, None]]
