"""scripts/run from a user's first look to Ctrl-C.

Its ports are fixed and so is its pidfile: it runs in a network namespace of its own, and with a /run of its own.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.place import Namespace, Place
from tests.kit.process import Process
from tests.kit.requirement import requires_namespaces

ROOT = Path(__file__).parents[2]
OWN_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")
DEMO = (*OWN_RUN, sys.executable, ROOT / "scripts" / "demo.py")
UPSTREAM = (sys.executable, ROOT / "scripts" / "demo_upstream.py")
ASK = (
    "import dns.message as m, dns.query as q, sys; "
    'print(q.udp(m.make_query("hello.example", sys.argv[1]), "127.0.0.1", port=5300, timeout=10).answer)'
)


@pytest.fixture
def alone() -> Iterator[Namespace]:
    namespace = Namespace(f"pxd-{os.getpid()}-0-run")
    namespace.make()
    yield namespace
    namespace.close()


def start_demo(place: Place) -> Process:
    demo = place.popen(DEMO)
    demo.wait_for("Ctrl-C ends everything")
    return demo


@requires_namespaces
def test_a_question_is_answered_through_the_proxy_and_its_session_shown(alone: Namespace) -> None:
    demo = start_demo(alone)
    answer = alone.run([sys.executable, "-c", ASK, "TXT"]).stdout
    assert "hello, your question came from 127.0.0.1 port" in answer
    assert "dgrams-reached" in demo.wait_for("Session terminated")
    assert "no pidfile" not in demo.output
    (command,) = re.findall(r"\S+/proxyctl -s \S+", demo.output)
    assert "serving" in alone.run([*command.split(), "status"]).stdout


@requires_namespaces
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_kin_end_everything(alone: Namespace, number: signal.Signals) -> None:
    demo = start_demo(alone)
    demo.signal(number)
    assert demo.wait() == 0
    assert "UDPS-722-K" in demo.output
    assert alone.pids() == []


@requires_namespaces
def test_a_second_one_says_that_the_port_is_taken(alone: Namespace) -> None:
    start_demo(alone)
    second = alone.popen(DEMO)
    assert second.wait() == 1
    assert "UDP port 5354 on 127.0.0.1 is not to be had" in second.output
    assert "does another scripts/run hold it?" in second.output


@requires_namespaces
def test_a_proxy_that_cannot_start_is_told_with_its_reason_and_takes_the_upstream_along(alone: Namespace) -> None:
    with alone.socket() as taken:
        taken.bind(("127.0.0.1", 5300))
        demo = alone.popen(DEMO)
        assert demo.wait() == 69
    assert "bind [127.0.0.1]:5300" in demo.output
    assert "udp-proxy ended with status 69" in demo.output
    assert alone.pids() == []


def test_the_upstream_ends_with_a_word_when_its_address_is_not_there(here: Place) -> None:
    done = here.run([*UPSTREAM, "192.0.2.1", "5354"], check=False)
    assert done.returncode == 1
    assert "192.0.2.1 is not to be had" in done.stderr
