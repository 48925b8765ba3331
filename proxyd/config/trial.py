"""A test expression carried out on a configuration: lines of answers, and whether every test was accepted.

Decides nothing itself: the rules are workers.policy's, the listings dump's. Source: test-udp(8), TEST EXPRESSIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxyd.config.compiler import Compiled
from proxyd.config.dump import hash_of, show_acls, show_proxy
from proxyd.config.expression import Command, Help, Probe, ShowAcl, ShowHash, ShowProxy
from proxyd.config.keywords import KEYWORDS
from proxyd.config.prototype import Scope
from proxyd.config.values.hosts import show_host
from proxyd.config.values.words import show_string
from workers.contract.settings import (
    AclSettings,
    Address,
    HostList,
    HostName,
    Obligation,
    Sock,
)
from workers.policy.acl import Request, compile_rules, nameless, target_of
from workers.policy.hostset import UNASKED, NameBook, NameUnknown, Peer, normal_address
from workers.policy.users import match_name

NOBODY = "<NULL>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed.

    accepted is False for a test that was rejected. trace: every condition evaluated, for diagnosis. remarks: what the
    caller may have missed.
    """

    text: str
    accepted: bool = True
    trace: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Trial:
    """Carries out commands. book: addresses of names; resolved: whether names were looked up for it.

    name_of: looks up the name of an address, None for none; asked where a regular expression is really held against it.
    """

    def __init__(
        self,
        compiled: Compiled,
        book: NameBook,
        resolved: bool,
        name_of: Callable[[Address], str | None] = nameless,
    ) -> None:
        self._compiled = compiled
        self._settings = compiled.settings
        self._rules = compile_rules(compiled.settings.acls)
        self._book = book
        self._resolved = resolved
        self._name_of = name_of
        self._known: dict[Address, str | None] = {}

    def run(self, command: Command) -> Answer:
        """Carry out one command."""
        match command:
            case Probe():
                return self._test(command)
            case ShowAcl():
                return Answer(show_acls(self._compiled.proxy))
            case ShowProxy(everything):
                return Answer(show_proxy(self._compiled.proxy, everything))
            case ShowHash():
                return Answer(f"{hash_of(self._compiled.tree)}\n")
            case Help():
                return Answer(help_text())

    def _test(self, test: Probe) -> Answer:
        auth = self._settings.auth
        if auth is not None and auth.obligation is Obligation.MANDATORY and test.user is None:
            return Answer(f"{_heading(test)} NAME={NOBODY} REJECTED\n", False, ("auth oob mandatory: no user",))
        request, index = self._search(test)
        acls = self._settings.acls
        rule = None if index is None else acls[index]
        accepted = rule is not None and rule.accept
        fields = [
            _heading(test),
            f"NAME={NOBODY if rule is None else _quoted(rule.name)}",
            "ACCEPTED" if accepted else "REJECTED",
            *(self._outcome(rule, request) if rule is not None and accepted else ()),
            *(f"UNRESOLVED={name}" for name in self._unresolved(index, rule if accepted else None)),
        ]
        trace = tuple(self._trace(request))
        return Answer(f"{' '.join(fields)}\n", accepted, trace, tuple(self._remarks(test)))

    def _trace(self, request: Request) -> Iterator[str]:
        for check in self._rules.explain(request, self._book):
            name = self._settings.acls[check.rule].name
            yield f"session-acl {name}: {check.condition} {check.value}: {'holds' if check.holds else 'fails'}"

    def _search(self, test: Probe) -> tuple[Request, int | None]:
        """Search with all the names that the search needs; return what was searched for too."""
        while True:
            request = self._request(test)
            try:
                return request, self._rules.search(request, self._book)
            except NameUnknown as unknown:
                self._known[unknown.address] = self._name_of(unknown.address)

    def _reverse(self, address: Address) -> str | None:
        return self._known.get(normal_address(address), UNASKED)

    def _peer(self, host: Address | HostName) -> Peer:
        return Peer(None, host.name) if isinstance(host, HostName) else Peer(host, self._reverse(host))

    def _request(self, test: Probe) -> Request:
        short = self._settings.auth is not None and self._settings.auth.short_names
        server = test.server
        return Request(
            client=self._peer(test.client),
            client_port=0,
            destination=self._peer(test.destination.host),
            destination_port=test.destination.port or 0,
            transparent=test.transparent,
            when=test.when,
            user=None if test.user is None else match_name(test.user, short),
            groups=test.groups,
            server=None if server is None else self._peer(server.host),
            server_port=0 if server is None else server.port or 0,
            reverse=self._reverse,
        )

    def _outcome(self, rule: AclSettings, request: Request) -> Iterator[str]:
        if rule.plug_to is not None:
            yield f"PLUG-TO={_sock(self._target(rule.plug_to, request))}"
        yield f"TYPE={rule.kind.value}"
        if rule.plug_to is None and not request.transparent:
            yield "TARGET=FAILED"

    def _target(self, plug_to: Sock, request: Request) -> Sock:
        """Return where the session would go: an address where it is known, else the name."""
        (address, _), port = target_of(plug_to, request, self._book)
        return Sock(plug_to.host if address is None else address, port)

    def _unresolved(self, index: int | None, rule: AclSettings | None) -> list[str]:
        """Return the names without addresses in the rules that were looked at, and in a target that was looked up."""
        acls = self._settings.acls
        reached = acls if index is None else acls[: index + 1]
        found = {
            name
            for acl in reached
            for condition in (*acl.sources, *acl.destinations, *acl.servers)
            for name in _names(condition.hosts)
        }
        if rule is not None and rule.plug_to is not None and isinstance(rule.plug_to.host, HostName) and self._resolved:
            found.add(rule.plug_to.host.name)
        return sorted(name for name in found if not self._book.get(name))

    def _remarks(self, test: Probe) -> Iterator[str]:
        if not test.has_destination and any(acl.destinations for acl in self._settings.acls):
            yield "the session-acls look at 'to', which the expression does not give: [0.0.0.0]:0 counts"
        if any(acl.tos is not None for acl in self._settings.acls):
            yield "the session-acls look at 'ip-tos-from', which no expression gives: 0 counts"


def help_text() -> str:
    """Return the list of expressions."""
    lines: list[str] = []
    for row in KEYWORDS[Scope.EXPRESSION]:
        lines += [*row.prototypes(), f"    {row.doc}"]
    return "".join(f"{line}\n" for line in lines)


def _names(hosts: HostList) -> Iterator[str]:
    for member in hosts.members:
        if isinstance(member.item, HostName):
            yield member.item.name
        elif isinstance(member.item, HostList):
            yield from _names(member.item)


def _heading(test: Probe) -> str:
    server = "" if test.server is None else f" SERVER={_sock(test.server)}"
    return (
        f"TEST FROM={show_host(test.client)} TO={_sock(test.destination)}{server}"
        f" TRANSP={'YES' if test.transparent else 'NO'} USER={NOBODY if test.user is None else _quoted(test.user)}"
    )


def _sock(sock: Sock) -> str:
    return f"{show_host(sock.host)}:{sock.port or 0}"


def _quoted(text: str) -> str:
    """Return a field's value, as a string of the configuration where it could be taken for something else."""
    plain = text.isprintable() and not set(text) & set(' "')
    return text if plain and text not in ("", NOBODY) else show_string(text)
