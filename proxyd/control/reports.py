"""What people read of a proxy's answers: plain text, one table or a few lines each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from proxyd.control.capacity import Limit
from proxyd.control.doctor import Finding
from proxyd.control.groups import Group
from proxyd.control.inquiry import State
from proxyd.control.protocol import Explanation, Status
from proxyd.control.sessions import Session
from proxyd.control.tables import count, counted, duration, pairs, size, table
from proxyd.control.tapping import Tally
from proxyd.control.users import Register, count_groups
from proxyd.logs.fields import escape

_SESSION_COLUMNS = (
    "ID",
    "CLIENT",
    "SERVER",
    "ACL",
    "TYPE",
    "AGE",
    "IDLE",
    "ENDS IN",
    "DGRAMS OUT",
    "IN",
    "BYTES OUT",
    "IN ",
)
_NUMBERS = frozenset(("AGE", "IDLE", "ENDS IN", "DGRAMS OUT", "IN", "BYTES OUT", "IN "))
_GROUP_COLUMNS = (
    "GROUP",
    "SERVER",
    "PHASE",
    "CLIENTS",
    "READY",
    "FILE",
    "SIZE",
    "DONE",
    "DGRAMS",
    "BYTES",
    "AGE",
    "IDLE",
)
_GROUP_NUMBERS = frozenset(("CLIENTS", "READY", "SIZE", "DONE", "DGRAMS", "BYTES", "AGE", "IDLE"))


def status_text(state: State) -> str:
    """Return the state of a proxy."""
    proxy = state.proxy
    head = pairs(
        (
            ("proxy", f"{proxy.name} ({proxy.program} {proxy.version}), {proxy.state} for {duration(proxy.uptime_s)}"),
            ("process", str(proxy.pid)),
            ("configuration", f"{proxy.file or '-'}, generation {proxy.generation}"),
            *((("last reload", _reload(proxy)),) if proxy.reload is not None or proxy.reloading else ()),
            ("sessions", f"{count(proxy.sessions)} of {count(proxy.max_sessions)}{_carried(proxy)}"),
            ("log level", str(proxy.level)),
            *((("users", count(proxy.users)),) if proxy.users is not None else ()),
            *((("host names", count(proxy.names)),) if proxy.names else ()),
            *(
                ("listener", f"{'transparent ' if found.transparent else ''}{found.address}{_device(found.device)}")
                for found in state.listeners
            ),
        )
    )
    return "\n".join((head, _children(state), _traffic(state), _reasons(state))).rstrip("\n") + "\n"


def _reload(proxy: Status) -> str:
    if proxy.reloading or proxy.reload is None:
        return "under way"
    when = datetime.fromtimestamp(proxy.reload.when_unix).astimezone().isoformat(" ", "seconds")
    return f"{when}, {'; '.join(('refused', *proxy.reload.mistakes)) if proxy.reload.mistakes else 'done'}"


def _carried(proxy: Status) -> str:
    carried = proxy.totals.get("carried", 0)
    return f", {count(carried)} of them carried by the kernel" if carried else ""


def _device(device: str | None) -> str:
    return f" on {device}" if device else ""


def _children(state: State) -> str:
    workers = {f"worker {worker.index}": worker for worker in state.workers}
    rows = []
    for child in state.proxy.children:
        worker = workers.get(child.name)
        sessions = "" if worker is None else count(worker.sessions)
        rows.append((child.name, str(child.pid) if child.pid else "-", child.state, sessions))
    return table(("CHILD", "PROCESS", "STATE", "SESSIONS"), rows, frozenset(("PROCESS", "SESSIONS")))


def _traffic(state: State) -> str:
    totals, rows = state.proxy.totals, []
    for way, dropped in (("out", state.proxy.dropped_out), ("in", state.proxy.dropped_in)):
        received, forwarded = totals[f"received_{way}"], totals[f"forwarded_{way}"]
        numbers = (received, forwarded, sum(dropped.values()))
        rows.append((way, *map(count, numbers), size(totals[f"bytes_{way}"])))
    header = ("DATAGRAMS", "RECEIVED", "FORWARDED", "DROPPED", "BYTES")
    text = table(header, rows, frozenset(header[1:]))
    if totals["queue_overflow"]:
        text += f"{count(totals['queue_overflow'])} more were lost in full socket queues\n"
    return text


def _reasons(state: State) -> str:
    proxy = state.proxy
    rows = [
        (f"{what} {reason}", count(number))
        for what, reasons in (
            ("dropped out", proxy.dropped_out),
            ("dropped in", proxy.dropped_in),
            ("ended", proxy.closed),
        )
        for reason, number in reasons.items()
    ]
    return pairs([("sessions opened", count(proxy.totals["opened"])), *rows])


def sessions_text(sessions: Sequence[Session]) -> str:
    """Return a table of sessions."""
    rows = [
        (
            session.id,
            session.client,
            session.server,
            session.acl,
            session.type,
            duration(session.age_s),
            duration(session.idle_s),
            duration(session.ends_in_s),
            count(session.datagrams_out),
            count(session.datagrams_in),
            size(session.bytes_out),
            size(session.bytes_in),
        )
        for session in sessions
    ]
    return table(_SESSION_COLUMNS, rows, _NUMBERS)


def session_text(session: Session) -> str:
    """Return all that is known of a session."""
    ends = "-" if session.ends_in_s is None else f"{duration(session.ends_in_s)} ({session.ends_by})"
    return pairs(
        (
            ("id", session.id),
            ("client", session.client),
            ("destination", f"{session.destination}{' (transparent)' if session.transparent else ''}"),
            ("server", session.server),
            ("from", session.local),
            ("listener", session.listener),
            ("rule", f"{session.acl}, {session.type}, of generation {session.generation}"),
            ("worker", f"{session.worker}, slot {session.slot}"),
            ("age", duration(session.age_s)),
            (
                "idle",
                f"{duration(session.idle_s)} (out {duration(session.idle_out_s)}, in {duration(session.idle_in_s)})",
            ),
            ("ends in", ends),
            ("out", f"{count(session.datagrams_out)} datagrams, {size(session.bytes_out)}"),
            ("in", f"{count(session.datagrams_in)} datagrams, {size(session.bytes_in)}"),
        )
    )


def explanation_text(found: Explanation) -> str:
    """Return what would become of a datagram, with every condition that was looked at."""
    rule = "-" if found.rule is None else f"session-acl {found.rule}{f', {found.kind}' if found.kind else ''}"
    head = pairs(
        (
            (found.verdict, found.reason),
            ("listener", found.listener or "-"),
            ("rule", rule),
            ("target", found.target or "-"),
            ("user", found.user or "-"),
        )
    )
    rows = [
        (check.rule, check.condition, check.value, "holds" if check.holds else "fails", check.wanted)
        for check in found.checks
    ]
    return head + (f"\n{table(('SESSION-ACL', 'CONDITION', 'VALUE', '', 'WANTED'), rows)}" if rows else "")


def users_text(register: Register, *, by_group: bool) -> str:
    """Return who sits at which address, or how many are in each group, and where that is from."""
    read = "never read" if register.read_unix is None else f"read {_clock(register.read_unix)}"
    head = f"{counted(len(register.users), 'user')} of {register.file}, {read}\n"
    if register.complaint:
        head += f"what stands there now is not taken: {escape(register.complaint)}\n"
    if by_group:
        numbers = count_groups(register.users)
        rows = [(escape(group) or "(none)", count(number)) for group, number in numbers.items()]
        return f"{head}\n{table(('GROUP', 'USERS'), rows, frozenset(('USERS',)))}"
    lines = [(one.address, escape(one.user), escape(",".join(one.groups)) or "-") for one in register.users]
    return f"{head}\n{table(('ADDRESS', 'USER', 'GROUPS'), lines)}" if lines else head


def _clock(unix: float) -> str:
    return datetime.fromtimestamp(unix).astimezone().isoformat(" ", "seconds")


def groups_text(groups: Sequence[Group]) -> str:
    """Return a table of transfers."""
    rows = [
        (
            group.id,
            group.server,
            group.phase + (", encrypted" if group.encrypted else ""),
            "-" if group.clients is None else count(group.clients),
            "-" if group.ready is None else count(group.ready),
            "-" if group.file is None else escape(group.file),
            "-" if group.file_size is None else size(group.file_size),
            "-" if group.progress is None else f"{group.progress:.0%}",
            count(group.datagrams),
            size(group.bytes),
            duration(group.age_s),
            duration(group.idle_s),
        )
        for group in groups
    ]
    return table(_GROUP_COLUMNS, rows, _GROUP_NUMBERS)


def tally_text(tally: Tally) -> str:
    """Return what has come of a tap."""
    lost = f", {count(tally.lost)} more had no room and are missing" if tally.lost else ""
    return f"{count(tally.datagrams)} datagrams, {size(tally.payload_bytes)}{lost}: {escape(tally.why or '-')}\n"


def findings_text(findings: Sequence[Finding]) -> str:
    """Return what was found of a machine, each with the command that mends it."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:8}{finding.subject}: {finding.text}\n")
        if finding.remedy is not None:
            lines.append(f"{'':8}  mend it: {finding.remedy}\n")
    return "".join(lines)


def limits_text(limits: Sequence[Limit], sessions: int | None) -> str:
    """Return how many sessions can be held and what limits them. sessions: how many there are now, None: unknown."""
    first = limits[0]
    now = "" if sessions is None else f", {count(sessions)} of them now"
    rows = [(limit.what, "-" if limit.sessions is None else count(limit.sessions), limit.change) for limit in limits]
    head = f"{counted(first.sessions or 0, 'session')}{now}: {first.what} is the limit\n\n"
    return head + table(("LIMIT", "SESSIONS", "TO HAVE MORE"), rows, frozenset(("SESSIONS",)))
