"""proxyctl top on a real proxy: the rates are those of the traffic."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.kit.installed import requires_installed
from tests.kit.lab import Lab
from tests.kit.requirement import requires_namespaces
from tests.system.test_proxyctl import Desk, echo

pytestmark = requires_installed


@requires_namespaces
def test_rates_are_those_of_the_traffic_by_session_rule_and_listener(tmp_path: Path, lab: Lab, name: str) -> None:
    desk = Desk(lab, tmp_path, name)
    with desk.clients(2) as (busy, idle):
        desk.listed(2)
        over = threading.Event()
        sent = [0]

        def talk() -> None:
            while not over.is_set():
                echo(busy, b"x" * 100)
                sent[0] += 1

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            found = desk.asked("top", "-i", "3")
        finally:
            over.set()
            talking.join()
        flows = {row["session"]["client"].rpartition(":")[2]: row["flow"] for row in found["sessions"]}
        assert flows[str(idle.getsockname()[1])]["datagrams_in"] == 0
        fast = flows[str(busy.getsockname()[1])]
        assert 0 < fast["datagrams_in"] <= 2 * sent[0] / found["span_s"]
        # As many bytes as datagrams of 100 bytes make (quotients, so not to the last bit), and both sums agree with the
        # only session that goes.
        assert fast["bytes_in"] == pytest.approx(100 * fast["datagrams_in"], rel=1e-9)
        assert [rule["flow"]["bytes_in"] for rule in found["rules"]] == [fast["bytes_in"]]
        assert [(rule["sessions"], rule["first"]) for rule in found["rules"]] == [(2, 2)]
        assert found["total"]["datagrams_in"] > 0
        (line,) = found["listeners"]
        assert line["first_s"] > 0
