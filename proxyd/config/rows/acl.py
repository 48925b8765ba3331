"""Rows of session-acl and the sections in it. Source: udp-proxy.cfg(5), SESSION-ACL."""

from __future__ import annotations

from proxyd.config.prototype import Keyword, Naming, Scope, key, named, value
from proxyd.config.rows.proxy import SOURCE_ADDRESS_FORMS
from proxyd.config.values import hosts, numbers, sets, times, words
from workers.contract.settings import SessionKind

SESSION_TYPE = "session-type"
"""The name of the item that selects the session type, in this one place."""
TIMEOUT_ABSENT = "both 120"

TRANSPARENCY = words.enumeration("transparency", {"non-transparent": False, "transparent": True})
KIND = words.enumeration("udp-session-type", {member.value: member for member in SessionKind})


CONDITIONS = (
    Keyword("from", "Client addresses.", ((value("hosts", hosts.HOST_SET),),), repeatable=True),
    Keyword(
        "to",
        "Addresses, and ports where given, to which the client sent its datagram.",
        ((value("hosts", hosts.HOST_SET), named("port", sets.PORT_SET)),),
        repeatable=True,
    ),
    Keyword(
        "server",
        "Addresses, and ports where given, of the server to which the session would go.",
        ((value("hosts", hosts.HOST_SET), named("port", sets.PORT_SET)),),
        repeatable=True,
    ),
    Keyword("transparency", "Only sessions of this mode.", ((value("mode", TRANSPARENCY),),)),
    Keyword(
        "user",
        "With none, only clients without a user. Otherwise users by name, * for any user, or members of groups.",
        (
            (key("none", optional=False),),
            (
                key("name", silent=True),
                value("users", words.STRINGS_OR_ALL),
                named("group", words.STRING_SET),
            ),
            (named("group", words.STRING_SET, optional=False),),
        ),
        repeatable=True,
    ),
    Keyword(
        "time",
        "Days of the month, months, days of the week and times of day, ends of times excluded; local time when the"
        " session begins. What is left out is not checked; times of day need days of the week before them, * for all."
        " Excludes time-period-set.",
        (
            (
                named("day", sets.DAY_SET),
                named("month", times.MONTH_SET),
                value("wday", times.WEEKDAY_SET, optional=True),
                value("hhmm", times.CLOCK_SET, optional=True),
            ),
        ),
        repeatable=True,
    ),
    Keyword("time-period-set", "Periods of time; excludes time.", body=Scope.PERIODS),
    Keyword(
        "ip-tos-from",
        "The type-of-service byte of the first datagram.",
        ((value("val", sets.UINT8_SET),),),
    ),
)

ACTIONS = (
    Keyword("accept", "Accept the session; exactly one of accept and deny is obligatory."),
    Keyword("deny", "Reject the session."),
    Keyword(
        "plug-to",
        "The server to which the session goes, whatever the client wrote; without a port, to the port that the client"
        " used. Obligatory for sessions that are not transparent.",
        ((value("sock", hosts.SOCK),),),
    ),
    Keyword(
        SESSION_TYPE,
        "How answers are matched. one-way: only datagrams to the server pass, and an answer ends the session."
        " normal: answers come from the server's address and port. any-port, any-sock: the first answer fixes the"
        " port, or address and port. broadcast: anybody may answer; what is sent to a network of this machine goes no"
        " further, and a broadcast whose time to live is used up is not carried on.",
        ((value("type", KIND),),),
        absent="normal",
    ),
    Keyword(
        "source-address",
        "As in the udp-proxy section, for the sessions of this rule.",
        SOURCE_ADDRESS_FORMS,
        absent_note="as the udp-proxy section says",
    ),
    Keyword(
        "source-port",
        "The source port of datagrams to servers: the client's own, or this one. Needs source-address client."
        " Sessions of one client with one server from one forced port cannot be told apart: only one of them gets the"
        " answers.",
        (
            (key("client", optional=False),),
            (key("force", optional=False), value("port", numbers.LISTEN_PORT)),
        ),
    ),
    *(
        Keyword(name, doc, ((value(unit, kind),),), absent_note="unlimited")
        for name, doc, unit, kind in (
            ("max-dgrams-in", "Datagrams that may pass to the client.", "number", numbers.POSITIVE32),
            ("max-dgrams-out", "Datagrams that may pass to the server.", "number", numbers.POSITIVE32),
            ("max-bytes-in", "Payload bytes that may pass to the client.", "bytes", numbers.POSITIVE_BYTES),
            ("max-bytes-out", "Payload bytes that may pass to the server.", "bytes", numbers.POSITIVE_BYTES),
        )
    ),
    Keyword(
        "timeout",
        "Seconds after which the session ends: since its beginning, without a datagram from the server (in), from"
        " the client (out), from either (both). At least one is given; the others do not end the session.",
        (tuple(named(name, numbers.POSITIVE32) for name in ("session", "in", "out", "both")),),
        absent=TIMEOUT_ABSENT,
    ),
    Keyword(
        "queue-to-client",
        "The queue section for datagrams to the client.",
        ((value("name", words.STRING),),),
    ),
    Keyword(
        "queue-to-server",
        "The queue section for datagrams to the server.",
        ((value("name", words.STRING),),),
    ),
    Keyword("ip-tos-to-client", "The type-of-service byte of datagrams to the client.", body=Scope.TOS),
    Keyword("ip-tos-to-server", "The type-of-service byte of datagrams to the server.", body=Scope.TOS),
)

ACL = CONDITIONS + ACTIONS

PERIODS = (
    Keyword("exclude", "All times but these periods."),
    Keyword(
        "time-spec",
        "A period. Kinds of items all have to hold, of one kind any item; several sections count together.",
        body=Scope.SPEC,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
)

SPEC = (
    Keyword(
        "dates",
        "From a day to a day, both included; may run across the new year.",
        (
            (
                value("from-day", numbers.unsigned("uint8", 1, 31)),
                value("from-mon", times.MONTH),
                value("till-day", numbers.unsigned("uint8", 1, 31)),
                value("till-mon", times.MONTH),
            ),
        ),
        repeatable=True,
    ),
    Keyword(
        "weekdays",
        "From a day of the week to a day of the week, both included; may run across Saturday.",
        ((value("from", times.WEEKDAY), value("till", times.WEEKDAY)),),
        repeatable=True,
    ),
    Keyword(
        "hours",
        "From a time of day to a time of day, the end excluded; may run across midnight.",
        ((value("from", times.CLOCK), value("till", times.CLOCK)),),
        repeatable=True,
    ),
)

TOS = (Keyword("set", "The value to set.", ((value("val", numbers.UINT8),),)),)
