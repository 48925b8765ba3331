from __future__ import annotations

import pytest

from proxyd.config.checker import MAX_NAME_CHARS
from proxyd.config.load import load_text
from proxyd.errors import ConfigErrors
from tests.proxyd.config.samples import ACTIONS, acl, config, errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            config(proxy="nodaemn;"),
            "udp-proxy DNS: found the unknown item 'nodaemn'; wanted a known item (did you mean 'nodaemon'?)",
        ),
        (config(proxy="loging { }"), "found the unknown section 'loging'"),
        (config(proxy="max-sessions 5;"), "found 'max-sessions', which does not belong here; wanted it in 'udpserver'"),
        (config(file="nodaemon;"), "found 'nodaemon', which does not belong here; wanted it in 'udp-proxy'"),
        (config(proxy="nodaemon; nodaemon;"), "found a second 'nodaemon'; wanted it once; the first is on line 1"),
        (config(proxy="log-debug { } log-debug { }"), "found a second 'log-debug'"),
        (config(proxy="log-debug NAME { }"), "found 'NAME' after 'log-debug'; wanted log-debug { ... }"),
        (config(proxy="log-debug;"), "found 'log-debug' as an item; wanted log-debug { ... }"),
        (config(proxy="nodaemon { phase 3; }"), "found '{' after 'nodaemon'; wanted ';' to end nodaemon;"),
        (config(proxy="session-acl { deny; }"), "found no name after 'session-acl'; wanted session-acl name { ... }"),
        (config(proxy='session-acl "A" { deny; }'), "found '\"A\"' after 'session-acl'"),
        (config(proxy="session-acl OK { deny; }"), "found a second 'session-acl OK'; wanted another name"),
        (config(file="include x;"), "found the unknown item 'include'"),
        (config(server=""), "udp-proxy DNS / udpserver: found no 'max-sessions'; wanted max-sessions number;"),
    ],
)
def test_a_statement_in_the_wrong_place_or_form_is_refused(text: str, message: str) -> None:
    assert any(message in error for error in errors(text)), errors(text)


@pytest.mark.parametrize("text", ["udp-proxy DNS", "session-acl OK", "queue Q"])
def test_names_of_sections_are_bounded(text: str) -> None:
    frame = config(file="queue Q { mark 1; }")
    longest = text + "x" * (MAX_NAME_CHARS - len(text.split()[1]))
    assert errors(frame.replace(text, longest)) == []
    (found,) = errors(frame.replace(text, f"{longest}x"))
    assert f"found a name of {MAX_NAME_CHARS + 1} characters; wanted at most {MAX_NAME_CHARS}" in found


def test_keywords_are_taken_in_either_case_and_names_are_not_changed() -> None:
    assert errors(acl(f"FROM *; {ACTIONS.upper()}".replace("PLUG-TO", "Plug-To"))) == []
    assert errors(config(acls=f"session-acl ok {{ {ACTIONS} }} session-acl OK {{ {ACTIONS} }}")) == []


def test_all_mistakes_are_reported_in_the_order_of_the_file() -> None:
    text = "udp-proxy P {\n listen-on {\n non-transparent [x] port 1; }\n udpserver { max-sessions no; }\n bad;\n}"
    with pytest.raises(ConfigErrors) as caught:
        load_text(text, "t.cfg")
    assert [str(error.position) for error in caught.value.errors] == ["t.cfg:3:18", "t.cfg:4:27", "t.cfg:5:2"]


def test_an_item_with_mistakes_is_not_reported_as_missing() -> None:
    assert len(errors(config(server="max-sessions no;"))) == 1
    assert len(errors(acl("accept now; plug-to [192.0.2.1]; timeout both 1;"))) == 1
