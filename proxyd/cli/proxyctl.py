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

from proxyd.cli import ctl_reload, ctl_top, ctl_upgrade, ctl_users, ctl_watch
from proxyd.cli.ctl_arguments import make_parser
from proxyd.cli.ctl_frame import Status, UsageError, connect, filter_of, put
from proxyd.cli.guard import guarded
from proxyd.config.expression import Probe, parse_expression
from proxyd.config.load import load
from proxyd.control import capacity, doctor, inquiry, multicast, reports, sessions
from proxyd.control.client import Connection, RefusedError, UnreachableError
from proxyd.control.facts import Facts, read_facts
from proxyd.control.protocol import AskDrain, AskExplain, AskLevel
from proxyd.control.sessions import Filter, Session, SessionError
from proxyd.control.tables import counted
from proxyd.daemon import capabilities
from proxyd.errors import ConfigErrors
from workers.contract.settings import Settings
from workers.contract.uftp import DEFAULT_BUFFER_BYTES, Mode

PROGRAM = "proxyctl"
LEVELS = range(3, 10)
GONE_S = 3.0
"""How long a worker may take to end sessions before we say that it has not."""
_AGAIN_S = 0.1


@guarded(PROGRAM)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command](arguments)
    except (UsageError, SessionError) as error:
        return _complain(error, Status.USAGE)
    except (RefusedError, ConfigErrors) as error:
        return _complain(error, Status.NOT_DONE)
    except UnreachableError as error:
        return _complain(error, Status.UNREACHABLE)


def _complain(error: Exception, status: Status) -> int:
    sys.stderr.write(f"{PROGRAM}: {error}\n")
    return status


# --- questions -------------------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    with connect(arguments) as connection:
        state = inquiry.ask_state(connection)
    put(arguments, state, reports.status_text(state))
    return Status.DONE


def _sessions(arguments: argparse.Namespace) -> int:
    wanted = filter_of(arguments)
    with connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), wanted, arguments.sort, arguments.limit)
    put(arguments, found, reports.sessions_text(found))
    return Status.DONE


def _session(arguments: argparse.Namespace) -> int:
    with connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), Filter((arguments.id,)))
    if not found:
        raise RefusedError(f"there is no session {arguments.id}")
    put(arguments, found[0], reports.session_text(found[0]))
    return Status.DONE


def _explain(arguments: argparse.Namespace) -> int:
    client, client_port = _place(arguments.source)
    destination, port = _place(arguments.to)
    if port is None:
        raise UsageError(f"found '{arguments.to}'; wanted an address with a port")
    question = AskExplain(
        client.packed,
        client_port or 0,
        destination.packed,
        port,
        arguments.user,
        arguments.group,
        _moment(arguments.time),
        arguments.transparent,
        arguments.tos,
    )
    with connect(arguments) as connection:
        known = _find_session(connection, f"[{client}]:{client_port}", f"[{destination}]:{port}")
        if known is not None:
            put(arguments, known, f"forwarded  it belongs to this session\n\n{reports.session_text(known)}")
            return Status.DONE
        found = inquiry.ask_explanation(connection, question)
    put(arguments, found, reports.explanation_text(found))
    return Status.DONE if found.verdict == "accepted" else Status.NO


def _place(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int | None]:
    host, port = sessions.split_port(text)
    try:
        return ipaddress.ip_address(host), port
    except ValueError:
        raise UsageError(f"found '{text}'; wanted an address, with or without a port") from None


def _moment(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        (probe,) = parse_expression(f"test time {text};", datetime.now().astimezone())
    except ConfigErrors:
        probe = None
    if not isinstance(probe, Probe):
        raise UsageError(f"found the time '{text}'; wanted [[mm]dd]hhmm")
    return probe.when.month, probe.when.day, probe.when.weekday, probe.when.minute


def _find_session(connection: Connection, client: str, destination: str) -> Session | None:
    for session in inquiry.ask_sessions(connection):
        if (session.client, session.destination) == (client, destination):
            return session
    return None


# --- orders ----------------------------------------------------------------------------------------------------------


def _kill(arguments: argparse.Namespace) -> int:
    wanted = filter_of(arguments, arguments.ids)
    if wanted.empty is not arguments.all:
        raise UsageError("wanted ids, filters, or --all alone")
    with connect(arguments) as connection:
        found = sessions.select(inquiry.ask_sessions(connection), wanted)
        if not found and not arguments.all:
            raise RefusedError("there is no such session")
        inquiry.order_kill(connection, found)
        left = _wait_until_gone(connection, {session.id for session in found})
    put(arguments, found, f"{counted(len(found) - len(left), 'session')} ended\n")
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
    with connect(arguments) as connection:
        level = inquiry.ask_state(connection).proxy.level
        if arguments.level is not None:
            level = _new_level(arguments.level, level)
            connection.order(AskLevel(level))
    put(arguments, {"level": level}, f"{level}\n")
    return Status.DONE


def _new_level(text: str, level: int) -> int:
    if text in {"+", "-"}:
        return min(max(level + (1 if text == "+" else -1), LEVELS[0]), LEVELS[-1])
    if not (text.isascii() and text.isdigit() and int(text) in LEVELS):
        raise UsageError(f"found the level '{text}'; wanted a number from {LEVELS[0]} to {LEVELS[-1]}, + or -")
    return int(text)


def _drain(arguments: argparse.Namespace) -> int:
    with connect(arguments) as connection:
        proxy = inquiry.ask_state(connection).proxy
        process = os.pidfd_open(proxy.pid)
        connection.order(AskDrain(arguments.timeout))
    put(arguments, {"sessions": proxy.sessions}, f"draining, {counted(proxy.sessions, 'session')} left\n")
    if arguments.wait:
        select.select([process], [], [])
    return Status.DONE


# --- the machine -----------------------------------------------------------------------------------------------------


def _machine(arguments: argparse.Namespace) -> tuple[Facts, Settings, int | None]:
    """Return the machine, the configuration, and how many sessions there are now; None where the proxy does not run."""
    if arguments.file is not None:
        settings, process, now = load(arguments.file).settings, None, None
    else:
        with connect(arguments) as connection:
            proxy = inquiry.ask_state(connection).proxy
        if not proxy.file:
            raise RefusedError(f"{proxy.program} has no configuration file")
        settings, process, now = load(proxy.file).settings, proxy.pid, proxy.sessions
    return read_facts(settings, process, capabilities.held()), settings, now


def _doctor(arguments: argparse.Namespace) -> int:
    findings = _findings_of_uftp(arguments)
    if findings is None:
        facts, settings, _ = _machine(arguments)
        findings = doctor.examine(facts, settings)
    put(arguments, findings, reports.findings_text(findings))
    return Status.DONE if all(finding.verdict == "ok" for finding in findings) else Status.NO


def _findings_of_uftp(arguments: argparse.Namespace) -> list[doctor.Finding] | None:
    """Return what was found for a running UFTP proxy, None where something else is asked for."""
    if arguments.file is not None:
        return None
    with connect(arguments) as connection:
        proxy = inquiry.ask_state(connection).proxy
    if proxy.program != "uftpproxyd":
        return None
    joins = proxy.name != Mode.CLIENT.value
    return multicast.examine(multicast.read_multicast(proxy.pid), DEFAULT_BUFFER_BYTES, joins=joins)


def _capacity(arguments: argparse.Namespace) -> int:
    facts, settings, now = _machine(arguments)
    limits = capacity.limits(facts, settings)
    put(arguments, {"sessions": now, "limits": limits}, reports.limits_text(limits, now))
    return Status.DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "sessions": _sessions,
    "session": _session,
    "kill": _kill,
    "loglevel": _loglevel,
    "explain": _explain,
    "drain": _drain,
    "reload": ctl_reload.reload,
    "upgrade": ctl_upgrade.upgrade,
    "doctor": _doctor,
    "capacity": _capacity,
    "users": ctl_users.users,
    "groups": ctl_watch.show_groups,
    "tap": ctl_watch.tap,
    "top": ctl_top.top,
}

if __name__ == "__main__":
    sys.exit(main())
