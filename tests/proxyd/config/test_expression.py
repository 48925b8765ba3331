from __future__ import annotations

from datetime import datetime

import pytest

from proxyd.config.expression import Help, Probe, ShowAcl, ShowHash, ShowProxy, parse_expression
from proxyd.errors import ConfigErrors
from workers.contract.settings import Address, HostName, Sock
from workers.policy.timecond import CivilTime

NOW = datetime(2026, 11, 21, 22, 33)


def probe(text: str) -> Probe:
    (command,) = parse_expression(f"test {text};", NOW)
    assert isinstance(command, Probe)
    return command


def test_what_is_left_out_has_the_documented_defaults() -> None:
    assert probe("") == Probe(
        client=Address(4, 0),
        destination=Sock(Address(4, 0), None),
        transparent=False,
        server=None,
        user=None,
        groups=frozenset(),
        when=CivilTime(11, 21, 6, 22 * 60 + 33),
        has_destination=False,
    )


def test_all_elements_are_taken() -> None:
    found = probe("from www.x transparent to [2.2.2.2] : 53 server [::1] user a group { b, c } time 0930")
    assert (found.client, found.transparent, found.destination.port) == (HostName("www.x"), True, 53)
    assert (found.server, found.user, found.groups) == (Sock(Address(6, 1), None), "a", {"b", "c"})


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("0", (11, 21, 6, 1353)),
        ("30", (11, 21, 6, 30)),
        ("0930", (11, 21, 6, 570)),
        ("010930", (11, 1, 0, 570)),
        ("02010000", (2, 1, 0, 0)),
        ("12312359", (12, 31, 4, 1439)),
    ],
)
def test_times_take_from_now_what_they_leave_out(text: str, when: tuple[int, int, int, int]) -> None:
    assert probe(f"time {text}").when == when


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test time 2400;", "found the time '2400'; wanted [[mm]dd]hhmm"),
        ("test time 02300000;", "found the time '02300000'"),
        ("test time 4294967295;", "found the time"),
        ("test time 0860;", "found the time '0860'"),
        ("test group a;", "found 'group' without 'user'"),
        ("test form [1.1.1.1];", "did you mean 'from'?"),
        ("tset;", "did you mean 'test'?"),
        ("show-acl 2;", "found the phase 2; wanted 1"),
        ("show-acl 0;", "found '0'; wanted a number from 1"),
        ("show-proxy every;", "found 'every'; wanted 'all'"),
        ("nodaemon;", "found the unknown item 'nodaemon'"),
        ("help", "found the end of the expression; wanted ';'"),
        ("", "found an empty expression"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_expression(text, NOW)
    assert message in str(caught.value)
    assert str(caught.value).startswith("test_expr:1:")


def test_items_keep_their_order() -> None:
    commands = parse_expression("help; show-hash; show-proxy all; show-acl 1; show-proxy; help;", NOW)
    assert commands == (Help(), ShowHash(), ShowProxy(True), ShowAcl(), ShowProxy(False), Help())


def test_all_mistakes_of_an_expression_are_reported() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_expression("test time 9999; bad; show-acl 7;", NOW)
    assert len(caught.value.errors) == 3
