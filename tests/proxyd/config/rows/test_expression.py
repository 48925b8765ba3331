from __future__ import annotations

from proxyd.config.rows.expression import EXPRESSION


def test_the_documented_expressions_are_there() -> None:
    assert [row.prototypes()[0] for row in EXPRESSION] == [
        "test [from from] [transparent] [to to] [server server] [user user] [group group] [time time];",
        "show-acl [phase];",
        "show-proxy [all];",
        "show-hash;",
        "help;",
    ]
