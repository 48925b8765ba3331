"""The monitor in the frame: its socket is bound early or the start fails, and its child keeps nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from proxyd.daemon.monitoring import inherit_monitor, open_monitor
from proxyd.daemon.roster import Child, Role
from proxyd.errors import SetupError
from tests.proxyd.daemon.estates import an_estate, make_settings
from workers.contract.channel import open_channel
from workers.contract.settings import AclSettings, Address, ControlSettings, HostName, MonitorSettings, Sock
from workers.contract.tallies import target_key

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


def test_a_unix_socket_is_for_its_owner_and_a_group_and_goes_with_the_proxy(tmp_path: Path) -> None:
    path = tmp_path / "http"
    group = grp.getgrgid(os.getegid())
    wanted = MonitorSettings(path=str(path))
    settings = make_settings(tmp_path / "log", monitor=wanted, control=ControlSettings(group=group.gr_name))
    monitor = open_monitor(settings)
    assert monitor is not None
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o660, group.gr_gid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
    with pytest.raises(SetupError, match="Address already in use"):
        open_monitor(settings)
    monitor.close()
    assert not path.exists()


def test_a_unix_socket_that_a_dead_proxy_left_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "http"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    settings = make_settings(tmp_path / "log", monitor=MonitorSettings(path=str(path)))
    monitor = open_monitor(settings)
    assert monitor is not None
    monitor.close()
    path.write_text("mine")
    with pytest.raises(SetupError, match="bind monitoring socket"):
        open_monitor(settings)
    assert path.read_text() == "mine"


def test_a_group_that_there_is_not_is_an_error_in_words(tmp_path: Path) -> None:
    wanted = MonitorSettings(path=str(tmp_path / "http"))
    settings = make_settings(tmp_path / "log", monitor=wanted, control=ControlSettings(group="nobodies"))
    with pytest.raises(SetupError, match="there is no group 'nobodies'"):
        open_monitor(settings)


def test_what_the_parent_writes_is_what_the_monitor_looks_at(tmp_path: Path) -> None:
    servers = (Sock(LOOPBACK, 53), Sock(HostName("ns.example"), None))
    rules = tuple(AclSettings(name, accept=True, plug_to=to) for name, to in zip(("LAN", "MAN"), servers, strict=True))
    with an_estate(tmp_path / "log", monitor=MonitorSettings((LOOPBACK, 0)), acls=rules) as estate:
        monitor = open_monitor(estate.settings)
        assert monitor is not None
        with contextlib.closing(monitor):
            estate.earlier[7] = dataclasses.replace(estate.settings, acls=())
            view = monitor.view(estate)
            monitor.look([Child(Role.WORKER, 0, pid=os.getpid(), lives=4)], 0)
            monitor.note_reload(failed=True)
            assert [rule.name for rule in view.present_rules] == ["LAN", "MAN"]
            assert view.targets == {
                "[127.0.0.1]:53": target_key(servers[0]),
                "ns.example": target_key(servers[1]),
            }
            assert view.rules[7] == []
            assert len(view.listeners) == len(view.line_keys) == 1
            assert view.board.processes()[1].lives == 4
            assert view.board.reloads.last_failed


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


# --- from one program to the next ------------------------------------------------------------------------------------


def test_a_successor_goes_on_with_the_socket_that_is_where_it_wants_one(tmp_path: Path) -> None:
    log, path = tmp_path / "log", str(tmp_path / "monitor")
    for first in (MonitorSettings((LOOPBACK, 0)), MonitorSettings(path=path)):
        old = open_monitor(make_settings(log, monitor=first))
        assert old is not None
        wanted = first if first.path else MonitorSettings((LOOPBACK, old.sock.getsockname()[1]))
        monitor = inherit_monitor(make_settings(log, monitor=wanted), socket.socket(fileno=os.dup(old.fileno())))
        assert monitor is not None
        assert (monitor.path, monitor.ours) == (wanted.path, False)
        old.leave()
        old.close()
        with socket.socket(monitor.sock.family) as client:
            client.connect(monitor.sock.getsockname())
        monitor.claim()
        monitor.close()
    assert not Path(path).exists()


def test_a_successor_that_gives_up_leaves_the_socket_where_it_is(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "log", monitor=MonitorSettings(path=str(tmp_path / "monitor")))
    old = open_monitor(settings)
    assert old is not None
    monitor = inherit_monitor(settings, socket.socket(fileno=os.dup(old.fileno())))
    assert monitor is not None
    monitor.close()
    assert (tmp_path / "monitor").exists()
    old.close()


@pytest.mark.parametrize(
    "wanted", [None, MonitorSettings(), MonitorSettings((Address(4, 0x7F00_0002), 1)), MonitorSettings(path="/x")]
)
def test_a_socket_that_is_not_wanted_any_more_is_closed(tmp_path: Path, wanted: MonitorSettings | None) -> None:
    old = open_monitor(make_settings(tmp_path / "log", monitor=MonitorSettings((LOOPBACK, 0))))
    assert old is not None
    left = socket.socket(fileno=os.dup(old.fileno()))
    assert inherit_monitor(make_settings(tmp_path / "log", monitor=wanted), left) is None
    assert left.fileno() == -1
    old.close()
