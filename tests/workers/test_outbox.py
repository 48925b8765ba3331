"""What the machine decides is done: sent, joined, left, told, logged."""

from __future__ import annotations

from pathlib import Path

from tests.kit.uftp_process import LOOPBACK, own_group, raw
from tests.kit.uftp_worker import Bench, announce
from workers.contract.channel import LocalChannel
from workers.contract.messages import FromChild
from workers.contract.messages import Moved as MovedMessage
from workers.contract.settings import Address
from workers.contract.slots import DropReason
from workers.contract.uftp import Fact
from workers.multicast import Multicast
from workers.outbox import Outbox
from workers.uftp.actions import Arrival, GroupKey, Moved, Note, Send


def joined(group: Address) -> bool:
    return f"{int.from_bytes(group.value.to_bytes(4, 'little')):08X}" in Path("/proc/net/igmp").read_text().upper()


def do(bench: Bench, *actions: Send | Moved | Note) -> None:
    bench.machine.actions.extend(actions)
    bench.outbox.carry_out(bench.machine, 0)
    assert not bench.machine.actions


def test_datagrams_leave_in_order() -> None:
    with Bench() as bench:
        payloads = [bytes([number]) * 100 for number in range(100)]
        do(bench, *(Send(payload, bench.downstream.raw) for payload in payloads))
        assert bench.downstream.received() == payloads
        assert bench.outbox.stats.forwarded_out == 100


def test_what_cannot_be_sent_is_counted_and_logged() -> None:
    with Bench() as bench:
        do(bench, Send(bytes(70_000), bench.downstream.raw), Send(b"next", bench.downstream.raw))
        assert bench.downstream.received() == [b"next"]
        assert bench.outbox.stats.drops_out[DropReason.SEND_FAILED] == 1
        assert bench.logged()[-1].fields == ("", bench.downstream.raw, "Message too long", 1)


def test_the_private_group_of_an_announcement_is_joined_and_left() -> None:
    group = own_group()
    with Bench() as bench:
        bench.send(announce(7, group))
        bench.turn()
        assert joined(group)
        bench.machine.expire(bench.machine.next_deadline_ns() + 10**10)
        bench.outbox.carry_out(bench.machine, 0)
        assert not joined(group)


def test_a_group_that_cannot_be_joined_is_given_up() -> None:
    with Bench(interfaces=()) as fine:
        fine.send(announce(7, own_group()))
        fine.turn()
        assert fine.machine.facts[Fact.GROUPS] == 1
    with Bench() as bench:
        bench.sock.close()
        bench.machine.receive(*_an_arrival(bench))
        bench.outbox.carry_out(bench.machine, 0)
        assert bench.machine.facts[Fact.GROUPS] == 0
        assert "uftp-join-failed" in {record.event for record in bench.logged()}


def _an_arrival(bench: Bench) -> tuple[bytes, Arrival, int]:
    return announce(7, own_group()), Arrival(bench.server.raw, raw(own_group(), 1), 1), 0


def test_news_goes_to_the_parent() -> None:
    with Bench() as bench:
        do(bench, Moved(bench.server.raw))
        assert bench.said == [MovedMessage(bench.server.raw)]


class Crowded(LocalChannel):
    """A channel that is full the first time."""

    full = True

    def send(self, message: FromChild) -> bool:
        was_full, self.full = self.full, False
        return not was_full and super().send(message)


def test_news_that_the_channel_has_no_room_for_goes_the_next_time_and_once() -> None:
    with Bench() as bench:
        said: list[FromChild] = []
        multicast = Multicast(bench.sock, 4, (LOOPBACK,))
        bench.outbox = Outbox(bench.sock, multicast, Crowded(said.append), bench.journal)
        do(bench, Moved(bench.server.raw))
        assert said == []
        do(bench)
        do(bench)
        assert said == [MovedMessage(bench.server.raw)]


def test_a_line_about_a_group_names_it() -> None:
    with Bench() as bench:
        do(
            bench,
            Note("uftp-left", GroupKey(0xC38AE440, 2), 1, (bench.server.raw,)),
            Note("uftp-left", GroupKey(7, 0), 0, (bench.server.raw,)),
            Note("uftp-left", None, 0, (bench.server.raw,)),
        )
        assert [record.fields[0] for record in bench.logged()] == ["[C38AE440/02:0001]: ", "[00000007/00:0]: ", ""]
