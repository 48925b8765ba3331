"""What a reload would change, without changing it: listeners, rules, limits, and who would still be let in.

Everything is told piece by piece, so that the parent has time for other things in between. A session is judged as its
client's first datagram would be judged now; it would go on in any case, for it keeps the rule that it began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from ipaddress import ip_address
from typing import NamedTuple

from proxyd.config.doubts import Doubts
from proxyd.config.explanation import Explainer, Finding, Question
from proxyd.control.protocol import Change
from proxyd.daemon.demands import item_of
from proxyd.daemon.fixed import LATER
from proxyd.logs.fields import decode_sockaddr
from workers.contract.settings import AclSettings, Address, ListenerSettings, Settings
from workers.contract.slots import TRANSPARENT, Region

_MAX_DETAIL = 500
_APART = frozenset(("listeners", "acls", "generation", "name", "program"))
"""Fields that are told otherwise, or do not change."""
_WORDS = {
    "session_ns": "timeout session",
    "in_ns": "timeout in",
    "out_ns": "timeout out",
    "both_ns": "timeout both",
    "respawn_count": "respawn-limit",
    "respawn_ns": "respawn-limit, seconds",
    "foreground": "nodaemon",
    "debug_log": "log-debug",
    "stats_log": "log-stats",
    "queues": "queue",
    "resolver": "use-resolver",
    "resolve_names": "use-resolver",
    "single_process": "singleproc",
    "monitor": "monitoring",
    "accept": "accept or deny",
    "sources": "from",
    "destinations": "to",
    "servers": "server",
    "transparent": "transparency",
    "users": "user",
    "tos": "ip-tos-from",
    "kind": "session-type",
    "tos_to_client": "ip-tos-to-client",
    "tos_to_server": "ip-tos-to-server",
}
"""How the configuration calls fields that are not called by their keyword."""
_LATER = frozenset(name for item in LATER for name in item.fields)


def changes(before: Settings, after: Settings, fixed_workers: str = "") -> Iterator[Change]:
    """Yield what differs between two configurations, in the order of the file.

    fixed_workers: why the number of workers cannot change, "" if it can.
    """
    yield from _listener_changes(before.listeners, after.listeners)
    yield from _rule_changes(before.acls, after.acls)
    for field in fields(Settings):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name not in _APART and old != new:
            later = "from the next start on" if field.name in _LATER else ""
            if field.name == "workers" and fixed_workers:
                later = f"from the next start on: {fixed_workers}"
            detail = "; ".join(filter(None, (_detail(field.name, old, new), later)))
            yield Change("setting", "changed", _word(field.name), detail)


def _word(name: str) -> str:
    """Return what the configuration calls a field of settings."""
    return _WORDS.get(name, name.replace("_", "-"))


def _listener_changes(before: Sequence[ListenerSettings], after: Sequence[ListenerSettings]) -> Iterator[Change]:
    for listener in after:
        if listener not in before:
            yield Change("listener", "added", item_of(listener), "")
    for listener in before:
        if listener not in after:
            yield Change("listener", "removed", item_of(listener), "it serves its sessions until the last has ended")


def _rule_changes(before: Sequence[AclSettings], after: Sequence[AclSettings]) -> Iterator[Change]:
    old, new = {acl.name: acl for acl in before}, {acl.name: acl for acl in after}
    for name, acl in new.items():
        if name not in old:
            yield Change("session-acl", "added", name, "")
        elif acl != old[name]:
            yield Change("session-acl", "changed", name, "; ".join(_differences(old[name], acl))[:_MAX_DETAIL])
    for name in old:
        if name not in new:
            yield Change("session-acl", "removed", name, "sessions that began with it keep it")
    kept = [name for name in old if name in new]
    if kept != [name for name in new if name in old]:
        yield Change("session-acl", "moved", ", ".join(kept)[:_MAX_DETAIL], "the first that fits decides")


def _differences(before: AclSettings, after: AclSettings) -> Iterator[str]:
    """Yield a rule's fields that differ, and of its limits each by itself."""
    for field in fields(AclSettings):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        if field.name == "limits":
            for limit in fields(old):
                was, becomes = getattr(old, limit.name), getattr(new, limit.name)
                if was != becomes:
                    yield f"{_word(limit.name)} {_brief(limit.name, was)} -> {_brief(limit.name, becomes)}"
        else:
            yield _word(field.name)


def _detail(name: str, old: object, new: object) -> str:
    if all(isinstance(value, str | int | float | None) for value in (old, new)):
        return f"{_brief(name, old)} -> {_brief(name, new)}"
    return ""


def _brief(name: str, value: object) -> str:
    """Return a value as the configuration has it: seconds, on and off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and name.endswith("_ns"):
        return f"{value / 1e9:g}"
    return "none" if value is None else str(value)


class Seated(NamedTuple):
    """A live session as its slot tells. slot, opened_ns: which one it is."""

    slot: int
    opened_ns: int
    client: Address
    client_port: int
    destination: Address
    destination_port: int
    transparent: bool

    @property
    def client_text(self) -> str:
        """The client, as people write it."""
        return f"[{self.client}]:{self.client_port}"

    @property
    def destination_text(self) -> str:
        """Where the client sends to, as people write it."""
        return f"[{self.destination}]:{self.destination_port}"


class Judge:
    """Says of live sessions what a new configuration would say of them.

    book: the addresses of its host names. unknown: those that nobody has tried to resolve.
    """

    def __init__(
        self, settings: Settings, book: Mapping[str, frozenset[Address]], unknown: frozenset[str] = frozenset()
    ) -> None:
        self._explainer = Explainer(settings)
        self._book = book
        self._doubts = Doubts(settings, unknown)

    def judge(
        self, session: Seated, user: str | None, groups: frozenset[str], when: tuple[int, int, int, int]
    ) -> tuple[Finding, tuple[str, ...]]:
        """Return what would become of a session's first datagram, and the unknown names by which it may be otherwise.

        user, groups: who sits at the client's address.
        """
        question = Question(
            session.client,
            session.client_port,
            session.destination,
            session.destination_port,
            user,
            groups,
            when,
            session.transparent,
        )
        finding = self._explainer.judge(question, self._book)
        return finding, self._doubts.about(question, finding)


def seated(region: Region) -> Iterator[Seated]:
    """Yield a worker's live sessions; what makes no sense in its memory is left out."""
    for slot in region.used():
        found = region.fields(slot)
        client, destination = _end(found.client), _end(found.destination)
        if client is not None and destination is not None:
            yield Seated(slot, found.opened_ns, *client, *destination, bool(found.flags & TRANSPARENT))


def _end(raw: bytes) -> tuple[Address, int] | None:
    try:
        written, port = decode_sockaddr(raw)
        address = ip_address(written.partition("%")[0])
    except ValueError:
        return None
    return Address(address.version, int(address)), port
