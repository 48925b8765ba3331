"""Who asks a monitor hears what it says, over either way."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from proxyd.monitor.app import Monitor
from proxyd.monitor.server import serve
from proxyd.monitor.site import Site
from tests.kit.watch import Watch
from tests.proxyd.monitor.views import a_view
from workers.contract.channel import open_channel
from workers.contract.slots import Counter


@pytest.mark.parametrize("way", ["unix", "port"])
def test_metrics_and_answers_are_heard(tmp_path: Path, way: str) -> None:
    ours, theirs = open_channel()
    readable, writable = os.pipe()
    path = tmp_path / "s"
    sock = socket.socket(socket.AF_UNIX if way == "unix" else socket.AF_INET)
    sock.bind(str(path) if way == "unix" else ("127.0.0.1", 0))
    sock.listen()
    with a_view() as view:
        thread = threading.Thread(target=serve, args=(sock, Monitor(view, Site({})).answer, theirs, readable))
        thread.start()
        watch = Watch(path if way == "unix" else int(sock.getsockname()[1]))
        view.regions[0].words[Counter.FORWARDED_OUT] = 5
        assert watch.when(lambda found: found["udp_proxy_workers"] == 2)["udp_proxy_datagrams_total/out"] == 5
        assert watch.api("status")["out"]["forwarded"] == 5
        assert watch.ask("/nowhere")[0] == 404
        os.write(writable, bytes((signal.SIGTERM,)))
        thread.join()
    for one in (sock, ours, theirs):
        one.close()
    os.close(readable)
    os.close(writable)
