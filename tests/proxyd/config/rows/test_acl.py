from __future__ import annotations

import pytest

from proxyd.config.rows.acl import ACL, SESSION_TYPE
from tests.proxyd.config.samples import ACTIONS, acl, compiled_acl, errors
from workers.contract.settings import SessionKind, UserCondition


@pytest.mark.parametrize("kind", list(SessionKind))
def test_every_session_type_has_its_word(kind: SessionKind) -> None:
    rule = compiled_acl(f"{ACTIONS} session-type {kind.value};", listen="non-transparent [0.0.0.0] port 5300;")
    assert rule.kind is kind


def test_session_types_have_no_numbers() -> None:
    assert len(errors(acl(f"{ACTIONS} session-type 1;"))) == 1


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("none", UserCondition(True)),
        ("alice", UserCondition(False, frozenset({"alice"}))),
        ("name { alice, bob } group staff", UserCondition(False, frozenset({"alice", "bob"}), frozenset({"staff"}))),
        ("*", UserCondition(False, None)),
        ("group { a, b }", UserCondition(False, frozenset(), frozenset({"a", "b"}))),
    ],
)
def test_users_are_nobody_names_or_groups(text: str, condition: UserCondition) -> None:
    assert compiled_acl(f"user {text}; {ACTIONS}").users == (condition,)


@pytest.mark.parametrize(
    "text",
    ["user;", "user none alice;", "timeout in 0;", "max-dgrams-in 0;", "source-port force;", "plug-to;", "from;"],
)
def test_incomplete_items_are_refused(text: str) -> None:
    assert errors(acl(f"accept; {text}"))


def test_the_session_type_is_named_in_one_place() -> None:
    assert [row.name for row in ACL].count(SESSION_TYPE) == 1
