"""The live view as lines of text: what of a proxy fits a terminal, and which line is marked. No terminal in it.

Source: proxyctl(8), top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from proxyd.control.rates import Flow, GroupRate, SessionRate, SumRate, View
from proxyd.control.tables import count, duration, size
from proxyd.logs.fields import escape

NARROWEST, LOWEST = 40, 8
HEAD_LINES = 5
"""What stands above the rows; one line stands below them."""
CUT = "\u2026"
SHORTEST_TEXT = 8
KEYS = "q quit  tab page  s sort  r reverse  / filter  k kill  p pause  +- interval"


class Style(Enum):
    """How a line is shown."""

    PLAIN = 0
    STRONG = 1
    HEADER = 2
    MARKED = 3
    FAINT = 4
    ALERT = 5


class Line(NamedTuple):
    """A line of the screen, as wide as it or narrower."""

    text: str
    style: Style = Style.PLAIN


class Column(NamedTuple):
    """A column: its header, what stands in it, how it sorts, its width; 0: a text, which gets what is left."""

    title: str
    text: Callable[[Any], str]
    key: Callable[[Any], Any]
    width: int = 0


class Page(NamedTuple):
    """One kind of rows. Behind its columns there is one order more, by the bytes that pass both ways: the first one."""

    title: str
    rows: Callable[[View], Sequence[Any]]
    columns: tuple[Column, ...]

    def order(self, number: int) -> tuple[str, Callable[[Any], Any], bool]:
        """Return an order's name, its key, and whether the largest comes first."""
        if number == len(self.columns):
            return "bytes", lambda row: row.flow.bytes, True
        column = self.columns[number]
        return column.title, column.key, column.width > 0


@dataclass
class Wish:
    """What whoever looks wants to see. marked: the row that orders are about; first: the row that is shown first.

    sort: by page, the number of its order; turned: pages whose order is turned round.
    """

    page: int = 0
    marked: int = 0
    first: int = 0
    interval_s: float = 2.0
    paused: bool = False
    filter: str = ""
    prompt: str | None = None
    notice: str = ""
    sort: dict[int, int] | None = None
    turned: frozenset[int] = frozenset()


def _rate(number: float) -> str:
    """Write a number in at most six characters."""
    if 0 < number < 9.95:
        return f"{number:.1f}"
    if number < 99_999.5:
        return str(round(number))
    return f"{number / 1e3:.0f}k" if number < 9_999_500 else f"{number / 1e6:.0f}M"


def _flow_columns(flow: Callable[[Any], Flow]) -> tuple[Column, ...]:
    return (
        Column("OUT/S", lambda row: _rate(flow(row).datagrams_out), lambda row: flow(row).datagrams_out, 6),
        Column("IN/S", lambda row: _rate(flow(row).datagrams_in), lambda row: flow(row).datagrams_in, 6),
        Column("BYTES OUT", lambda row: size(round(flow(row).bytes_out)), lambda row: flow(row).bytes_out, 10),
        Column("IN", lambda row: size(round(flow(row).bytes_in)), lambda row: flow(row).bytes_in, 10),
    )


def _session_rows(view: View) -> Sequence[SessionRate]:
    return view.sessions


def _of_flow(row: SessionRate | SumRate | GroupRate) -> Flow:
    return row.flow


def _number(title: str, value: Callable[[Any], float], width: int, show: Callable[[Any], str] | None = None) -> Column:
    return Column(title, show or (lambda row: count(round(value(row)))), value, width)


def _sum_page(title: str, rows: Callable[[View], Sequence[SumRate]], first: str, second: str) -> Page:
    columns = (
        Column(title, lambda row: row.name, lambda row: row.name),
        _number("SESSIONS", lambda row: row.sessions, 8),
        *_flow_columns(_of_flow),
        _number(f"{first}/S", lambda row: row.first_s, 10, lambda row: _rate(row.first_s)),
        _number(second, lambda row: row.second, 8),
    )
    return Page(f"{title.lower()}s", rows, columns)


PAGES: tuple[Page, ...] = (
    Page(
        "sessions",
        _session_rows,
        (
            Column("CLIENT", lambda row: row.session.client, lambda row: row.session.client),
            Column("SERVER", lambda row: row.session.server, lambda row: row.session.server),
            Column("ACL", lambda row: row.session.acl, lambda row: row.session.acl),
            *_flow_columns(_of_flow),
            _number("IDLE", lambda row: row.session.idle_s, 6, lambda row: duration(row.session.idle_s)),
        ),
    ),
    _sum_page("ACL", lambda view: view.rules, "ACCEPTED", "REJECTED"),
    _sum_page("LISTENER", lambda view: view.listeners, "RECEIVED", "LOST"),
    Page(
        "groups",
        lambda view: view.groups,
        (
            Column("GROUP", lambda row: row.group.id, lambda row: row.group.id, -11),
            Column("SERVER", lambda row: row.group.server, lambda row: row.group.server),
            Column("FILE", lambda row: escape(row.group.file or "-"), lambda row: row.group.file or ""),
            Column("PHASE", lambda row: row.group.phase, lambda row: row.group.phase, -9),
            _number(
                "CLIENTS",
                lambda row: row.group.clients or 0,
                7,
                lambda row: "-" if row.group.clients is None else count(row.group.clients),
            ),
            _number(
                "DONE",
                lambda row: row.group.progress or 0.0,
                5,
                lambda row: "-" if row.group.progress is None else f"{row.group.progress:.0%}",
            ),
            *_flow_columns(_of_flow)[1::2],
        ),
    ),
)
"""In the order in which they follow each other. A column's width below 0: a text that is never wider than that."""


def rows_of(view: View, wish: Wish) -> list[Any]:
    """Return the rows of the page that is shown, in their order."""
    page = PAGES[wish.page]
    _, key, downwards = page.order(sort_order(wish))
    return sorted(page.rows(view), key=key, reverse=downwards is not (wish.page in wish.turned))


def sort_order(wish: Wish) -> int:
    """Return in which of its orders the page that is shown is."""
    return (wish.sort or {}).get(wish.page, len(PAGES[wish.page].columns))


def draw(view: View, wish: Wish, width: int, height: int) -> list[Line]:
    """Return the screen, at most height lines; keeps the marked row within the rows and on the screen."""
    if width < NARROWEST or height < LOWEST:
        return [Line("too small"[:width])]
    rows, space = rows_of(view, wish), height - HEAD_LINES - 1
    wish.marked = max(0, min(wish.marked, len(rows) - 1))
    wish.first = max(min(wish.first, wish.marked, max(len(rows) - space, 0)), wish.marked - space + 1, 0)
    shown = rows[wish.first : wish.first + space]
    lines = [Line(line.text[:width], line.style) for line in _head(view, wish, len(rows))]
    cells, widths = _cells(PAGES[wish.page], shown, width, sort_order(wish))
    lines.append(Line(_join(cells[0], widths, PAGES[wish.page])[:width], Style.HEADER))
    for number, row in enumerate(cells[1:], wish.first):
        style = Style.MARKED if number == wish.marked else Style.PLAIN
        lines.append(Line(_join(row, widths, PAGES[wish.page])[:width].ljust(width), style))
    lines += [Line("")] * (height - 1 - len(lines))
    return [*lines, _foot(wish, width)]


def _head(view: View, wish: Wish, rows: int) -> list[Line]:
    proxy, total = view.state.proxy, view.total
    state = Style.STRONG if proxy.state == "serving" else Style.ALERT
    pages = "  ".join(
        f"[{page.title}]" if number == wish.page else page.title
        for number, page in enumerate(PAGES)
        if number in pages_for(view)
    )
    wanted = f", filter: {wish.filter}" if wish.filter else ""
    by = PAGES[wish.page].order(sort_order(wish))[0].strip().lower()
    return [
        Line(
            f"{proxy.name} ({proxy.program} {proxy.version}) {proxy.state} for {duration(proxy.uptime_s)}, "
            f"{count(proxy.sessions)} of {count(proxy.max_sessions)} {_things(view)}",
            state,
        ),
        Line(
            f"out {_rate(total.datagrams_out)} datagrams/s, {size(round(total.bytes_out))}/s   "
            f"in {_rate(total.datagrams_in)} datagrams/s, {size(round(total.bytes_in))}/s"
        ),
        Line(
            f"{_rate(view.opened_s)} begun/s   {_rate(view.dropped_s)} dropped/s",
            Style.ALERT if view.dropped_s else Style.PLAIN,
        ),
        Line(
            f"{pages}   {count(rows)} by {by}{wanted}, {'paused' if wish.paused else f'every {wish.interval_s:g} s'}",
            Style.FAINT,
        ),
    ]


def _things(view: View) -> str:
    return "groups" if view.state.proxy.program == "uftpproxyd" else "sessions"


def pages_for(view: View) -> tuple[int, ...]:
    """Return the pages that this program has."""
    return (3,) if view.state.proxy.program == "uftpproxyd" else (0, 1, 2)


def _foot(wish: Wish, width: int) -> Line:
    if wish.prompt is not None:
        return Line(wish.prompt[-width + 1 :], Style.STRONG)
    return Line(wish.notice[:width], Style.ALERT) if wish.notice else Line(KEYS[:width], Style.FAINT)


def _cells(page: Page, rows: Sequence[Any], width: int, sort: int) -> tuple[list[list[str]], list[int]]:
    """Return the texts of header and rows, and how wide each column is."""
    header = [f"*{column.title}" if number == sort else column.title for number, column in enumerate(page.columns)]
    cells = [header, *([column.text(row) for column in page.columns] for row in rows)]
    widths = [
        max(abs(column.width), len(title)) if column.width else 0
        for column, title in zip(page.columns, header, strict=True)
    ]
    texts = [number for number, column in enumerate(page.columns) if not column.width]
    left = width - sum(widths) - len(widths) + 1
    for done, number in enumerate(sorted(texts, key=lambda at: max(len(row[at]) for row in cells))):
        share = max(left // (len(texts) - done), SHORTEST_TEXT)
        widths[number] = min(max(len(row[number]) for row in cells), share)
        left -= widths[number]
    return cells, widths


def _join(cells: Sequence[str], widths: Sequence[int], page: Page) -> str:
    parts = []
    for text, width, column in zip(cells, widths, page.columns, strict=True):
        cut = text if len(text) <= width else text[: width - 1] + CUT
        parts.append(cut.rjust(width) if column.width > 0 else cut.ljust(width))
    return " ".join(parts)
