from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.config.load import load as load_file
from tests.proxyd.config.samples import ACTIONS, acl, load, unsupported

OOB = 'oob-auth O { method external; file "/o"; }'


def test_what_cannot_be_run_yet_is_listed() -> None:
    found = unsupported(acl(ACTIONS, proxy="monitoring { http [127.0.0.1] port 5; }"))
    assert found == ["'http' is not supported yet"]


@pytest.mark.parametrize(
    "body",
    [
        *(f"session-type {kind};" for kind in ("one-way", "any-port", "any-sock")),
        "source-address client no-fallback; source-port client;",
        "ip-tos-from 5; ip-tos-to-client { set 5; } ip-tos-to-server { set 6; }",
        "queue-to-client q; queue-to-server q;",
        "user none; transparency non-transparent; time *; time-period-set { }".replace("time *; ", ""),
        "source-address addr4 [192.0.2.1] addr6 [::1] physical;",
        "source-address cluster;",
        "from { ! [10.0.0.0/255.0.255.0], host.example, { ! /x/ } }; to * port 5; server /y/;",
        "user alice; user { a, b } group c; user group d; user *;",
    ],
)
def test_what_can_be_run_is_not_listed(body: str) -> None:
    assert (
        unsupported(acl(f"{ACTIONS} {body}", file=f"{OOB} queue q {{ rate 5; }}", proxy="auth oob O mandatory;")) == []
    )


def test_broadcast_sessions_can_be_run_where_broadcasts_are_heard() -> None:
    everywhere = "non-transparent [0.0.0.0] port 5;"
    assert unsupported(acl(f"{ACTIONS} session-type broadcast;", listen=everywhere)) == []


def test_transparent_listeners_can_be_run() -> None:
    assert unsupported(acl(ACTIONS, listen="transparent [0.0.0.0] port 5; transparent [::1] port 5;")) == []


def test_sections_that_nothing_refers_to_are_no_hindrance() -> None:
    assert unsupported(acl(ACTIONS, file=f"{OOB} queue q {{ rate 5; }}")) == []


def test_each_entry_has_its_place_and_reads_as_an_error() -> None:
    (entry,) = load(acl(ACTIONS, proxy="\n monitoring { http [127.0.0.1] port 5; }")).unsupported
    assert str(entry).startswith("t.cfg:2:")
    assert str(entry).endswith(": 'http' is not supported yet")


def test_every_example_can_be_run() -> None:
    examples = Path(__file__).parents[3] / "etc" / "examples"
    assert {file.stem: not load_file(file).unsupported for file in sorted(examples.glob("*.cfg"))} == {
        "discovery": True,
        "dns-relay": True,
        "game": True,
        "syslog": True,
        "tftp": True,
    }
