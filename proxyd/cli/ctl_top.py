"""proxyctl top: a live view of one proxy in the terminal, or printed once. Source: proxyctl(8), top.

The terminal is curses, which Python brings along: a view that is needed when something is wrong should start at once
and need nothing installed. What is shown is made by proxyd.control.screen.
"""

from __future__ import annotations

import argparse
import curses
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from proxyd.cli import ctl_arguments
from proxyd.cli.ctl_frame import Status, UsageError, connect, filter_of, put
from proxyd.control import inquiry, screen
from proxyd.control.client import Connection, RefusedError
from proxyd.control.inquiry import Hits
from proxyd.control.rates import Sample, SessionRate, at_start, compare
from proxyd.control.screen import PAGES, Line, Style, Wish, draw, rows_of
from proxyd.control.sessions import Filter, SessionError

SHORTEST_S, LONGEST_S = 0.5, 60.0
_ROWS_ONCE = 40
_WIDTH_ONCE = 120
_ENTER = frozenset((10, 13, curses.KEY_ENTER))
_ERASE = frozenset((8, 127, curses.KEY_BACKSPACE))
_ESCAPE = 27
_FAR = 1 << 30


def top(arguments: argparse.Namespace) -> int:
    """Show a proxy until somebody has seen enough."""
    if not SHORTEST_S <= arguments.interval <= LONGEST_S:
        raise UsageError(f"found the interval {arguments.interval:g}; wanted {SHORTEST_S:g} to {LONGEST_S:g} seconds")
    wanted = filter_of(arguments)
    with connect(arguments) as connection:
        if arguments.once or arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return _once(connection, arguments, wanted)
        try:
            curses.wrapper(lambda window: Top(window, connection, wanted, arguments.interval).run())
        except curses.error as error:
            raise UsageError(f"this terminal cannot show it ({error}); --once prints it") from error
    return Status.DONE


def take_sample(connection: Connection, at_s: float) -> Sample:
    """Look at a proxy. Raises as Connection.ask."""
    state = inquiry.ask_state(connection)
    if state.proxy.program == "uftpproxyd":
        return Sample(at_s, state, [], Hits([], []), inquiry.ask_groups(connection))
    return Sample(at_s, state, list(inquiry.ask_sessions(connection)), inquiry.ask_hits(connection), [])


def _once(connection: Connection, arguments: argparse.Namespace, wanted: Filter) -> int:
    before = take_sample(connection, time.monotonic())
    time.sleep(arguments.interval)
    view = compare(before, take_sample(connection, time.monotonic()), wanted)
    text = ""
    for page in screen.pages_for(view):
        wish = Wish(page=page, interval_s=arguments.interval)
        rows = min(len(PAGES[page].rows(view)), _ROWS_ONCE)
        lines = draw(view, wish, _WIDTH_ONCE, screen.HEAD_LINES + rows + 1 + screen.LOWEST)
        body = lines[: screen.HEAD_LINES - 2] if not text else [Line("")]
        text += "".join(f"{line.text.rstrip()}\n" for line in (*body, *lines[4 : 5 + rows]))
    put(arguments, view, text)
    return Status.DONE


class Top:
    """The live view in a curses window."""

    def __init__(self, window: curses.window, connection: Connection, wanted: Filter, interval_s: float) -> None:
        self._window = window
        self._connection = connection
        self._wanted = wanted
        self._wish = Wish(interval_s=interval_s)
        self._before = take_sample(connection, time.monotonic())
        self._view = compare(at_start(self._before), self._before, wanted)
        self._wish.page = screen.pages_for(self._view)[0]
        self._typing: Callable[[int], None] | None = None
        self._over = False
        self._styles = _styles()
        self._actions: dict[int, Callable[[], None]] = {
            ord("q"): self._quit,
            ord("s"): self._sort,
            ord("r"): self._reverse,
            ord("p"): self._pause,
            ord("k"): self._begin_kill,
            ord("/"): self._begin_filter,
            ord("\t"): self._turn_page,
            ord("+"): lambda: self._pace(2),
            ord("-"): lambda: self._pace(0.5),
        }

    def run(self) -> None:
        """Show, and do what keys say, until the key to quit."""
        due_s = time.monotonic() + self._wish.interval_s
        while not self._over:
            self._show()
            self._window.timeout(max(int((due_s - time.monotonic()) * 1000), 0))
            key = self._window.getch()
            if key != curses.ERR:
                self._wish.notice = ""
                (self._typing or self._press)(key)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + self._wish.interval_s
                if not self._wish.paused:
                    self._look()

    def _look(self) -> None:
        now = take_sample(self._connection, time.monotonic())
        self._view = compare(self._before, now, self._wanted)
        self._before = now

    def _show(self) -> None:
        height, width = self._window.getmaxyx()
        self._window.erase()
        for number, line in enumerate(draw(self._view, self._wish, width, height)):
            # The last cell of the last line cannot be written without the cursor leaving the window.
            room = width - (number == height - 1)
            self._window.addnstr(number, 0, line.text, room, self._styles[line.style])
        self._window.refresh()

    # --- keys --------------------------------------------------------------------------------------------------------

    def _press(self, key: int) -> None:
        steps = {
            curses.KEY_UP: -1,
            curses.KEY_DOWN: 1,
            curses.KEY_PPAGE: -self._screenful(),
            curses.KEY_NPAGE: self._screenful(),
            curses.KEY_HOME: -_FAR,
            curses.KEY_END: _FAR,
        }
        if key in steps:
            self._wish.marked = max(self._wish.marked + steps[key], 0)
        elif key in self._actions:
            self._actions[key]()

    def _quit(self) -> None:
        self._over = True

    def _turn_page(self) -> None:
        pages = screen.pages_for(self._view)
        self._wish.page = pages[(pages.index(self._wish.page) + 1) % len(pages)]
        self._wish.marked = 0

    def _sort(self) -> None:
        order = (screen.sort_order(self._wish) + 1) % (len(PAGES[self._wish.page].columns) + 1)
        self._wish.sort = {**(self._wish.sort or {}), self._wish.page: order}

    def _reverse(self) -> None:
        self._wish.turned ^= {self._wish.page}

    def _pause(self) -> None:
        self._wish.paused = not self._wish.paused

    def _pace(self, factor: float) -> None:
        self._wish.interval_s = min(max(self._wish.interval_s * factor, SHORTEST_S), LONGEST_S)

    def _screenful(self) -> int:
        return max(int(self._window.getmaxyx()[0]) - screen.HEAD_LINES - 2, 1)

    # --- what is asked for -------------------------------------------------------------------------------------------

    def _begin_filter(self) -> None:
        self._wish.prompt = f"filter: {self._wish.filter}"
        self._typing = self._type_filter

    def _type_filter(self, key: int) -> None:
        text = (self._wish.prompt or "").removeprefix("filter: ")
        if key == _ESCAPE:
            self._end_typing()
        elif key in _ENTER:
            self._end_typing()
            self._set_filter(text)
        elif key in _ERASE:
            self._wish.prompt = f"filter: {text[:-1]}"
        elif 32 <= key < 127:
            self._wish.prompt = f"filter: {text}{chr(key)}"

    def _end_typing(self) -> None:
        self._typing = None
        self._wish.prompt = None

    def _set_filter(self, text: str) -> None:
        """Show other sessions: what is typed is what `proxyctl sessions` takes; a bare address is a client's."""
        try:
            words = shlex.split(text)
            if len(words) == 1 and not words[0].startswith("-"):
                words = ["--client", words[0]]
            self._wanted = filter_of(_filter_parser().parse_args(words))
        except (ValueError, SessionError) as error:
            self._wish.notice = str(error)
            return
        self._wish.filter = text.strip()
        self._look()

    def _begin_kill(self) -> None:
        rows = rows_of(self._view, self._wish)
        if self._wish.page or not rows:
            self._wish.notice = "only a session can be ended: go to the page of sessions"
            return
        row = rows[self._wish.marked]
        self._wish.prompt = f"end session {row.session.id} of {row.session.client}? y/n"
        self._typing = lambda key: self._confirm(key, row)

    def _confirm(self, key: int, row: SessionRate) -> None:
        self._end_typing()
        if key not in (ord("y"), ord("Y")):
            self._wish.notice = "not ended"
            return
        try:
            inquiry.order_kill(self._connection, [row.session])
        except RefusedError as error:
            self._wish.notice = str(error)
        else:
            self._wish.notice = f"session {row.session.id} is told to end"


class _FilterParser(argparse.ArgumentParser):
    """Raises SessionError where a command line would end the program."""

    def error(self, message: str) -> NoReturn:
        raise SessionError(message)


def _filter_parser() -> argparse.ArgumentParser:
    parser = _FilterParser(add_help=False)
    ctl_arguments.add_filters(parser)
    return parser


def _styles() -> dict[Style, int]:
    """Return how lines are shown: without colours, everything can still be told apart."""
    if not curses.tigetstr("cup"):
        raise curses.error("it cannot put text where it belongs")
    # Many cannot hide the cursor, those on a serial line among them.
    with suppress(curses.error):
        curses.curs_set(0)
    alert = curses.A_BOLD
    if curses.has_colors():
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_RED, -1)
        alert |= curses.color_pair(1)
    return {
        Style.PLAIN: curses.A_NORMAL,
        Style.STRONG: curses.A_BOLD,
        Style.HEADER: curses.A_BOLD | curses.A_UNDERLINE,
        Style.MARKED: curses.A_REVERSE,
        Style.FAINT: curses.A_DIM,
        Style.ALERT: alert,
    }
