"""What a proxy would do with a client's datagram that belongs to no session: which listener, which rule, where to.

Decides nothing itself: the rules are workers.policy's. Source: udp-proxy(8), Sessions; K-17, K-48 to K-54.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from workers.contract.settings import AclSettings, Address, ListenerSettings, Obligation, Settings
from workers.policy.acl import Check, Request, Rules, compile_rules, target_of
from workers.policy.hostset import NameBook, Peer
from workers.policy.timecond import CivilTime
from workers.policy.users import match_name
from workers.session.sources import choose
from workers.wire.sockaddr import encode

NO_LISTENER = "no listener takes datagrams to this address and port"
NO_USER = "'auth oob mandatory' wants a user, and nobody is known at the client's address"
NO_RULE = "no session-acl fits"
DENIED = "the session-acl denies it"
NO_PLUG_TO = "the session-acl has no plug-to, and the datagram is not transparent"
NO_ADDRESS = "the name of the server has no address now"
NO_SOURCE = "source-address leaves no address from which this server may be addressed"
ACCEPTED = "a session would begin"
WITHOUT_NAMES = "; regular expressions were held against no name"


class Question(NamedTuple):
    """A datagram. user: who sits at the client's address, None: nobody.

    when: the moment it comes, in local time: month, day, weekday (0 is Sunday), minute of the day.
    transparent: whether it was sent to somebody else; None: as the listener says.
    """

    client: Address
    client_port: int
    destination: Address
    destination_port: int
    user: str | None
    groups: frozenset[str]
    when: tuple[int, int, int, int]
    transparent: bool | None = None
    tos: int = 0


class Finding(NamedTuple):
    """What was found: whether a session would begin, and why or why not; target: where it would go, in words.

    checks: every condition that was looked at, in order.
    """

    accepted: bool
    reason: str
    listener: ListenerSettings | None = None
    rule: AclSettings | None = None
    target: str | None = None
    checks: tuple[Check, ...] = ()


class Explainer:
    """Answers questions about one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules: Rules = compile_rules(settings.acls)

    def explain(self, question: Question, book: NameBook) -> Finding:
        """Return what would become of a datagram. book: the addresses of the configuration's names."""
        return self._find(question, book, explained=True)

    def judge(self, question: Question, book: NameBook) -> Finding:
        """Return the same without the conditions, which take longer to write down than to check."""
        return self._find(question, book, explained=False)

    def _find(self, question: Question, book: NameBook, *, explained: bool) -> Finding:
        listener = _listener(self._settings.listeners, question)
        if listener is None:
            return Finding(False, NO_LISTENER)
        auth = self._settings.auth
        if auth is not None and auth.obligation is Obligation.MANDATORY and question.user is None:
            return Finding(False, NO_USER, listener)
        request = self._request(question, listener)
        index = self._rules.search(request, book)
        checks = tuple(self._rules.explain(request, book)) if explained else ()
        rule = None if index is None else self._settings.acls[index]
        return self._verdict(listener, rule, request, book, checks)

    def _verdict(
        self,
        listener: ListenerSettings,
        rule: AclSettings | None,
        request: Request,
        book: NameBook,
        checks: tuple[Check, ...],
    ) -> Finding:
        remark = WITHOUT_NAMES if self._rules.patterns else ""
        if rule is None:
            return Finding(False, NO_RULE + remark, listener, None, None, checks)
        if not rule.accept:
            return Finding(False, DENIED + remark, listener, rule, None, checks)
        if rule.plug_to is None and not request.transparent:
            return Finding(False, NO_PLUG_TO + remark, listener, rule, None, checks)
        target, port = (
            (request.destination, request.destination_port)
            if rule.plug_to is None
            else target_of(rule.plug_to, request, book)
        )
        if target.address is None:
            return Finding(False, NO_ADDRESS + remark, listener, rule, f"{target.name}:{port}", checks)
        if not self._has_source(rule, request, target.address):
            return Finding(False, NO_SOURCE + remark, listener, rule, f"[{target.address}]:{port}", checks)
        return Finding(True, ACCEPTED + remark, listener, rule, f"[{target.address}]:{port}", checks)

    def _has_source(self, rule: AclSettings, request: Request, target: Address) -> bool:
        """Tell whether a session of this rule has an address to be sent from."""
        client = request.client.address
        wanted = replace(rule, source_address=rule.source_address or self._settings.source_address)
        return client is None or choose(wanted, encode(client, 0), encode(target, 0)) is not None

    def _request(self, question: Question, listener: ListenerSettings) -> Request:
        short = self._settings.auth is not None and self._settings.auth.short_names
        transparent = question.transparent
        if transparent is None:
            transparent = listener.transparent and listener.address != question.destination
        return Request(
            client=Peer(question.client),
            client_port=question.client_port,
            destination=Peer(question.destination),
            destination_port=question.destination_port,
            transparent=transparent,
            when=CivilTime(*question.when),
            tos=question.tos,
            user=None if question.user is None else match_name(question.user, short),
            groups=question.groups,
        )


def _listener(listeners: tuple[ListenerSettings, ...], question: Question) -> ListenerSettings | None:
    """Return the listener that the kernel would give the datagram to: the most particular one of those that fit."""
    return min(
        _fitting(listeners, question), key=lambda listener: listener.address != question.destination, default=None
    )


def _fitting(listeners: tuple[ListenerSettings, ...], question: Question) -> Iterator[ListenerSettings]:
    version, value = question.destination
    for listener in listeners:
        if listener.port != question.destination_port or listener.address.version != version:
            continue
        if listener.transparent or listener.address.value in (0, value):
            yield listener
