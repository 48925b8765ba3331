"""Asking name servers that are slow, silent, or lose a datagram: whoever knows the answer is heard within the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from tests.workers.resolver.name_server import LOOPBACK
from workers.resolver.asking import Asker
from workers.resolver.system import Prepared

LIFETIME_S, TURN_S = 60, 0.05
DELAY_S = 10 * TURN_S


class Server(asyncio.DatagramProtocol):
    """A name server. delay_s: how long it thinks, None for ever; deaf: how many questions it does not hear at first."""

    def __init__(self, address: str = "192.0.2.1", delay_s: float | None = 0, deaf: int = 0) -> None:
        self.heard = 0
        self.rcode = dns.rcode.NOERROR
        self._address = address
        self._delay_s = delay_s
        self._deaf = deaf

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard += 1
        if self._delay_s is None or self.heard <= self._deaf:
            return
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.set_rcode(self.rcode)
        if not self.rcode:
            answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", self._address))
        asyncio.get_running_loop().call_later(self._delay_s, self._transport.sendto, answer.to_wire(), addr)


async def serve(server: Server) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))


def with_servers(
    work: Callable[[Asker], Coroutine[Any, Any, Any]],
    *servers: Server,
    lifetime_s: float = LIFETIME_S,
    turn_s: float = TURN_S,
) -> Any:
    """Run what asks these servers."""

    async def run() -> Any:
        for server in servers:
            await serve(server)
        listed = tuple((LOOPBACK, server.port) for server in servers)
        return await work(Asker(Prepared(listed, (), 1, {}, 0), lifetime_s, turn_s))

    return asyncio.run(run())


async def ask(asker: Asker) -> list[str]:
    found = await asker.ask("www.example.test", dns.rdatatype.A, search=False)
    return [record.to_text() for record in found]


def test_a_server_that_is_always_slow_is_heard_out() -> None:
    assert with_servers(ask, Server(delay_s=DELAY_S)) == ["192.0.2.1"]


def test_a_quick_server_is_asked_once_and_no_other() -> None:
    first, other = Server(), Server("192.0.2.2")
    assert with_servers(ask, first, other, turn_s=LIFETIME_S) == ["192.0.2.1"]
    assert (first.heard, other.heard) == (1, 0)


def test_a_silent_server_does_not_keep_others_from_being_asked() -> None:
    assert with_servers(ask, Server(delay_s=None), Server(delay_s=None), Server("192.0.2.3")) == ["192.0.2.3"]


def test_a_question_that_was_lost_is_asked_again() -> None:
    assert with_servers(ask, Server(deaf=2)) == ["192.0.2.1"]


def test_a_server_that_fails_does_not_end_the_wait_for_a_slow_one() -> None:
    failing = Server()
    failing.rcode = dns.rcode.SERVFAIL
    assert with_servers(ask, Server("192.0.2.9", DELAY_S), failing) == ["192.0.2.9"]


def test_that_there_is_no_such_name_is_an_answer_too() -> None:
    denying = Server()
    denying.rcode = dns.rcode.NXDOMAIN
    with pytest.raises(dns.resolver.NXDOMAIN):
        with_servers(ask, Server(delay_s=None), denying)


def test_servers_that_fail_all_fail_at_once() -> None:
    failing = Server()
    failing.rcode = dns.rcode.SERVFAIL
    with pytest.raises(dns.resolver.NoNameservers):
        with_servers(ask, failing, turn_s=LIFETIME_S)
    assert failing.heard == 1


def test_without_any_answer_it_ends_with_the_time() -> None:
    with pytest.raises(dns.exception.Timeout):
        with_servers(ask, Server(delay_s=None), lifetime_s=4 * TURN_S)


def test_the_server_that_has_answered_is_asked_first_from_then_on() -> None:
    silent, other = Server(delay_s=None), Server("192.0.2.2")

    async def ask_twice(asker: Asker) -> int:
        asker.prefer(await asker.ask("www.example.test", dns.rdatatype.A, search=False))
        asker.turn_s, before = LIFETIME_S, silent.heard
        await ask(asker)
        return silent.heard - before

    assert with_servers(ask_twice, silent, other) == 0


def test_a_server_that_was_waited_for_in_vain_is_asked_after_the_others() -> None:
    first, other = Server(), Server("192.0.2.2")

    async def postpone(asker: Asker) -> list[str]:
        asker.postpone_first()
        return await ask(asker)

    assert with_servers(postpone, first, other, turn_s=LIFETIME_S) == ["192.0.2.2"]
    assert first.heard == 0
