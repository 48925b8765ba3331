"""The command proxyctl: asks a running proxy over its control socket, and gives it orders. Source: proxyctl(8)."""

from __future__ import annotations

import argparse
import ipaddress
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path

import msgspec

from proxyd.cli.ctl_arguments import make_parser
from proxyd.cli.guard import guarded
from proxyd.config.expression import Probe, parse_expression
from proxyd.config.load import load
from proxyd.control import capacity, doctor, inquiry, reports, sessions
from proxyd.control.client import Connection, RefusedError, UnreachableError, choose_socket
from proxyd.control.facts import Facts, read_facts
from proxyd.control.protocol import AskDrain, AskExplain, AskLevel
from proxyd.control.sessions import Filter, Session, SessionError
from proxyd.daemon import capabilities
from proxyd.errors import ConfigErrors
from workers.contract.settings import Settings

PROGRAM = "proxyctl"
LEVELS = range(3, 10)
GONE_S = 3.0
"""How long a worker may take to end sessions before we say that it has not."""
_AGAIN_S = 0.1


class Status(IntEnum):
    """How proxyctl ends. Source: proxyctl(8), EXIT STATUS."""

    DONE = 0
    NOT_DONE = 1
    """The proxy refuses, or there is no such session; the configuration has errors."""
    NO = 2
    """The answer is no: the datagram would be dropped, the machine is not fit."""
    USAGE = 64
    UNREACHABLE = 69
    """No proxy can be talked to, or several could."""


class _UsageError(Exception):
    """An argument that only its command understands is wrong."""


@guarded(PROGRAM)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command](arguments)
    except (_UsageError, SessionError) as error:
        return _complain(error, Status.USAGE)
    except (RefusedError, ConfigErrors) as error:
        return _complain(error, Status.NOT_DONE)
    except UnreachableError as error:
        return _complain(error, Status.UNREACHABLE)


def _complain(error: Exception, status: Status) -> int:
    sys.stderr.write(f"{PROGRAM}: {error}\n")
    return status


def _connect(arguments: argparse.Namespace) -> Connection:
    path = choose_socket(arguments.name) if arguments.socket is None else Path(arguments.socket)
    return Connection(path)


def _print(arguments: argparse.Namespace, value: object, text: str) -> None:
    """Print what was found, for programs or for people."""
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(value)).decode()}\n" if arguments.json else text)


# --- questions -------------------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    with _connect(arguments) as connection:
        state = inquiry.ask_state(connection)
    _print(arguments, state, reports.status_text(state))
    return Status.DONE


def _filter(arguments: argparse.Namespace, ids: Sequence[str] = ()) -> Filter:
    return Filter(
        tuple(ids),
        None if arguments.client is None else sessions.parse_peer(arguments.client),
        None if arguments.server is None else sessions.parse_peer(arguments.server),
        arguments.acl,
        arguments.type,
        arguments.worker,
        arguments.idle,
        arguments.older,
    )


def _sessions(arguments: argparse.Namespace) -> int:
    wanted = _filter(arguments)
    with _connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), wanted, arguments.sort, arguments.limit)
    _print(arguments, found, reports.sessions_text(found))
    return Status.DONE


def _session(arguments: argparse.Namespace) -> int:
    with _connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), Filter((arguments.id,)))
    if not found:
        raise RefusedError(f"there is no session {arguments.id}")
    _print(arguments, found[0], reports.session_text(found[0]))
    return Status.DONE


def _explain(arguments: argparse.Namespace) -> int:
    client, client_port = _place(arguments.source)
    destination, port = _place(arguments.to)
    if port is None:
        raise _UsageError(f"found '{arguments.to}'; wanted an address with a port")
    question = AskExplain(
        client.packed,
        client_port or 0,
        destination.packed,
        port,
        arguments.user,
        arguments.group,
        _moment(arguments.time),
        arguments.transparent,
        arguments.tos & 0xFF,
    )
    with _connect(arguments) as connection:
        known = _find_session(connection, f"[{client}]:{client_port}", f"[{destination}]:{port}")
        if known is not None:
            _print(arguments, known, f"forwarded  it belongs to this session\n\n{reports.session_text(known)}")
            return Status.DONE
        found = inquiry.ask_explanation(connection, question)
    _print(arguments, found, reports.explanation_text(found))
    return Status.DONE if found.verdict == "accepted" else Status.NO


def _place(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int | None]:
    host, port = sessions.split_port(text)
    try:
        return ipaddress.ip_address(host), port
    except ValueError:
        raise _UsageError(f"found '{text}'; wanted an address, with or without a port") from None


def _moment(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    (probe,) = parse_expression(f"test time {text};", datetime.now().astimezone())
    if not isinstance(probe, Probe):
        raise _UsageError(f"found the time '{text}'")
    return probe.when.month, probe.when.day, probe.when.weekday, probe.when.minute


def _find_session(connection: Connection, client: str, destination: str) -> Session | None:
    for session in inquiry.ask_sessions(connection):
        if (session.client, session.destination) == (client, destination):
            return session
    return None


# --- orders ----------------------------------------------------------------------------------------------------------


def _kill(arguments: argparse.Namespace) -> int:
    wanted = _filter(arguments, arguments.ids)
    if wanted.empty is not arguments.all:
        raise _UsageError("wanted ids, filters, or --all alone")
    with _connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), wanted)
        if not found and not arguments.all:
            raise RefusedError("there is no such session")
        inquiry.order_kill(connection, found)
        left = _wait_until_gone(connection, {session.id for session in found})
    _print(arguments, found, f"{len(found) - len(left)} sessions ended\n")
    if left:
        raise RefusedError(f"not ended yet: {', '.join(sorted(left)[:10])}")
    return Status.DONE


def _wait_until_gone(connection: Connection, ids: set[str]) -> set[str]:
    """Return those that are there still after GONE_S seconds."""
    deadline = time.monotonic() + GONE_S
    while ids and time.monotonic() < deadline:
        try:
            ids &= {session.id for session in inquiry.ask_sessions(connection)}
        except UnreachableError:
            return set()  # it was draining, and has ended with them
        if ids:
            time.sleep(_AGAIN_S)
    return ids


def _loglevel(arguments: argparse.Namespace) -> int:
    with _connect(arguments) as connection:
        level = inquiry.ask_state(connection).proxy.level
        if arguments.level is not None:
            level = _new_level(arguments.level, level)
            connection.order(AskLevel(level))
    _print(arguments, {"level": level}, f"{level}\n")
    return Status.DONE


def _new_level(text: str, level: int) -> int:
    if text in {"+", "-"}:
        return min(max(level + (1 if text == "+" else -1), LEVELS[0]), LEVELS[-1])
    if not (text.isascii() and text.isdigit() and int(text) in LEVELS):
        raise _UsageError(f"found the level '{text}'; wanted a number from {LEVELS[0]} to {LEVELS[-1]}, + or -")
    return int(text)


def _drain(arguments: argparse.Namespace) -> int:
    with _connect(arguments) as connection:
        proxy = inquiry.ask_state(connection).proxy
        process = os.pidfd_open(proxy.pid)
        connection.order(AskDrain(arguments.timeout))
    _print(arguments, {"sessions": proxy.sessions}, f"draining, {proxy.sessions} sessions are left\n")
    if arguments.wait:
        select.select([process], [], [])
    return Status.DONE


# --- the machine -----------------------------------------------------------------------------------------------------


def _machine(arguments: argparse.Namespace) -> tuple[Facts, Settings, int | None]:
    """Return the machine, the configuration, and how many sessions there are now; None where the proxy does not run."""
    if arguments.file is not None:
        settings, process, now = load(arguments.file).settings, None, None
    else:
        with _connect(arguments) as connection:
            proxy = inquiry.ask_state(connection).proxy
        if not proxy.file:
            raise RefusedError(f"{proxy.program} has no configuration file")
        settings, process, now = load(proxy.file).settings, proxy.pid, proxy.sessions
    return read_facts(settings, process, capabilities.held()), settings, now


def _doctor(arguments: argparse.Namespace) -> int:
    facts, settings, _ = _machine(arguments)
    findings = doctor.examine(facts, settings)
    _print(arguments, findings, reports.findings_text(findings))
    return Status.DONE if all(finding.verdict == "ok" for finding in findings) else Status.NO


def _capacity(arguments: argparse.Namespace) -> int:
    facts, settings, now = _machine(arguments)
    limits = capacity.limits(facts, settings)
    _print(arguments, {"sessions": now, "limits": limits}, reports.limits_text(limits, now))
    return Status.DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "sessions": _sessions,
    "session": _session,
    "kill": _kill,
    "loglevel": _loglevel,
    "explain": _explain,
    "drain": _drain,
    "doctor": _doctor,
    "capacity": _capacity,
}

if __name__ == "__main__":
    sys.exit(main())
