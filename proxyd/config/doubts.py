"""Which live sessions a rehearsal cannot judge: a rule with a host name that nobody has resolved yet may fit or not.

A configuration's names are asked for when it is put in force; whoever runs knows those of the present one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from proxyd.config.explanation import Explainer, Finding, Question
from workers.contract.settings import AclSettings, HostCondition, HostName, Settings
from workers.policy.hostset import compile_hosts


class _Doubtful(NamedTuple):
    """A rule with unknown names: its place, these names, and who tells whether it fits but for them."""

    place: int
    names: frozenset[str]
    explainer: Explainer


class Doubts:
    """Of one configuration. unknown: the names in it that nobody has tried to resolve."""

    def __init__(self, settings: Settings, unknown: frozenset[str]) -> None:
        self._acls = settings.acls
        self._doubtful: list[_Doubtful] = []
        for index, acl in enumerate(settings.acls if unknown else ()):
            relaxed, depends = _relax(acl, unknown)
            if depends:
                self._doubtful.append(_Doubtful(index, depends, Explainer(replace(settings, acls=(relaxed,)))))

    def about(self, question: Question, finding: Finding) -> tuple[str, ...]:
        """Return the names whose addresses may make the finding another one, in alphabetical order."""
        decided = len(self._acls) if finding.rule is None else self._acls.index(finding.rule)
        found: set[str] = set()
        for doubtful in self._doubtful:
            if doubtful.place > decided:
                break
            if doubtful.place == decided:
                found |= _server_of(self._acls[decided]) & doubtful.names
            elif doubtful.explainer.judge(question, {}).rule is not None:
                found |= doubtful.names
        return tuple(sorted(found))


def _relax(acl: AclSettings, unknown: frozenset[str]) -> tuple[AclSettings, frozenset[str]]:
    """Return a rule without the conditions that depend on unknown names, and the names."""
    client, destination, server = (_names(hosts) & unknown for hosts in (acl.sources, acl.destinations, acl.servers))
    server |= _server_of(acl) & unknown
    relaxed = replace(
        acl,
        sources=() if client else acl.sources,
        destinations=() if destination else acl.destinations,
        servers=() if server else acl.servers,
    )
    return relaxed, client | destination | server


def _names(conditions: tuple[HostCondition, ...]) -> frozenset[str]:
    return frozenset(name for condition in conditions for name in compile_hosts(condition.hosts).names)


def _server_of(acl: AclSettings) -> frozenset[str]:
    """Return the name that a rule's sessions go to, if it is one."""
    host = None if acl.plug_to is None else acl.plug_to.host
    return frozenset((host.name,)) if isinstance(host, HostName) else frozenset()
