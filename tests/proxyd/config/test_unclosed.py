from __future__ import annotations

import pytest

from proxyd.config.load import load_text
from proxyd.errors import ConfigErrors

TEXT = """udp-proxy P {
  log-debug { level 7; }
  listen-on { non-transparent [192.0.2.1] port 53; }
  udpserver { max-sessions 5; }
  session-acl A { from { a.example }; deny; }
  session-acl B { from [192.0.2.7]; deny; }
}
"""
SUSPECT = "; the first thing out of place is on line "


def mistake(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_text(text, "t.cfg")
    return str(caught.value)


@pytest.mark.parametrize(
    ("closed", "unclosed", "suspect"),
    [
        ("deny; }", "deny;", "6: 'session-acl', which does not belong here"),
        ("level 7; }", "level 7;", "3: 'listen-on', which does not belong here"),
        ("port 53; }", "port 53;", "4: 'udpserver', which does not belong here"),
        ("{ a.example };", "{ a.example;", "5: '{' after 'from'"),
    ],
)
def test_what_follows_an_unclosed_section_is_named(closed: str, unclosed: str, suspect: str) -> None:
    said = mistake(TEXT.replace(closed, unclosed, 1))
    assert said.startswith("t.cfg:8:1: udp-proxy P: found the end of the file; wanted an item")
    assert said.endswith(SUSPECT + suspect)


@pytest.mark.parametrize(
    ("opened", "unopened", "suspect"),
    [
        ("A { from", "A from", "5: 'deny', which does not belong here"),
        ("log-debug { level", "log-debug; level", "2: 'level', which does not belong here"),
        ("P {", "P", "2: 'log-debug' after 'udp-proxy'"),
    ],
)
def test_what_stands_outside_a_section_that_was_not_opened_is_named(opened: str, unopened: str, suspect: str) -> None:
    said = mistake(TEXT.replace(opened, unopened, 1))
    assert said.startswith("t.cfg:7:1: found '}'; wanted an item or a section")
    assert said.endswith(SUSPECT + suspect)


@pytest.mark.parametrize("text", [TEXT.removesuffix("}\n"), TEXT + "item", TEXT + "udp-proxy Q { from { x", "}"])
def test_where_nothing_is_out_of_place_nothing_is_named(text: str) -> None:
    assert SUSPECT not in mistake(text)
