"""The events of uftpproxyd, with the lines they become: part of the catalogue.

A row is a name, the log level from which on it is written (0 to 5), the text, and the fields. Every event has a field
`group` before its own, which the worker's loop fills: `[GGGGGGGG/II:FFFF]: `, group ID, instance and file, or nothing.
The texts are the operator's interface: change one only with its manual page and CHANGELOG entry.
Source: uftpproxyd(8), LOGGING.
"""

from __future__ import annotations

from workers.contract.events import Event, Kind, Line

GROUP_FIELD = ("group", Kind.TEXT)


def _row(number: int, name: str, level: int, text: str, *fields: tuple[str, Kind]) -> Event:
    return Event(name, (GROUP_FIELD, *fields), (Line(f"UFTP-{number}-{level}", "{group}" + text),))


_T, _N, _S, _SEC, _U, _I = Kind.TEXT, Kind.NUMBER, Kind.SOCK, Kind.SECONDS, Kind.UID, Kind.UIDS

UFTP_EVENTS = (
    # The process.
    _row(
        100,
        "uftp-started",
        2,
        "uftpproxyd {version}, {mode} proxy, UID {uid}",
        ("version", _T),
        ("mode", _T),
        ("uid", _U),
    ),
    _row(
        101,
        "uftp-key",
        2,
        "Key {number}: {kind}, fingerprint {fingerprint}",
        ("number", _N),
        ("kind", _T),
        ("fingerprint", _T),
    ),
    _row(102, "uftp-join-failed", 0, "Cannot join {target}: {reason}", ("target", _S), ("reason", _T)),
    _row(
        103,
        "uftp-unsent",
        0,
        "Cannot send to {target}: {reason}; {datagrams} datagrams lost",
        ("target", _S),
        ("reason", _T),
        ("datagrams", _N),
    ),
    _row(104, "uftp-joined", 3, "Joined {target} for {sources}", ("target", _S), ("sources", _T)),
    _row(105, "uftp-left", 3, "Left {target}", ("target", _S)),
)
