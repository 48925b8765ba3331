"""What a rule's conditions ask for, in the words of the configuration."""

from __future__ import annotations

import pytest

from proxyd.config.load import load_text
from proxyd.config.wanted import MAX_CHARS, wanted
from workers.contract.settings import AclSettings, TimeItem, TimePeriods, TimeSpec, UserCondition

TEXT = """version KERNUN-2_3-RELEASE;
udp-proxy TEST {{
  listen-on {{ non-transparent [10.0.0.9] port 53; }}
  udpserver {{ max-sessions 100; }}
  session-acl A {{ {items} accept; plug-to [10.9.0.1] : 53; }}
}}
"""
NIGHT = TimeSpec("NIGHT", weekdays=((1, 5), (0, 0)), hours=((1320, 360),))
USERS = UserCondition(False, frozenset(("john", "jane")), frozenset(("staff",)))
XMAS = TimeSpec("XMAS", dates=(((24, 12), (26, 12)),))


def acl_of(items: str) -> AclSettings:
    return load_text(TEXT.format(items=items), "f").settings.acls[0]


@pytest.mark.parametrize(
    ("items", "condition", "text"),
    [
        ("from [10.1.0.0/16];", "from", "[10.1.0.0/16]"),
        ("from { [10.1.0.0/16], ![10.1.0.7] };", "from", "{ [10.1.0.0/16], ![10.1.0.7] }"),
        ("from *; from home.example;", "from", "* or home.example"),
        ("to [10.0.0.9] port 53;", "to", "[10.0.0.9] port 53"),
        ("server { [10.9.0.1], away.example };", "server", "{ [10.9.0.1], away.example }"),
        ("transparency transparent;", "transparency", "transparent"),
        ("time mon 0830-1630;", "time", "mon 0830-1630"),
        ("time *;", "time", "*"),
        ("from *;", "to", ""),
        ("from *;", "no such condition", ""),
    ],
)
def test_a_condition_is_written_as_the_configuration_has_it(items: str, condition: str, text: str) -> None:
    assert wanted(acl_of(items), condition) == text


@pytest.mark.parametrize(
    ("acl", "condition", "text"),
    [
        (AclSettings("A", True, users=(UserCondition(True),)), "user", "nobody"),
        (AclSettings("A", True, users=(UserCondition(False),)), "user", "anybody"),
        (AclSettings("A", True, users=(USERS, UserCondition(True))), "user", "jane, john, group staff or nobody"),
        (AclSettings("A", True, tos=frozenset((46, 8))), "ip-tos-from", "8, 46"),
        (AclSettings("A", True, transparent=False), "transparency", "non-transparent"),
        (AclSettings("A", True, time=TimePeriods(False, (NIGHT,))), "time", "NIGHT (mon-fri, sun 2200-0600)"),
        (
            AclSettings("A", True, time=TimePeriods(True, (XMAS, TimeSpec("X")))),
            "time",
            "not XMAS (12-24 to 12-26) or X",
        ),
        (
            AclSettings("A", True, time=(TimeItem(frozenset((2, 1)), frozenset((12,))), TimeItem())),
            "time",
            "day 1, 2 month 12 or *",
        ),
    ],
)
def test_users_times_and_types_of_service_are_named(acl: AclSettings, condition: str, text: str) -> None:
    assert wanted(acl, condition) == text


def test_long_lists_are_cut() -> None:
    text = wanted(acl_of("from { " + ", ".join(f"[10.1.{number}.0/24]" for number in range(20)) + " };"), "from")
    assert text.startswith("{ [10.1.0.0/24], ")
    assert text.endswith("...")
    assert len(text) == MAX_CHARS
