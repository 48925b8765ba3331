"""What is to be run: by default a first start, that cannot be reloaded, taken over or started anew."""

from __future__ import annotations

from pathlib import Path

from proxyd.daemon.order import Openings, Order
from proxyd.daemon.reading import Reading
from proxyd.daemon.session import SESSION_PROXY
from proxyd.logs.setup import open_logs
from tests.daemon import echo_loop
from tests.proxyd.daemon.estates import make_settings


def test_what_is_not_said_is_left_out(tmp_path: Path) -> None:
    openings = Openings(lambda settings: open_logs(settings, False, "x"), lambda _settings, _workers, _given: ())
    settings = make_settings(tmp_path / "log")
    order = Order(settings, echo_loop.run, "1.0", openings=openings)
    assert (order.means, order.launch, order.inherit, order.recompile) == (None, None, None, None)
    assert (order.takeover, order.text, order.private()) == (False, "", b"")
    assert (openings.monitoring(settings), openings.store_bytes(settings, 2)) == (None, 0)


def test_a_program_that_can_read_its_configuration_again_can_be_reloaded(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "log")
    order = Order(settings, echo_loop.run, "1.0", openings=SESSION_PROXY, read=lambda: Reading(settings))
    means = order.means
    assert means is not None
    assert means.read().settings is settings
    assert (means.land, means.sessions) == (SESSION_PROXY.land, True)
