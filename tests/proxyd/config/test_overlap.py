from __future__ import annotations

import pytest

from proxyd.config.overlap import may_share_destination
from tests.proxyd.config.samples import ACTIONS, config, load


@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        ("", "to [192.0.2.1];", True),
        ("to [192.0.2.0/24];", "to [192.0.2.7];", True),
        ("to [192.0.2.0/24];", "to [192.0.3.7];", False),
        ("to [192.0.2.0/24];", "to [::/0];", False),
        ("to [192.0.2.1] port 53;", "to [192.0.2.1] port { 1-52, 54 };", False),
        ("to { { [192.0.2.1] } };", "to { ! [192.0.2.1] };", False),
        ("to /x/;", "to [192.0.2.1];", True),
        ("to [192.0.2.1]; to [192.0.2.3];", "to [192.0.2.2]; to [192.0.2.3];", True),
    ],
)
def test_rules_share_a_destination_unless_it_is_known_that_they_do_not(ours: str, theirs: str, shared: bool) -> None:
    text = config(acls=f"session-acl A {{ {ours} {ACTIONS} }} session-acl B {{ {theirs} {ACTIONS} }}")
    one, other = load(text).proxy.sections_of("session-acl")
    assert may_share_destination(one, other) is shared
    assert may_share_destination(other, one) is shared
