"""The command as a user runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.kit.place import Place
from tests.kit.requirement import requires_namespaces, requires_program

ROOT = Path(__file__).parents[2]
NAME = f"pxd-hand-{os.getpid()}"


def command(here: Place, *words: str) -> tuple[int, str]:
    done = here.run(
        ["env", f"PYTHONPATH={ROOT}", f"LAB_NAME={NAME}", sys.executable, "-m", "tests.kit.lab_command", *words],
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@requires_namespaces
def test_up_lasts_until_down(here: Place) -> None:
    try:
        assert command(here, "client", "true") == (1, "there is no laboratory: scripts/lab up\n")
        status, text = command(here, "up")
        assert status == 0
        assert "10.77.1.2" in text
        status, text = command(here, "proxy", "ip", "-br", "addr")
        assert status == 0
        assert "10.77.2.1/24" in text
        assert command(here, "up")[0] == 1
        assert command(here, "server", "sh", "-c", "exit 3")[0] == 3
    finally:
        assert command(here, "down") == (0, "")
    assert not list(Path("/run/netns").glob(f"{NAME}-*"))


@requires_namespaces
@requires_program("nft")
def test_each_way_of_delivery_can_be_set_up_by_hand(here: Place) -> None:
    try:
        assert command(here, "deliver", "mark", "69") == (1, "there is no laboratory: scripts/lab up\n")
        assert command(here, "up")[0] == 0
        for words in (("rule", "69"), ("mark", "69", "514"), ("tproxy", "69"), ("answers",)):
            assert command(here, "deliver", *words) == (0, "")
        rules = command(here, "proxy", "ip", "-6", "rule")[1]
        assert ("iif front ipproto udp dport 69" in rules, rules.count("fwmark")) == (True, 2)
        tables = command(here, "proxy", "nft", "list", "tables")[1]
        assert tables == "table inet udp_proxy_clients\ntable inet udp_proxy_answers\n"
    finally:
        assert command(here, "down") == (0, "")


@pytest.mark.parametrize(
    "words", [(), ("sideways",), ("client",), ("up", "now"), ("deliver", "mark"), ("deliver", "by", "69")]
)
def test_another_word_shows_the_usage(here: Place, words: tuple[str, ...]) -> None:
    status, text = command(here, *words)
    assert status == 64
    assert "scripts/lab up" in text
