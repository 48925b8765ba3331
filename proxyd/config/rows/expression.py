"""Rows of test expressions, the argument of test-udp -t. Source: test-udp(8), TEST EXPRESSIONS."""

from __future__ import annotations

from proxyd.config.prototype import Keyword, key, named, value
from proxyd.config.values import hosts, numbers, words

EXPRESSION = (
    Keyword(
        "test",
        "Search the session-acl sections as for a session of this client, original destination, server, user and"
        " time; only what the conditions in use look at has to be given. A time is [[mm]dd]hhmm, 0 is now,"
        " and midnight takes its day: 310000.",
        (
            (
                named("from", hosts.HOST),
                key("transparent"),
                named("to", hosts.SOCK),
                named("server", hosts.SOCK),
                named("user", words.STRING),
                named("group", words.STRING_LIST),
                named("time", numbers.UINT32),
            ),
        ),
        repeatable=True,
    ),
    Keyword(
        "show-acl",
        "Print the session-acl sections in the order in which they are searched; the only phase is 1.",
        ((value("phase", numbers.POSITIVE8, "1"),),),
        repeatable=True,
    ),
    Keyword(
        "show-proxy",
        "Print the udp-proxy section without its session-acl sections; with all, the defaults as well.",
        ((key("all"),),),
        repeatable=True,
    ),
    Keyword(
        "show-hash",
        "Print a SHA-256 hash of the configuration as it is understood: comments, blanks and spellings do not count.",
        repeatable=True,
    ),
    Keyword("help", "Print this list.", repeatable=True),
)
