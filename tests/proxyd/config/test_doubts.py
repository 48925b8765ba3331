"""Of whom a rehearsal cannot say whether he would be let in, because names are not resolved yet."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from proxyd.config.doubts import Doubts
from proxyd.config.explanation import Explainer, Question
from proxyd.config.load import load_text
from workers.contract.settings import Address, Settings

TEXT = """version KERNUN-2_3-RELEASE;
udp-proxy TEST {{
  listen-on {{ non-transparent [10.0.0.9] port 53; }}
  udpserver {{ max-sessions 100; }}
  {acls}
}}
"""
LAN = "session-acl LAN { from [10.1.0.0/16]; accept; plug-to [10.9.0.1] : 53; }"
HOME = "session-acl HOME { from home.example; deny; }"
PORTS = "session-acl PORTS { from home.example; to * port 54; deny; }"
AWAY = "session-acl AWAY { from [10.2.0.0/16]; accept; plug-to away.example : 53; }"
BEHIND = "session-acl BEHIND { server [10.9.0.1]; accept; plug-to away.example : 53; }"
NOON = (11, 22, 0, 720)
UNKNOWN = frozenset(("home.example", "away.example"))


def settings_of(*acls: str) -> Settings:
    return load_text(TEXT.format(acls=" ".join(acls)), "f").settings


def about(client: str, *acls: str, unknown: frozenset[str] = UNKNOWN) -> tuple[str, ...]:
    settings = settings_of(*acls)
    question = Question(
        Address(4, int(ip_address(client))), 9, Address(4, int(ip_address("10.0.0.9"))), 53, None, frozenset(), NOON
    )
    return Doubts(settings, unknown).about(question, Explainer(settings).explain(question, {}))


@pytest.mark.parametrize(
    ("client", "acls", "names"),
    [
        ("10.1.0.1", (LAN,), ()),
        ("10.1.0.1", (LAN, HOME), ()),
        ("10.1.0.1", (HOME, LAN), ("home.example",)),
        ("10.3.0.1", (LAN, HOME), ("home.example",)),
        ("10.1.0.1", (PORTS, LAN), ()),
        ("10.2.0.1", (LAN, AWAY), ("away.example",)),
        ("10.1.0.1", (LAN, AWAY), ()),
        ("10.3.0.1", (LAN, AWAY), ()),
        ("10.3.0.1", (BEHIND,), ("away.example",)),
        ("10.2.0.1", (HOME, AWAY), ("away.example", "home.example")),
    ],
)
def test_a_finding_is_in_doubt_where_a_rule_with_an_unknown_name_may_decide(
    client: str, acls: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert about(client, *acls) == names


def test_names_that_somebody_has_tried_to_resolve_leave_no_doubt() -> None:
    assert about("10.1.0.1", HOME, LAN, unknown=frozenset()) == ()
    assert about("10.2.0.1", HOME, AWAY, unknown=frozenset(("away.example",))) == ("away.example",)


def test_where_nobody_listens_no_rule_is_asked() -> None:
    settings = settings_of(HOME)
    question = Question(Address(4, 1), 9, Address(4, 2), 53, None, frozenset(), NOON)
    assert Doubts(settings, UNKNOWN).about(question, Explainer(settings).explain(question, {})) == ()
