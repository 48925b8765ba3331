"""The daemon's logs in files: rolled by size and count, opened anew after a move, louder and quieter by signals."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from tests.kit import peers
from tests.kit.installed import Proxy, children_of, requires_installed, start_daemon, wait_for_end
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, port_of

PORT = 7000
ONE_EACH = "max-dgrams-out 1; max-dgrams-in 1; timeout both 60;"
LIMIT_BYTES = 8 * 1024

pytestmark = requires_installed


def start(lab: Lab, folder: Path, name: str, debug: str = "", stats: str = "", workers: int = 2) -> Proxy:
    """Start a daemon with its logs in debug.log and stats.log, and these items for them."""
    logs = f'log-debug {{ file "{folder}/debug.log"; {debug} }} log-stats {{ file "{folder}/stats.log"; {stats} }}'
    rule = acl(f"[{WAY4.server}] : {PORT}", ONE_EACH)
    text = Configuration(WAY4.listen(PORT), rule, logs, name=name, workers=workers).text
    return start_daemon(lab.proxy, folder, text, folder / "debug.log", name)


def ask(lab: Lab) -> int:
    """Have one session, of one datagram each way; return the client's port."""
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        assert client.recv(100) == b"hello"
        return port_of(client)


def end(proxy: Proxy) -> None:
    """Stop a daemon, and wait for its end."""
    proxy.signal(signal.SIGTERM)
    wait_for_end(proxy.pid)


@requires_namespaces
def test_log_files_roll_by_size_and_only_so_many_are_kept(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    rotate = f"rotate size {LIMIT_BYTES} count 2;"
    proxy = start(lab, tmp_path, name, rotate, rotate, workers=1)
    ports = [ask(lab) for _ in range(100)]
    end(proxy)
    for log, id_ in (("debug.log", "UDPP-711-I"), ("stats.log", "UDPP-888-I")):
        files = [tmp_path / f"{log}.2", tmp_path / f"{log}.1", tmp_path / log]
        assert sorted(tmp_path.glob(f"{log}*")) == sorted(files)
        longest = max(len(line) for file in files for line in file.read_text().splitlines()) + 1
        for file in files[:2]:
            # Rolled after the line that exceeded the size.
            assert LIMIT_BYTES < file.stat().st_size <= LIMIT_BYTES + longest
            assert file.stat().st_mode & 0o777 == 0o640
        assert files[2].stat().st_size <= LIMIT_BYTES
        # No line is torn or lost where one file ends and the next begins: the last sessions are there, in order.
        text = "".join(file.read_text() for file in files)
        found = [int(port) for port in re.findall(rf"{id_} .*?CLIENT(?:-PORT=|=\[[^]]+\]:)(\d+)", text)]
        assert len(found) > 20
        assert found == ports[-len(found) :]


@requires_namespaces
def test_a_log_that_was_moved_away_is_opened_anew_by_its_name(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    before = ask(lab)
    moved = lab.proxy.follow(tmp_path / "moved-stats.log")
    lab.proxy.run(["mv", tmp_path / "stats.log", tmp_path / "moved-stats.log"])
    lab.proxy.run(["mv", tmp_path / "debug.log", tmp_path / "moved-debug.log"])
    between = ask(lab)
    moved.wait_for(rf"CLIENT-PORT={between} ")
    proxy.signal(signal.SIGWINCH)
    stats = lab.proxy.follow(tmp_path / "stats.log")
    proxy.wait_for("UDPS-741-K Log files reopened")
    after = ask(lab)
    stats.wait_for(rf"CLIENT-PORT={after} ")
    end(proxy)
    old, new = ((tmp_path / f"{prefix}stats.log").read_text() for prefix in ("moved-", ""))
    assert [re.findall(r"CLIENT-PORT=(\d+)", text) for text in (old, new)] == [
        [str(before), str(between)],
        [str(after)],
    ]
    assert (tmp_path / "debug.log").read_text().count("SESSION-START") == 1


@requires_namespaces
def test_the_level_goes_up_and_down_by_signals_in_every_process(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    ask(lab)
    for level in (7, 8, 9):
        proxy.signal(signal.SIGUSR1)
        for pid in (proxy.pid, *children_of(proxy.pid)):
            proxy.wait_for(rf"\[{pid}\.0\]: UDPS-740-K Log level is {level}$")
    ask(lab)
    proxy.wait_for(r"UDPP-990-F Datagram \S+ from \[10.77.1.2\]:\d+, 5 bytes: 68656c6c6f$")
    proxy.wait_for(r"UDPP-990-F Datagram \S+ from \[10.77.2.2\]:7000, 5 bytes: ")
    begun = len(proxy.log.lines)
    proxy.signal(signal.SIGUSR2)
    for pid in (proxy.pid, *children_of(proxy.pid)):
        proxy.wait_for(rf"\[{pid}\.0\]: UDPS-740-K Log level is 8$", begun)
    begun = len(proxy.log.lines)
    proxy.wait_for(rf"SESSION-END CLIENT=\S+:{ask(lab)} ", begun)
    assert "UDPP-990-F" not in str(proxy.log.lines[begun:])
    end(proxy)


@requires_namespaces
def test_a_log_in_json_has_an_object_a_line(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name, "format json;", "format json;")
    port = ask(lab)
    end(proxy)
    for log in ("debug.log", "stats.log"):
        records = [json.loads(line) for line in (tmp_path / log).read_text().splitlines()]
        assert records
        assert str(port) in json.dumps(records)


@requires_namespaces
def test_an_ended_daemon_has_written_everything_it_had_to_say(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    ports = [ask(lab) for _ in range(30)]
    os.kill(proxy.pid, signal.SIGTERM)
    wait_for_end(proxy.pid)
    records = re.findall(r"PROXY-EVENT .*CLIENT-PORT=(\d+) .*RESULT=OK", (tmp_path / "stats.log").read_text())
    assert sorted(map(int, records)) == sorted(ports)
