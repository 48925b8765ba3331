from __future__ import annotations

import dataclasses

import pytest

from proxyd.config import explanation
from proxyd.config.explanation import Explainer, Finding, Question
from tests.proxyd.config.samples import ACTIONS, config, load
from workers.contract.settings import Address

CLIENT, PROXY, SERVER = Address(4, 0x0A000007), Address(4, 0x7F000001), Address(4, 0xC0000201)


def explain(text: str, **changes: object) -> Finding:
    book = {"www.example.com": frozenset((SERVER,))}
    return Explainer(load(text).settings).explain(dataclasses.replace(Asked(), **changes).question, book)


@dataclasses.dataclass
class Asked:
    """The usual question, to be changed."""

    client: Address = CLIENT
    destination: Address = PROXY
    port: int = 5300
    user: str | None = None
    minute: int = 720
    transparent: bool | None = None

    @property
    def question(self) -> Question:
        when = (6, 15, 1, self.minute)
        return Question(self.client, 40000, self.destination, self.port, self.user, frozenset(), when, self.transparent)


USERS = 'oob-auth O { method external; file "/x"; }'
TEXT = config(
    file=USERS,
    proxy="auth oob O;",
    acls="".join(
        (
            "session-acl BAD { from { [10.0.0.9] }; deny; }",
            f"session-acl STAFF {{ user {{ ann }}; {ACTIONS} }}",
            "session-acl NOWHERE { from { [10.0.0.8] }; accept; }",
            "session-acl NAMED { from { [10.0.0.6] }; accept; plug-to www.example.com : 53; }",
            f"session-acl INSIDE {{ from {{ [10.0.0.0/24] }}; time * 0800-1700; {ACTIONS} }}",
        )
    ),
)


def name(found: Finding) -> str | None:
    return None if found.rule is None else found.rule.name


def test_the_rule_that_accepts_is_named_with_the_target_and_every_condition_before_it() -> None:
    found = explain(TEXT)
    assert (found.accepted, name(found), found.target) == (True, "INSIDE", "[192.0.2.53]:53")
    assert [(check.rule, check.condition, check.holds) for check in found.checks] == [
        (0, "from", False),
        (1, "user", False),
        (2, "from", False),
        (3, "from", False),
        (4, "from", True),
        (4, "time", True),
    ]
    assert found.listener is not None
    assert found.listener.port == 5300


@pytest.mark.parametrize(
    ("changes", "rule", "reason"),
    [
        ({"client": Address(4, 0x0A000009)}, "BAD", explanation.DENIED),
        ({"client": Address(4, 0x0A000008)}, "NOWHERE", explanation.NO_PLUG_TO),
        ({"client": Address(4, 0x0B000008)}, None, explanation.NO_RULE),
        ({"minute": 1200}, None, explanation.NO_RULE),
        ({"port": 5301}, None, explanation.NO_LISTENER),
        ({"destination": SERVER}, None, explanation.NO_LISTENER),
        ({"client": Address(6, 1), "destination": Address(6, 2)}, None, explanation.NO_LISTENER),
    ],
)
def test_why_no_session_would_begin(changes: dict[str, object], rule: str | None, reason: str) -> None:
    found = explain(TEXT, **changes)
    assert (found.accepted, name(found), found.reason) == (False, rule, reason)


def test_a_user_counts_as_the_rules_name_him() -> None:
    assert name(explain(TEXT, user="ann", client=Address(4, 0x0B000001))) == "STAFF"


def test_where_users_are_mandatory_nobody_goes_without_one() -> None:
    mandatory = TEXT.replace("auth oob O;", "auth oob O mandatory;")
    assert explain(mandatory).reason == explanation.NO_USER
    assert explain(mandatory, user="bob").accepted


def test_a_target_with_a_name_is_shown_with_its_address_or_missed() -> None:
    client = Address(4, 0x0A000006)
    assert explain(TEXT, client=client).target == "[192.0.2.1]:53"
    found = Explainer(load(TEXT).settings).explain(Asked(client=client).question, {})
    assert (found.accepted, found.reason, found.target) == (False, explanation.NO_ADDRESS, "www.example.com:53")


def test_a_transparent_listener_takes_what_is_sent_to_others() -> None:
    text = config(
        listen="transparent [0.0.0.0] port 5300; non-transparent [127.0.0.1] port 5300;",
        acls="session-acl T { transparency transparent; accept; } session-acl N { deny; }",
    )
    found = explain(text, destination=SERVER)
    assert (found.accepted, name(found), found.target) == (True, "T", "[192.0.2.1]:5300")
    own = explain(text)
    assert own.listener is not None
    assert (own.listener.transparent, name(own)) == (False, "N")
    assert name(explain(text, destination=SERVER, transparent=False)) == "N"


@pytest.mark.parametrize(
    ("proxy", "body", "accepted"),
    [
        ("source-address addr6 [2001:db8::1] no-fallback;", "", False),
        ("", "source-address addr6 [2001:db8::1] no-fallback;", False),
        ("source-address addr6 [2001:db8::1] no-fallback;", "source-address default;", True),
        ("source-address client no-fallback;", "", True),
        ("source-address addr6 [2001:db8::1];", "", True),
    ],
)
def test_a_session_that_may_be_sent_from_nowhere_would_not_begin(proxy: str, body: str, accepted: bool) -> None:
    found = explain(config(proxy=proxy, acls=f"session-acl A {{ {ACTIONS} {body} }}"))
    assert found.accepted is accepted
    assert found.reason == (explanation.ACCEPTED if accepted else explanation.NO_SOURCE)
