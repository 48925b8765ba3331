"""The resolver child in its frame: what it finds reaches every worker, whoever is replaced."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.daemon.frame import Frame, status_of
from workers.contract.settings import Address, ResolverSettings

# Never asked: the hosts table has the name.
SETTINGS = ResolverSettings(servers=((Address(4, 127 << 24 | 1), 9),))
NAME = "localhost"
BOOK = r"\{'localhost': \[.*7f000001"
KNOWN = f"knows {BOOK}"


def resolver_of(frame: Frame) -> int:
    (found,) = [pid for pid in frame.children() if b"resolver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_every_worker_learns_the_names_and_a_replacement_begins_with_them(tmp_path: Path) -> None:
    with Frame(tmp_path, resolver=SETTINGS).start(names=(NAME,)) as frame:
        frame.wait_for_log(r"worker \d begins with None", count=2)
        frame.wait_for_log(rf"worker 0 {KNOWN}")
        frame.wait_for_log(rf"worker 1 {KNOWN}")
        os.kill(next(iter(frame.clients_by_worker())), signal.SIGKILL)
        frame.wait_for_log(rf"worker \d begins with {BOOK}")


def test_workers_are_told_too_when_no_name_has_an_address(tmp_path: Path) -> None:
    silent = ResolverSettings(servers=SETTINGS.servers, conf_timeout_ns=200_000_000)
    with Frame(tmp_path, resolver=silent).start(names=("nowhere.invalid",)) as frame:
        frame.wait_for_log(r"worker 0 knows \{\}")
        frame.wait_for_log(r"worker 1 knows \{\}")


def test_the_resolver_is_confined_as_a_worker_is_and_holds_no_listener(tmp_path: Path) -> None:
    with Frame(tmp_path, resolver=SETTINGS).start(names=(NAME,)) as frame:
        resolver = resolver_of(frame)
        status = status_of(resolver)
        assert status["NoNewPrivs"] == "1"
        assert [int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Inh", "Amb")] == [0] * 4
        if os.geteuid() == 0:
            assert status["Uid"] == " ".join(["65534"] * 4)
            assert int(status["CapBnd"], 16) == 0
        files = [str(entry.readlink()) for entry in Path(f"/proc/{resolver}/fd").iterdir()]
        assert not any("memfd" in name for name in files)
        assert "memfd" not in Path(f"/proc/{resolver}/maps").read_text()


def test_a_killed_resolver_is_replaced_and_takes_no_worker_with_it(tmp_path: Path) -> None:
    with Frame(tmp_path, resolver=SETTINGS).start(names=(NAME,)) as frame:
        workers = frame.clients_by_worker().keys()
        first = resolver_of(frame)
        os.kill(first, signal.SIGKILL)
        frame.wait_for_log("Child resolver started", count=2)
        assert workers <= set(frame.children())
        frame.process.terminate()
        assert frame.wait()[0] == 0


def test_a_hosts_table_that_changes_is_read_again_by_a_new_resolver(tmp_path: Path) -> None:
    frame = Frame(tmp_path, resolver=SETTINGS)
    frame.hosts = tmp_path / "hosts"
    frame.hosts.write_text("10.0.0.1 moving.test\n")
    with frame.start(names=("moving.test",)):
        frame.wait_for_log(r"worker 0 knows \{'moving.test': .*0a000001")
        frame.hosts.write_text("10.0.0.2 moving.test\n")
        for worker in (0, 1):
            frame.wait_for_log(rf"worker {worker} knows \{{'moving.test': .*0a000002")
        assert "ended unexpectedly" not in frame.log()


def test_one_process_resolves_names_before_it_serves(tmp_path: Path) -> None:
    with Frame(tmp_path, resolver=SETTINGS, single_process=True, workers=1).start(names=(NAME,)) as frame:
        frame.wait_for_log(rf"worker 0 begins with {BOOK}")


def test_without_names_there_is_no_resolver(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        assert len(frame.children()) == 2
        assert "begins with" not in frame.log()


def test_names_are_left_alone_where_the_configuration_says_so(tmp_path: Path) -> None:
    with Frame(tmp_path, resolve_names=False).start(names=(NAME,)) as frame:
        assert len(frame.children()) == 2
        assert "begins with" not in frame.log()
