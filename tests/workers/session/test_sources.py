"""Which address the server side leaves from: the order of the rule's means, and what each of them binds to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit.session_parts import LOCAL, REMOTE, client, rule, server, sock, sock6
from workers.contract.settings import (
    AclSettings,
    SessionKind,
    SourceAddress,
    SourceFallback,
    SourcePort,
    SourcePortMode,
)
from workers.session.sources import SYSTEMS, Source, choose

CLIENT = client(1, 40_000)
CLIENT6, SERVER6 = sock6(0xFD00_0001, 40_000), sock6(0xFD00_0002, 53)


def forced(kind: SessionKind = SessionKind.NORMAL, port: int | None = None, **source: object) -> AclSettings:
    mode = SourcePort(SourcePortMode.CLIENT) if port is None else SourcePort(SourcePortMode.FORCE, port)
    return replace(rule(kind=kind), source_address=SourceAddress(client=True, **source), source_port=mode)


def from_address(**source: object) -> AclSettings:
    return replace(rule(), source_address=SourceAddress(**source))


def test_without_a_word_the_system_chooses_k50_k53() -> None:
    assert choose(rule(), CLIENT, server()) == SYSTEMS


def test_the_clients_address_comes_first_with_a_port_of_the_systems_k50a_k54() -> None:
    chosen = choose(from_address(client=True, addr4=LOCAL + 9), CLIENT, server())
    assert chosen == Source(client(1, 0), foreign=True)


def test_where_the_server_has_another_ip_version_the_forced_address_is_next_k54() -> None:
    chosen = choose(from_address(client=True, addr4=LOCAL + 9), CLIENT6, server())
    assert chosen == Source(sock(LOCAL + 9, 0))
    assert choose(from_address(client=True, addr6=0xFD00_0009), CLIENT, SERVER6) == Source(sock6(0xFD00_0009, 0))


def test_the_clients_address_may_be_an_ipv6_one() -> None:
    assert choose(from_address(client=True), CLIENT6, SERVER6) == Source(sock6(0xFD00_0001, 0), foreign=True)


@pytest.mark.parametrize("fallback", SourceFallback)
def test_where_nothing_fits_the_system_chooses_unless_the_rule_forbids_it_k54(fallback: SourceFallback) -> None:
    chosen = choose(from_address(client=True, addr4=REMOTE, fallback=fallback), CLIENT, SERVER6)
    assert chosen == (None if fallback is SourceFallback.NO_FALLBACK else SYSTEMS)


def test_a_normal_session_has_its_forced_port_to_itself_k50b_k51() -> None:
    assert choose(forced(), CLIENT, server()) == Source(CLIENT, foreign=True, forced=True)
    assert choose(forced(port=7000), CLIENT, server()) == Source(client(1, 7000), foreign=True, forced=True)


@pytest.mark.parametrize("kind", [kind for kind in SessionKind if kind is not SessionKind.NORMAL])
def test_other_kinds_share_the_socket_of_a_forced_port_k51(kind: SessionKind) -> None:
    assert choose(forced(kind), CLIENT, server()) == Source(CLIENT, foreign=True, forced=True, shared=True)


def test_without_the_clients_address_there_is_no_forced_port_k50b() -> None:
    assert choose(forced(addr4=LOCAL + 9), CLIENT6, server()) == Source(sock(LOCAL + 9, 0))
