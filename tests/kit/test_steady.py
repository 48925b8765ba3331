"""The clients that never stop asking count right, and notice when they are seen elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.kit.place import Place

STEADY = Path(__file__).with_name("steady.py")


def test_everybody_is_answered_and_seen_at_one_port(here: Place) -> None:
    server = here.popen([sys.executable, "-I", STEADY, "serve", "127.0.0.1", "0"])
    port = server.wait_for("^ready").split()[1]
    clients = here.popen([sys.executable, "-I", STEADY, "ask", "20", "400", "127.0.0.1", port])
    clients.wait_for("^ready")
    while json.loads(clients.ask("report", r"^\{"))["sent"] < 100:
        pass
    end = json.loads(clients.ask("stop", r"^\{"))
    assert end["sent"] == end["answered"] >= 100
    assert (end["moved"], end["known"]) == (0, 20)
    assert json.loads(server.ask("report", r"^\{")) == {"received": end["sent"], "ports": 20}
    assert clients.wait() == 0


def test_a_client_that_is_seen_at_another_port_is_told(here: Place) -> None:
    with here.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
        clients = here.popen([sys.executable, "-I", STEADY, "ask", "1", "50", "127.0.0.1", port])
        for seen in (7, 8, 8):
            payload, client = server.recvfrom(100)
            server.sendto(payload + b"%d" % seen, client)
        clients.wait_for("^ready")
        assert json.loads(clients.ask("stop", r"^\{"))["moved"] == 1
