"""The monitor in the frame: its socket is bound early or the start fails, and its child keeps nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from pathlib import Path

import pytest

from proxyd.daemon.monitoring import open_monitor
from proxyd.daemon.roster import Child, Role
from proxyd.errors import SetupError
from tests.proxyd.daemon.estates import an_estate, make_settings
from workers.contract.channel import open_channel
from workers.contract.settings import Address, MonitorSettings

LOOPBACK = Address(4, 0x7F00_0001)


def test_without_http_there_is_no_monitor(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "log")
    assert open_monitor(settings) is None
    assert open_monitor(dataclasses.replace(settings, monitor=MonitorSettings())) is None


def test_one_process_that_does_everything_has_no_monitor(tmp_path: Path) -> None:
    monitor = MonitorSettings((LOOPBACK, 0))
    assert open_monitor(make_settings(tmp_path / "log", monitor=monitor, single_process=True)) is None


@pytest.mark.parametrize("address", [LOOPBACK, Address(6, 1)], ids=["4", "6"])
def test_its_socket_listens_on_the_address_given(tmp_path: Path, address: Address) -> None:
    monitor = open_monitor(make_settings(tmp_path / "log", monitor=MonitorSettings((address, 0))))
    assert monitor is not None
    with contextlib.closing(monitor):
        socket.create_connection(monitor.sock.getsockname()[:2]).close()


def test_an_address_that_is_taken_is_an_error_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"bind monitoring http \[127\.0\.0\.1\]:{port}: Address already in use"):
            open_monitor(make_settings(tmp_path / "log", monitor=MonitorSettings((LOOPBACK, port))))


def test_its_child_keeps_its_channel_and_its_socket_and_no_capability(tmp_path: Path) -> None:
    ours, theirs = open_channel()
    with an_estate(tmp_path / "log", monitor=MonitorSettings((LOOPBACK, 0))) as estate:
        monitor = open_monitor(estate.settings)
        assert monitor is not None
        with contextlib.closing(monitor):
            plan, _ = monitor.plan(estate, Child(Role.MONITOR, 0), theirs)
            assert plan.keep == {theirs.fileno(), monitor.sock.fileno()}
            assert plan.confinement.capabilities == frozenset()
            assert plan.foreign == ()
            assert plan.child == "monitor"
    ours.close()
    theirs.close()
