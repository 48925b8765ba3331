"""Clients that wait for names, under any sequence of events: bounds hold, nobody is lost, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.contract.settings import Address
from workers.deadlines import NEVER, TICK_NS
from workers.names import ANSWER_NS, SECOND_NS, Kept, ReverseNames
from workers.policy.hostset import UNASKED

TIMEOUT_NS = SECOND_NS
LONGEST_WAIT_NS = 3 * (TIMEOUT_NS + ANSWER_NS + TICK_NS)
addresses = st.integers(0, 3).map(lambda number: Address(4, number))
events = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 5), addresses),
    st.tuples(st.just("answer"), addresses, st.sampled_from((None, "a.test")), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.integers(0, 3 * SECOND_NS)),
)


class World:
    """Names with the clients that were given to them, and when."""

    def __init__(self) -> None:
        self.names: ReverseNames[int] = ReverseNames(TIMEOUT_NS)
        self.now_ns = 1
        self.waiting: dict[int, int] = {}
        self.needs: dict[int, set[Address]] = {}

    def decide_again(self, kept: list[Kept[int]]) -> None:
        """Let each that came back need a second name now and then, as rules may."""
        for item in kept:
            needed = {address for address in self.needs[item.datagram] if self.names.find(address) == UNASKED}
            if needed and self.names.keep_on(item, min(needed), self.now_ns):
                continue
            del self.waiting[item.datagram]

    def ask(self, number: int, address: Address) -> None:
        if self.names.find(address) != UNASKED:
            return
        kept = self.names.keep(bytes((number,)), address, number, 1, self.now_ns)
        assert kept is (number not in self.waiting)
        if kept:
            self.waiting[number] = self.now_ns
            self.needs[number] = {address, Address(4, (address.value + number) % 4)}

    def answer(self, address: Address, name: str | None, ttl_s: int) -> None:
        self.decide_again(self.names.learn(address, name, ttl_s, self.now_ns))
        assert self.names.find(address) == name

    def wait(self, span_ns: int) -> None:
        """Pass time as the loop does: whenever something is due, it is done, a tick late at most."""
        end_ns = self.now_ns + span_ns
        while (due_ns := self.names.next_deadline_ns()) <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.decide_again(self.names.expire(self.now_ns))
        self.now_ns = end_ns

    def check(self) -> None:
        for number, since_ns in self.waiting.items():
            assert self.names.waits(bytes((number,)))
            assert self.now_ns - since_ns <= LONGEST_WAIT_NS


@given(st.lists(events, max_size=60))
def test_whoever_waits_comes_back_once_and_in_time(taken: list[tuple]) -> None:
    world = World()
    for what, *arguments in taken:
        getattr(world, what)(*arguments)
        world.check()
    world.wait(2 * LONGEST_WAIT_NS)
    assert not world.waiting
    world.wait(2 * 3600 * SECOND_NS)
    assert world.names.next_deadline_ns() >= NEVER
    assert all(world.names.find(Address(4, number)) == UNASKED for number in range(4))
