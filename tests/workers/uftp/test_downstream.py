"""Who may speak to servers through a server proxy."""

from __future__ import annotations

from tests.kit.uftp_scene import CLIENT_PROXY, SERVER_PROXY
from tests.kit.uftp_world import raw, settings_for
from workers.contract.uftp import Mode
from workers.uftp.downstream import FORMER, Downstream


def downstream(**changes: object) -> Downstream:
    return Downstream(settings_for(Mode.SERVER, 1, SERVER_PROXY, **changes))


def test_a_fixed_downstream_may_use_any_port_and_nobody_else_may() -> None:
    held = downstream(downstream=CLIENT_PROXY)
    assert held.current == CLIENT_PROXY
    assert held.admits(CLIENT_PROXY)
    assert held.admits(raw("10.99.3.3", 40000))
    assert not held.admits(raw("10.99.3.4"))


def test_a_found_downstream_must_use_an_address_it_has_proved() -> None:
    held = downstream(downstream_fingerprint=bytes(20))
    assert held.current is None
    assert not held.admits(CLIENT_PROXY)
    held.move(CLIENT_PROXY)
    assert held.current == CLIENT_PROXY
    assert held.admits(CLIENT_PROXY)
    assert not held.admits(raw("10.99.3.3", 40000))


def test_former_addresses_stay_good_for_a_few_moves() -> None:
    held = downstream(downstream_fingerprint=bytes(20))
    places = [raw("10.99.3.3", 2000 + number) for number in range(FORMER + 1)]
    for place in (*places, places[-1]):
        held.move(place)
    assert held.current == places[-1]
    assert [held.admits(place) for place in places] == [False] + FORMER * [True]


def test_an_open_proxy_passes_on_what_anybody_sends() -> None:
    assert downstream(downstream=CLIENT_PROXY, open_upstream=True).admits(raw("192.0.2.1"))
