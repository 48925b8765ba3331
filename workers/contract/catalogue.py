"""Every event that can be logged: one row an event, with its fields and the lines it becomes.

A child logs an event by name with its fields in order; the parent turns it into lines (proxyd.logs). One event may
become several lines: the end of a session is a reason, a summary and a record of the stats log.
The texts are the operator's interface: change one only with its manual page and CHANGELOG entry.
Source: udp-proxy(8), LOGGING.
"""

from __future__ import annotations

from workers.contract.events import ALWAYS, LEVELS, Event, Kind, Line
from workers.contract.uftp_events import UFTP_EVENTS
from workers.contract.uftp_group_events import UFTP_GROUP_EVENTS

__all__ = ["ALWAYS", "EVENTS", "LEVELS", "Event", "Kind", "Line"]

_T, _N, _S, _H, _SEC, _F = Kind.TEXT, Kind.NUMBER, Kind.SOCK, Kind.HOST, Kind.SECONDS, Kind.FLAG

_PROXY_EVENT = (
    "PROXY-EVENT PROTOCOL=UDP CLIENT={client_host} CLIENT-IP={client_ip} CLIENT-PORT={client_port} "
    "SERVER={server_host} SERVER-IP={server_ip} SERVER-PORT={server_port} SERVER-PORT-NAME={server_port_name} "
    "USER={user} BYTES-CIN={bytes_cin} BYTES-COUT={bytes_cout} BYTES-SIN={bytes_sin} BYTES-SOUT={bytes_sout} "
    "DURATION={duration} STATUS={status} RESULT={result} RULE={rule}"
)
"""The parent derives NAME_ip, NAME_port (and server_port_name) from the SOCK field NAME."""

_SUMMARY = (
    "SESSION-END CLIENT={client} SERVER={server} TRANSP={transparent} USER={user} CMDs=1 "
    "IN={bytes_cin} OUT={bytes_sout} TIME={duration} {final}"
)

_EVENTS = (
    # The session proxy.
    Event(
        "acl",
        (("client", _S), ("destination", _S), ("transparent", _F), ("user", _T), ("rule", _T), ("verdict", _T)),
        (
            Line(
                "UDPP-821-N",
                "ACL PHASE=1 FROM={client} TO={destination} TRANSP={transparent} USER={user} NAME={rule} {verdict}",
            ),
        ),
    ),
    Event(
        "acl-items",
        (("rule", _T), ("verdict", _T), ("from_item", _T), ("to_item", _T), ("server_item", _T)),
        (Line("LIBA-810-T", "ACL NAME={rule} {verdict} FROM={from_item} TO={to_item} SERVER={server_item}"),),
    ),
    Event(
        "session-start",
        (("client", _S), ("server", _S), ("transparent", _F), ("user", _T), ("kind", _T)),
        (
            Line(
                "UDPP-710-I",
                "SESSION-START CLIENT={client} SERVER={server} TRANSP={transparent} USER={user} TYPE={kind}",
            ),
        ),
    ),
    Event(
        "session-end",
        (
            ("client", _S),
            ("server", _S),
            ("transparent", _F),
            ("user", _T),
            ("reason", _T),
            ("final", _T),
            ("status", _T),
            ("result", _T),
            ("rule", _T),
            ("bytes_cin", _N),
            ("bytes_cout", _N),
            ("bytes_sin", _N),
            ("bytes_sout", _N),
            ("client_host", _H),
            ("server_host", _H),
            ("duration", _SEC),
        ),
        (
            Line("UDPP-712-N", "Session terminated: {reason}"),
            Line("UDPP-711-I", _SUMMARY),
            Line("UDPP-888-I", _PROXY_EVENT, stats=True),
        ),
    ),
    Event(
        "rejected",
        (
            ("client", _S),
            ("server", _S),
            ("user", _T),
            ("status", _T),
            ("result", _T),
            ("rule", _T),
            ("bytes_cin", _N),
            ("bytes_cout", _N),
            ("bytes_sin", _N),
            ("bytes_sout", _N),
            ("client_host", _H),
            ("server_host", _H),
            ("duration", _SEC),
        ),
        (Line("UDPP-888-I", _PROXY_EVENT, stats=True),),
    ),
    Event(
        "table-full",
        (("sessions", _N), ("client", _S)),
        (Line("UDPP-720-W", "Session table full ({sessions}), datagram from {client} dropped"),),
    ),
    Event(
        "no-plug-to",
        (("client", _S), ("rule", _T)),
        (Line("UDPP-730-E", "No plug-to for non-transparent session, CLIENT={client} ACL={rule}"),),
    ),
    Event(
        "same-interface",
        (("client", _S), ("destination", _S)),
        (
            Line(
                "UDPP-740-W",
                "Transparent broadcast on the same interface with forced source port, session rejected, "
                "CLIENT={client} TO={destination}",
            ),
        ),
    ),
    Event(
        "session-failed",
        (("client", _S), ("server", _S), ("step", _T), ("reason", _T)),
        (Line("UDPP-731-E", "Session failed, CLIENT={client} SERVER={server}: {step}: {reason}"),),
    ),
    Event(
        "wrong-source",
        (("source", _S), ("expected", _S)),
        (Line("UDPP-910-D", "Datagram from {source} ignored, expected {expected}"),),
    ),
    Event(
        "not-taken",
        (("source", _S), ("reason", _T)),
        (Line("UDPP-913-D", "Datagram from {source} not taken: {reason}"),),
    ),
    Event(
        "socket-error",
        (("server", _S), ("reason", _T)),
        (Line("UDPP-911-D", "Error reported for {server}: {reason}"),),
    ),
    Event(
        "unsent",
        (("target", _S), ("datagrams", _N), ("reason", _T)),
        (Line("UDPP-912-D", "{datagrams} datagrams for {target} not sent: {reason}"),),
    ),
    Event(
        "payload",
        (("direction", _T), ("source", _S), ("bytes", _N), ("payload", Kind.DUMP)),
        (Line("UDPP-990-F", "Datagram {direction} from {source}, {bytes} bytes: {payload}"),),
    ),
    Event(
        "priority-lost",
        (("queue", _T),),
        (Line("UDPP-760-W", "Answers leave without the priority of queue {queue}: the kernel takes it from 6.14 on"),),
    ),
    # The track number says whose datagrams they are.
    Event("tap-begun", (), (Line("UDPP-770-K", "Datagrams of this session are copied to somebody from now on"),)),
    Event("tap-ended", (("reason", _T),), (Line("UDPP-771-K", "Datagrams are copied no more: {reason}"),)),
    # Names of the configuration.
    Event(
        "name-unresolved",
        (("name", _T), ("reason", _T), ("kept", _N)),
        (Line("UDPP-750-W", "Name {name} not resolved: {reason}; {kept} old addresses kept"),),
    ),
    Event(
        "name-resolved",
        (("name", _T), ("addresses", _N)),
        (Line("UDPP-751-N", "Name {name} resolved again, {addresses} addresses"),),
    ),
    # Users of the out-of-band file; the parent reads it.
    Event(
        "users-read",
        (("file", _T), ("users", _N)),
        (Line("UDPS-750-N", "Users read from {file}, {users} entries"),),
    ),
    Event(
        "users-refused",
        (("file", _T), ("reason", _T), ("kept", _N)),
        (Line("UDPS-751-E", "Users in {file} not taken: {reason}; {kept} old entries kept"),),
    ),
    # The frame: parent and children.
    Event("started", (("version", _T),), (Line("UDPS-700-K", "Proxy {version} started"),)),
    Event("terminating", (("reason", _T),), (Line("UDPS-701-K", "Proxy terminating: {reason}"),)),
    Event("unbound", (), (Line("UDPS-722-K", "Listening sockets unbound"),)),
    Event(
        "bound",
        (("listener", _S), ("sockets", _N)),
        (Line("UDPS-721-K", "Listening on {listener} with {sockets} sockets"),),
    ),
    Event(
        "bound-transparently",
        (("listener", _S), ("device", _T), ("sockets", _N)),
        (Line("UDPS-723-K", "Listening transparently on {listener} of {device} with {sockets} sockets"),),
    ),
    Event(
        "socket-given",
        (("listener", _T), ("unit", _T)),
        (Line("UDPS-724-K", "The socket of {listener} is the service manager's: {unit}"),),
    ),
    Event(
        "child-started",
        (("child", _T), ("process", _N)),
        (Line("UDPS-710-K", "Child {child} started, process {process}"),),
    ),
    Event(
        "child-ended",
        (("child", _T), ("process", _N), ("how", _T)),
        (Line("UDPS-711-W", "Child {child} (process {process}) ended unexpectedly: {how}"),),
    ),
    Event(
        "child-failed",
        (("child", _T), ("step", _T), ("reason", _T)),
        (Line("UDPS-511-C", "Child {child} cannot start: {step}: {reason}"),),
    ),
    Event(
        "child-misbehaved",
        (("child", _T), ("reason", _T)),
        (Line("UDPS-512-C", "Child {child} broke the contract and was killed: {reason}"),),
    ),
    Event(
        "sessions-taken-over",
        (("sessions", _N),),
        (Line("UDPS-712-K", "{sessions} sessions taken over"),),
    ),
    Event(
        "sessions-refused",
        (("sessions", _N), ("reason", _T)),
        (Line("UDPS-515-E", "{sessions} sessions could not be taken over: {reason}"),),
    ),
    Event(
        "sessions-given-up",
        (("child", _T),),
        (Line("UDPS-514-C", "Sessions of {child} given up: one replacement after the other died before it served"),),
    ),
    Event(
        "traceback",
        (("child", _T), ("text", _T)),
        (Line("UDPS-513-C", "Unforeseen error in {child}: {text}"),),
    ),
    Event(
        "too-many-deaths",
        (),
        (Line("UDPS-510-C", "Too many terminated children, terminating proxy"),),
    ),
    Event("shed", (("records", _N),), (Line("UDPS-730-W", "{records} log records shed: more than the log may take"),)),
    Event(
        "log-trouble",
        (("log", _T), ("reason", _T), ("records", _N)),
        (Line("UDPS-731-W", "Log {log} had trouble: {reason}; {records} records lost"),),
    ),
    Event("level", (("level", _N),), (Line("UDPS-740-K", "Log level is {level}"),)),
    Event("reopened", (), (Line("UDPS-741-K", "Log files reopened"),)),
    Event("state", (("text", _T),), (Line("UDPS-743-K", "State: {text}"),)),
    Event(
        "draining",
        (("sessions", _N),),
        (Line("UDPS-744-K", "Draining: no session begins any more, {sessions} are left"),),
    ),
    Event(
        "reloading",
        (("generation", _N), ("children", _N)),
        (Line("UDPS-770-K", "Configuration read again: generation {generation}, children to renew: {children}"),),
    ),
    Event(
        "reloaded",
        (("generation", _N), ("sessions", _N)),
        (Line("UDPS-771-K", "Generation {generation} serves, sessions that go on: {sessions}"),),
    ),
    Event(
        "reload-failed",
        (("reason", _T), ("generation", _N)),
        (Line("UDPS-772-E", "Not reloaded: {reason}; generation {generation} goes on"),),
    ),
    Event(
        "listener-retired",
        (("listener", _S),),
        (Line("UDPS-773-K", "Listening on {listener} for existing sessions only: it has gone from the configuration"),),
    ),
    Event(
        "listener-closed",
        (("listener", _S),),
        (Line("UDPS-774-K", "No longer listening on {listener}: its last session has ended"),),
    ),
    Event(
        "resettled",
        (("before", _N), ("workers", _N), ("moved", _N), ("waited", _N), ("lost", _N)),
        (
            Line(
                "UDPS-775-K",
                "Workers: {before} before, now {workers}; sessions that another one has now: {moved}, "
                "datagrams that waited: {waited}, lost: {lost}",
            ),
        ),
    ),
    Event("control-order", (("who", _T), ("order", _T)), (Line("UDPS-745-K", "Order by {who}: {order}"),)),
    Event(
        "control-refused",
        (("who", _T), ("reason", _T)),
        (Line("UDPS-746-W", "Control socket: {who} was sent away: {reason}"),),
    ),
    # From one run to the next.
    Event(
        "handing-over",
        (("who", _T),),
        (Line("UDPS-760-K", "Handing over to {who}: the workers come to rest"),),
    ),
    Event(
        "handed-over",
        (("process", _N), ("sessions", _N)),
        (Line("UDPS-761-K", "Process {process} has taken over, with {sessions} sessions"),),
    ),
    Event(
        "handover-undone",
        (("process", _N), ("reason", _T)),
        (Line("UDPS-762-E", "Process {process} has not taken over: {reason}; going on as before"),),
    ),
    Event(
        "taken-over",
        (("source", _T), ("sessions", _N)),
        (Line("UDPS-763-K", "Taken over from {source}: listeners, and {sessions} sessions"),),
    ),
    Event(
        "taken-partly",
        (("source", _T), ("reason", _T)),
        (Line("UDPS-764-W", "Taken over from {source}: listeners only: {reason}"),),
    ),
    Event(
        "left-behind",
        (("source", _T), ("reason", _T)),
        (Line("UDPS-779-W", "Not taken over from {source}: {reason}"),),
    ),
    Event(
        "nothing-left",
        (("source", _T), ("reason", _T)),
        (Line("UDPS-769-W", "Nothing taken over from {source}: {reason}"),),
    ),
    Event(
        "laid-up",
        (("sessions", _N),),
        (Line("UDPS-765-K", "{sessions} sessions laid up with the service manager"),),
    ),
    Event(
        "not-laid-up",
        (("reason", _T),),
        (Line("UDPS-766-W", "Sessions are not laid up with the service manager: {reason}"),),
    ),
    Event(
        "manager-silent",
        (("reason", _T),),
        (Line("UDPS-776-W", "The service manager cannot be asked whether it has let go of the sockets: {reason}"),),
    ),
    Event(
        "upgrade-started",
        (("process", _N),),
        (Line("UDPS-767-K", "The program was started anew as process {process}, and is to take over"),),
    ),
    Event("upgrade-failed", (("reason", _T),), (Line("UDPS-768-E", "Upgrade failed: {reason}; going on as before"),)),
    Event(
        "child-stuck",
        (("child", _T),),
        (Line("UDPS-516-C", "Child {child} does nothing, and datagrams wait for it"),),
    ),
    Event("configured", (("file", _T),), (Line("CFGR-100-D", "Configuration {file} read"),)),
    Event("config-warning", (("text", _T),), (Line("CASE-200-W", "{text}"),)),
    Event("config-error", (("text", _T),), (Line("CFGP-300-E", "{text}"),)),
    Event("setup-failed", (("step", _T), ("reason", _T)), (Line("UDPS-520-E", "Cannot start: {step}: {reason}"),)),
)

EVENTS: dict[str, Event] = {event.name: event for event in (*_EVENTS, *UFTP_EVENTS, *UFTP_GROUP_EVENTS)}
"""Every event by name."""
