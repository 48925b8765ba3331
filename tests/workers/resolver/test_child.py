from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.kit.ports import free_port
from tests.kit.requirement import requires_program
from tests.workers.resolver.name_server import prepared_for, settings_for
from workers.contract.channel import ChannelClosedError, open_channel
from workers.contract.context import ChannelLike
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import FromChild, LogBatch, Looked, Lookup, Names
from workers.contract.naming import Gathering
from workers.contract.settings import Address
from workers.resolver.child import GATHER_S, channel_log, serve
from workers.resolver.lookup import MAX_PARALLEL
from workers.resolver.system import Prepared

WAIT_S = 20
requires_nsd = requires_program("nsd")


def packed(text: str) -> tuple[int, bytes]:
    return (ip_address(text).version, ip_address(text).packed)


def address(text: str) -> Address:
    return Address(ip_address(text).version, int(ip_address(text)))


class Resolver:
    """A resolver's work in a thread, with the parent's end of its channel and of its signals."""

    def __init__(self) -> None:
        self.parent, self.child = open_channel()
        self._wakeup, self._signals = os.pipe2(os.O_NONBLOCK)
        self.ended: ExitCode | BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(
        self, prepared: Prepared, *names: str, known=None, wrap: Callable[[ChannelLike], ChannelLike] = lambda end: end
    ) -> Resolver:
        self._arguments = (names, prepared, wrap(self.child), self._wakeup, channel_log(self.child), known)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            self.ended = serve(*self._arguments)
        except ChannelClosedError as error:
            self.ended = error

    def message(self) -> FromChild:
        """Return the next message, as soon as it is there."""
        readable, _, _ = select.select((self.parent,), (), (), WAIT_S)
        assert readable, "the resolver said nothing"
        found = self.parent.receive()
        assert found is not None
        return found

    def silent_for(self, time_s: float) -> bool:
        return not select.select((self.parent,), (), (), time_s)[0]

    def signal(self, *numbers: int) -> None:
        os.write(self._signals, bytes(numbers))

    def result(self) -> ExitCode | BaseException | None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.ended

    def close(self) -> None:
        if self._thread.is_alive():
            self.signal(signal.SIGTERM)
            self._thread.join(WAIT_S)
        self.parent.close()
        self.child.close()
        os.close(self._wakeup)
        os.close(self._signals)


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    running = Resolver()
    yield running
    running.close()


@requires_nsd
def test_the_parent_is_told_all_names_and_what_has_none(name_server, resolver: Resolver):
    names = ("four.example.test", "none.example.test", "www.example.test")
    resolver.start(prepared_for(settings_for(name_server())), *names)
    messages = [resolver.message(), resolver.message()]
    assert (
        Names(
            {
                "four.example.test": [packed("192.0.2.4")],
                "www.example.test": [packed("192.0.2.1"), packed("2001:db8::1")],
            }
        )
        in messages
    )
    (batch,) = [message for message in messages if isinstance(message, LogBatch)]
    (record,) = batch.records
    assert (record.event, record.track) == ("name-unresolved", 0)
    assert record.fields == ("none.example.test", "there is no such name", 0)


def test_the_parent_is_told_even_that_no_name_has_an_address(resolver: Resolver):
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=0.2)), "a.test")
    messages = [resolver.message(), resolver.message()]
    assert isinstance(messages[0], LogBatch)
    assert messages[1] == Names({})


def test_nothing_is_told_before_every_name_was_asked_for(resolver: Resolver, tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 a.test\n")
    timeout_s = 5 * GATHER_S
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=timeout_s), hosts), "a.test", "b.test")
    messages = [resolver.message(), resolver.message()]
    assert [type(message) for message in messages] == [LogBatch, Names]
    assert messages[1] == Names({"a.test": [packed("192.0.2.1")]})


def test_workers_do_not_wait_for_names_that_had_no_turn_within_the_time(resolver: Resolver, tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 a.test\n")
    silent = [f"silent{number}.test" for number in range(10 * MAX_PARALLEL)]
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=1), hosts), "a.test", *silent)
    unresolved, message = 0, resolver.message()
    while isinstance(message, LogBatch):
        unresolved += len(message.records)
        message = resolver.message()
    assert message == Names({"a.test": [packed("192.0.2.1")]})
    assert unresolved < len(silent)


@requires_nsd
def test_what_a_predecessor_found_is_told_again_only_if_it_changed(name_server, resolver: Resolver):
    known = {"four.example.test": frozenset({address("192.0.2.4")}), "gone.example.test": frozenset({address("::5")})}
    names = ("four.example.test", "gone.example.test")
    resolver.start(prepared_for(settings_for(name_server())), *names, known=known)
    message = resolver.message()
    assert isinstance(message, LogBatch)
    assert message.records[0].fields == ("gone.example.test", "there is no such name", 1)
    assert resolver.silent_for(5 * GATHER_S)


@requires_nsd
def test_another_address_than_the_predecessors_is_told_with_the_old_ones_of_the_others(name_server, resolver: Resolver):
    known = {"four.example.test": frozenset({address("::4")}), "gone.example.test": frozenset({address("::5")})}
    names = ("four.example.test", "gone.example.test")
    resolver.start(prepared_for(settings_for(name_server())), *names, known=known)
    wanted = Names({"four.example.test": [packed("192.0.2.4")], "gone.example.test": [packed("::5")]})
    assert wanted in (resolver.message(), resolver.message())


def test_sigterm_ends_it_while_a_server_keeps_silent(resolver: Resolver):
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=1000)), "www.example.test")
    resolver.signal(signal.SIGTERM)
    assert resolver.result() is ExitCode.STOPPED
    assert resolver.silent_for(0)


def test_without_names_it_waits_for_its_end(resolver: Resolver):
    resolver.start(prepared_for(settings_for(free_port())), known={})
    resolver.signal(signal.SIGRTMIN + 1)
    assert isinstance(resolver.message(), LogBatch)
    resolver.signal(signal.SIGUSR1, signal.SIGTERM)
    assert resolver.result() is ExitCode.STOPPED


def test_its_state_tells_what_is_unresolved(resolver: Resolver):
    known = {"b.test": frozenset({address("192.0.2.1")})}
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=0.2)), "a.test", "b.test", known=known)
    message = resolver.message()
    assert isinstance(message, LogBatch)
    assert message.records[0].fields == ("b.test", "no answer in time", 1), "of the other one its predecessor has told"
    resolver.signal(signal.SIGRTMIN + 1)
    message = resolver.message()
    assert isinstance(message, LogBatch)
    assert message.records[0].event == "state"
    (text,) = message.records[0].fields
    assert isinstance(text, str)
    assert text.startswith("resolver: 1 names have addresses, next look-up in ")
    assert text.endswith(" s, unresolved: a.test, b.test")


def test_the_parents_death_ends_it(resolver: Resolver):
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=1000)), "www.example.test")
    resolver.parent.close()
    assert isinstance(resolver.result(), ChannelClosedError)


def test_every_question_for_a_name_is_answered(resolver: Resolver, tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 a.test\n")
    resolver.start(prepared_for(settings_for(free_port()), hosts, reverse_s=0.05), known={})
    questions = [Lookup(number, *packed(f"192.0.2.{number % 2 + 1}")) for number in range(4)]
    for question in questions:
        assert resolver.parent.send(question)
    answers = sorted((resolver.message() for _ in questions), key=lambda answer: answer.worker)
    assert answers == [
        Looked(question.worker, question.version, question.value, None if question.worker % 2 else "a.test", 60)
        for question in questions
    ]


def test_what_the_parent_says_is_passed_over(resolver: Resolver):
    resolver.start(prepared_for(settings_for(free_port(), timeout_s=1000)), "www.example.test")
    assert resolver.parent.send(Names({}))
    resolver.signal(signal.SIGRTMIN + 1)
    assert isinstance(resolver.message(), LogBatch)
    resolver.signal(signal.SIGTERM)
    assert resolver.result() is ExitCode.STOPPED


class FullOnce:
    """A channel that is full the first time."""

    def __init__(self, end: ChannelLike) -> None:
        self._end = end
        self.refused: list[FromChild] = []

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self):
        return self._end.receive()

    def send(self, message: FromChild) -> bool:
        if self.refused:
            return self._end.send(message)
        self.refused.append(message)
        return False


@requires_nsd
def test_a_full_channel_is_tried_again(name_server, resolver: Resolver):
    resolver.start(prepared_for(settings_for(name_server())), "four.example.test", wrap=FullOnce)
    assert resolver.message() == Names({"four.example.test": [packed("192.0.2.4")]})


def test_a_table_with_no_room_in_one_message_is_told_in_several(resolver: Resolver, tmp_path: Path):
    hosts = tmp_path / "hosts"
    names = [f"name{number}" for number in range(100)]
    hosts.write_text("".join(f"2001:db8::{number:x} {name}\n" for name in names for number in range(64)))
    resolver.start(prepared_for(settings_for(free_port()), hosts), *names, wrap=FullOnce)
    gathering, parts, whole = Gathering(), 0, None
    while whole is None:
        part = resolver.message()
        assert isinstance(part, Names)
        whole, parts = gathering.take(part), parts + 1
    assert parts > 1
    assert sorted(whole.addresses) == sorted(names)
    assert {len(pairs) for pairs in whole.addresses.values()} == {64}
