"""Which listeners are bound, stay and retire when a configuration takes another one's place."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from proxyd.daemon.landing import Landing, Listeners, covers, land
from proxyd.errors import SetupError
from workers.contract.settings import Address, ListenerSettings

ANY, ANY6 = Address(4, 0), Address(6, 0)
HOME = Address(4, 127 << 24 | 1)


def at(address: Address, port: int = 53, *, transparent: bool = False, device: str | None = None) -> ListenerSettings:
    return ListenerSettings(address, port, transparent, device)


A, B, C = at(HOME, 1), at(HOME, 2), at(HOME, 3)


class Opening:
    """Opens a socket for each listener of two workers; nothing is bound."""

    def __init__(self) -> None:
        self.asked: list[ListenerSettings] = []
        self.opened: list[socket.socket] = []

    def bind(self, listeners: Sequence[ListenerSettings]) -> Listeners:
        self.asked += listeners
        made = tuple(tuple(socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in listeners) for _ in range(2))
        self.opened += [sock for group in made for sock in group]
        return made


@pytest.fixture
def opening() -> Iterator[Opening]:
    opening = Opening()
    yield opening
    for sock in opening.opened:
        sock.close()


def change(opening: Opening, before: Sequence[ListenerSettings], after: Sequence[ListenerSettings]) -> Landing:
    """Land on after from before, and check what holds always."""
    sockets = opening.bind(before)
    opening.asked.clear()
    landing = land(before, sockets, after, opening.bind)
    places = (*after, *landing.extra)
    assert len(set(places)) == len(places)
    assert set(places) == {*before, *after}, "no socket with somebody's session is closed"
    for worker in range(2):
        have = dict(zip(places, landing.sockets[worker], strict=True))
        assert all(have[listener] is sock for listener, sock in zip(before, sockets[worker], strict=True))
    return landing


def test_what_is_in_both_keeps_its_sockets_wherever_it_stands_now(opening: Opening) -> None:
    landing = change(opening, (A, B), (B, A))
    assert (landing.extra, landing.retired, landing.fresh, opening.asked) == ((), 0, (), [])


def test_what_is_new_is_bound_and_nothing_else(opening: Opening) -> None:
    landing = change(opening, (A,), (C, A, B))
    assert landing.fresh == (C, B)
    assert opening.asked == [C, B]


def test_what_has_vanished_retires(opening: Opening) -> None:
    landing = change(opening, (A, B, C), (B,))
    assert landing.extra == (A, C)
    assert landing.retired == 2


def test_what_comes_back_is_in_service_again(opening: Opening) -> None:
    landing = change(opening, (A, B), (A, B))
    assert landing.retired == 0


def test_what_a_wider_listener_covers_goes_on_taking_everybody(opening: Opening) -> None:
    narrow = at(HOME)
    landing = change(opening, (narrow, B), (at(ANY),))
    assert landing.extra == (narrow, B)
    assert landing.retired == 1


def test_where_binding_fails_nothing_has_changed(opening: Opening) -> None:
    def refuse(_listeners: Sequence[ListenerSettings]) -> Listeners:
        raise SetupError("bind", "in use")

    with pytest.raises(SetupError):
        land((A,), opening.bind((A,)), (A, B), refuse)


def test_what_went_astray_is_bound_anew_and_its_old_sockets_go(opening: Opening) -> None:
    sockets = opening.bind((A, B))
    opening.asked.clear()
    landing = land((A, B), sockets, (B, A), opening.bind, {A})
    assert (opening.asked, landing.extra) == ([A], ())
    assert [group[0] for group in landing.sockets] == [group[1] for group in sockets]
    assert list(landing.replaced) == [group[0] for group in sockets]
    assert not set(landing.replaced) & {sock for group in landing.sockets for sock in group}


def test_undoing_closes_what_was_bound_only_now(opening: Opening) -> None:
    sockets = opening.bind((A,))
    landing = land((A,), sockets, (A, B), opening.bind)
    landing.undo()
    assert [[sock.fileno() >= 0 for sock in group] for group in landing.sockets] == [[True, False]] * 2


@pytest.mark.parametrize(
    ("wider", "other", "verdict"),
    [
        (at(ANY), at(HOME), True),
        (at(ANY), at(HOME, device="lo"), True),
        (at(ANY, device="lo"), at(HOME), False),
        (at(ANY, device="lo"), at(HOME, device="lo"), True),
        (at(ANY, 54), at(HOME), False),
        (at(ANY6), at(HOME), False),
        (at(ANY, transparent=True), at(HOME), False),
        (at(HOME), at(HOME), False),
    ],
)
def test_a_wildcard_covers_what_has_its_port_and_its_way(
    wider: ListenerSettings, other: ListenerSettings, verdict: bool
) -> None:
    assert covers(wider, other) is verdict
