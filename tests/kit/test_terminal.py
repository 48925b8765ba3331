"""The terminal shows what programs draw, and passes keys on."""

from __future__ import annotations

import sys

import pytest

from tests.kit import terminal
from tests.kit.terminal import Terminal

DRAW = "import os; print('\\033[2J\\033[3;5Hhello', end='', flush=True); input(); print(os.get_terminal_size())"


def test_what_is_drawn_is_where_it_was_put_and_keys_arrive() -> None:
    with Terminal([sys.executable, "-c", DRAW], 40, 10) as one:
        assert one.wait_for("hello").splitlines()[2] == "    hello"
        one.resize(50, 12)
        one.press("\n")
        one.wait_for("columns=50, lines=12")
        assert one.end() == 0


def test_what_never_comes_is_told_with_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "WAIT_S", 0.2)
    with Terminal([sys.executable, "-c", "print('something else'); input()"]) as one:
        one.wait_for("something")
        with pytest.raises(AssertionError, match="something else"):
            one.wait_for("never")
        with pytest.raises(AssertionError, match="something else"):
            one.wait_for_loss("something")
