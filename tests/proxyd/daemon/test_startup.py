"""The order of starting, and that what was opened is undone in the reverse order; more of it is in tests/daemon."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from pathlib import Path

from proxyd.daemon import capabilities
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.order import Order
from proxyd.daemon.pidfile import Pidfile, default_path
from proxyd.daemon.session import SESSION_PROXY
from proxyd.daemon.startup import run_proxy
from proxyd.logs.setup import open_logs
from tests.daemon import echo_loop
from tests.kit.lab import PREFIX
from tests.kit.place import Namespace, enter_namespace
from tests.kit.requirement import requires_program, requires_root
from tests.proxyd.daemon.estates import make_settings
from tests.proxyd.offload.frames import links, requires_tcx
from tests.workers.forked import in_child
from workers.contract.settings import ControlSettings


def order(directory: Path, **changes: object) -> Order:
    settings = make_settings(directory / "log", **changes)
    return Order(settings, echo_loop.run, "0.1", "test.cfg", ("careful",), (), directory, openings=SESSION_PROXY)


def messages(directory: Path) -> list[str]:
    return re.findall(r"\.0\]: (\S+)", (directory / "log").read_text())


def stop_when_ready() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_is_logged_from_its_configuration_to_the_closed_sockets(tmp_path: Path) -> None:
    assert in_child(lambda: run_proxy(order(tmp_path), stop_when_ready)) == str(Ending(ExitStatus.OK, "SIGTERM"))
    assert messages(tmp_path) == [
        "CFGR-100-D",
        "CASE-200-W",
        "UDPS-721-K",
        "UDPS-710-K",
        "UDPS-700-K",
        "UDPS-701-K",
        "UDPS-722-K",
    ]


def test_the_pidfile_is_there_while_it_serves_and_not_after(tmp_path: Path) -> None:
    path = default_path("TEST", tmp_path)
    seen = tmp_path / "seen"

    def look() -> None:
        seen.write_text(path.read_text())
        stop_when_ready()

    in_child(lambda: run_proxy(order(tmp_path), look))
    assert int(seen.read_text()) > 0
    assert not path.exists()


def control_sockets_of(directory: Path, changed: Order) -> list[str]:
    """Return the control sockets that are there while a proxy serves; checks that none is left."""
    seen = directory / "seen"

    def look() -> None:
        seen.write_text(" ".join(str(path) for path in sorted(directory.rglob("*.ctl")) if path.is_socket()))
        stop_when_ready()

    assert in_child(lambda: run_proxy(changed, look)) == str(Ending(ExitStatus.OK, "SIGTERM"))
    assert not list(directory.rglob("*.ctl"))
    return seen.read_text().split()


def test_orders_are_taken_beside_the_pidfile_while_it_serves(tmp_path: Path) -> None:
    assert control_sockets_of(tmp_path, order(tmp_path)) == [str(tmp_path / "udp-proxy-test.ctl")]
    elsewhere = dataclasses.replace(order(tmp_path), pidfile=str(tmp_path / "x.pid"))
    assert control_sockets_of(tmp_path, elsewhere) == [str(tmp_path / "x.ctl")]


def test_orders_are_taken_where_the_settings_say(tmp_path: Path) -> None:
    path = tmp_path / "there" / "y.ctl"
    path.parent.mkdir()
    assert control_sockets_of(tmp_path, order(tmp_path, control=ControlSettings(str(path)))) == [str(path)]


def test_no_orders_are_taken_without_a_pidfile_or_where_the_settings_say_so(tmp_path: Path) -> None:
    assert control_sockets_of(tmp_path, dataclasses.replace(order(tmp_path), pidfile="")) == []
    assert control_sockets_of(tmp_path, order(tmp_path, control=None)) == []


def test_a_control_socket_that_cannot_be_had_ends_the_start(tmp_path: Path) -> None:
    wanted = ControlSettings(str(tmp_path / "nowhere" / "y.ctl"))
    ended = in_child(lambda: run_proxy(order(tmp_path, control=wanted), stop_when_ready))
    assert "control socket" in ended
    assert "No such file or directory" in ended
    assert not default_path("TEST", tmp_path).exists()


def test_a_second_start_is_refused_before_it_opens_anything(tmp_path: Path) -> None:
    holder = Pidfile.take(default_path("TEST", tmp_path))
    said = in_child(lambda: run_proxy(order(tmp_path), stop_when_ready))
    reason = f"pidfile {holder.path}: already running as process {os.getpid()}"
    assert said == str(Ending(ExitStatus.UNAVAILABLE, reason))
    assert messages(tmp_path)[-1] == "UDPS-520-E"
    assert "UDPS-722-K" not in messages(tmp_path)
    holder.remove()


def test_nothing_is_left_when_a_later_step_fails(tmp_path: Path) -> None:
    wanted = order(tmp_path)
    nowhere = dataclasses.replace(wanted, run_directory=tmp_path / "nowhere")
    said = in_child(lambda: run_proxy(nowhere, stop_when_ready))
    reason = f"pidfile {default_path('TEST', tmp_path / 'nowhere')}: No such file or directory"
    assert said == str(Ending(ExitStatus.UNAVAILABLE, reason))
    assert messages(tmp_path)[-2:] == ["UDPS-520-E", "UDPS-722-K"]
    # The sockets are free again: the same order runs now.
    assert in_child(lambda: run_proxy(wanted, stop_when_ready)) == str(Ending(ExitStatus.OK, "SIGTERM"))


def test_a_log_that_cannot_be_opened_ends_the_start(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "no" / "such" / "log")
    ending = run_proxy(
        Order(settings, echo_loop.run, "0.1", run_directory=tmp_path, openings=SESSION_PROXY), stop_when_ready
    )
    assert ending.status is ExitStatus.UNAVAILABLE
    assert "No such file or directory" in ending.reason


def test_an_unforeseen_error_is_logged_and_raised(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("unforeseen")

    assert in_child(lambda: run_proxy(order(tmp_path), fail)) == "RuntimeError: unforeseen"
    text = (tmp_path / "log").read_text()
    assert "UDPS-513-C Unforeseen error in parent: Traceback" in text
    assert "UDPS-722-K" in text


def test_a_program_opens_its_own_and_begins_its_log_with_a_banner(tmp_path: Path) -> None:
    openings = dataclasses.replace(SESSION_PROXY, logs=lambda settings: open_logs(settings, False, "other"))
    wanted = dataclasses.replace(order(tmp_path), openings=openings, banner=(("state", ("begins",)),))
    assert in_child(lambda: run_proxy(wanted, stop_when_ready)) == str(Ending(ExitStatus.OK, "SIGTERM"))
    text = (tmp_path / "log").read_text()
    assert " other[" in text
    assert text.index("State: begins") < text.index("UDPS-721-K")


def test_a_pidfile_may_have_another_place_or_none(tmp_path: Path) -> None:
    for place in (str(tmp_path / "elsewhere.pid"), ""):
        seen = tmp_path / "seen"

        def look(seen: Path = seen) -> None:
            seen.write_text(" ".join(path.name for path in tmp_path.glob("*.pid")))
            stop_when_ready()

        in_child(lambda place=place: run_proxy(dataclasses.replace(order(tmp_path), pidfile=place), look))
        assert seen.read_text() == Path(place).name
        assert not list(tmp_path.glob("*.pid"))


# --- offload ---------------------------------------------------------------------------------------------------------


@requires_tcx
@requires_program("ip")
def test_the_kernel_carries_sessions_while_it_serves(tmp_path: Path) -> None:
    place, seen = Namespace(f"{PREFIX}-startup-{os.getpid()}"), tmp_path / "seen"

    def look() -> None:
        seen.write_text(str(links()))
        stop_when_ready()

    def serve() -> Ending:
        enter_namespace(place.path)
        return run_proxy(order(tmp_path, offload=True), look)

    place.make()
    try:
        assert in_child(serve) == str(Ending(ExitStatus.OK, "SIGTERM"))
    finally:
        place.close()
    # A program for each version of IP, on the only interface.
    assert seen.read_text() == "[1, 1]"
    assert "has no effect" not in (tmp_path / "log").read_text()


@requires_root
def test_where_the_kernel_may_not_carry_sessions_that_is_said_and_workers_do(tmp_path: Path) -> None:
    def serve() -> Ending:
        capabilities.drop_all_but(capabilities.KEPT)
        return run_proxy(order(tmp_path, offload=True), stop_when_ready)

    assert in_child(serve) == str(Ending(ExitStatus.OK, "SIGTERM"))
    assert "'offload' has no effect: make a table: Operation not permitted" in (tmp_path / "log").read_text()


def test_one_process_alone_has_nobody_to_carry_for(tmp_path: Path) -> None:
    settings = {"offload": True, "single_process": True, "workers": 1}
    in_child(lambda: run_proxy(order(tmp_path, **settings), stop_when_ready))
    assert "'offload' has no effect: offload: one process does everything" in (tmp_path / "log").read_text()
