"""The page beside a running proxy: while traffic goes on its figures lie between two readings of the API, and when all
is quiet they are what clients and servers have counted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.browser import Sight, browser, requires_browser
from tests.kit.installed import Proxy, requires_installed, serve
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.proxy import Configuration, acl
from tests.kit.traffic import udp
from tests.kit.watch import Watch

pytestmark = [requires_browser, requires_installed, pytest.mark.xdist_group("browser")]
CLIENTS = 12
CARDS = (("Sessions", ("sessions",)), ("To servers", ("out", "forwarded")), ("To clients", ("in", "forwarded")))
READ = """() => Object.fromEntries([...document.querySelectorAll('#glance > div')].map(
    (card) => [card.querySelector('dt').textContent, Number(card.querySelector('dd[data-value]').dataset.value)]))"""

STARTS = """[...document.querySelectorAll('#processes tbody tr')].find(
    (row) => row.cells[0].textContent === 'worker 0')?.cells[9].textContent"""


class Talk:
    """Clients that ask a server through a proxy, without end until told."""

    def __init__(self, port: int) -> None:
        self.to = ("127.0.0.1", port)
        self.server = udp()
        self.asked = self.answered = 0
        self._clients = [udp() for _ in range(CLIENTS)]
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def _talk(self) -> None:
        while not self._enough.is_set():
            for client in self._clients:
                client.sendto(b"question", self.to)
                payload, source = self.server.recvfrom(100)
                self.asked += 1
                self.server.sendto(payload, source)
                client.recv(100)
                self.answered += 1
            self._enough.wait(0.01)

    def __enter__(self) -> Talk:
        return self

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._enough.set()
        self._thread.join()

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for sock in (self.server, *self._clients):
            sock.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as found:
        yield found


def start(folder: Path, server: socket.socket, listen: int, http: int) -> Proxy:
    configuration = Configuration(
        f"non-transparent [127.0.0.1] port {listen};",
        acl(f"[127.0.0.1] : {server.getsockname()[1]}"),
        f"nodaemon; monitoring {{ http [127.0.0.1] port {http}; }}",
    )
    return serve(Place(), folder, configuration)


def said(status: dict[str, Any], path: tuple[str, ...]) -> int:
    value: Any = status
    for step in path:
        value = value[step]
    return int(value)


def test_the_page_says_what_the_api_and_the_clients_say(tmp_path: Path, running: Any) -> None:
    listen, http = free_port(), free_port()
    with Talk(listen) as talk:
        proxy = start(tmp_path, talk.server, listen, http)
        watch = Watch(http)
        talk.begin()
        with contextlib.closing(Sight(running, f"http://127.0.0.1:{http}/")) as sight:
            sight.until(f"document.querySelectorAll('#sessions tbody tr:not(.spacer)').length === {CLIENTS}")
            for _ in range(5):
                before = watch.api("status")
                sight.until(f"document.querySelector('#glance').dataset.at > {before['now_unix']}")
                shown = sight.page.evaluate(READ)
                after = watch.api("status")
                for title, path in CARDS:
                    assert said(before, path) <= shown[title] <= said(after, path), title
            talk.end()
            watch.when(lambda found: found["udp_proxy_datagrams_total/in"] == talk.answered)
            sight.until(f"({READ})()['To clients'] === {talk.answered}")
            assert sight.page.evaluate(READ)["To servers"] == talk.asked
            os.kill(proxy.workers[0], signal.SIGKILL)
            proxy.wait_for("ended unexpectedly: killed by SIGKILL")
            sight.until(f"{STARTS} === '2'")
            assert sight.page.evaluate(READ)["To clients"] == talk.answered
            assert sight.wrongs == []
