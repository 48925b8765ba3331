from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.kit.peers import udp_peer
from tests.kit.place import Place

CROWD = Path(__file__).with_name("crowd.py")


def test_everybody_asks_and_is_answered(here: Place) -> None:
    peer = udp_peer(here, "echo", "127.0.0.1")
    crowd = here.popen([sys.executable, "-I", CROWD, "500", "127.0.0.1", str(peer.port)])
    crowd.wait_for("^ready")
    for rounds in (1, 2):
        assert json.loads(crowd.ask("ask", r"^\{")) == {"asked": 500, "answered": 500, "foreign": 0}
        assert peer.counts()["received"] == 500 * rounds
    assert peer.counts()["sources"] == 500


def test_answers_that_are_not_ones_own_are_told(here: Place) -> None:
    with here.socket() as server:
        server.bind(("127.0.0.1", 0))
        crowd = here.popen([sys.executable, "-I", CROWD, "2", "127.0.0.1", str(server.getsockname()[1])])
        crowd.wait_for("^ready")
        crowd.tell("ask")
        (first, source), (second, other) = server.recvfrom(100), server.recvfrom(100)
        server.sendto(first, other)
        server.sendto(second, source)
        assert json.loads(crowd.wait_for(r"^\{")) == {"asked": 2, "answered": 2, "foreign": 2}
