from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.config.load import load as load_file
from tests.proxyd.config.samples import ACTIONS, acl, load, unsupported

OOB = 'oob-auth O { method external; file "/o"; }'


@pytest.mark.parametrize(
    ("body", "parts", "expected"),
    [
        ("session-type any-port;", {}, ["'session-type any-port' is not supported yet"]),
        ("", {"listen": "transparent [0.0.0.0] port 5;"}, ["'transparent' is not supported yet"]),
        ("source-address client;", {}, ["'source-address client' is not supported yet"]),
        ("source-address no-fallback;", {}, ["'source-address no-fallback' is not supported yet"]),
        ("", {"proxy": "source-address client physical;"}, ["'source-address client' is not supported yet"]),
        ("ip-tos-from 5;", {}, ["'ip-tos-from' is not supported yet"]),
        ("ip-tos-to-client { set 5; }", {}, ["'ip-tos-to-client' is not supported yet"]),
        ("queue-to-client q;", {"file": "queue q { }"}, ["'queue-to-client' is not supported yet"]),
    ],
)
def test_what_cannot_be_run_yet_is_listed(body: str, parts: dict[str, str], expected: list[str]) -> None:
    assert unsupported(acl(f"{ACTIONS} {body}", **parts)) == expected


@pytest.mark.parametrize(
    "body",
    [
        "session-type one-way;",
        "user none; transparency non-transparent; time *; time-period-set { }".replace("time *; ", ""),
        "source-address addr4 [192.0.2.1] addr6 [::1] physical;",
        "source-address cluster;",
        "from { ! [10.0.0.0/255.0.255.0], host.example, { ! /x/ } }; to * port 5; server /y/;",
        "user alice; user { a, b } group c; user group d; user *;",
    ],
)
def test_what_can_be_run_is_not_listed(body: str) -> None:
    assert unsupported(acl(f"{ACTIONS} {body}", file=OOB, proxy="auth oob O mandatory; user-match short;")) == []


def test_sections_that_nothing_refers_to_are_no_hindrance() -> None:
    assert unsupported(acl(ACTIONS, file=f"{OOB} queue q {{ rate 5; }}")) == []


def test_each_entry_has_its_place_and_reads_as_an_error() -> None:
    (entry,) = load(acl(f"{ACTIONS}\n session-type any-sock;")).unsupported
    assert str(entry) == "t.cfg:2:15: udp-proxy DNS / session-acl A: 'session-type any-sock' is not supported yet"


def test_the_relay_and_the_syslog_example_can_be_run() -> None:
    examples = Path(__file__).parents[3] / "etc" / "examples"
    assert {file.stem: not load_file(file).unsupported for file in sorted(examples.glob("*.cfg"))} == {
        "discovery": False,
        "dns-relay": True,
        "game": False,
        "syslog": True,
        "tftp": False,
    }
